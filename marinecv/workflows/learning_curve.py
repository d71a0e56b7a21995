"""What labels are worth: classifiers at several fractions of the labels, and how many more photographs a goal asks."""

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from marinecv.atomic import write_json
from marinecv.choices import ENCODER_DATA, LABEL_FRACTIONS
from marinecv.console import Log, link, quiet
from marinecv.data.catalog import class_names_of
from marinecv.data.labelled import keep_labels, keep_unlabelled
from marinecv.data.user_tables import usable
from marinecv.recipes.butterflies import FAMILY, FRACTIONS, A, published_at
from marinecv.recipes.butterflies import RECIPES as AUTOENCODERS
from marinecv.recipes.own_data import head
from marinecv.recipes.registry import is_own, recipe_named
from marinecv.runs import Run, fresh_folder, next_folder
from marinecv.studies import CURVE
from marinecv.tables import numbers, read_table
from marinecv.training.build import build_model
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.training.settings import SIZE, named_changes, with_changes
from marinecv.training.trackers import tracked
from marinecv.workflows.prepare import Changes, adjusted, announce, read_data, with_weights_at_hand
from marinecv.workflows.results import write_curve
from marinecv.workflows.resumable import at_work
from marinecv.workflows.run import Experiment
from marinecv.workflows.sources import Data, source_of
from marinecv.workflows.train import RecipeLike, listed
from marinecv.workflows.train_runs import score, start, train_cells

Cells = dict[str, tuple[Recipe, pd.DataFrame]]
SIZES = (SIZE, "image.height", "image.width", "training.epochs")
"""Settings that a head on a frozen backbone keeps where other lines learn their features."""
TEXT = ("line", "split", "metric", "class_name", "said")
"""Columns of the tables of a curve that hold no numbers."""


