"""Train a CNN from scratch on your images, or the report's best row; with --grid its three, or a recipe by name."""

import argparse

from .. import options

EXAMPLE = "pretrain --grid"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shared training flags."""
    options.add_training(parser)


def run(args: argparse.Namespace) -> int:
    """Train the chosen rows, or go on with what `--resume` names."""
    from marinecv.recipes.aquarium import BEST, GRID
    from marinecv.recipes.own_data import FOUR_CONV
    from marinecv.recipes.registry import is_own, recipe_named

    from .. import opened

    options.refuse_beside(args, "recipe", ("grid",))
    rows, source = GRID, opened.source(args)
    if args.recipe:
        rows = [recipe_named(args.recipe, "pretrain")]
    elif not args.grid:
        rows = [FOUR_CONV if source and is_own(source.manifest, BEST) else BEST]
    return opened.train(args, rows, source, "pretrain", "CNNs from scratch")
