"""Compare runs on the same images: exact McNemar, paired bootstrap, and a plain sentence."""

import argparse

import marinecv as mcv

from .. import options

EXAMPLE = "compare runs/aquarium_four_conv-1 runs/aquarium_mobilenet_p2-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Runs or studies, and a split."""
    about = "finished runs; a study stands for its runs"
    parser.add_argument("runs", nargs="+", type=options.run_folder, metavar="RUN", help=about)
    options.add(parser, "--on")


def run(args: argparse.Namespace) -> int:
    """Print a line a recipe that has several seeds, then how each two of the recipes differ. Folds count as one run."""
    print(mcv.compare(*args.runs, split=args.on))
    return 0
