"""Related images of a run, and its leakage check."""

from pathlib import Path

import pandas as pd

from marinecv.audit.pairs import find_pairs
from marinecv.console import Log
from marinecv.data.groups import group_catalog, leave_out_duplicates, put_back, related_in_train
from marinecv.data.photos import photos_of
from marinecv.data.splits.split_catalog import is_grouped
from marinecv.data.stamps import compare_images, stamp_images
from marinecv.data.user_tables import usable
from marinecv.evaluation.folds import fold_predictions
from marinecv.evaluation.leakage import leakage_scores
from marinecv.experiments import Experiment, is_experiment
from marinecv.files.csv_tables import parse_numbers, read_table, write_table
from marinecv.runs import Run
from marinecv.training.recipe import Recipe

MAX_IMAGES_SEARCHED = 5000  # images, above which a training does not search related ones; these take a minute


def note_relatives(folder: Path, recipe: Recipe, catalog: pd.DataFrame, log: Log) -> pd.DataFrame:
    """Write `related.csv` of a new run, unless there are too many images; return the catalog with groups."""
    many = len(usable(photos_of(catalog))) > MAX_IMAGES_SEARCHED and not is_grouped(recipe.data.split_by)
    if many or recipe.model.is_autoencoder:
        return catalog
    pairs = find_pairs(put_back(catalog), recipe.data.frame_order, log=log)
    if is_grouped(recipe.data.split_by):  # of a fold not yet
        catalog = leave_out_duplicates(catalog, pairs)
    write_table(folder / "related.csv", related_in_train(catalog, pairs))
    return group_catalog(catalog, pairs)


def related(run: Run, log: Log) -> tuple[pd.Series, pd.DataFrame]:
    """Return the groups of a run's images by `image_id`, and the related images; searches them if it has no table."""
    catalog, path = run.catalog, run.path("related.csv")
    if path.is_file():
        with run.with_hint("related.csv"):
            related_images = parse_numbers(read_table(path), ["similarity"], path)
    else:
        data = run.read("recipe.json").get("data")  # perhaps of another version: only `frame_order` is read
        pairs = find_pairs(catalog, data.get("frame_order") if isinstance(data, dict) else None, log=log)
        catalog, related_images = group_catalog(catalog, pairs), related_in_train(catalog, pairs)
    return catalog.set_index("image_id")["group"], related_images


def related_outside(
    run: Run, images: pd.DataFrame, beside: pd.DataFrame, frame_order: str | None, log: Log
) -> tuple[pd.Series, pd.DataFrame, str]:
    """Return the groups of images from elsewhere, those related to train images, and which of these were searched.

    A train image that has moved is found by its bytes in `beside`, the catalog that the images are of. Where no train
    image is there the last is "".
    """
    groups = group_catalog(images, find_pairs(images, frame_order, log=log)).set_index("image_id")["group"]
    images, train = photos_of(images), usable(photos_of(run.catalog)).query("split == 'train'")
    changed, missing = compare_images(run.stamps, train)
    is_same = ~train["image_id"].isin([*changed, *missing])
    if not is_same.all():
        stamps, paths = stamp_images(beside), photos_of(beside).set_index("image_id")["path"]
        path_of_bytes = dict(zip(stamps["sha256"], stamps["image_id"].map(paths), strict=True))
        found = train["image_id"].map(run.stamps.set_index("image_id")["sha256"]).map(path_of_bytes)
        train, is_same = train.assign(path=train["path"].where(is_same, found)), is_same | found.notna()
    some = f"the {is_same.sum()} of {len(train)} train images that are as they were" if is_same.any() else ""
    searched = "train" if is_same.all() else some
    train = train[is_same].assign(image_id="train: " + train["image_id"])  # both sets may use the same names
    both = pd.concat([train, images], ignore_index=True)
    pairs = find_pairs(both, "none", log=log)  # frame numbers of two sets are not comparable
    return groups, related_in_train(both, pairs), searched


def save_leakage_scores(run: Run, predictions: pd.DataFrame, log: Log, folds: int | None = None) -> None:
    """Write `leakage.csv`, the leakage check, with grouped folds where they are trained."""
    write_table(run.path("leakage.csv"), leakage_scores(predictions, *related(run, log), fold_table(run, folds)))


def fold_table(run: Run, folds: int | None = None) -> pd.DataFrame | None:
    """Return the predictions of a run's grouped folds, by default the most that are trained; None without any."""
    present = sorted(run.folder.glob(folds_folder(run, "*").name), key=lambda folder: (len(folder.name), folder.name))
    for folder in reversed(present) if folds is None else [folds_folder(run, folds)]:
        runs = Experiment(folder).finished_runs if is_experiment(folder) else {}
        if runs and len(runs) == len(Experiment(folder).cells):
            return next(iter(fold_predictions(runs.values()).values()))
    return None


def folds_folder(run: Run, folds: int | str, fold_by: str = "group") -> Path:
    """Return the folder of a run's folds by group or by camera."""
    return run.path(f"{'grouped' if fold_by == 'group' else fold_by}-{folds}-folds")
