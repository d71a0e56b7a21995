"""The parity check of an export: how well it agrees with its Keras model, and whether its files are unchanged."""

from pathlib import Path

import numpy as np
import pandas as pd
from msgspec import Struct

from marinecv.evaluation.estimates import mean_estimate
from marinecv.evaluation.groups import group_numbers
from marinecv.evaluation.predictions import probabilities_of_table
from marinecv.export.engines import load_exported
from marinecv.files.hashes import sha256
from marinecv.run_records import read_preprocessing
from marinecv.runs import Run
from marinecv.schema import Seed, read

PARITY_FILE = "parity.json"
SELF_TEST_IMAGES, TILES = 4, 8
SELF_TEST_TOLERANCE = 0.01  # a probability of 8 bits has steps of 0.004, and another processor may round differently


class SelfTest(Struct, frozen=True):
    """What an export predicts for the self-test images, `self_test_images`: a row of probabilities an image."""

    seed: Seed
    probabilities: list[list[float]]


class ParityRecord(Struct, frozen=True):
    """The part of `parity.json` by which an export is checked later."""

    sha256: dict[str, str]
    self_test: SelfTest


def agreement(predictions: pd.DataFrame, original: pd.DataFrame, groups: pd.Series | None = None) -> dict:
    """Compare the predictions of an export with those of the original on the same images, in the same order.

    Returns `agreement` (the fraction of images with the same predicted class, a metric as of `mean_estimate`) and
    `largest_difference` (of a probability); `groups` are those of `classification_metrics`.
    """
    same = (predictions["predicted_class"] == original["predicted_class"]).to_numpy()
    difference = np.abs(probabilities_of_table(predictions) - probabilities_of_table(original)).max()
    return {
        "agreement": mean_estimate(same, group_numbers(original["image_id"], groups)),
        "largest_difference": float(difference),
    }


def calibration_of(run: Run) -> dict:
    """Return the calibration of the probabilities, which no export contains.

    `temperature` is for `calibrated`, None if the calibration set was too small; `calibration_sha256` is of the file.
    """
    path = run.path("calibration.json")
    if not path.is_file():
        return {"temperature": None, "calibration_sha256": None}
    calibration = run.calibration
    temperature = None if calibration.reason else calibration.temperature
    return {"temperature": temperature, "calibration_sha256": sha256(path)}


def self_test_images(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Draw four self-test images of colored tiles, float32 in [0, 255]: no photograph travels with an export."""
    tiles = np.random.default_rng(seed).integers(0, 256, (SELF_TEST_IMAGES, TILES, TILES, 3))
    rows, columns = (np.arange(side) * TILES // side for side in shape[:2])
    return tiles[:, rows][:, :, columns].astype(np.float32)


def file_hashes(folder: Path) -> dict[str, str]:
    """Hash every file of an export except `parity.json`: SHA-256 by POSIX path within the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / PARITY_FILE)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def check_export(folder: str | Path) -> str:
    """Check the files of an export, then its self-test images; return what has changed, or "" if nothing has."""
    folder = Path(folder)
    try:
        parity = read(folder / PARITY_FILE, ParityRecord)
        hashes = file_hashes(folder)
        if changed := sorted(name for name in {*parity.sha256, *hashes} if parity.sha256.get(name) != hashes.get(name)):
            return f"{changed[0]} has changed since the parity check. Export it again."
        images = self_test_images(read_preprocessing(folder / "preprocessing.json").image.shape, parity.self_test.seed)
        difference = np.abs(load_exported(folder)(images) - np.array(parity.self_test.probabilities)).max()
    except ValueError as error:
        return str(error)
    if not difference <= SELF_TEST_TOLERANCE:  # NaN is no number below it
        return f"Its probabilities of the self-test images differ from the parity check by up to {difference:.3f}."
    return ""
