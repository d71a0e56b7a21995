"""Predict files or folders (recursively). Classes and geometry come from the run, never from flags."""

import argparse
from pathlib import Path

from marinecv import choices

from .. import options

EXAMPLE = "predict runs/aquarium_four_conv-1 holiday_photos --review --event-gap 30m --format xlsx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add(parser, "run")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders")
    add = parser.add_argument
    add("--output", type=Path, metavar="CSV", help="(default: predictions/RUN-1/predictions.csv, or the next number)")
    add("--review", action="store_true", help="flag images that a person should review")
    unknown = 'answer "unknown" where at most this part of known images is lost by it, as 5%%'
    add("--unknown", type=options.percentage, metavar="P", help=unknown)
    add("--top", type=options.positive, default=1, metavar="K", help="also the next classes, K in all, as columns")
    add("--sort-into", type=Path, metavar="DIR", help="new folder with links by class (undo: `data undo-sort`)")
    formats = "also files to pass on, with relative paths"
    add("--format", dest="formats", nargs="+", default=(), choices=choices.TABLE_FORMATS, help=formats)
    add("--event-gap", metavar="GAP", help="also events.csv: pauses of a camera of at most GAP, as 30m, 90s or 1h")
    options.add(parser, "--limit", help="N random images")
    parser.add_argument("--demonstration", action="store_true", help="allow a model trained on demo images")
    options.add(parser, "--workers", "--boxes", "--crops")
    options.add(parser, "--min-confidence", default=0.2)
    add("--deployments", type=Path, metavar="CSV", help="of --format camtrapdp: where and when each camera stood")
    add("--timezone", metavar="OFFSET", help="of --format camtrapdp: of the cameras' clocks, as +02:00")
    add("--project", type=Path, metavar="TOML", help="of --format camtrapdp: what only you can say of the project")
    add("--tta", choices=("flip",), help="test-time augmentation: mean of image and mirror image")
    options.add(parser, "--batch-size", default=32, help="images at a time (default: 32)")
    options.add(parser, "--seed", help="random seed (default: 0)")


def run(args: argparse.Namespace) -> int:
    from marinecv.workflows.predict import predict_to_csv

    return 0 if predict_to_csv(**vars(args), log=options.print_line) else 1
