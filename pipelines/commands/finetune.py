"""Train a head on a pretrained network."""

import argparse
from dataclasses import replace

from marinecv.choices import BANK_DTYPES
from marinecv.recipes.aquarium import PATIENCES, WINNER, row
from marinecv.recipes.own_data import head
from marinecv.training.recipe import Recipe
from marinecv.workflows import devices

from .. import options

HELP = "Train a head on a pretrained network, on your images; or the report's best row, with --grid its three."
EXAMPLE = "finetune --backbone mobilenetv3large"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shared training flags, and those of a backbone."""
    options.add_training(parser)
    parser.add_argument(
        "--backbone",
        nargs="+",
        metavar="NAME",
        help="mobilenet (default on your images), mobilenetv3large (on the report's), mobilenetv2, inceptionv3, "
        "resnet50, efficientnetb4; or several",
    )
    parser.add_argument(
        "--alpha", type=options.width, metavar="A", help="width of mobilenet (0.75) and mobilenetv2 (0.35)"
    )
    parser.add_argument(
        "--trainable-layers", type=options.natural, metavar="N", help="last backbone layers that learn; 0 is none"
    )
    parser.add_argument(
        "--head-epochs", type=options.natural, metavar="N", help="first epochs in which only the head learns"
    )
    parser.add_argument(
        "--bank",
        type=bank,
        metavar="auto|off|N",
        help="compute the frozen layers once, for N drawn views of each image (default: auto, where it pays)",
    )
    parser.add_argument(
        "--bank-dtype", choices=BANK_DTYPES, help="float16 keeps them in half the room (default: float32)"
    )
    parser.add_argument("--weights", metavar="W", help="imagenet, none, or the path of a weights file without top")


def run(args: argparse.Namespace) -> int:
    """Train the chosen rows, or go on with what `--resume` names."""
    options.refuse_beside(args, "recipe", ("grid", "backbone"))
    options.refuse_beside(args, "distribute", ("bank",))
    if devices.prepare(args).process:
        return devices.follow(args.resume or args.output_dir)
    from marinecv.recipes.registry import is_own, named
    from marinecv.workflows import train
    from marinecv.workflows.weights import with_weights

    if args.resume:
        return train.resume(args.resume, args.track, args.distribute)
    patiences = PATIENCES if args.grid else (WINNER,)
    rows = [row(name, patience) for name in args.backbone or ["mobilenetv3large"] for patience in patiences]
    manifest = None if args.recipe or args.grid else options.located(args)
    if args.recipe:
        rows = [named(args.recipe, "finetune")]
    elif manifest and is_own(manifest, rows[0]):
        layers = args.trainable_layers or (20 if args.head_epochs and args.trainable_layers is None else 0)
        rows = [head(name, layers) for name in args.backbone or ["mobilenet"]]
    rows = [with_flags(with_weights(recipe, args.weights, args.alpha), args) for recipe in rows]
    for name in dict.fromkeys(recipe.model.backbone for recipe in rows if recipe.model.weights == "none"):
        print(
            f"{name}: no pretrained weights, so this is no fine-tuning and its score is no measure of one. With a "
            "network they come by themselves; without, name a file with --weights."
        )
    return train.train(rows, args, name="finetune", title="Pretrained networks", manifest=manifest)


def bank(text: str) -> str | int:
    """What `--bank` takes."""
    return text if text in ("auto", "off") else options.positive(text)


def with_flags(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe with the width and the number of trainable layers asked for, and how a bank keeps its numbers.

    With another network than the report's it is no row of the report.
    """
    if args.bank_dtype:
        recipe = recipe.with_training(bank_dtype=args.bank_dtype)
    asked = {"alpha": args.alpha, "trainable_layers": args.trainable_layers, "head_epochs": args.head_epochs}
    changes = {name: value for name, value in asked.items() if value is not None}
    if not changes:
        return recipe
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changes.items())
    recipe = recipe.with_training(head_epochs=changes.pop("head_epochs", recipe.training.head_epochs))
    if "trainable_layers" in changes:
        changes["trainable_blocks"] = ()
    return replace(recipe.with_model(**changes), title=f"{recipe.title}; here {said}", published={})
