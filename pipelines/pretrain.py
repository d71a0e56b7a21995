"""Aquarium from scratch: three CNNs at 64x64, and one of them with synthetic images.

Run:        python run.py pretrain --grid
Published:  validation 0.7480 / 0.7795 / 0.7717 (n=127), test 0.8730 / 0.8254 / 0.7460 (n=63)
Here:       results/aquarium_pretrain.csv (5 seeds, mean and range)
"""

import argparse
from dataclasses import replace

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.model_choice import ScratchModel
from marinecv.training.recipe import DataChoice, Recipe, Training

from . import devices, options

HELP = "Train a CNN from scratch on your images, or the report's best row; with --grid its three, or a recipe by name."
EXAMPLE = "pretrain --grid"

CHOSEN = (
    "kernels, pools, filters, dense 128, dropout 0.5, initial learning rate, batch 32, at most 60 epochs, early stop "
    "after 12; flip 0.5, rotation 10 degrees, zoom and crop 0.1; standardised per image"
)
SMALL_MOVES = Augmentation(flip=0.5, rotation_deg=10, zoom=0.1, crop=0.1)


def published(validation: str, test: str) -> dict:
    """Accuracies as printed in the aquarium report, with its numbers of images."""
    return {"validation": {"accuracy": validation, "n": 127}, "test": {"accuracy": test, "n": 63}}


BEST = Recipe(
    name="aquarium_four_conv",
    title="Aquarium from scratch: four convolutions",
    report="aquarium",
    data=DataChoice(name="aquarium"),
    image=ImageSpec(height=64, width=64, canvas_px=1024),
    model=ScratchModel(filters=(32, 64, 128, 128), kernels=(3, 3, 3, 3), pools=(2, 2, 2, 2)),
    training=Training(
        learning_rate=1e-3, lr_factor=0.2, lr_patience=5, monitor="val_accuracy", augmentation=SMALL_MOVES
    ),
    published=published("0.7480", "0.8730"),
    chosen=CHOSEN,
)
GRID = [  # the rows of the report's table: joined settings, not a product
    BEST,
    replace(
        BEST,
        name="aquarium_three_conv",
        title="Aquarium from scratch: three convolutions",
        model=ScratchModel(filters=(32, 64, 128), kernels=(5, 5, 5), pools=(3, 2, 2)),
        training=replace(BEST.training, lr_factor=0.1, lr_patience=3),
        published=published("0.7795", "0.8254"),
    ),
    replace(
        BEST,
        name="aquarium_five_conv",
        title="Aquarium from scratch: five convolutions",
        model=ScratchModel(filters=(32, 64, 128, 128, 256), kernels=(5, 3, 3, 3, 3), pools=(2, 2, 2, 2, 2)),
        training=replace(BEST.training, learning_rate=5e-4, lr_factor=0.3, lr_patience=8),
        published=published("0.7717", "0.7460"),
    ),
]
SYNTHETIC = replace(  # what the report tried and left out
    BEST,
    name="aquarium_four_conv_synthetic",
    title="Aquarium from scratch: four convolutions, with synthetic images",
    data=replace(BEST.data, synthetic=True),
    published={},
    chosen=f"{CHOSEN}; synthetic images from every train image whose second class is not fish",
)
RECIPES = {recipe.name: recipe for recipe in [*GRID, SYNTHETIC]}
OWN = replace(BEST, name="four_conv", image=ImageSpec(height=64, width=64))  # on images that are no report's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shared training flags."""
    options.add_training(parser)


def run(args: argparse.Namespace) -> int:
    """Train the chosen rows, or go on with what `--resume` names."""
    options.refuse_beside(args, "recipe", ("grid",))
    if devices.prepare(args).process:
        return devices.follow(args.resume or args.output_dir)
    from . import train
    from .families import is_own, named

    if args.resume:
        return train.resume(args.resume, args.track, args.distribute)
    manifest = None if args.recipe or args.grid else options.located(args)
    rows = [named(args.recipe, "pretrain")] if args.recipe else GRID
    if manifest:
        rows = [OWN if is_own(manifest, BEST) else BEST]
    return train.train(rows, args, name="pretrain", title="CNNs from scratch", manifest=manifest)
