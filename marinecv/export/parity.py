"""The parity check of an export: how well it agrees with its Keras model, and whether its files are unchanged."""

from pathlib import Path

import numpy as np
import pandas as pd
from msgspec import Struct

from marinecv.evaluation.estimates import mean_estimate
from marinecv.evaluation.groups import group_numbers
from marinecv.evaluation.predictions import probabilities_of_table
from marinecv.export.engines import Predict, load_exported
from marinecv.export.pictures import fitted
from marinecv.files.hashes import sha256
from marinecv.inputs.decode import decode
from marinecv.inputs.spec import ImageSpec
from marinecv.run_records import read_preprocessing
from marinecv.runs import Run
from marinecv.schema import read

PARITY_FILE, EXPECTED = "parity.json", "expected.json"
TOLERANCE, INTEGER_TOLERANCE = (0.02, 0.05)  # 8 bits move more where a gray level is rounded differently


class ParityRecord(Struct, frozen=True):
    """The part of `parity.json` by which an export is checked later."""

    sha256: dict[str, str]
    resize: bool
    tolerance: float


class Expected(Struct, frozen=True):
    """A row of `expected.json`: what an export gives for a picture, and how much wrong pixels change that."""

    probabilities: list[float]
    changes: dict[str, float]


Rows = dict[str, Expected]


def predict_pictures(predict: Predict, pictures: dict[str, bytes], spec: ImageSpec | None) -> dict[str, np.ndarray]:
    """Return the probabilities of pictures by name; None as `spec` is for a file that fits pictures itself."""
    pixels = {name: fitted(data, spec) if spec else decode(data).numpy() for name, data in pictures.items()}
    return {name: predict(image[np.newaxis])[0] for name, image in pixels.items()}


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


def file_hashes(folder: Path) -> dict[str, str]:
    """Hash every file of an export except `parity.json`: SHA-256 by POSIX path within the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / PARITY_FILE)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def check_export(folder: str | Path) -> str:
    """Check the files of an export, then its three pictures; return what has changed, or "" if nothing has."""
    folder = Path(folder)
    try:
        parity = read(folder / PARITY_FILE, ParityRecord)
        hashes = file_hashes(folder)
        if changed := sorted(name for name in {*parity.sha256, *hashes} if parity.sha256.get(name) != hashes.get(name)):
            return f"{changed[0]} has changed since the parity check. Export it again."
        spec, expected = read_preprocessing(folder / "preprocessing.json").image, read(folder / EXPECTED, Rows)
        pictures = {name: (folder / Path(name).name).read_bytes() for name in expected}
        found = predict_pictures(load_exported(folder), pictures, None if parity.resize else spec)
        difference = np.max([np.abs(found[name] - row.probabilities).max() for name, row in expected.items()])
    except (OSError, ValueError) as error:
        return str(error)
    if not difference <= parity.tolerance:  # NaN is no number below it
        return f"Its probabilities of the three pictures differ from {EXPECTED} by up to {difference:.3f}."
    return ""