class LearningCurve(Experiment):
    """A folder of classifiers at several fractions of the labels, with tables of what the labels are worth.

        >>> import marinecv as mcv
        >>> made = mcv.learning_curve(
        ...     mcv.demo_images(), "aquarium_four_conv", fractions=(0.5, 1), seeds=1, epochs=1, limit=24, log=None
        ... )
        >>> "accuracy" in mcv.LearningCurve(made.folder).curve["metric"].unique()
        True

    Args:
        folder: of an existing learning curve.
    Raises:
        ValueError: the folder is no learning curve.
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        if not (self.folder / CURVE).is_file():
            raise ValueError(f"{folder} is no learning curve: it has no {CURVE}. Expected what `learning_curve` made.")

    @property
    def curve(self) -> pd.DataFrame:
        """A row a split, line, fraction (`labelled`) and metric: mean over seeds with its 95% interval, and n."""
        found = self._read("curve")
        if found is None:
            raise ValueError(f'{self.folder} has no curve.csv yet. Go on with resume("{self.folder}").')
        return found

    @property
    def differences(self) -> pd.DataFrame | None:
        """Accuracy of each line minus that of the first, with its 95% interval; None of one line alone."""
        return self._read("differences")

    @property
    def sample_size(self) -> pd.DataFrame | None:
        """How many more photographs the goal asks for, of all images and by class; None of less than 3 fractions."""
        return self._read("photographs")

    @property
    def report(self) -> Path:
        """Its page."""
        return self.folder / "curve.html"

    def _read(self, name: str) -> pd.DataFrame | None:
        path = self.folder / f"{name}.csv"
        if not path.is_file():
            return None
        table = read_table(path)
        return numbers(table, [column for column in table if column not in TEXT], path)


def learning_curve(
    data: Data = None,
    recipes: RecipeLike | Sequence[RecipeLike] = None,
    *,
    fractions: Sequence[float] = LABEL_FRACTIONS,
    seeds: int = 3,
    encoder: str | os.PathLike | Run | None = None,
    encoder_data: str = "train",
    goal: float | None = None,
    folder: str | os.PathLike | None = None,
    track: str | None = None,
    changes: Changes | None = None,
    log: Log | None = print,
    **settings: Any,
) -> LearningCurve:
    """Train classifiers at several fractions of the labels, and tell how many more photographs a goal asks for.

        >>> import marinecv as mcv
        >>> curve = mcv.learning_curve(
        ...     mcv.demo_images(), "aquarium_four_conv", fractions=(0.5, 1), seeds=1, epochs=1, limit=24, log=None
        ... )
        >>> list(curve.runs)
        ['aquarium_four_conv-0.5-seed0', 'aquarium_four_conv-1-seed0']

    Args:
        data: as `mcv.train` takes it.
        recipes: the lines of the curve, one or several, each as `mcv.train` takes it; `"butterflies_fractions"` stands
            for those of that report. None takes these, and on your own images a head on a frozen backbone.
        fractions: of the train images that have a label, each above 0 and at most 1; a larger one has the images of a
            smaller one too.
        seeds: how often each is trained, with other images that have a label.
        encoder: a finished run of `mcv.autoencode` that lines with an encoder begin with; None trains what they need.
        encoder_data: what such an encoder is trained on: `"train"`, or the images of it without a label,
            `"unlabelled"`. It takes image settings, epochs, batch size and seed from `changes`, nothing else.
        goal: the accuracy wanted on validation, between 0 and 1; None asks for half of the errors.
        folder, track, changes, log, **settings: as `mcv.train` takes them. The seed is the first of several. Where
            other lines learn their features, a head on a frozen backbone keeps its image size and epochs.
    Returns:
        The finished curve.
    Raises:
        ValueError: as `mcv.train`; recipes are of different data, no line begins with an encoder that is asked for, or
            a line needs images without a label and there are none.
    """
    log = log or quiet
    check_numbers(seeds, goal, encoder, encoder_data)
    if recipes is None:
        data = source_of(data, A.data, log)
        recipes = [head()] if is_own(data.manifest, A) else FAMILY
    lines = lines_of(recipes)
    changes = named_changes(lines[0], changes, **settings)
    if "data.labelled" in changes:
        raise ValueError("The labels of each run are what fractions= says. Leave out labelled.")
    lines = with_weights_at_hand(lines, changes, log)
    settled = {line.name: with_changes(line, changes_of(line, lines, changes)) for line in lines}
    check_asked(settled.values(), fractions, encoder, encoder_data)
    manifest, catalog, choice = read_data(data, lines, changes_of(lines[0], lines, changes), log)
    class_names = class_names_of(catalog, manifest)
    first = settled[lines[0].name].training.seed
    places = [(seed, fraction) for seed in range(first, first + seeds) for fraction in sorted(set(fractions))]
    own_encoder = encoder_data if encoder is None else None
    cells, begins = plan_cells(lines, changes, places, catalog, choice, own_encoder)
    if encoder is not None:
        cells = with_encoder(cells, encoder if isinstance(encoder, Run) else Run(encoder), catalog, len(class_names))
    announce({cell: recipe for cell, (recipe, _) in cells.items()}, catalog, class_names, log)
    name = f"{'demo-' * manifest.demonstration}curve-{choice.name}"
    folder = fresh_folder(folder or next_folder("runs", name))
    with at_work(folder):
        for cell, (recipe, images) in cells.items():
            if cell in begins:
                recipe = recipe.with_model(weights=str((folder / begins[cell] / "encoder.keras").resolve()))
            start(folder / cell, recipe, images, manifest, log)
        write_json(folder / CURVE, {})
        title = f"Learning curve: {manifest.name}"
        curve = LearningCurve.create(folder, name, title, list(cells), manifest.demonstration)
        finish_curve(curve, log, goal=goal, track=track)
    return curve


def finish_curve(curve: LearningCurve, log: Log, *, goal: float | None = None, track: str | None = None) -> None:
    """Train what is not trained yet, then write tables and page; a goal is kept for the next time."""
    if goal:
        write_json(curve.folder / CURVE, {"goal": goal})

    def work(run: Run, number: str) -> None:
        recipe = Recipe.of(run)
        with tracked(track, run.folder, recipe) as followers:
            score(run, recipe, followers, log, number=number)

    train_cells(curve, lambda run: run.finished, work)
    curve.write_table()
    log(f"curve: {link(write_curve(curve, log))}")


def check_numbers(seeds: int, goal: float | None, encoder: object, encoder_data: str) -> None:
    """Raise ValueError where a curve has no seed, a goal that is none, or two encoders."""
    if seeds < 1:
        raise ValueError(f"Expected one seed or more. Received: seeds={seeds}.")
    if goal is not None and not 0 < goal < 1:
        raise ValueError(f"Expected a goal, the accuracy wanted, between 0 and 1. Received: goal={goal}.")
    if encoder_data not in ENCODER_DATA:
        raise ValueError(f"Expected encoder_data to be one of {', '.join(ENCODER_DATA)}. Received: {encoder_data!r}.")
    if encoder is not None and encoder_data != "train":
        raise ValueError("The run of encoder= is trained already. Leave out encoder_data=, or that run.")


def lines_of(recipes: RecipeLike | Sequence[RecipeLike]) -> list[Recipe]:
    """Return the classifiers that are asked for."""
    found = []
    for recipe in listed(recipes):
        found += FRACTIONS.values() if recipe == FAMILY else [recipe_named(recipe, "learning-curve")]
    if len({recipe.data.name for recipe in found}) > 1:
        names = ", ".join(recipe.name for recipe in found)
        raise ValueError(f"{names} are of different data. A curve has those of one data set.")
    return found


def check_asked(lines: Collection[Recipe], fractions: Sequence[float], encoder: object, encoder_data: str) -> None:
    """Raise ValueError where an argument has nothing to act on, or a line no cell."""
    unlabelled = encoder_data == "unlabelled"
    if (encoder is not None or unlabelled) and not any(map(wants_encoder, lines)):
        names = ", ".join(line.name for line in lines)
        raise ValueError(f"None of {names} begins with an encoder. Leave out encoder= and encoder_data=.")
    if min(fractions) == 1 and any(line.data.pseudo_labels or (unlabelled and wants_encoder(line)) for line in lines):
        raise ValueError("With all labels nothing is left without one. Name a smaller fraction with fractions=.")


def plan_cells(
    lines: list[Recipe],
    changes: Changes,
    places: Sequence[tuple[int, float]],
    catalog: pd.DataFrame,
    choice: DataChoice,
    encoder_data: str | None,
) -> tuple[Cells, dict[str, str]]:
    """Every cell's recipe and images by its name, encoders first; and by cell the name of the encoder it begins with.

    Own labels have one row, at the smallest fraction; an encoder trained on what has no label has none at all labels.
    Without `encoder_data` no encoder is trained.
    """
    encoders, cells, begins = {}, {}, {}
    unlabelled, least = encoder_data == "unlabelled", min(fraction for _, fraction in places)
    for seed, fraction in places:
        labels, place = keep_labels(catalog, fraction, seed), f"{fraction:g}-seed{seed}"
        for line in lines:
            own = changes_of(line, lines, changes)
            changed, asked = with_changes(line, own), {**own, "training.seed": seed}
            on_the_rest = changed.data.pseudo_labels or (unlabelled and wants_encoder(changed))
            if (changed.data.pseudo_labels and fraction > least) or (on_the_rest and fraction == 1):
                continue
            rest = keep_unlabelled(catalog, fraction, seed) if on_the_rest else None  # or refuses: there may be none
            if wants_encoder(changed) and encoder_data:
                encoder = f"{changed.model.weights}-{place}" if unlabelled else changed.model.weights
                begins[f"{line.name}-{place}"] = encoder
                images, of_encoder = (rest, asked) if unlabelled else (catalog, own)
                encoders[encoder] = encoder_recipe(line, changed, choice, of_encoder), images
            cells[f"{line.name}-{place}"] = cell_of(line, fraction, choice, asked), labels
    return encoders | cells, begins


def wants_encoder(line: Recipe) -> bool:
    """Whether it begins with the encoder of an autoencoder."""
    return line.model.has_encoder and line.model.weights in AUTOENCODERS


def changes_of(line: Recipe, lines: Sequence[Recipe], changes: Changes) -> Changes:
    """The changes for a line: beside lines that learn their features a head on a frozen backbone keeps its size."""
    left_out = ("model.weights",) if line.model.has_backbone else ()  # settled before
    if has_frozen_backbone(line) and not all(map(has_frozen_backbone, lines)):
        left_out += SIZES
    return {name: value for name, value in changes.items() if name not in left_out}


def has_frozen_backbone(line: Recipe) -> bool:
    """Whether nothing of it learns but a head, which costs next to nothing on a bank."""
    return line.model.has_backbone and line.model.trainable_layers == 0


def cell_of(line: Recipe, fraction: float, choice: DataChoice, changes: Changes) -> Recipe:
    """A line at one fraction of the labels; what its report prints of that comes with it."""
    cell = adjusted(line, choice, changes)
    published = cell.published if fraction == 1 or not cell.published else published_at(line.name, fraction)
    return replace(cell, data=replace(cell.data, labelled=fraction), published=published)


def encoder_recipe(line: Recipe, changed: Recipe, choice: DataChoice, changes: Changes) -> Recipe:
    """The U-Net that the encoder of a line, before and after its changes, is the way down of."""
    same = {name: getattr(changed.model, name) for name in ("filters", "bottleneck", "convolutions", "batch_norm")}
    recipe = replace(AUTOENCODERS[changed.model.weights].with_model(**same), image=line.image)
    kept = ("image.", "training.epochs", "training.batch_size", "training.seed")
    return adjusted(recipe, choice, {name: value for name, value in changes.items() if name.startswith(kept)})


def with_encoder(cells: Cells, run: Run, catalog: pd.DataFrame, num_classes: int) -> Cells:
    """The cells that want an encoder beginning with that of a finished run of an autoencoder."""
    if not run.path("encoder.keras").is_file():
        raise ValueError(f"{run.folder} has no encoder.keras. Expected a finished run of `autoencode`, of a U-Net.")
    judged = usable(catalog).query("split in ('validation', 'test')")["image_id"]
    seen = judged[judged.isin(usable(run.catalog).query("split == 'train'")["image_id"])]
    own = {recipe.data.name for recipe, _ in cells.values()}
    if Recipe.of(run).data.name in own and len(seen):
        raise ValueError(
            f"The encoder of {run.folder} has learned from {len(seen)} of the {len(judged)} images that judge here; "
            f"the first is {seen.iloc[0]}. Train one on the same split: the same split_by= and seed=."
        )
    weights, begun = str(run.path("encoder.keras").resolve()), {}
    for recipe in {recipe.name: recipe for recipe, _ in cells.values() if wants_encoder(recipe)}.values():
        build_model(recipe.with_model(weights=weights), num_classes)  # now, not when the first of them is trained
    for cell, (recipe, images) in cells.items():
        begun[cell] = recipe.with_model(weights=weights) if wants_encoder(recipe) else recipe, images
    return begun
