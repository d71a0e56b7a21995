"""Average the probabilities of runs for the same images, and score the mean beside each run."""

import argparse

import marinecv as mcv

from .. import options

EXAMPLE = "ensemble runs/aquarium_four_conv-1 runs/aquarium_mobilenet_p2-1 --split test"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=options.run_folder, metavar="RUN", help="finished runs or experiments")
    options.add(parser, "--split")
    options.add_output(parser, "predictions and metrics", "none")


def run(args: argparse.Namespace) -> int:
    print(mcv.ensemble(*args.runs, split=args.split, folder=args.output_dir))
    if args.output_dir:
        print(f"written to {args.output_dir}")
    return 0
