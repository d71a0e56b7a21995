"""Train a classifier on your own images."""

import argparse

import marinecv as mcv
from marinecv import console

from .. import options

HELP = "Train a classifier on your own images: a folder a class, annotation files, or an archive of them."
EXAMPLE = "train my_photos"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The images, and the settings that most people change."""
    parser.add_argument("images", nargs="?", metavar="PATH", help="a folder or .zip of images, or a known data set")
    parser.add_argument("--resume", type=options.run_folder, metavar="RUN", help="go on with a stopped run")
    parser.add_argument("--recipe", metavar="NAME", help="a recipe by name (`recipes`) or in a .toml or .json file")
    options.add_settings(parser)
    parser.add_argument("--epochs", type=options.epochs, metavar="N", help="at most N epochs")
    parser.add_argument(
        "--folds", type=options.several, metavar="K", help="train K times, so that each image is judged once"
    )
    options.add_sizes(parser)
    options.add_output(parser)
    options.add_subset(parser)
    options.add_labels(parser)
    options.add_reading(parser)
    options.add_track(parser)


def run(args: argparse.Namespace) -> int:
    """Train the recipe for these images, or go on with what `--resume` names."""
    if not (args.resume or args.images):
        raise ValueError("Name the folder of your images: train my_photos.")
    console.import_tensorflow()
    how = {"track": args.track, "log": options.say}
    if args.resume:
        mcv.resume(args.resume, **how)
        return 0
    how |= {"folder": args.output_dir, "changes": options.changes(args)}
    sizes = args.image_size if len(args.image_size or ()) > 1 else ()
    if sizes or args.folds:
        mcv.grid(args.source, args.recipe, sizes=sizes, folds=args.folds, name="train", title="Training", **how)
    else:
        mcv.train(args.source, args.recipe, **how)
    return 0
