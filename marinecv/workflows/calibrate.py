"""Calibration of a trained classifier: temperature, prediction sets, and which images are out-of-distribution."""

import keras
import numpy as np
import pandas as pd

from marinecv.atomic import write_json
from marinecv.choices import FITTED_SPLITS
from marinecv.console import Log
from marinecv.data.held import are_related, calibration_rows
from marinecv.evaluation.calibration import calibrated, judge_temperature, temperature_sentence, truth_of
from marinecv.evaluation.conformal import COVERAGE, FEWEST, MEANING, coverage_range, set_threshold
from marinecv.evaluation.groups import group_numbers
from marinecv.evaluation.predict import predict_codes
from marinecv.evaluation.predictions import predicted_indices
from marinecv.evaluation.review import judge_review
from marinecv.features.distance import distances, fit_distance, write_codes
from marinecv.hashes import sha256
from marinecv.inputs.pixels import rows_of
from marinecv.run_records import Calibration
from marinecv.runs import Run
from marinecv.schema import convert
from marinecv.training.recipe import Recipe

SHARE = 1 / 3  # of validation, where the training held out none of it
FAR = 0.99  # quantile of the distances to train, above which an image is out-of-distribution


def calibrate(
    run: Run,
    recipe: Recipe,
    model: keras.Model,
    rows: pd.DataFrame,
    pixels: np.ndarray,
    predictions: pd.DataFrame,
    log: Log,
) -> None:
    """Write `calibration.json` of a trained run, and with enough calibration images `codes.npz` before it."""
    share, seed = recipe.training.calibration, recipe.training.seed
    held = calibration_rows(rows, share or SHARE, seed).to_numpy()
    chosen = (rows["split"] == "validation").to_numpy() & ~held
    groups = rows.set_index("image_id")["group"]
    found = judge_temperature(predictions[chosen], predictions[held], seed, groups)
    found |= {"unseen": share > 0, "sets": None, "no_sets": found["reason"], "review": None, "codes_sha256": None}
    run.path("codes.npz").unlink(missing_ok=True)
    if not found["reason"]:
        found |= _sets(predictions[held], found, are_related(rows[chosen | held]))
        far, distance = _out_of_distribution(run, recipe, model, rows, pixels, chosen)
        parts = [(*_confidence(predictions[part], found["temperature"]), far[part]) for part in (chosen, held)]
        review = judge_review(*parts, group_numbers(rows["image_id"][held], groups))
        found["review"] = {**review, "distance": distance}
        if distance is not None:
            found["codes_sha256"] = sha256(run.path("codes.npz"))
    found |= {"contract_sha256": sha256(run.path("contract.json")), "model_sha256": sha256(run.path("model.keras"))}
    write_json(run.path("calibration.json"), found)
    if not found["reason"]:
        log(f"  {temperature_sentence(convert(found, Calibration, run.folder))}")


def _sets(held: pd.DataFrame, found: dict, grouped: bool) -> dict:
    """Return the prediction `sets` of images that were not used in training, or why there are none as `no_sets`."""
    if not found["unseen"]:
        return {"no_sets": "the training stopped by these images, so they cannot give the coverage of sets"}
    if len(held) < FEWEST:
        return {"no_sets": f"{len(held)} images are held out, and a coverage needs at least {FEWEST}"}
    probabilities, true = truth_of(held)
    threshold = set_threshold(calibrated(probabilities, found["temperature"]), true)
    meaning = f"{MEANING}; approximate, as some images are related" if grouped else MEANING
    low, high = coverage_range(len(held))
    coverage = {"coverage": COVERAGE, "low": low, "high": high, "n": len(held), "meaning": meaning}
    return {"sets": {"threshold": threshold, **coverage}}


def _confidence(predictions: pd.DataFrame, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the calibrated probability of each predicted class, and whether it is the true one."""
    probabilities, true = truth_of(predictions)
    return calibrated(probabilities, temperature).max(axis=1), predicted_indices(probabilities) == true


def _out_of_distribution(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """Write `codes.npz`; return which rows are farther from train than the quantile of the chosen, and that distance.

    None of a multimodal model, whose embedding of an image depends on the attributes.
    """
    far = np.zeros(len(rows), bool)
    if recipe.model.takes_attributes:
        return far, None
    places = np.flatnonzero(rows["split"].isin(FITTED_SPLITS))
    seen = rows.iloc[places]
    kept = {"bank": recipe.training.exact_bank, "together": bool(recipe.data.fold)}  # all folds share frozen features
    codes = predict_codes(model, seen, recipe.image, rows_of(pixels, places), **kept)
    train = (seen["split"] == "train").to_numpy()
    fitted = fit_distance(codes[train], seen["class_name"][train])
    write_codes(run.path("codes.npz"), fitted)
    away = distances(codes, fitted)
    distance = float(np.quantile(away[chosen[places]], FAR))
    far[places] = away > distance
    return far, distance
