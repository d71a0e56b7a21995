"""Train classifiers with several fractions of the labels, and estimate the additional images that a goal needs."""

import argparse

from marinecv.choices import ENCODER_DATA, LABEL_FRACTIONS
from marinecv.recipes.butterflies import FAMILY, FRACTIONS

from .. import options

EXAMPLE = "learning-curve --data-dir my_animals --label-fractions 0.25 0.5 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag, default = parser.add_argument, " ".join(map(str, LABEL_FRACTIONS))
    names = f"{FAMILY} (default on the report's images) means {', '.join(FRACTIONS)}"
    options.add(parser, *options.DATA)
    options.add_output(parser, "the experiment")
    options.add_subset(parser)
    options.add(parser, *options.LABELS)
    options.add(parser, "--recipe", nargs="+", help=f"recipes (default on your images: a head); {names}")
    fraction = {"type": options.positive_fraction, "metavar": "FRACTION", "help": f"of train (default: {default})"}
    flag("--label-fractions", nargs="+", **fraction)
    flag("--seeds", type=options.seeds, metavar="N", help="runs, each with other labeled images (default: 3)")
    flag("--encoder", type=options.run_folder, metavar="RUN", help="finished run of `autoencode` to start from")
    flag("--encoder-data", choices=ENCODER_DATA, help="images for training an encoder (default: train)")
    flag("--goal", type=options.open_fraction, metavar="ACCURACY", help="target (default: half the current error)")
    options.add(parser, "--resume", metavar="CURVE", help="continue a stopped curve")
    options.add(parser, "--epochs", help="at most N epochs (not for heads, if other networks are trained too)")
    options.add(parser, "--image-size", help="side of the input")
    options.add(parser, "--batch-size", "--set", "--track", "--accept-changes")


def run(args: argparse.Namespace) -> int:
    from .. import opened

    options.refuse_with(args, "encoder", ("encoder_data",))
    options.one_size(args)
    mcv = options.library()
    how = {"goal": args.goal, "track": args.track, "log": options.print_line}
    if args.resume:
        mcv.resume(args.resume, accept_changes=args.accept_changes, **how)
        return 0
    how |= {"encoder": args.encoder, "encoder_data": args.encoder_data or "train", "folder": args.output_dir}
    how |= {"fractions": args.label_fractions or LABEL_FRACTIONS, "seeds": args.seeds or 3}
    mcv.learning_curve(opened.source(args), args.recipe, **how, changes=options.changes(args))
    return 0
