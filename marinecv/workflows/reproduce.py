"""Reproduce a report: train its recipes over seeds or folds, and write its published metrics beside ours."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from marinecv.console import Log, silent
from marinecv.data.find_data import find_data
from marinecv.experiments import REPRODUCTION
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import read_table
from marinecv.recipes import birdcnn
from marinecv.recipes.registry import FAMILIES, QUICK, RECIPES, REPORTS, command_of, wrong_command_message
from marinecv.runs import fresh_folder, next_folder
from marinecv.schema import convert, read_json, unknown_name
from marinecv.training.recipe import DataConfig, Recipe
from marinecv.training.settings import full_names, with_changes
from marinecv.workflows.folders import resumable
from marinecv.workflows.prepare import Changes, plan_runs, with_available_weights
from marinecv.workflows.results import order_sentences, write_results
from marinecv.workflows.run import Experiment
from marinecv.workflows.sources import Data, Source, names_data_set, source_of, with_columns
from marinecv.workflows.train_runs import finish_experiment, start

COMMANDS = ("pretrain", "finetune", "autoencode")  # whose recipes are reproduced


class Reproduction(Experiment):
    """A folder of the runs of a report's recipes, over seeds or folds."""

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        path = self.folder / REPRODUCTION
        if not path.is_file():
            raise ValueError(f"{folder} is no reproduction: it has no {path.name}. Expected what `reproduce` made.")
        results_dir = convert(read_json(path).get("results_dir"), str | None, f"The results_dir of {path}")
        self.results_dir = Path(results_dir or self.folder / "results")

    @property
    def recipes(self) -> list[Recipe]:
        """The recipes of its finished runs as they stand in their report, each once."""
        names = (run.read("recipe.json")["name"].removesuffix("_untrained") for run in self.finished_runs.values())
        return [RECIPES[name] for name in dict.fromkeys(names)]

    @property
    def results(self) -> pd.DataFrame:
        """Published metrics beside ours as `results_dir` has them, all as text: a row a recipe, seed, split, metric."""
        names = {recipe.name for recipe in self.recipes}
        own = [family for family, recipes in FAMILIES.items() if names & set(recipes)]
        return pd.concat([read_table(self.results_dir / f"{family}.csv") for family in own], ignore_index=True)


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
    """Train the recipes of a report over seeds or folds, write its published metrics beside ours, and return the runs.

        >>> import marinecv as mcv
        >>> images, how = mcv.read_catalog(mcv.demo_images()), {"epochs": 1, "limit": 24, "size": 32, "log": None}
        >>> reproduction = mcv.reproduce("birdcnn", recipes=["birdcnn_base"], quick=True, data=images, **how)
        >>> reproduction.results.columns[:4].tolist()
        ['recipe', 'seed', 'split', 'metric']

    Recipes whose data or pretrained weights are not available are logged and left out. `mcv.resume` resumes it.

    Args:
        report: `"aquarium"`, `"birds"`, `"birdcnn"`, `"animals"` or `"butterflies"`.
        seeds: number of seeds, from 0 on; each recipe is trained with each.
        folds: number of folds of the images, in place of seeds.
        recipes: some of them by name, or all that `"pretrain"`, `"finetune"` or `"autoencode"` trains; None takes all.
        quick: train at most 2 epochs on 120 images a split, and keep the results in the folder.
        data: the folder or archive that the report's images lie in, or as for `mcv.train`; None finds them.
        folder: to be made; None takes the next free one below `runs/`.
        results_dir: where `FAMILY.csv` is written; None takes `results`. Rows of other recipes in it stay.
        changes, log, **settings: see `mcv.train`.
    Raises:
        ValueError: there is no such report or recipe, nothing of it can be trained here, the images are drawn, or other
            images or settings than the report's would overwrite results in `results`.
        ConnectionError: the images are not here and cannot be fetched.
    """
    log = log or silent
    if seeds < 1:
        raise ValueError(f"Expected one seed or more. Received: seeds={seeds}.")
    bases = recipes_of_report(report, recipes, log)
    changes = full_names(bases[0], changes, **settings)
    is_kept_apart = bool(results_dir or quick)
    if changes and not is_kept_apart:
        raise ValueError(f"{', '.join(changes)} would overwrite the results of whole recipes. Name results_dir=.")
    changes = {"training.calibration": 0.0, **(QUICK if quick else {}), **changes}  # as in the reports
    runs, errors, recipes_by_data = {}, [], {}
    for recipe in bases:
        with_changes(recipe, changes)  # an unknown setting is an error, and no recipe that is not available
        recipes_by_data.setdefault((recipe.data.name, recipe.data.attributes), []).append(recipe)
    for (name, _), recipes_of_data in recipes_by_data.items():
        try:
            source = images_of_report(data, with_columns(recipes_of_data[0].data, changes), log)
            plan = plan_runs(source, recipes_of_data, changes, log, folds=folds, seeds=seeds, may_cache=False)
        except (ConnectionError, ValueError) as error:  # another data set may be available
            errors.append(error)
            log(f"{', '.join(recipe.name for recipe in recipes_of_data)}: not run here. {error}")
            continue
        if plan.manifest.demonstration:
            raise ValueError("A reproduction needs the real images: the demonstration never enters the results.")
        if plan.manifest.name != name and not is_kept_apart:
            raise ValueError(f"Images of {plan.manifest.name} would overwrite results on {name}. Name results_dir=.")
        runs |= {cell: (*pair, plan.manifest) for cell, pair in plan.runs.items()}
    if not runs:
        raise errors[0]
    folder = fresh_folder(folder or next_folder("runs", f"reproduce-{report}"))
    with resumable(folder):
        for cell, (recipe, images, manifest) in runs.items():
            start(folder / cell, recipe, images, manifest, log)
        saved_results_dir = None if quick and not results_dir else str(Path(results_dir or "results").absolute())
        write_json(folder / REPRODUCTION, {"results_dir": saved_results_dir})
        title = f"Reproduction of the {report} report, {f'{folds} folds' if folds else f'{seeds} seeds'}"
        reproduction = Reproduction.create(folder, f"reproduce-{report}", title, list(runs))
        finish_reproduction(reproduction, log)
    return reproduction


