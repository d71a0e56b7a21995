"""Train a classifier on your own images: a folder a class, annotation files, or an archive of them.

Without --recipe it is chosen by cross-validation in train: logistic regression on features of pretrained networks, then
their last layers, where fine-tuning helps.
"""

import argparse
from pathlib import Path

from .. import options

EXAMPLE = "train my_photos"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="?", metavar="PATH", help="folder or .zip of images, or a known data set")
    options.add(parser, "--minutes", "--backbone", "--input-range", "--resume", "--accept-changes")
    options.add(parser, "--recipe", help="recipe by name (`recipes`), or its .toml or .json file")
    options.add(parser, "--set", "--epochs")
    options.add(parser, "--folds", help="K-fold cross-validation")
    options.add(parser, "--image-size", "--output-dir", *options.LABELS, *options.CROPS)
    options.add_subset(parser)
    options.add(parser, *options.READING, "--track")
    about = "answers of a review: trains its run again with them as labels"
    parser.add_argument("--corrections", type=Path, metavar="FILE", help=about)


def run(args: argparse.Namespace) -> int:
    if args.backbone == ["list"]:
        return options.print_backbones()
    from .. import opened

    options.refuse_with(args, "recipe", ("minutes",))
    options.refuse_with(args, "corrections", tuple({*vars(args)} - {"set", "epochs", "output_dir", "source"}))
    if not (args.resume or args.images or args.corrections):
        raise ValueError("Name the folder of your images: train my_photos.")
    return opened.train(args, [args.recipe], getattr(args, "source", None), "train", "Training")
