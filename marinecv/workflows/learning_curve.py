"""Learning curves: classifiers at several fractions of the labels, and a sample-size estimate for a goal."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from marinecv.choices import ENCODER_DATA, LABEL_FRACTIONS
from marinecv.console import Log, link, silent
from marinecv.data.catalog import class_names_of
from marinecv.data.splits.label_fractions import keep_labels, keep_unlabeled
from marinecv.data.user_tables import usable
from marinecv.experiments import CURVE
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import parse_numbers, read_table
from marinecv.recipes.butterflies import FAMILY, FRACTIONS, A, published_at
from marinecv.recipes.butterflies import RECIPES as AUTOENCODERS
from marinecv.recipes.own_data import head
from marinecv.recipes.registry import is_own, recipe_named
from marinecv.runs import Run, fresh_folder, next_folder
from marinecv.schema import check_choice
from marinecv.training.build import build_model
from marinecv.training.recipe import DataConfig, Recipe
from marinecv.training.settings import IMAGE_SIZE, full_names, with_changes
from marinecv.training.trackers import tracked
from marinecv.workflows.folders import resumable
from marinecv.workflows.prepare import Changes, adapted_recipe, log_plan, read_data, with_logged_weights
from marinecv.workflows.results import write_curve
from marinecv.workflows.run import Experiment
from marinecv.workflows.sources import Data, open_run, source_of, with_columns
from marinecv.workflows.train import RecipeLike, as_list
from marinecv.workflows.train_runs import score, start, train_unfinished

Cells, Lines = dict[str, tuple[Recipe, pd.DataFrame]], list[tuple[Recipe, Recipe, Changes]]
SIZE_SETTINGS = (IMAGE_SIZE, "image.height", "image.width", "training.epochs")
"""Settings that a head on a frozen backbone keeps where other lines train their features."""
TEXT_COLUMNS = ("recipe", "split", "metric", "class_name", "note")  # of the tables of a curve


class LearningCurve(Experiment):
    """A folder of classifiers at several fractions of the labels, with tables; ValueError where it is none.

    >>> import marinecv as mcv
    >>> how = {"fractions": (0.5, 1), "seeds": 1, "epochs": 1, "limit": 24, "log": None}
    >>> made = mcv.learning_curve(mcv.demo_images(), "aquarium_four_conv", **how)
    >>> "accuracy" in mcv.LearningCurve(made.folder).curve["metric"].unique()
    True
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        if not (self.folder / CURVE).is_file():
            raise ValueError(f"{folder} is no learning curve: it has no {CURVE}. Expected what `learning_curve` made.")

    @property
    def curve(self) -> pd.DataFrame:
        """A row a split, `recipe`, `label_fraction` and metric: mean over seeds with its 95% interval, and n."""
        if (table := self._read("curve")) is None:
            raise ValueError(f'{self.folder} has no curve.csv yet. Go on with resume("{self.folder}").')
        return table

    @property
    def differences(self) -> pd.DataFrame | None:
        """Accuracy of each line minus that of the first, with its 95% interval; None of a single line."""
        return self._read("differences")

    @property
    def sample_size(self) -> pd.DataFrame | None:
        """Number of additional images for the goal, in all and by class; None of less than 3 fractions."""
        return self._read("sample_size")

    @property
    def report(self) -> Path:
        """The path of its page."""
        return self.folder / "curve.html"

    def _read(self, name: str) -> pd.DataFrame | None:
        path = self.folder / f"{name}.csv"
        if not path.is_file():
            return None
        table = read_table(path)
        return parse_numbers(table, [column for column in table if column not in TEXT_COLUMNS], path)


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
    """Train classifiers at several fractions of the labels, and estimate how many additional images a goal takes.

        >>> import marinecv as mcv
        >>> how = {"fractions": (0.5, 1), "seeds": 1, "epochs": 1, "limit": 24, "log": None}
        >>> list(mcv.learning_curve(mcv.demo_images(), "aquarium_four_conv", **how).runs)
        ['aquarium_four_conv-0.5-seed0', 'aquarium_four_conv-1-seed0']

    Args:
        data: images, see `mcv.train`.
        recipes: the lines of the curve, one or several, see `mcv.train`; `"butterflies_fractions"` stands for those of
            that report. None takes these, and on your own images a head on a frozen backbone.
        fractions: of the labeled train images, above 0 and at most 1; a larger one contains the images of a smaller.
        seeds: number of trainings at each fraction, with other labeled images each time.
        encoder: a finished run of `mcv.autoencode` that lines with an encoder start from; None trains what they need.
        encoder_data: what such an encoder is trained on: `"train"`, or the images of it without a label,
            `"unlabeled"`. It takes image settings, epochs, batch size and seed from `changes`, nothing else.
        goal: wanted validation accuracy, between 0 and 1; None asks for half of the errors.
        folder, track, changes, log, **settings: see `mcv.train`. The seed is the first of several. Where other lines
            train their features, a head on a frozen backbone keeps its image size and epochs.
    Raises:
        ValueError: see `mcv.train`; or recipes are of different data, no line starts from an encoder that is asked
            for, or a line needs images without a label and there are none.
    """
    log = log or silent
    if seeds < 1:
        raise ValueError(f"Expected one seed or more. Received: seeds={seeds}.")
    if goal is not None and not 0 < goal < 1:
        raise ValueError(f"Expected a goal, the accuracy wanted, between 0 and 1. Received: goal={goal}.")
    check_choice(ENCODER_DATA, encoder_data=encoder_data)
    if encoder is not None and encoder_data != "train":
        raise ValueError("The run of encoder= is trained already. Leave out encoder_data=, or that run.")
    if recipes is None:
        data = source_of(data, with_columns(A.data, changes, settings), log)
        recipes = [head()] if is_own(data.manifest, A) else FAMILY
    lines = line_recipes(recipes)
    changes = full_names(lines[0], changes, **settings)
    if "data.label_fraction" in changes:
        raise ValueError("The labels of each run are what fractions= says. Leave out label_fraction.")
    data, lines = with_logged_weights(data, lines, changes, log)
    changes_by_line = {line.name: line_changes(line, lines, changes) for line in lines}
    changed = [with_changes(line, changes_by_line[line.name]) for line in lines]
    unlabeled = encoder_data == "unlabeled"
    with_encoders = [line for line in changed if needs_encoder(line)]
    if (encoder is not None or unlabeled) and not with_encoders:
        names = ", ".join(line.name for line in lines)
        raise ValueError(f"None of {names} begins with an encoder. Leave out encoder= and encoder_data=.")
    if min(fractions) == 1 and (any(line.data.pseudo_labels for line in changed) or (unlabeled and with_encoders)):
        raise ValueError("With all labels nothing is left without one. Name a smaller fraction with fractions=.")
    manifest, catalog, choice = read_data(data, lines, changes_by_line[lines[0].name], log)
    class_names = class_names_of(catalog, manifest)
    first = changed[0].training.seed
    points = [(seed, fraction) for seed in range(first, first + seeds) for fraction in sorted(set(fractions))]
    plans = [(line, new, changes_by_line[line.name]) for line, new in zip(lines, changed, strict=True)]
    cells, encoder_of_cell = plan_cells(plans, points, catalog, choice, encoder_data if encoder is None else None)
    if encoder is not None:
        cells = with_encoder(cells, open_run(encoder), catalog, len(class_names))
    log_plan({cell: recipe for cell, (recipe, _) in cells.items()}, catalog, class_names, log)
    name = f"{'demo-' * manifest.demonstration}curve-{choice.name}"
    folder = fresh_folder(folder or next_folder("runs", name))
    with resumable(folder):
        for cell, (recipe, images) in cells.items():
            if cell in encoder_of_cell:
                recipe = recipe.with_model(weights=str((folder / encoder_of_cell[cell] / "encoder.keras").resolve()))
            start(folder / cell, recipe, images, manifest, log)
        write_json(folder / CURVE, {})
        title = f"Learning curve: {manifest.name}"
        curve = LearningCurve.create(folder, name, title, list(cells), manifest.demonstration)
        finish_curve(curve, log, goal=goal, track=track)
    return curve


