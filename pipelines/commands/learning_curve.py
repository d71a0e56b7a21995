"""Train classifiers with several fractions of the labels and seeds: plot the learning curve, compare recipes and
estimate the additional images that each class needs for a goal.
"""

import argparse

from marinecv.choices import ENCODER_DATA, LABEL_FRACTIONS
from marinecv.recipes.butterflies import FAMILY, FRACTIONS

from .. import options

EXAMPLE = "learning-curve --data-dir my_animals --labelled 0.25 0.5 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add(parser, *options.DATA)
    options.add_output(parser, "the experiment")
    options.add(parser, *options.SUBSET, *options.LABELS)
    options.add(
        parser,
        "--recipe",
        nargs="+",
        help="classifiers by name (`recipes`; default on your images: a head on a frozen backbone); "
        f"{FAMILY} (default on the report's images) means {', '.join(FRACTIONS)}",
    )
    parser.add_argument(
        "--labelled",
        nargs="+",
        type=options.share,
        metavar="FRACTION",
        help=f"fractions of train (default: {' '.join(map(str, LABEL_FRACTIONS))})",
    )
    parser.add_argument(
        "--seeds", type=options.seeds, metavar="N", help="seeds of each, with other labeled images (default: 3)"
    )
    parser.add_argument(
        "--encoder",
        type=options.run_folder,
        metavar="RUN",
        help="finished run of `autoencode` for recipes with a pretrained encoder",
    )
    parser.add_argument(
        "--encoder-data",
        choices=ENCODER_DATA,
        help="images for training such encoders: all of train, or the unlabeled ones (default: train)",
    )
    parser.add_argument(
        "--goal", type=options.inner_share, metavar="ACCURACY", help="target accuracy (default: half the current error)"
    )
    options.add(parser, "--resume", metavar="STUDY", help="continue a stopped curve")
    options.add(
        parser,
        "--epochs",
        help="at most N epochs; like --image-size ignored for a frozen backbone next to trained networks",
    )
    options.add(parser, "--batch-size", "--image-size", "--set", "--track")


def run(args: argparse.Namespace) -> int:
    from .. import opened

    options.refuse_beside(args, "encoder", ("encoder_data",))
    options.one_size(args)
    mcv = options.library()
    how = {"goal": args.goal, "track": args.track, "log": options.say}
    if args.resume:
        mcv.resume(args.resume, **how)
        return 0
    how |= {"encoder": args.encoder, "encoder_data": args.encoder_data or "train", "folder": args.output_dir}
    how |= {"fractions": args.labelled or LABEL_FRACTIONS, "seeds": args.seeds or 3}
    mcv.learning_curve(opened.source(args), args.recipe, **how, changes=options.changes(args))
    return 0
