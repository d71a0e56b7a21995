"""Estimate how good a run is on FOLDER: check a random sample of its images in a page on this machine.

Accuracy, precision and recall by class and corrected counts, each with its interval, go to estimate.csv.
"""

import argparse
from pathlib import Path

from .. import options

EXAMPLE = "estimate runs/aquarium_four_conv-1 new_photos --check 150"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    options.add(parser, "run")
    flag("images", type=Path, metavar="FOLDER", help="images to predict, some of which you check")
    flag("--check", type=options.positive, default=150, metavar="N", help="images to check (default: 150)")
    width = "stop once the 95%% interval of the accuracy is as narrow, such as 0.1"
    flag("--width", type=options.open_fraction, metavar="W", help=width)
    answers = "CSV of image_id (path below FOLDER) and class_name in place of the page"
    flag("--answers", type=Path, metavar="FILE", help=answers)
    flag("--hide-predictions", action="store_true", help="blind: do not show what the run predicts")
    flag("--demonstration", action="store_true", help="allow a model trained on demo images")
    options.add_output(parser, "sample, answers and estimate", "estimates/...")
    options.add(parser, "--seed")


def run(args: argparse.Namespace) -> int:
    how = {name: value for name, value in vars(args).items() if name not in ("run", "images", "output_dir")}
    print(options.library().estimate(args.run, args.images, folder=args.output_dir, log=options.print_line, **how))
    return 0
