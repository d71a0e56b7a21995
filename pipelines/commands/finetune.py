"""Fine-tune a pretrained network: on your images as `train` does, else by the report's recipe (--grid: all three)."""

import argparse

from marinecv.choices import CACHE_DTYPES

from .. import options

EXAMPLE = "finetune --backbone mobilenetv3large"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    options.add_training(parser)
    options.add(parser, "--minutes", "--backbone", "--input-range")
    flag("--alpha", type=options.width, metavar="A", help="width of mobilenet (0.75) and mobilenetv2 (0.35)")
    flag("--trainable-layers", type=options.natural, metavar="N", help="last backbone layers to train; 0 is none")
    flag("--head-epochs", type=options.natural, metavar="N", help="first epochs, which train the head only")
    text = "cache features of frozen layers for N augmented views of an image (default: auto, if faster)"
    flag("--cache-features", type=cache_features, metavar="auto|off|N", help=text)
    flag("--cache-dtype", choices=CACHE_DTYPES, help="float16 halves the cache (default: float32)")
    flag("--weights", metavar="W", help="imagenet, none, or a weights file without top")


def run(args: argparse.Namespace) -> int:
    if args.backbone == ["list"]:
        return options.print_backbones()
    from marinecv.recipes.aquarium import BEST_PATIENCE, PATIENCES, row
    from marinecv.recipes.registry import is_own, recipe_named

    from .. import opened

    options.refuse_with(args, "recipe", ("grid", "backbone", "minutes"))
    options.refuse_with(args, "grid", ("minutes",))
    if args.cache_features:
        options.refuse_with(args, "distribute", ("cache_features",))
    patiences, source = PATIENCES if args.grid else (BEST_PATIENCE,), opened.source(args)
    rows = [row(name, patience) for name in args.backbone or ["mobilenetv3large"] for patience in patiences]
    if args.recipe:
        rows = [recipe_named(args.recipe, "finetune")]
    elif not args.grid and source and is_own(source.manifest, rows[0]):
        rows = [None]
    return opened.train(args, rows, source, "finetune", "Pretrained networks")


def cache_features(text: str) -> str | int:
    """Parse the value of `--cache-features`."""
    return text if text == "auto" else 0 if text in ("off", "0") else options.positive(text)