def finish_curve(curve: LearningCurve, log: Log, *, goal: float | None = None, track: str | None = None) -> None:
    """Train the runs that are not finished, then write tables and page; save a goal for the next time."""
    if goal:
        write_json(curve.folder / CURVE, {"goal": goal})

    def work(run: Run, number: str) -> None:
        recipe = Recipe.of(run)
        with tracked(track, run.folder, recipe) as followers:
            score(run, recipe, followers, log, number=number)

    train_unfinished(curve, lambda run: run.finished, work)
    curve.write_table()
    log(f"curve: {link(write_curve(curve, log))}")


def line_recipes(recipes: RecipeLike | Sequence[RecipeLike]) -> list[Recipe]:
    """Return the recipes of the lines; ValueError where they are of several data sets."""
    lines = []
    for recipe in as_list(recipes):
        lines += FRACTIONS.values() if recipe == FAMILY else [recipe_named(recipe, "learning-curve")]
    if len({recipe.data.name for recipe in lines}) > 1:
        names = ", ".join(recipe.name for recipe in lines)
        raise ValueError(f"{names} are of different data. A curve has those of one data set.")
    return lines


def plan_cells(
    lines: Lines, points: list[tuple[int, float]], catalog: pd.DataFrame, choice: DataConfig, encoder_data: str | None
) -> tuple[Cells, dict[str, str]]:
    """Return recipe and images of each run by its name, encoders first, and by run the name of its encoder.

    A line is its recipe before and after its changes, and these; a point a seed and a fraction. With pseudo-labels a
    line has the smallest fraction alone, with an encoder trained on unlabeled images none of 1; with
    `encoder_data=None` no encoder is trained.
    """
    encoders, cells, encoder_of_cell = {}, {}, {}
    unlabeled, min_fraction = encoder_data == "unlabeled", min(fraction for _, fraction in points)
    for seed, fraction in points:
        labels, point = keep_labels(catalog, fraction, seed), f"{fraction:g}-seed{seed}"
        for line, changed, changes_of_line in lines:
            seeded = {**changes_of_line, "training.seed": seed}
            needs_unlabeled = changed.data.pseudo_labels or (unlabeled and needs_encoder(changed))
            if (changed.data.pseudo_labels and fraction > min_fraction) or (needs_unlabeled and fraction == 1):
                continue
            others = keep_unlabeled(catalog, fraction, seed) if needs_unlabeled else None  # ValueError if none are left
            cell = f"{line.name}-{point}"
            if needs_encoder(changed) and encoder_data:
                name = changed.model.weights
                encoder_of_cell[cell] = f"{name}-{point}" if unlabeled else name
                images, of_encoder = (others, seeded) if unlabeled else (catalog, changes_of_line)
                encoders[encoder_of_cell[cell]] = encoder_recipe(line, changed, choice, of_encoder), images
            cells[cell] = line_at_fraction(line, fraction, choice, seeded), labels
    return encoders | cells, encoder_of_cell