def finish_reproduction(reproduction: Reproduction, log: Log, **how: Any) -> None:
    """Train the runs that are not finished, with the arguments of `finish_experiment`, then write the results."""
    finish_experiment(reproduction, log, **how)
    for path in write_results(reproduction, FAMILIES, reproduction.results_dir):
        log(f"results: {path}")
        for sentence in order_sentences(path, birdcnn.ORDER, reproduction.finished_runs.values()):
            log(f"  {sentence}")


def recipes_of_report(report: str, words: Sequence[str] | None, log: Log) -> list[Recipe]:
    """Return the recipes of a report by command or name; without available weights only those that are named."""
    if report not in REPORTS:
        raise ValueError(unknown_name("report", report, REPORTS))
    known = {name: recipe for name, recipe in RECIPES.items() if recipe.report == report}
    recipes = {}
    for word in words or COMMANDS:
        if word in known:
            if command_of(known[word]) not in COMMANDS:  # a line of a learning curve
                raise ValueError(wrong_command_message(known[word]))
            recipes[word] = with_available_weights(known[word])
        elif word not in COMMANDS:
            raise ValueError(unknown_name("recipe or command", word, [*COMMANDS, *known]))
        for recipe in [recipe for recipe in known.values() if command_of(recipe) == word]:
            if with_available_weights(recipe).name == recipe.name:
                recipes[recipe.name] = recipe
            else:
                log(f"{recipe.name}: not run here, its weights are not available")
    if not recipes:
        raise ValueError(f"No recipe of the {report} report can be reproduced here. Name one with recipes=.")
    return list(recipes.values())


def images_of_report(data: Data, choice: DataConfig, log: Log) -> Source:
    """Find the images of a recipe, in a folder or by its name; no drawn images take their place."""
    if data is None or (isinstance(data, (str, os.PathLike)) and not names_data_set(data)):
        return Source(find_data(choice.name, data, log=log, **choice.reading))
    return source_of(data, choice, log)
