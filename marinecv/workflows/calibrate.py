"""Calibration of a trained classifier: temperature, prediction sets, and which images are out-of-distribution."""

import keras
import numpy as np
import pandas as pd

from marinecv.choices import FITTED_SPLITS
from marinecv.console import Log
from marinecv.data.photos import is_of_crops
from marinecv.data.splits.calibration import calibration_mask, has_related_images
from marinecv.evaluation import calibration
from marinecv.evaluation.conformal import COVERAGE, MEANING, MIN_IMAGES_FOR_COVERAGE, coverage_range, set_threshold
from marinecv.evaluation.groups import group_numbers
from marinecv.evaluation.photos import photo_table
from marinecv.evaluation.predict import predict_embeddings
from marinecv.evaluation.predictions import predicted_indices
from marinecv.evaluation.selective import evaluate_review
from marinecv.features.out_of_distribution import distances, fit_distance, write_embeddings
from marinecv.files.atomic import write_json
from marinecv.files.hashes import sha256
from marinecv.inputs.pixel_cache import rows_of
from marinecv.run_records import Calibration
from marinecv.runs import Run
from marinecv.schema import convert
from marinecv.training.recipe import Recipe

DEFAULT_FRACTION = 1 / 3  # of validation, where the training held out none of it
DISTANCE_QUANTILE = 0.99  # quantile of the distances to train, above which an image is out-of-distribution


def calibrate(
    run: Run,
    recipe: Recipe,
    model: keras.Model,
    rows: pd.DataFrame,
    pixels: np.ndarray,
    predictions: pd.DataFrame,
    log: Log,
) -> None:
    """Write `calibration.json` of a trained run, and with enough calibration images `embeddings.npz` before it."""
    fraction, seed = recipe.training.calibration, recipe.training.seed
    held_out_mask = calibration_mask(rows, fraction or DEFAULT_FRACTION, seed).to_numpy()
    fit_mask = (rows["split"] == "validation").to_numpy() & ~held_out_mask
    groups = rows.set_index("image_id")["group"]
    record = calibration.evaluate_temperature(predictions[fit_mask], predictions[held_out_mask], seed, groups)
    record |= {"unseen": fraction > 0, "sets": None, "no_sets": record["reason"], "review": None, "held_out": None}
    record["embeddings_sha256"] = None
    if is_of_crops(predictions):
        tables = [photo_table(predictions[mask]).query("true_class != ''") for mask in (fit_mask, held_out_mask)]
        of_photos = dict(zip(rows["photo"], rows["group"], strict=True))
        record["photo_temperature"] = calibration.evaluate_temperature(*tables, seed, of_photos)["temperature"]
    run.path("embeddings.npz").unlink(missing_ok=True)
    if not record["reason"]:
        record |= _sets(predictions[held_out_mask], record, has_related_images(rows[fit_mask | held_out_mask]))
        to_train, distance = _distances_to_train(run, recipe, model, rows, pixels, fit_mask)
        far = np.zeros(len(rows), bool) if distance is None else to_train > distance
        masks = (fit_mask, held_out_mask)
        parts = [(*_confidence(predictions[mask], record["temperature"]), far[mask]) for mask in masks]
        review = evaluate_review(*parts, group_numbers(rows["image_id"][held_out_mask], groups))
        record["review"] = {**review, "distance": distance}
        record["held_out"] = {"confidence": parts[1][0].tolist(), "distance": None}
        if distance is not None:
            record["held_out"]["distance"] = to_train[held_out_mask].tolist()
            record["embeddings_sha256"] = sha256(run.path("embeddings.npz"))
    record["preprocessing_sha256"] = sha256(run.path("preprocessing.json"))
    record["model_sha256"] = sha256(run.path("model.keras"))
    write_json(run.path("calibration.json"), record)
    if not record["reason"]:
        log(f"  {calibration.temperature_sentence(convert(record, Calibration, run.folder))}")


def _sets(predictions: pd.DataFrame, found: dict, grouped: bool) -> dict:
    """Return the prediction `sets` of images that were not used in training, or why there are none as `no_sets`."""
    if not found["unseen"]:
        return {"no_sets": "the training stopped by these images, so they cannot give the coverage of sets"}
    n = len(predictions)
    if n < MIN_IMAGES_FOR_COVERAGE:
        return {"no_sets": f"{n} images are held out, and a coverage needs at least {MIN_IMAGES_FOR_COVERAGE}"}
    probabilities, true = calibration.probabilities_and_labels(predictions)
    threshold = set_threshold(calibration.calibrated(probabilities, found["temperature"]), true)
    meaning = f"{MEANING}; approximate, as some images are related" if grouped else MEANING
    low, high = coverage_range(n)
    sets = {"threshold": threshold, "coverage": COVERAGE, "low": low, "high": high, "n": n, "meaning": meaning}
    return {"sets": sets}


def _confidence(predictions: pd.DataFrame, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the calibrated probability of each predicted class, and whether it is the true one."""
    probabilities, true = calibration.probabilities_and_labels(predictions)
    return calibration.calibrated(probabilities, temperature).max(axis=1), predicted_indices(probabilities) == true


def _distances_to_train(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """Write `embeddings.npz`; return the distance of each row to train (NaN of test), and the quantile of the chosen.

    None of a multimodal model, whose embedding of an image depends on the attributes.
    """
    to_train = np.full(len(rows), np.nan)
    if recipe.model.takes_attributes:
        return to_train, None
    is_needed = rows["split"].isin(FITTED_SPLITS) | recipe.is_linear_probe  # whose features are all in one cache
    indices = np.flatnonzero(is_needed)
    fitted_rows = rows.iloc[indices]
    how = {"cache_features": recipe.training.exact_cache, "together": recipe.shares_features}
    embeddings = predict_embeddings(model, fitted_rows, recipe.image, rows_of(pixels, indices), **how)
    train = (fitted_rows["split"] == "train").to_numpy()
    fitted = fit_distance(embeddings[train], fitted_rows["class_name"][train])
    write_embeddings(run.path("embeddings.npz"), fitted)
    to_train[indices] = distances(embeddings, fitted)
    return to_train, float(np.quantile(to_train[chosen], DISTANCE_QUANTILE))
