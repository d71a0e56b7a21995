"""Look at the images of a run, or of FOLDER, in a page on this machine: correct labels, name new images.

The answers are kept in corrections.csv, each as it is given. `train --corrections FILE` trains with them.
"""

import argparse
from pathlib import Path

from .. import options

EXAMPLE = "review runs/aquarium_four_conv-1 new_photos"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    options.add(parser, "run")
    flag("images", nargs="?", type=Path, metavar="FOLDER", help="images to predict first (default: those of the run)")
    flag("--hide-predictions", action="store_true", help="blind: do not show what the run predicts")
    options.add(parser, "--boxes")
    options.add(parser, "--min-confidence", default=0.2)
    flag("--event-gap", default="30m", metavar="GAP", help="longest pause within an event of a camera (default: 30m)")
    options.add_output(parser, "the list and the answers", "RUN/review or reviews/...")
    options.add(parser, "--seed")
    flag("--export", type=Path, metavar="FILE", help="write a CSV of the images and answers for another tool; no page")
    flag("--import", type=Path, metavar="FILE", help="take answers of a CSV: image_id (or path), class_name; no page")


def run(args: argparse.Namespace) -> int:
    taken = vars(args)["import"]
    how = {name: getattr(args, name) for name in ("boxes", "min_confidence", "event_gap", "hide_predictions", "seed")}
    how |= {"page": not (args.export or taken), "folder": args.output_dir, "log": options.print_line}
    review = options.library().review(args.run, args.images, **how)
    if taken:
        print(f"{review.take(taken)} answers taken from {taken}")
    if args.export:
        print(f"{review.export(args.export)} images with their answers written to {args.export}")
    return 0
