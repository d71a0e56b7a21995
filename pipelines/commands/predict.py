"""Predict files or folders (recursively). Classes and geometry come from the run, never from flags."""

import argparse
from pathlib import Path

from .. import options

EXAMPLE = "predict runs/aquarium_four_conv-1 holiday_photos --output predictions.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add(parser, "run")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders")
    output = Path("predictions.csv")
    parser.add_argument("--output", type=Path, default=output, metavar="CSV", help="(default: %(default)s)")
    options.add(parser, "--batch-size", default=32, help="images at a time (default: 32)")
    parser.add_argument("--review", action="store_true", help="flag images that a person should review")
    parser.add_argument("--tta", choices=("flip",), help="test-time augmentation: mean of image and mirror image")
    options.add(parser, "--limit", help="N random images")
    options.add(parser, "--seed", help="random seed (default: 0)")
    parser.add_argument("--demonstration", action="store_true", help="allow a model trained on demo images")
    options.add(parser, "--workers", "--boxes", "--crops")
    options.add(parser, "--min-confidence", default=0.2)


def run(args: argparse.Namespace) -> int:
    from marinecv.workflows.predict import predict_to_csv

    return 0 if predict_to_csv(**vars(args), log=options.print_line) else 1
