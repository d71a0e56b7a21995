"""Score a run again, or on other images."""

import argparse

import marinecv as mcv
from marinecv import console

from .. import options

HELP = (
    "Score a run on one of its splits: as split, on the images without a relative in train, and by choice in grouped "
    "folds; or on images from elsewhere (--data, --data-dir)."
)
EXAMPLE = "evaluate runs/aquarium_four_conv-1 --on test --folds 5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, a split, and by choice other data."""
    parser.add_argument("run", type=options.run_folder, metavar="RUN", help="folder of a finished run")
    options.add_split(parser, default="validation")
    options.add_data(parser)
    options.add_labels(parser)
    options.add_subset(parser)
    options.add_output(parser, "predictions and metrics")
    parser.add_argument(
        "--batch-size", type=options.batch, default=32, metavar="N", help="images at a time (default: 32)"
    )
    parser.add_argument(
        "--folds",
        type=options.several,
        metavar="K",
        help="train its recipe K times with relatives kept apart, beside it",
    )


def run(args: argparse.Namespace) -> int:
    """Predict anew, print the table, keep it where --output-dir says."""
    from .. import opened

    run, data = opened.run_and_data(args)
    console.import_tensorflow()
    names = ("folds", "limit", "split_by", "frames", "label_rule", "no_box", "batch_size", "seed")
    how = {name: getattr(args, name) for name in names}
    print(mcv.evaluate(run, args.on, data, folder=args.output_dir, log=options.say, **how))
    if args.output_dir:
        print(f"written to {args.output_dir}")
    return 0
