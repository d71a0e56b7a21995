"""Related images of a run, and its leakage check."""

from pathlib import Path

import pandas as pd

from marinecv.audit.links import find_links
from marinecv.console import Log
from marinecv.data.groups import group_catalog, leave_out_duplicates, put_back, relatives_in_train
from marinecv.data.records import is_present
from marinecv.data.splits import is_grouped
from marinecv.data.user_tables import usable
from marinecv.evaluation.folds import fold_predictions
from marinecv.evaluation.leaks import honest_scores
from marinecv.runs import Run
from marinecv.studies import Study, is_study
from marinecv.tables import numbers, read_table, write_table
from marinecv.training.recipe import Recipe

MOST = 5000  # images, above which a training does not search related ones; these take a minute


def note_relatives(folder: Path, recipe: Recipe, catalog: pd.DataFrame, log: Log) -> pd.DataFrame:
    """Write `relatives.csv` of a new run, unless there are too many images; return the catalog with groups."""
    many = len(usable(catalog)) > MOST and not is_grouped(recipe.data.split_by)
    if many or recipe.model.is_autoencoder:
        return catalog
    links = find_links(put_back(catalog), recipe.data.frames, say=log)
    if is_grouped(recipe.data.split_by):  # of a fold not yet
        catalog = leave_out_duplicates(catalog, links)
    write_table(folder / "relatives.csv", relatives_in_train(catalog, links))
    return group_catalog(catalog, links)


def related(run: Run, log: Log) -> tuple[pd.Series, pd.DataFrame]:
    """Return the groups of a run's images by `image_id`, and the related images; searches them if it has no table."""
    catalog, path = run.catalog, run.path("relatives.csv")
    if path.is_file():
        with run.mending("relatives.csv"):
            relatives = numbers(read_table(path), ["likeness"], path)
    else:
        data = run.read("recipe.json").get("data")  # perhaps of another version: only `frames` is read
        links = find_links(catalog, data.get("frames") if isinstance(data, dict) else None, say=log)
        catalog, relatives = group_catalog(catalog, links), relatives_in_train(catalog, links)
    return catalog.set_index("image_id")["group"], relatives


def related_outside(
    run: Run, images: pd.DataFrame, frames: str | None, log: Log
) -> tuple[pd.Series, pd.DataFrame, str]:
    """Return the groups of images from elsewhere, those related to train images, and which of these were searched."""
    groups = group_catalog(images, find_links(images, frames, say=log)).set_index("image_id")["group"]
    train = usable(run.catalog).query("split == 'train'")
    present = train["path"].map(is_present)
    searched = "train" if present.all() else f"the {present.sum()} of {len(train)} train images that still exist"
    train = train[present].assign(image_id="train: " + train["image_id"])  # both sets may use the same names
    both = pd.concat([train, images], ignore_index=True)
    links = find_links(both, "none", say=log)  # frame numbers of two sets are not comparable
    return groups, relatives_in_train(both, links), searched


def keep_honest_scores(run: Run, predictions: pd.DataFrame, log: Log, folds: int | None = None) -> None:
    """Write `honest.csv`, the leakage check, with grouped folds where they are trained."""
    write_table(run.path("honest.csv"), honest_scores(predictions, *related(run, log), fold_table(run, folds)))


def fold_table(run: Run, folds: int | None = None) -> pd.DataFrame | None:
    """Return the predictions of a run's grouped folds, by default the most that are trained; None without any."""
    present = sorted(run.folder.glob(folds_folder(run, "*").name), key=lambda folder: (len(folder.name), folder.name))
    for folder in reversed(present) if folds is None else [folds_folder(run, folds)]:
        runs = Study(folder).finished_runs if is_study(folder) else {}
        if runs and len(runs) == len(Study(folder).cells):
            return next(iter(fold_predictions(runs.values()).values()))
    return None


def folds_folder(run: Run, folds: int | str) -> Path:
    """Return the folder of a run's grouped folds."""
    return run.path(f"grouped-{folds}-folds")
