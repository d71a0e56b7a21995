"""Cross-validation of a run's recipe by groups of related images, or by cameras."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd

from marinecv.console import Log
from marinecv.data.groups import put_back
from marinecv.data.splits.split_catalog import kfold, write_split
from marinecv.data.user_tables import as_table, is_usable, usable
from marinecv.evaluation.predictions import read_predictions
from marinecv.experiments import Experiment, is_experiment
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run
from marinecv.training.recipe import Recipe
from marinecv.workflows.folders import resumable
from marinecv.workflows.leakage import folds_folder, note_relatives, related, save_leakage_scores
from marinecv.workflows.run_images import check_unfinished
from marinecv.workflows.train_runs import finish_experiment

NO_CAMERA = "no camera is known, so no fold uses it"
MAX_CAMERA_FOLDS = 10  # with more cameras several share a fold


def grouped_folds(run: Run, folds: int, log: Log, fold_by: str = "group", accept_changes: bool = False) -> Experiment:
    """Train a run's recipe in folds that keep related images, or cameras, together, below the run; they stay."""
    recipe, folder = Recipe.of(run), folds_folder(run, folds, fold_by)
    if not run.finished:
        raise ValueError(f'{run.folder} is not finished. Go on with resume("{run.folder}"), then evaluate its folds.')
    if recipe.data.synthetic or recipe.data.label_fraction < 1 or recipe.data.pseudo_labels:
        raise ValueError(
            f"{run.folder} was trained on synthetic images, or on the labels of some images only, which no fold may be "
            "scored on. Expected a run on the labels of all its images."
        )
    with resumable(run.folder, go_on="the same command again"):
        if not is_experiment(folder):
            shutil.rmtree(folder, ignore_errors=True)  # stopped before anything was trained
            _begin_folds(run, recipe, folder, folds, log, fold_by)
        check_unfinished(Experiment(folder), log, accept_changes)
        finish_experiment(Experiment(folder), log)
        if (run.catalog["split"] == "test").any():
            run.note("test evaluation: in folds")
        if fold_by == "group":
            save_leakage_scores(run, read_predictions(run.path("predictions.csv"), run.class_names), log, folds)
            write_run_report(run.folder)
    return Experiment(folder)


def camera_folds(run: Run, folds: int | None) -> int:
    """Return the number of folds by camera: one each, at most 10, where `folds` is None; ValueError for too few."""
    count = usable(_by_camera(run))["group"].nunique()
    if count < (folds or 2):
        raise ValueError(
            f"The images of {run.folder} come from {count} known camera{'s' * (count != 1)}. Expected at least "
            f'{folds or 2}: a folder a camera, such as cam1/, or a table with a column camera; or fold_by="group".'
        )
    return folds or min(count, MAX_CAMERA_FOLDS)


def _by_camera(run: Run) -> pd.DataFrame:
    """Return the catalog of a run with the camera as the group; images of no known camera have a problem."""
    catalog = as_table(put_back(run.catalog), optional={"camera": ""})
    is_unknown = is_usable(catalog) & (catalog["camera"] == "")
    return catalog.assign(group=catalog["camera"], problem=catalog["problem"].mask(is_unknown, NO_CAMERA))


def _begin_folds(run: Run, recipe: Recipe, folder: Path, folds: int, log: Log, fold_by: str) -> None:
    """Make the experiment and its untrained runs, with images in one order, so that folds share pixels."""
    if fold_by == "camera":
        catalog = _by_camera(run)
        if num_unknown := (catalog["problem"] == NO_CAMERA).sum():
            log(f"{num_unknown} of {len(catalog)} images are left out of the folds: no camera is known")
    else:
        catalog = run.catalog
        catalog = catalog.assign(group=catalog["image_id"].map(related(run, log)[0]))
    cells = [f"fold{number}" for number in range(1, folds + 1)]
    parts = kfold(catalog, folds, recipe.training.seed, "grouped")
    for number, (cell, part) in enumerate(zip(cells, parts, strict=True), start=1):
        data = replace(recipe.data, split_by="grouped", fold=f"{number}/{folds}")
        fold = replace(recipe, data=data, published={})
        (folder / cell).mkdir(parents=True)
        if run.path("attributes.csv").is_file():
            shutil.copyfile(run.path("attributes.csv"), folder / cell / "attributes.csv")
        part = note_relatives(folder / cell, fold, part.sort_values("image_id", ignore_index=True), log)
        preprocessing = {key: value for key, value in run.read("preprocessing.json").items() if key != "select_on"}
        preprocessing["split_sha256"] = write_split(part, folder / cell / "split.csv")
        Run.create(folder / cell, fold.to_dict(), preprocessing, part)
    Experiment.create(folder, folder.name, f"{recipe.title}: {folds} folds by {fold_by}", cells, run.demonstration)
