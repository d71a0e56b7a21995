"""Predict files or folders (recursively). Classes and geometry come from the run, never from flags."""

import argparse
from pathlib import Path

from .. import options

EXAMPLE = "predict runs/aquarium_four_conv-1 holiday_photos --output predictions.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and what to look at."""
    options.add(parser, "run")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders")
    parser.add_argument(
        "--output", type=Path, default=Path("predictions.csv"), metavar="CSV", help="(default: %(default)s)"
    )
    options.add(parser, "--batch-size", default=32, help="images at a time (default: 32)")
    parser.add_argument("--review", action="store_true", help="flag the images that somebody should look at")
    options.add(parser, "--limit", help="N of the images, drawn by --seed")
    options.add(parser, "--seed", help="of the draw (default: 0)")
    parser.add_argument("--demonstration", action="store_true", help="let a model of drawn pictures look at your files")
    options.add(parser, "--workers")


def run(args: argparse.Namespace) -> int:
    """Write a row an image; a file that cannot be read is a row with its reason. Stopped, the same command goes on."""
    from marinecv.workflows.predict import predict_to_csv

    return 0 if predict_to_csv(**vars(args), log=options.say) else 1
