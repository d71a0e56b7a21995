"""What is left beside a trained classifier: what its probabilities mean, and from where on an image is unlike train."""

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

SHARE = 1 / 3  # of validation, where the training has held out none of it
FAR = 0.99  # of the images that thresholds are chosen on lie nearer than what is called unlike the training images


def calibrate(
    run: Run,
    recipe: Recipe,
    model: keras.Model,
    rows: pd.DataFrame,
    pixels: np.ndarray,
    predictions: pd.DataFrame,
    log: Log,
) -> None:
    """Write `calibration.json` of a trained run, and before it `codes.npz`, where enough of validation is held out."""
    share, seed = recipe.training.calibration, recipe.training.seed
    held = calibration_rows(rows, share or SHARE, seed).to_numpy()
    chosen = (rows["split"] == "validation").to_numpy() & ~held
    groups = rows.set_index("image_id")["group"]
    found = judge_temperature(predictions[chosen], predictions[held], seed, groups)
    found |= {"unseen": share > 0, "sets": None, "no_sets": found["reason"], "review": None, "codes_sha256": None}
    run.path("codes.npz").unlink(missing_ok=True)
    if not found["reason"]:
        found |= sets_of(predictions[held], found, are_related(rows[chosen | held]))
        far, distance = unlike(run, recipe, model, rows, pixels, chosen)
        of_part = [(*told(predictions[part], found["temperature"]), far[part]) for part in (chosen, held)]
        review = judge_review(*of_part, group_numbers(rows["image_id"][held], groups))
        found["review"] = {**review, "distance": distance}
        if distance is not None:
            found["codes_sha256"] = sha256(run.path("codes.npz"))
    found |= {"contract_sha256": sha256(run.path("contract.json")), "model_sha256": sha256(run.path("model.keras"))}
    write_json(run.path("calibration.json"), found)
    if not found["reason"]:
        log(f"  {temperature_sentence(convert(found, Calibration, run.folder))}")


def sets_of(held: pd.DataFrame, found: dict, grouped: bool) -> dict:
    """Prediction sets of what no choice has seen: `sets`, or why there are none."""
    if not found["unseen"]:
        return {"no_sets": "the training stopped by these images, so they cannot state what sets of classes cover"}
    if len(held) < FEWEST:
        return {"no_sets": f"{len(held)} images are held out, and a coverage is stated on {FEWEST} at least"}
    probabilities, true = truth_of(held)
    threshold = set_threshold(calibrated(probabilities, found["temperature"]), true)
    meaning = f"{MEANING}; images of one group are alike, so it holds but roughly" if grouped else MEANING
    low, high = coverage_range(len(held))
    stated = {"coverage": COVERAGE, "low": low, "high": high, "n": len(held), "meaning": meaning}
    return {"sets": {"threshold": threshold, **stated}}


def told(predictions: pd.DataFrame, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """The calibrated probability of each predicted class, and whether it is the true one."""
    probabilities, true = truth_of(predictions)
    return calibrated(probabilities, temperature).max(axis=1), predicted_indices(probabilities) == true


def unlike(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """Which rows lie farther from the train images than nearly all of the chosen, and how far; writes `codes.npz`."""
    far = np.zeros(len(rows), bool)
    if recipe.model.takes_attributes:  # what it makes of an image hangs on what it is told of it
        return far, None
    places = np.flatnonzero(rows["split"].isin(FITTED_SPLITS))
    seen = rows.iloc[places]
    together = bool(recipe.data.fold)  # all folds have the same images, and share what is frozen
    kept = {"bank": recipe.training.exact_bank, "together": together}
    codes = predict_codes(model, seen, recipe.image, rows_of(pixels, places), **kept)
    train = (seen["split"] == "train").to_numpy()
    fitted = fit_distance(codes[train], seen["class_name"][train])
    write_codes(run.path("codes.npz"), fitted)
    away = distances(codes, fitted)
    distance = float(np.quantile(away[chosen[places]], FAR))
    far[places] = away > distance
    return far, distance
