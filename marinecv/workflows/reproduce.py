"""Reproduce a report: its recipes over seeds or folds, and its published figures beside ours."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from marinecv.atomic import write_json
from marinecv.console import Log, quiet
from marinecv.data.catalog import class_names_of
from marinecv.data.locate import locate
from marinecv.data.manifests import list_manifests
from marinecv.recipes import birdcnn
from marinecv.recipes.registry import FAMILIES, QUICK, RECIPES, REPORTS, command_of, for_another
from marinecv.runs import fresh_folder, next_folder
from marinecv.schema import convert, no_such, read_json
from marinecv.studies import REPRODUCTION
from marinecv.tables import read_table
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.training.settings import named_changes, with_changes
from marinecv.workflows.prepare import Changes, adjusted, announce, folded, read_data
from marinecv.workflows.results import order_sentences, write_results
from marinecv.workflows.resumable import at_work
from marinecv.workflows.run import Experiment
from marinecv.workflows.sources import Data, Source, source_of
from marinecv.workflows.train_runs import finish_study, start
from marinecv.workflows.weights import with_available_weights

COMMANDS = ("pretrain", "finetune", "autoencode")  # whose recipes are reproduced


class Reproduction(Experiment):
    """A folder of the runs of a report's recipes, over seeds or folds.

    Args:
        folder: of an existing reproduction.
    Raises:
        ValueError: the folder is no reproduction.
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        path = self.folder / REPRODUCTION
        if not path.is_file():
            raise ValueError(f"{folder} is no reproduction: it has no {path.name}. Expected what `reproduce` made.")
        kept = convert(read_json(path).get("results_dir"), str | None, f"The results_dir of {path}")
        self.results_dir = Path(kept or self.folder / "results")

    @property
    def recipes(self) -> list[Recipe]:
        """The recipes of its finished runs as they stand in their report, each once."""
        names = (run.read("recipe.json")["name"].removesuffix("_untrained") for run in self.finished_runs.values())
        return [RECIPES[name] for name in dict.fromkeys(names)]

    @property
    def results(self) -> pd.DataFrame:
        """Published figures beside ours as `results_dir` has them, all as text: a row a recipe, seed, split, metric."""
        names = {recipe.name for recipe in self.recipes}
        return pd.concat(
            [
                read_table(self.results_dir / f"{family}.csv")
                for family, recipes in FAMILIES.items()
                if names & set(recipes)
            ],
            ignore_index=True,
        )


