"""The settings that each report states, by their names in a recipe and in its units, and how recipes keep to them."""

import csv
import textwrap
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path

from five_reports.words import filled, listed, section, table

from marinecv.recipes.registry import FAMILIES, RECIPES
from marinecv.training.recipe import METRICS, Recipe

RESULTS = Path(__file__).resolve().parents[2] / "results"
WEIGHTS_HERE = ("mobilenet", "mobilenetv2")  # of ImageNet, where the results were made
DIFFERS = "differs: "  # begins a deviation among the assumptions of a recipe


def part(prefix: str, **settings) -> dict:
    """Return settings by their full names."""
    return {f"{prefix}.{name}": value for name, value in settings.items()}


data, image, model, training = (partial(part, prefix) for prefix in ("data", "image", "model", "training"))
moves = partial(part, "training.augmentation")


def square(px: int) -> dict:
    """Return the settings of a size."""
    return image(height=px, width=px)


FIFTH = data(split_by="random", fractions=(0.8, 0.2, 0.0))
IMAGENET = model(weights="imagenet")
AQUARIUM = data(label_rule="dominant", split_by=None) | image(fit="pad", letterbox_px=1024)
AQUARIUM |= model(normalization="standardize") | training(optimizer="rmsprop")
SCRATCH = AQUARIUM | square(64)
LARGE = AQUARIUM | square(224) | IMAGENET | model(backbone="mobilenetv3large", trainable_layers=20)
ANIMALS = data(fractions=(0.8, 0.2, 0.0)) | square(244) | model(backbone="inceptionv3") | moves(flip=0.5)
ANIMALS |= training(metrics=METRICS)
ADAM = training(optimizer="adam", learning_rate=1e-3)
BIRDS = FIFTH | square(224) | image(fit="stretch") | training(monitor="val_accuracy")
BIRDS |= moves(flip=1.0, rotation_deg=15, zoom=0.2) | model(dropout=0.5)
SIMPLE, QUADRUPLE = moves(variants="simple"), moves(variants="quadruple")
RESNET50 = BIRDS | IMAGENET | model(backbone="resnet50", trainable_blocks=("conv5_",), hidden=(512,))
EFFICIENTNETB4 = BIRDS | SIMPLE | IMAGENET | model(backbone="efficientnetb4", hidden=()) | training(learning_rate=1e-3)
MULTIMODAL = RESNET50 | QUADRUPLE | data(attributes="image") | model(attributes=312, attribute_units=256)
BIRDCNN = FIFTH | square(256) | image(fit="stretch") | ADAM | training(epochs=20) | moves(flip=0.5, vertical_flip=0.5)
BIRDCNN |= model(filters=(32, 64, 128, 256), kernels=(3, 3, 3, 3), pools=(2, 2, 2, 2), pooling="flatten", dense=512)
BIRDCNN |= model(dropout=0.5, normalization="imagenet")
BUTTERFLIES = square(128) | training(optimizer="adam", learning_rate=1e-4, batch_size=64, epochs=30)
BUTTERFLIES |= training(early_stop_patience=5, monitor="loss")
STATED = {
    "aquarium_four_conv": SCRATCH | {"len(model.filters)": 4} | training(lr_factor=0.2, lr_patience=5),
    "aquarium_three_conv": SCRATCH | {"len(model.filters)": 3} | training(lr_factor=0.1, lr_patience=3),
    "aquarium_five_conv": SCRATCH | {"len(model.filters)": 5} | training(lr_factor=0.3, lr_patience=8),
    "aquarium_mobilenetv3large_p8": LARGE | training(lr_patience=8),
    "aquarium_mobilenetv3large_p4": LARGE | training(lr_patience=4),
    "aquarium_mobilenetv3large_p2": LARGE | training(lr_patience=2),
    "animals_inceptionv3_adam": ANIMALS | ADAM | model(weights="none") | training(epochs=20, batch_size=15),
    "animals_inceptionv3_sgd": ANIMALS | model(weights="none") | training(optimizer="sgd"),
    "animals_inceptionv3": ANIMALS
    | (ADAM | IMAGENET | model(trainable_layers=0, pooling="avg", hidden=(512,)) | training(epochs=7, batch_size=64))
    | training(monitor="val_loss", early_stop_patience=4, lr_patience=5),
    "birds_customcnn": BIRDS
    | (SIMPLE | model(filters=(32, 64, 128), kernels=(3, 3, 3), pools=(2, 2, 2), batch_norm=True))
    | model(pooling="avg", dense=256, normalization="unit"),
    "birds_resnet50": RESNET50 | SIMPLE | model(normalization="unit") | training(learning_rate=6.47e-5),
    "birds_efficientnetb4": EFFICIENTNETB4,
    "birds_multimodal": MULTIMODAL | model(normalization="unit"),
    "birdcnn_base": BIRDCNN | training(epochs=40),
    "birdcnn_weight_decay": BIRDCNN | training(l2=0.01, decay_scope="all"),
    "birdcnn_sgd": BIRDCNN | training(optimizer="sgd", momentum=0.9),
    "birdcnn_kernel6": BIRDCNN | model(kernels=(6, 6, 6, 6), padding=1),
    "birdcnn_two_conv": BIRDCNN | model(filters=(32, 64), kernels=(3, 3), pools=(2, 2)),
    "birdcnn_x200": BIRDCNN | training(batch_size=128),
    "butterflies_unet": model(skips=True),
    "butterflies_denoise": square(28)
    | (model(units=(128, 64, 32), salt=0.1, pepper=0.1) | ADAM | training(batch_size=128, epochs=50)),
    "butterflies_a": BUTTERFLIES | model(weights="none"),
    "butterflies_b1": BUTTERFLIES | model(weights="butterflies_unet", frozen=True),
    "butterflies_b2": BUTTERFLIES | model(weights="butterflies_unet", frozen=False),
}
STATED |= {f"{name}_x200": STATED[name] for name in ("birds_resnet50", "birds_efficientnetb4", "birds_multimodal")}
NEUTRAL = {  # settings that change no result, or are no setting of a training
    *("data.name", "data.columns", "data.frame_order", "data.min_confidence", "data.min_certainty"),
    *("data.images_without_boxes", "data.label_fraction"),
    *("training.seed", "training.cache_features", "training.cache_dtype", "training.jit_compile", "training.schedule"),
    *("model.backbone_sha256", "training.metrics", "model.alpha"),
}
UNSET = (None, 0, "", (), "none")  # of a setting that does nothing


