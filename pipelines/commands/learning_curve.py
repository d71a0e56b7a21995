"""What labels are worth: classifiers at several shares of them, and how many more photographs a goal asks for."""

import argparse
from pathlib import Path

from marinecv import console
from marinecv.recipes.butterflies import FAMILY, FRACTIONS

from .. import options

HELP = (
    "Train classifiers at several shares of the labels and over seeds: how the score grows with the labels, what "
    "features learned without labels bring, and how many more photographs a goal asks for, class by class."
)
EXAMPLE = "learning-curve --data-dir my_animals --labelled 0.25 0.5 1"
ABOUT = "curve.json"
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
        help="classifiers by name (`recipes`; default on your images: a head on a frozen backbone); "
        f"{FAMILY}, the default on the report's, stands for {', '.join(FRACTIONS)}",
    )
    parser.add_argument(
        "--labelled",
        nargs="+",
        type=options.share,
        metavar="SHARE",
        help=f"of train (default: {' '.join(map(str, SHARES))})",
    )
    parser.add_argument("--seeds", type=options.seeds, metavar="N", help="times each, with other images (default: 3)")
    parser.add_argument(
        "--encoder",
        type=options.run_folder,
        metavar="RUN",
        help="a finished run of `autoencode` that classifiers may begin with",
    )
    parser.add_argument(
        "--encoder-data",
        choices=("train", "unlabelled"),
        help="what such an encoder is trained on here: all train images, or those without a label (default: train)",
    )
    parser.add_argument(
        "--goal", type=options.inner_share, metavar="ACCURACY", help="sought (default: half the errors of now)"
    )
    parser.add_argument("--resume", type=options.run_folder, metavar="STUDY", help="go on with a stopped curve")
    parser.add_argument(
        "--epochs",
        type=options.epochs,
        metavar="N",
        help="at most N epochs; like --image-size not of a frozen backbone beside networks that learn",
    )
    parser.add_argument("--batch-size", type=options.batch, metavar="N", help="images a training step")
    options.add_sizes(parser)
    options.add_track(parser)
    parser.set_defaults(**options.UNASKED)


def run(args: argparse.Namespace) -> int:
    """Train every cell that is not trained yet, then write tables and page."""
    options.refuse_beside(args, "encoder", ("encoder_data",))
    if len(args.image_size or ()) > 1:
        raise ValueError(f"A curve has one image size. Received {args.image_size}: draw each by itself.")
    if args.resume and not is_curve(args.resume):
        raise ValueError(f"{args.resume} is no curve: it has no {ABOUT}. Expected a folder of `learning-curve`.")
    console.import_tensorflow()
    from marinecv.workflows.learning_curve import begin, finish
    from marinecv.workflows.resumable import at_work

    folder = args.resume or begin(args, args.recipe, args.labelled or SHARES, args.seeds or 3)
    with at_work(folder):
        return finish(folder, args.goal, args.track)


def is_curve(folder: Path) -> bool:
    """Whether a folder is a study of this command."""
    return (folder / ABOUT).is_file()
