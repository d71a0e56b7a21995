"""Train a CNN from scratch."""

import argparse

from marinecv.recipes.aquarium import BEST, GRID
from marinecv.recipes.own_data import FOUR_CONV
from marinecv.workflows import devices

from .. import options

HELP = "Train a CNN from scratch on your images, or the report's best row; with --grid its three, or a recipe by name."
EXAMPLE = "pretrain --grid"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shared training flags."""
    options.add_training(parser)


def run(args: argparse.Namespace) -> int:
    """Train the chosen rows, or go on with what `--resume` names."""
    options.refuse_beside(args, "recipe", ("grid",))
    if devices.prepare(args).process:
        return devices.follow(args.resume or args.output_dir)
    from marinecv.recipes.registry import is_own, named
    from marinecv.workflows import train

    if args.resume:
        return train.resume(args.resume, args.track, args.distribute)
    manifest = None if args.recipe or args.grid else options.located(args)
    rows = [named(args.recipe, "pretrain")] if args.recipe else GRID
    if manifest:
        rows = [FOUR_CONV if is_own(manifest, BEST) else BEST]
    return train.train(rows, args, name="pretrain", title="CNNs from scratch", manifest=manifest)
