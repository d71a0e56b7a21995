"""Aquarium with a pretrained network: the last 20 layers learn, at 224x224.

Run:        python run.py finetune --backbone mobilenetv3large --grid
Published:  validation 0.8346 / 0.8268 / 0.8346 (n=127), test 0.9263 / 0.9367 / 0.9578 (no k/63 gives these)
Here:       results/aquarium_finetune.csv
"""

import argparse
import functools
import re
from dataclasses import replace
from pathlib import Path

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.model_choice import BackboneModel
from marinecv.training.recipe import DataChoice, Recipe, Training

from . import animals, devices, options
from .pretrain import SMALL_MOVES, published

HELP = "Train a head on a pretrained network, on your images; or the report's best row, with --grid its three."
EXAMPLE = "finetune --backbone mobilenetv3large"

PUBLISHED = {8: published("0.8346", "0.9263"), 4: published("0.8268", "0.9367"), 2: published("0.8346", "0.9578")}
PATIENCES = tuple(PUBLISHED)
WINNER = 2
WEIGHTS = ("imagenet", "none")  # that are no file
ALPHAS = {"mobilenet": 0.75, "mobilenetv2": 0.35}  # of the recipes; small enough for a laptop
LEARNING = ", (last 20 layers|frozen|all of it frozen|its last [a-z ]+learns?)"  # of a title, what needs weights
CHOSEN = (
    "factor 0.2, RMSprop 1e-4, batch 32, at most 60 epochs, early stop after 12; global average, dropout 0.2, softmax; "
    "batch normalisation frozen; flip 0.5, rotation 10 degrees, zoom and crop 0.1"
)


def row(backbone: str, patience: int) -> Recipe:
    """A row of the report's table, for its own backbone or another."""
    is_report = backbone == "mobilenetv3large"
    return Recipe(
        name=f"aquarium_{backbone}_p{patience}",
        title=f"Aquarium, {backbone}, last 20 layers, patience {patience}",
        report="aquarium",
        data=DataChoice(name="aquarium"),
        image=ImageSpec(height=224, width=224, canvas_px=1024),
        model=BackboneModel(
            backbone=backbone, alpha=ALPHAS.get(backbone, 1.0), normalisation="standardise" if is_report else "backbone"
        ),
        training=Training(
            learning_rate=1e-4,
            lr_factor=0.2,
            lr_patience=patience,
            epochs=60 if is_report else 25,
            monitor="val_accuracy",
            augmentation=SMALL_MOVES,
        ),
        published=PUBLISHED[patience] if is_report else {},
        chosen=CHOSEN + ("; standardised per image, as the report says" if is_report else "; 25 epochs"),
    )


def without_pretrained_weights(recipe: Recipe) -> Recipe:
    """The same network from random weights: all of it learns, from small images, which teaches it much in minutes."""
    return replace(
        recipe,
        name=f"{recipe.name}_untrained",
        title=f"{re.sub(LEARNING, '', recipe.title)} (no pretrained weights)",
        image=replace(recipe.image, height=96, width=96),
        model=replace(recipe.model, weights="none", trainable_layers=None, trainable_blocks=()),
        training=replace(recipe.training, optimizer="adam", learning_rate=1e-3, epochs=20, head_epochs=0, bank=0),
        published={},
        chosen="all layers learn, 96 pixels, Adam 1e-3, 20 epochs; batch statistics set by one pass over train",
    )


