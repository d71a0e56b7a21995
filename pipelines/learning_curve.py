"""What labels are worth: classifiers at several shares of them, and how many more photographs a goal asks for."""

import argparse
from pathlib import Path

from . import options, quiet
from .butterflies import FRACTIONS

HELP = (
    "Train classifiers at several shares of the labels and over seeds: how the score grows with the labels, what "
    "features learned without labels bring, and how many more photographs a goal asks for, class by class."
)
EXAMPLE = "learning-curve --data-dir my_animals --recipe butterflies_mobilenet --labelled 0.25 0.5 1"
FAMILY = "butterflies_fractions"
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which classifiers, at which shares of the labels, how often."""
    options.add_data(parser)
    options.add_output(parser, "the study")
    options.add_subset(parser)
    options.add_labels(parser)
    parser.add_argument(
        "--recipe",
        nargs="+",
        metavar="NAME",
        help=f"classifiers by name (`recipes`); {FAMILY}, the default, stands for {', '.join(FRACTIONS)}",
    )
    parser.add_argument(
        "--labelled", nargs="+", type=options.share, metavar="SHARE", help=f"of the train images (default: {SHARES})"
    )
    parser.add_argument(
        "--seeds", type=options.positive, metavar="N", help="times each, with other images (default: 3)"
    )
    parser.add_argument(
        "--encoder", type=Path, metavar="RUN", help="a finished run of `autoencode` that classifiers may begin with"
    )
    parser.add_argument(
        "--encoder-data",
        choices=("train", "unlabelled"),
        help="what such an encoder is trained on here: all train images, or those without a label (default: train)",
    )
    parser.add_argument(
        "--goal", type=options.inner_share, metavar="ACCURACY", help="sought (default: half the errors of now)"
    )
    parser.add_argument("--resume", type=Path, metavar="STUDY", help="go on with a stopped curve")
    parser.add_argument("--epochs", type=options.positive, metavar="N", help="at most N epochs")
    parser.add_argument("--batch-size", type=options.positive, metavar="N", help="images a training step")
    options.add_sizes(parser)
    options.add_track(parser)
    parser.set_defaults(**options.UNASKED, jit_compile=None)


def run(args: argparse.Namespace) -> int:
    """Train every cell that is not trained yet, then write tables and page."""
    goal, args.goal = args.goal, None
    options.refuse_beside(args, "resume")
    options.refuse_beside(args, "encoder", ("encoder_data",))
    if len(args.image_size or ()) > 1:
        raise ValueError(f"A curve has one image size. Received {args.image_size}: draw each by itself.")
    quiet.import_tensorflow()
    from .at_work import at_work
    from .curves import begin, finish, resumed

    names, shares, seeds = args.recipe or [FAMILY], args.labelled or SHARES, args.seeds or 3
    folder = resumed(args.resume) if args.resume else begin(args, names, shares, seeds)
    with at_work(folder):
        return finish(folder, goal, args.track)
