"""Fine-tune a pretrained network: a new head on your images, or the recipe of the report (--grid: all three)."""

import argparse

from marinecv.choices import CACHE_DTYPES, INPUT_RANGES

from .. import options

EXAMPLE = "finetune --backbone mobilenetv3large"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag, known = parser.add_argument, "another (`--backbone list`), a Keras file (.keras, .h5), or several"
    options.add_training(parser)
    default = "mobilenet (default on your images), mobilenetv3large (on the report's)"
    flag("--backbone", nargs="+", metavar="NAME", help=f"{default}, {known}")
    flag("--alpha", type=options.width, metavar="A", help="width of mobilenet (0.75) and mobilenetv2 (0.35)")
    flag("--trainable-layers", type=options.natural, metavar="N", help="last backbone layers to train; 0 is none")
    flag("--head-epochs", type=options.natural, metavar="N", help="first epochs, which train the head only")
    text = "cache features of frozen layers for N augmented views of an image (default: auto, if faster)"
    flag("--cache-features", type=cache_features, metavar="auto|off|N", help=text)
    flag("--cache-dtype", choices=CACHE_DTYPES, help="float16 halves the cache (default: float32)")
    flag("--weights", metavar="W", help="imagenet, none, or a weights file without top")
    flag("--input-range", choices=INPUT_RANGES, help="that a Keras file was trained on; signed is -1 to 1")


def run(args: argparse.Namespace) -> int:
    if args.backbone == ["list"]:
        from marinecv.models.backbone_table import backbones_table, weights_file

        print(backbones_table().rename_axis(None).to_string())
        print(f"\nparameters in millions, top1 in % as Keras states it; weights: in {weights_file('mobilenet').parent}")
        return 0
    from marinecv.recipes.aquarium import BEST_PATIENCE, PATIENCES, row
    from marinecv.recipes.own_data import head
    from marinecv.recipes.registry import is_own, recipe_named

    from .. import opened

    options.refuse_with(args, "recipe", ("grid", "backbone"))
    options.refuse_with(args, "distribute", ("cache_features",))
    patiences, source = PATIENCES if args.grid else (BEST_PATIENCE,), opened.source(args)
    rows = [row(name, patience) for name in args.backbone or ["mobilenetv3large"] for patience in patiences]
    if args.recipe:
        rows = [recipe_named(args.recipe, "finetune")]
    elif not args.grid and source and is_own(source.manifest, rows[0]):
        layers = args.trainable_layers or (20 if args.head_epochs and args.trainable_layers is None else 0)
        rows = [head(name, layers) for name in args.backbone or ["mobilenet"]]
    return opened.train(args, rows, source, "finetune", "Pretrained networks")


def cache_features(text: str) -> str | int:
    """Parse the value of `--cache-features`."""
    return text if text == "auto" else 0 if text in ("off", "0") else options.positive(text)