def needs_encoder(line: Recipe) -> bool:
    """Return whether a line starts from the encoder of an autoencoder."""
    return line.model.has_encoder and line.model.weights in AUTOENCODERS


def line_changes(line: Recipe, lines: Sequence[Recipe], changes: Changes) -> Changes:
    """Return the changes for a line: a head on a frozen backbone keeps its sizes beside lines that train features."""
    left_out = ("model.weights",) if line.model.has_backbone else ()  # settled before
    if has_frozen_backbone(line) and not all(map(has_frozen_backbone, lines)):
        left_out += SIZE_SETTINGS
    return {name: value for name, value in changes.items() if name not in left_out}


def has_frozen_backbone(line: Recipe) -> bool:
    """Return whether a line trains a head alone, which is quick with a feature cache."""
    return line.model.has_backbone and line.model.trainable_layers == 0


def line_at_fraction(line: Recipe, fraction: float, choice: DataConfig, changes: Changes) -> Recipe:
    """Return a line at one fraction of the labels, with the metrics that its report published for that."""
    cell = adapted_recipe(line, choice, changes)
    published = cell.published if fraction == 1 or not cell.published else published_at(line.name, fraction)
    return replace(cell, data=replace(cell.data, label_fraction=fraction), published=published)


def encoder_recipe(line: Recipe, changed: Recipe, choice: DataConfig, changes: Changes) -> Recipe:
    """Return the U-Net whose encoder a line, before and after its changes, starts from."""
    same = {name: getattr(changed.model, name) for name in ("filters", "bottleneck", "convolutions", "batch_norm")}
    recipe = replace(AUTOENCODERS[changed.model.weights].with_model(**same), image=line.image)
    shared = ("image.", "training.epochs", "training.batch_size", "training.seed")
    return adapted_recipe(recipe, choice, {name: value for name, value in changes.items() if name.startswith(shared)})


def with_encoder(cells: Cells, run: Run, catalog: pd.DataFrame, num_classes: int) -> Cells:
    """Return the cells with the encoder of a finished run; ValueError for one that does not fit or saw these images."""
    if not run.path("encoder.keras").is_file():
        raise ValueError(f"{run.folder} has no encoder.keras. Expected a finished run of `autoencode`, of a U-Net.")
    judged = usable(catalog).query("split in ('validation', 'test')")["image_id"]
    leaked = judged[judged.isin(usable(run.catalog).query("split == 'train'")["image_id"])]
    if len(leaked) and Recipe.of(run).data.name in {recipe.data.name for recipe, _ in cells.values()}:
        raise ValueError(
            f"The encoder of {run.folder} has learned from {len(leaked)} of the {len(judged)} images that judge here; "
            f"the first is {leaked.iloc[0]}. Train one on the same split: the same split_by= and seed=."
        )
    weights, built = str(run.path("encoder.keras").resolve()), set()
    for cell, (recipe, images) in cells.items():
        if needs_encoder(recipe):
            cells[cell] = recipe.with_model(weights=weights), images
            if recipe.name not in built:
                build_model(cells[cell][0], num_classes)  # an encoder of another shape is refused before any training
            built.add(recipe.name)
    return cells