MOBILENET = row("mobilenet", WINNER)
LARGE = replace(  # ours, not the report's: the detail that 224 pixels lose is worth more than any schedule
    MOBILENET,
    name="aquarium_mobilenet_448",
    title="Aquarium, mobilenet at 448x448: head first, then the last 20 layers gently",
    image=replace(MOBILENET.image, height=448, width=448),
    model=replace(MOBILENET.model, dropout=0.4),
    training=replace(
        MOBILENET.training,
        optimizer="adam",
        epochs=16,
        head_epochs=8,
        head_learning_rate=3e-3,
        learning_rate=1e-4,
        lr_factor=0.5,
        lr_patience=3,
        label_smoothing=0.1,
    ),
    chosen="everything; 448 pixels because a linear probe gains three points over 224",
)
LARGER = replace(  # ours too: with the bank an epoch of the head takes a tenth of a second, so it may have many
    MOBILENET,
    name="aquarium_mobilenet_640",
    title="Aquarium, mobilenet at 640x640: only the head learns",
    image=replace(MOBILENET.image, height=640, width=640),
    model=replace(MOBILENET.model, trainable_layers=0),
    training=replace(
        MOBILENET.training,
        optimizer="adam",
        learning_rate=3e-3,
        lr_factor=0.5,
        lr_patience=15,
        epochs=150,
        early_stop_patience=40,
        label_smoothing=0.1,
        augmentation=Augmentation(flip=0.5),
        bank=1,
    ),
    chosen="everything, by validation accuracy: 640 pixels, flip alone, so that the bank holds both images of each",
)
RECIPES = {
    recipe.name: recipe
    for recipe in [row(name, patience) for name in ("mobilenetv3large", "mobilenet") for patience in PATIENCES]
    + [row(name, WINNER) for name in ("mobilenetv2", "inceptionv3", "resnet50", "efficientnetb4")]
    + [LARGE, LARGER]
}


def own(backbone: str = "mobilenet", trainable_layers: int = 0) -> Recipe:
    """A head on a frozen backbone, on images that are no report's; or its last layers too, gently, after the head."""
    model = {"backbone": backbone, "alpha": ALPHAS.get(backbone, 1.0), "trainable_layers": trainable_layers}
    head = replace(animals.MOBILENET, name=f"{backbone}_head", title=f"{backbone}, frozen").with_model(**model)
    if not trainable_layers:
        return head
    return replace(head, name=f"{backbone}_last{trainable_layers}", title=backbone, training=LARGE.training)


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
        "--bank-dtype", choices=("float32", "float16"), help="float16 keeps them in half the room (default: float32)"
    )
    parser.add_argument("--weights", metavar="W", help="imagenet, none, or the path of a weights file without top")


def run(args: argparse.Namespace) -> int:
    """Train the chosen rows, or go on with what `--resume` names."""
    options.refuse_beside(args, "recipe", ("grid", "backbone"))
    options.refuse_beside(args, "distribute", ("bank",))
    if devices.prepare(args).process:
        return devices.follow(args.resume or args.output_dir)
    from . import train
    from .families import is_own, named

    if args.resume:
        return train.resume(args.resume, args.track, args.distribute)
    patiences = PATIENCES if args.grid else (WINNER,)
    rows = [row(name, patience) for name in args.backbone or ["mobilenetv3large"] for patience in patiences]
    manifest = None if args.recipe or args.grid else options.located(args)
    if args.recipe:
        rows = [named(args.recipe, "finetune")]
    elif manifest and is_own(manifest, rows[0]):
        layers = args.trainable_layers or (20 if args.head_epochs and args.trainable_layers is None else 0)
        rows = [own(name, layers) for name in args.backbone or ["mobilenet"]]
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


@functools.cache
def weights_host_answers() -> bool:
    """Whether the host of Keras' weights can be reached; asked once a command."""
    from marinecv.data.network import reachable
    from marinecv.models.backbones import WEIGHTS_URL

    return reachable(WEIGHTS_URL)


def with_weights(recipe: Recipe, weights: str | None, alpha: float | None = None) -> Recipe:
    """Settle where the weights come from, before anything is trained.

    Raises:
        ValueError: weights were named and are not to be had, or a width that the network does not come in.
    """
    from marinecv.models.backbones import BACKBONES, WEIGHTS_URL, weights_file

    if alpha and not BACKBONES[recipe.model.backbone].has_alpha:
        raise ValueError(f"{recipe.model.backbone} has no width multiplier. Leave out --alpha.")
    if weights not in (None, *WEIGHTS):
        return recipe.with_model(weights=str(Path(weights).resolve()))
    file = weights_file(recipe.model.backbone, alpha or recipe.model.alpha)
    if weights == "none" or (weights is None and not file.is_file() and not weights_host_answers()):
        return without_pretrained_weights(recipe)
    if not file.is_file() and not weights_host_answers():
        raise ValueError(
            f"The ImageNet weights of {recipe.model.backbone} are not at hand and {WEIGHTS_URL} does not answer. Put "
            f"{file.name} into {file.parent}, name a file with --weights PATH, or train with --weights none."
        )
    return recipe
