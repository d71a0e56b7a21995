"""The runs of a learning curve: a line at a share of the labels and a seed, and the encoders that some begin with."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

import marinecv as mcv
from marinecv.data.labelled import keep_labels, keep_unlabelled
from marinecv.recipes.butterflies import FAMILY, FRACTIONS, published_at
from marinecv.recipes.butterflies import RECIPES as AUTOENCODERS
from marinecv.recipes.registry import named
from marinecv.runs import Run
from marinecv.training.build import build_model
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.workflows.prepare import adjusted, sized
from marinecv.workflows.weights import with_weights

Cells = dict[str, tuple[Recipe, pd.DataFrame]]


def chosen(names: Sequence[str]) -> list[Recipe]:
    """The classifiers of these names, with their weights, or without where there are none to be had.

    Raises:
        ValueError: there is none of a name, or they are of different data.
    """
    found = []
    for name in names:
        found += FRACTIONS.values() if name == FAMILY else [named(name, "learning-curve")]
    if len({recipe.data.name for recipe in found}) > 1:
        raise ValueError(f"{', '.join(names)} are of different data. A curve has those of one data set.")
    return [with_weights(recipe, None) if recipe.model.has_backbone else recipe for recipe in found]


def check_asked(lines: list[Recipe], shares: Sequence[float], args: argparse.Namespace) -> None:
    """Raise ValueError where a flag has nothing to act on, or a line no cell."""
    unlabelled = args.encoder_data == "unlabelled"
    if (args.encoder or args.encoder_data) and not any(map(wants_encoder, lines)):
        names = ", ".join(line.name for line in lines)
        raise ValueError(f"None of {names} begins with an encoder. Leave out --encoder[-data], or name a --recipe.")
    if min(shares) == 1 and any(line.data.pseudo_labels or (unlabelled and wants_encoder(line)) for line in lines):
        raise ValueError("With all labels nothing is left without one. Name a smaller share with --labelled.")


def plan_cells(
    lines: list[Recipe],
    places: Sequence[tuple[int, float]],
    catalog: pd.DataFrame,
    choice: DataChoice,
    args: argparse.Namespace,
) -> tuple[Cells, dict[str, str]]:
    """Every cell's recipe and images by its name, encoders first; and by cell the name of the encoder it begins with.

    Own labels have one row, at the smallest share; an encoder trained on what has no label has none at all labels.

    Raises:
        ValueError: a share leaves nothing without a label to a line that needs that.
    """
    encoders, cells, begins = {}, {}, {}
    unlabelled, least = args.encoder_data == "unlabelled", min(share for _, share in places)
    for seed, share in places:
        labels, place = keep_labels(catalog, share, seed), f"{share:g}-seed{seed}"
        for line in lines:
            on_the_rest = line.data.pseudo_labels or (unlabelled and wants_encoder(line))
            if (line.data.pseudo_labels and share > least) or (on_the_rest and share == 1):
                continue
            rest = keep_unlabelled(catalog, share, seed) if on_the_rest else None  # which refuses where there is none
            flags = argparse.Namespace(**{**vars(bounds(line, lines, args)), "seed": seed})
            if wants_encoder(line) and not args.encoder:
                encoder = f"{line.model.weights}-{place}" if unlabelled else line.model.weights
                begins[f"{line.name}-{place}"] = encoder
                images, asked = (rest, flags) if unlabelled else (catalog, args)
                encoders[encoder] = encoder_recipe(line, choice, asked), images
            cells[f"{line.name}-{place}"] = cell_of(line, share, choice, flags), labels
    return encoders | cells, begins


def wants_encoder(line: Recipe) -> bool:
    """Whether it begins with the encoder of an autoencoder."""
    return line.model.has_encoder and line.model.weights in AUTOENCODERS


def bounds(line: Recipe, lines: list[Recipe], args: argparse.Namespace) -> argparse.Namespace:
    """The flags for a line. Where other lines learn their features, a head on a frozen backbone is not made smaller."""
    if not has_frozen_backbone(line) or all(map(has_frozen_backbone, lines)):
        return args
    return argparse.Namespace(**{**vars(args), "image_size": None, "epochs": None})


def has_frozen_backbone(line: Recipe) -> bool:
    """Whether nothing of it learns but a head, which costs next to nothing on a bank."""
    return line.model.has_backbone and line.model.trainable_layers == 0


def cell_of(line: Recipe, share: float, choice: DataChoice, flags: argparse.Namespace) -> Recipe:
    """A line at one share of the labels; what its report prints of that comes with it."""
    cell = adjusted(sized([line], flags.image_size)[0], choice, flags)
    published = cell.published if share == 1 or not cell.published else published_at(line.name, share)
    return replace(cell, data=replace(cell.data, labelled=share), published=published)


def encoder_recipe(line: Recipe, choice: DataChoice, flags: argparse.Namespace) -> Recipe:
    """The U-Net that a line's encoder is the way down of."""
    same = {name: getattr(line.model, name) for name in ("filters", "bottleneck", "convolutions", "batch_norm")}
    recipe = replace(AUTOENCODERS[line.model.weights].with_model(**same), image=line.image)
    return adjusted(sized([recipe], flags.image_size)[0], choice, flags)


def with_encoder(cells: Cells, folder: Path, catalog: pd.DataFrame, num_classes: int) -> Cells:
    """The cells that want an encoder beginning with that of a finished run of `autoencode`.

    Raises:
        ValueError: the run has none, of other filters than theirs, or one that has learned from images that it is to be
            judged on here.
    """
    run = Run(folder)
    if not run.path("encoder.keras").is_file():
        raise ValueError(f"{folder} has no encoder.keras. Expected a finished run of `autoencode`, of a U-Net.")
    judged = mcv.usable(catalog).query("split in ('validation', 'test')")["image_id"]
    seen = judged[judged.isin(mcv.usable(run.catalog).query("split == 'train'")["image_id"])]
    own = {recipe.data.name for recipe, _ in cells.values()}
    if Recipe.of(run).data.name in own and len(seen):
        raise ValueError(
            f"The encoder of {folder} has learned from {len(seen)} of the {len(judged)} images that judge here; the "
            f"first is {seen.iloc[0]}. Train one on the same split: the same --split-by and --seed."
        )
    weights, begun = str(run.path("encoder.keras").resolve()), {}
    for recipe in {recipe.name: recipe for recipe, _ in cells.values() if wants_encoder(recipe)}.values():
        build_model(recipe.with_model(weights=weights), num_classes)  # now, not when the first of them is trained
    for cell, (recipe, images) in cells.items():
        begun[cell] = recipe.with_model(weights=weights) if wants_encoder(recipe) else recipe, images
    return begun