def reproduce(
    report: str,
    *,
    seeds: int = 1,
    folds: int | None = None,
    recipes: Sequence[str] | None = None,
    quick: bool = False,
    data: Data = None,
    folder: str | os.PathLike | None = None,
    results_dir: str | os.PathLike | None = None,
    changes: Changes | None = None,
    log: Log | None = print,
    **settings: Any,
) -> Reproduction:
    """Train the recipes of a report over seeds or folds, and write its published figures beside ours.

        >>> import marinecv as mcv
        >>> images, how = mcv.read_catalog(mcv.demo_images()), {"epochs": 1, "limit": 24, "size": 32, "log": None}
        >>> reproduction = mcv.reproduce("birdcnn", recipes=["birdcnn_base"], quick=True, data=images, **how)
        >>> reproduction.results.columns[:4].tolist()
        ['recipe', 'seed', 'split', 'metric']

    What is not to be had here, data or pretrained weights, is said and left out. Stopped, `mcv.resume` goes on with it.

    Args:
        report: `"aquarium"`, `"birds"`, `"birdcnn"`, `"animals"` or `"butterflies"`.
        seeds: trains each recipe so many times, with seeds from 0 on.
        folds: trains each in so many folds of the images instead.
        recipes: some of them by name, or all that `"pretrain"`, `"finetune"` or `"autoencode"` trains; None takes all.
        quick: at most 2 epochs and 120 images a split, and results within the folder.
        data: the folder or archive that the report's images lie in, or as `mcv.train` takes it; None finds them.
        folder: to be made; None takes the next free one below `runs/`.
        results_dir: where `FAMILY.csv` is written; None takes `results`. Rows of other recipes in it stay.
        changes, log, **settings: as `mcv.train` takes them.
    Returns:
        The finished reproduction.
    Raises:
        ValueError: there is no such report or recipe, nothing of it can be trained here, the images are drawn, or other
            images or settings than the report's would overwrite results in `results`.
        ConnectionError: the images are not here and cannot be fetched.
    """
    log = log or quiet
    if seeds < 1:
        raise ValueError(f"Expected one seed or more. Received: seeds={seeds}.")
    rows = chosen(report, recipes, log)
    changes = named_changes(rows[0], changes, **settings)
    is_kept_apart = bool(results_dir or quick)
    if changes and not is_kept_apart:
        raise ValueError(
            f"Other settings ({', '.join(changes)}) would overwrite the results of whole recipes. Name another folder "
            "with results_dir=."
        )
    rows = [with_available_weights(recipe, changes) for recipe in rows]
    changes = {**(QUICK if quick else {}), **changes}
    changes.pop("model.weights", None)
    for recipe in rows:
        with_changes(recipe, changes)  # a setting that it has not is no reason to leave it out
    runs, absent = {}, []
    for name, attributes in dict.fromkeys((recipe.data.name, recipe.data.attributes) for recipe in rows):
        own = [recipe for recipe in rows if (recipe.data.name, recipe.data.attributes) == (name, attributes)]
        try:
            manifest, catalog, choice = read_data(images_of_report(data, own[0].data, log), own, changes, log)
        except (ConnectionError, ValueError) as error:  # of several data sets one may be at hand
            absent.append(error)
            log(f"{', '.join(recipe.name for recipe in own)}: not run here. {error}")
            continue
        if manifest.demonstration:
            raise ValueError("A replay needs the real images: the demonstration never enters the results.")
        if manifest.name != name and not is_kept_apart:
            raise ValueError(
                f"The images of {manifest.name} would overwrite the results on {name}. Name another folder with "
                "results_dir=."
            )
        first = with_changes(own[0], changes).training.seed
        parts = {
            word: (part, images, first) for word, (part, images) in folded(choice, catalog, folds, first).items()
        } or {f"seed{seed}": (choice, catalog, seed) for seed in range(first, first + seeds)}
        of_set = {
            f"{recipe.name}-{word}": (adjusted(recipe, part, {**changes, "training.seed": seed}), images, manifest)
            for recipe in own
            for word, (part, images, seed) in parts.items()
        }
        class_names = class_names_of(catalog, manifest)
        announce({cell: recipe for cell, (recipe, *_) in of_set.items()}, catalog, class_names, log)
        runs |= of_set
    if not runs:
        raise absent[0]
    folder = fresh_folder(folder or next_folder("runs", f"replay-{report}"))
    kept = None if quick and not results_dir else str(Path(results_dir or "results").absolute())
    with at_work(folder):
        for cell, (recipe, images, manifest) in runs.items():
            start(folder / cell, recipe, images, manifest, log)
        write_json(folder / REPRODUCTION, {"results_dir": kept})
        how = f"{folds} folds" if folds else f"{seeds} seeds"
        title = f"Replay of the {report} report, {how}"
        reproduction = Reproduction.create(folder, f"replay-{report}", title, list(runs))
        finish_reproduction(reproduction, log)
    return reproduction


def finish_reproduction(reproduction: Reproduction, log: Log, **how: Any) -> None:
    """Train what is not trained yet, as `finish_study` does, then write the results."""
    finish_study(reproduction, log, **how)
    for path in write_results(reproduction, FAMILIES, reproduction.results_dir):
        log(f"results: {path}")
        for sentence in order_sentences(path, birdcnn.ORDER):
            log(f"  {sentence}")


def chosen(report: str, words: Sequence[str] | None, log: Log) -> list[Recipe]:
    """The recipes of a report, by command or name; one whose weights are not to be had by name only, without them.

    Raises:
        ValueError: there is no such report, recipe or command, or none of them can be trained here.
    """
    if report not in REPORTS:
        raise ValueError(no_such("report", report, REPORTS))
    every = {name: recipe for name, recipe in RECIPES.items() if recipe.report == report}
    found = {}
    for word in words or COMMANDS:
        if word in every:
            if command_of(every[word]) not in COMMANDS:  # at fractions of the labels, on an encoder trained before
                raise ValueError(for_another(every[word]))
            found[word] = with_available_weights(every[word])
        elif word in COMMANDS:
            for recipe in (recipe for recipe in every.values() if command_of(recipe) == word):
                if with_available_weights(recipe).name == recipe.name:
                    found[recipe.name] = recipe
                else:
                    log(f"{recipe.name}: not run here, its weights are not to be had")
        else:
            raise ValueError(no_such("recipe or command", word, [*COMMANDS, *every]))
    if not found:
        raise ValueError(f"No recipe of the {report} report can be replayed here. Name one with recipes=.")
    return list(found.values())


def images_of_report(data: Data, choice: DataChoice, log: Log) -> Source:
    """Find the images of a recipe, in a folder or by its name: where they are not to be had, no drawn ones come."""
    known = [manifest.name for manifest in list_manifests()]
    if data is None or (isinstance(data, (str, os.PathLike)) and data not in known and not str(data).endswith(".toml")):
        return Source(locate(choice.name, data, say=log, class_level=choice.class_level, merge_case=choice.merge_case))
    return source_of(data, choice, log)
