"""How well an export agrees with the model it was made of, and whether it is still the same. No TensorFlow here."""

from pathlib import Path

import numpy as np
import pandas as pd
from msgspec import Struct

from marinecv.evaluation.figures import mean_figure
from marinecv.evaluation.groups import group_numbers
from marinecv.evaluation.predictions import probabilities_of_table
from marinecv.export.engines import load_exported
from marinecv.hashes import sha256
from marinecv.run_records import read_contract
from marinecv.runs import Run
from marinecv.schema import Seed, read

CERTIFICATE = "certificate.json"
CANARIES, TILES = 4, 8
CANARY_TOLERANCE = 0.01  # a probability of 8 bits has steps of 0.004, and another processor may round another way


class Canary(Struct, frozen=True):
    """What an export says of `canary_images`: a row of probabilities an image."""

    seed: Seed
    probabilities: list[list[float]]


class Certificate(Struct, frozen=True):
    """Of `certificate.json`: what an export is known again by."""

    sha256: dict[str, str]
    canary: Canary


def agreement(predictions: pd.DataFrame, original: pd.DataFrame, groups: pd.Series | None = None) -> dict:
    """Hold the predictions of an export against those of the original on the same images, in the same order.

    Returns `agreement` (the share of images with the same predicted class, a figure as of `mean_figure`) and
    `largest_difference` (of a probability); `groups` are as of `classification_metrics`.
    """
    same = (predictions["predicted_class"] == original["predicted_class"]).to_numpy()
    difference = np.abs(probabilities_of_table(predictions) - probabilities_of_table(original)).max()
    return {
        "agreement": mean_figure(same, group_numbers(original["image_id"], groups)),
        "largest_difference": float(difference),
    }


def calibration_of(run: Run) -> dict:
    """Return how the probabilities of the model are calibrated, which no export does by itself.

    `temperature` is for `calibrated`, None where too few images were held out; `calibration_sha256` is of the file.
    """
    path = run.path("calibration.json")
    if not path.is_file():
        return {"temperature": None, "calibration_sha256": None}
    found = run.calibration
    return {"temperature": None if found.reason else found.temperature, "calibration_sha256": sha256(path)}


def canary_images(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Draw four pictures of coloured tiles, float32 in [0, 255]: no photograph travels with an export."""
    tiles = np.random.default_rng(seed).integers(0, 256, (CANARIES, TILES, TILES, 3))
    rows, columns = (np.arange(side) * TILES // side for side in shape[:2])
    return tiles[:, rows][:, :, columns].astype(np.float32)


def file_hashes(folder: Path) -> dict[str, str]:
    """Hash every file of an export but its certificate: SHA-256 by POSIX path within the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CERTIFICATE)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def check_export(folder: str | Path) -> str:
    """Compare an export with its certificate: first its files, then the canary; return what differs, or nothing."""
    folder = Path(folder)
    try:
        certificate = read(folder / CERTIFICATE, Certificate)
        hashes, found = certificate.sha256, file_hashes(folder)
        if changed := sorted(name for name in {*hashes, *found} if hashes.get(name) != found.get(name)):
            return f"{changed[0]} is not as it was certified. Export it again."
        spec, canary = read_contract(folder / "contract.json").image, certificate.canary
        images = canary_images(spec.shape, canary.seed)
        difference = np.abs(load_exported(folder)(images) - np.array(canary.probabilities)).max()
    except ValueError as error:
        return str(error)
    if not difference <= CANARY_TOLERANCE:  # not so where one is no number
        return f"It gives other probabilities of the canary than when it was certified, by up to {difference:.3f}."
    return ""
