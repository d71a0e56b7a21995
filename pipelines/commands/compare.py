"""Compare runs on the same images: exact McNemar test and paired bootstrap. Folds of one recipe count as one run."""

import argparse

import marinecv as mcv

from .. import options

EXAMPLE = "compare runs/aquarium_four_conv-1 runs/aquarium_mobilenet_p2-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "finished runs, or experiments for all of their runs"
    parser.add_argument("runs", nargs="+", type=options.run_folder, metavar="RUN", help=about)
    options.add(parser, "--split")


def run(args: argparse.Namespace) -> int:
    print(mcv.compare(*args.runs, split=args.split))
    return 0
