"""Train classifiers at several shares of the labels and over seeds: how the score grows with the labels, what
features learned without labels bring, and how many more photographs a goal asks for, class by class.
"""

import argparse

from marinecv.choices import ENCODER_DATA, LABEL_FRACTIONS
from marinecv.recipes.butterflies import FAMILY, FRACTIONS

from .. import options

EXAMPLE = "learning-curve --data-dir my_animals --labelled 0.25 0.5 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which classifiers, at which shares of the labels, how often."""
    options.add(parser, *options.DATA)
    options.add_output(parser, "the study")
    options.add(parser, *options.SUBSET, *options.LABELS)
    options.add(
        parser,
        "--recipe",
        nargs="+",
        help="classifiers by name (`recipes`; default on your images: a head on a frozen backbone); "
        f"{FAMILY}, the default on the report's, stands for {', '.join(FRACTIONS)}",
    )
    parser.add_argument(
        "--labelled",
        nargs="+",
        type=options.share,
        metavar="SHARE",
        help=f"of train (default: {' '.join(map(str, LABEL_FRACTIONS))})",
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
        choices=ENCODER_DATA,
        help="what such an encoder is trained on here: all train images, or those without a label (default: train)",
    )
    parser.add_argument(
        "--goal", type=options.inner_share, metavar="ACCURACY", help="sought (default: half the errors of now)"
    )
    options.add(parser, "--resume", metavar="STUDY", help="go on with a stopped curve")
    options.add(
        parser,
        "--epochs",
        help="at most N epochs; like --image-size not of a frozen backbone beside networks that learn",
    )
    options.add(parser, "--batch-size", "--image-size", "--set", "--track")


def run(args: argparse.Namespace) -> int:
    """Train every cell that is not trained yet, then write tables and page."""
    from .. import opened

    options.refuse_beside(args, "encoder", ("encoder_data",))
    if len(args.image_size or ()) > 1:
        raise ValueError(f"A curve has one image size. Received {args.image_size}: draw each by itself.")
    mcv = options.library()
    how = {"goal": args.goal, "track": args.track, "log": options.say}
    if args.resume:
        mcv.resume(args.resume, **how)
        return 0
    how |= {"encoder": args.encoder, "encoder_data": args.encoder_data or "train", "folder": args.output_dir}
    how |= {"fractions": args.labelled or LABEL_FRACTIONS, "seeds": args.seeds or 3}
    mcv.learning_curve(opened.source(args), args.recipe, **how, changes=options.changes(args))
    return 0