def value_of(recipe: Recipe, name: str):
    """Return a setting of a recipe by its full name; `len(NAME)` is the number of its entries."""
    if name.startswith("len("):
        return len(value_of(recipe, name[4:-1]))
    value = recipe
    for word in name.split("."):
        value = getattr(value, word)
    return value


def settings_of(record, prefix: str = "") -> dict:
    """Return every setting of a recipe or a part of it, by its full name."""
    settings = {}
    for field in fields(record):
        value, name = getattr(record, field.name), prefix + field.name
        settings |= settings_of(value, f"{name}.") if is_dataclass(value) else {name: value}
    return settings


def acting(recipe: Recipe) -> dict:
    """Return the settings on which the result of a recipe depends, by full name."""
    run, never = recipe.training, set(NEUTRAL)
    never |= {"training.lr_factor", "training.lr_patience"} if run.lr_patience >= run.epochs else set()
    never |= {"training.early_stop_patience"} if run.early_stop_patience >= run.epochs else set()
    never |= set() if run.optimizer == "sgd" else {"training.momentum"}
    never |= set() if run.head_epochs else {"training.head_learning_rate"}
    never |= set() if run.l2 or run.weight_decay else {"training.decay_scope"}
    never |= set() if recipe.data.split_by else {"data.fractions"}
    never |= set() if recipe.report == "aquarium" else {"data.label_rule"}
    never |= {"model.trainable_layers"} if getattr(recipe.model, "trainable_blocks", ()) else set()
    parts = {name: value for name, value in settings_of(recipe).items() if "." in name and name not in never}
    return {name: value for name, value in parts.items() if value not in UNSET}


def deviations(recipe: Recipe) -> list[str]:
    """Return what differs from the report, as the assumptions of a recipe name it."""
    entries = recipe.assumptions.split("; ")
    return [entry.removeprefix(DIFFERS) for entry in entries if entry.startswith(DIFFERS)]


def counts(recipe: Recipe) -> tuple[int, int, int]:
    """Return how many settings of a recipe its report states, how many were chosen, and how many deviations it has."""
    stated = STATED[recipe.name]
    named = {name.removeprefix("len(").removesuffix(")") for name in stated if not name.startswith("len(")}
    return len(stated), len(set(acting(recipe)) - named), len(deviations(recipe))


def fidelity() -> str:
    """Return the section of docs/reports.md on the recipes: how many settings were chosen, and what differs."""
    of_report, of_text = {}, {}
    for recipe in (RECIPES[name] for name in RECIPES if name in STATED):
        of_report.setdefault(recipe.name.partition("_")[0], []).append(counts(recipe)[1])
        for text in deviations(recipe):
            of_text.setdefault(text, []).append(recipe.name)
    listing = [
        textwrap.fill(f"- {text[0].upper()}{text[1:]} ({shortened(names)}).", 120, subsequent_indent="  ")
        for text, names in of_text.items()
    ]
    recipes = sum(map(len, of_report.values()))
    chosen = ", ".join(f"{name} {min(numbers)} to {max(numbers)}" for name, numbers in of_report.items())
    return section(
        "## How the recipes keep to the reports",
        filled(
            f"{recipes} recipes have every setting that their report states. It leaves open and we chose "
            f"(`marinecv recipes show NAME`): {chosen} settings. Differences:"
        ),
        "\n".join(listing),
    )


def shortened(names: list[str]) -> str:
    """Return names of recipes as text: of a whole report its prefix alone."""
    prefixes = dict.fromkeys(name.partition("_")[0] for name in names)
    whole = [prefix for prefix in prefixes if {n for n in STATED if n.startswith(f"{prefix}_")} <= set(names)]
    others = [name for name in names if name.partition("_")[0] not in whole]
    return listed([*(f"all of {prefix}" for prefix in whole), *others])


def measured() -> set[str]:
    """Return the recipes that have a result of ours."""
    names = set()
    for family in FAMILIES:
        with open(RESULTS / f"{family}.csv", encoding="utf-8", newline="") as file:
            names |= {row["recipe"].removesuffix("_untrained") for row in csv.DictReader(file) if row["ours"]}
    return names


def why_not(recipe: Recipe) -> str:
    """Return what was missing to measure a recipe."""
    if recipe.data.name == "cub_x200":
        return "images of the other 180 species"
    if recipe.data.attributes == "image":
        return "attributes of images, ImageNet weights"
    if recipe.model.has_backbone and recipe.model.is_pretrained and recipe.model.backbone not in WEIGHTS_HERE:
        return "ImageNet weights"
    return "time"


def without_result() -> str:
    """Return the table of docs/results.md of the recipes without a result, and why."""
    of_reason = {}
    for name, recipe in RECIPES.items():
        if name not in measured():
            of_reason.setdefault(why_not(recipe), []).append(f"`{name}`")
    return table(["missing", "recipes"], [[why, ", ".join(names)] for why, names in of_reason.items()])
