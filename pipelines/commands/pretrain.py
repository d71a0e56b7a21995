"""Train a CNN from scratch on your images, or the recipe of the report (--grid: all three, --recipe: another one)."""

import argparse

from .. import options

EXAMPLE = "pretrain --grid"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_training(parser)


def run(args: argparse.Namespace) -> int:
    from marinecv.recipes.aquarium import BEST, GRID
    from marinecv.recipes.own_data import FOUR_CONV
    from marinecv.recipes.registry import is_own, recipe_named

    from .. import opened

    options.refuse_with(args, "recipe", ("grid",))
    rows, source = GRID, opened.source(args)
    if args.recipe:
        rows = [recipe_named(args.recipe, "pretrain")]
    elif not args.grid:
        rows = [FOUR_CONV if source and is_own(source.manifest, BEST) else BEST]
    return opened.train(args, rows, source, "pretrain", "CNNs from scratch")
