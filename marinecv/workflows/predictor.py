"""Predict files with the model of a run: calibrated probabilities, prediction sets, and which images to review."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.data.formats import printable
from marinecv.evaluation.calibration import calibrated
from marinecv.evaluation.conformal import prediction_sets
from marinecv.evaluation.predict import check_inputs
from marinecv.evaluation.predictions import predicted_indices
from marinecv.evaluation.selective import review_flags, uncertainties
from marinecv.features.inference_engine import run_extractor
from marinecv.features.out_of_distribution import distances, read_embeddings
from marinecv.files.csv_tables import table_text
from marinecv.files.hashes import sha256
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.models.flat import flat
from marinecv.models.outputs import embedding_tensor
from marinecv.run_records import Calibration
from marinecv.runs import Run

TOLERANCE = 1e-5  # of a probability, or of the largest feature
TEXT_COLUMNS = ("predicted_class", "prediction_set", "review")


Read = Callable[[list[Path]], tuple[np.ndarray, dict[int, str]]]
Write = Callable[[int, list[Path], np.ndarray, dict[int, str]], str]
"""From a chunk of files to pixels and reasons of `read_pixels`; from its start, files and both to its rows as CSV."""


def chunk_predictor(
    folder: Path,
    calibration: Calibration | None,
    review: bool,
    tta: str | None,
    batch_size: int,
    total: int,
    root: Path,
) -> tuple[Read, Write]:
    """Load the model of a run for so many files below `root`; return the functions that read and predict a chunk."""
    run = Run(folder)
    model = run.load_model()
    check_inputs(model)
    predict_batch = batch_predictor(run, model, calibration, review, tta, total)

    def read(files: list[Path]) -> tuple[np.ndarray, dict[int, str]]:
        return read_pixels([str(root / file) for file in files], run.spec)

    def text_of(start: int, files: list[Path], pixels: np.ndarray, reasons: dict[int, str]) -> str:
        rows = rows_of_files(predict_batch, files, pixels, reasons, run.class_names, batch_size)
        return table_text(rows, header=not start, float_format="%.6f")

    return read, text_of


def rows_of_files(
    look: Callable, files: list[Path], pixels: np.ndarray, reasons: dict, class_names: tuple[str, ...], batch_size: int
) -> pd.DataFrame:
    """Return a row a file: path, predicted class, its probability, that of each class, columns of `look`, problem."""
    readable = [i for i in range(len(files)) if i not in reasons]
    probabilities, columns = look(pixels[readable] if reasons else pixels, batch_size)
    predictions = {
        "predicted_class": np.array(class_names, dtype=object)[predicted_indices(probabilities)],
        "probability": probabilities.max(axis=1),
        **{f"p_{name}": probabilities[:, index] for index, name in enumerate(class_names)},
        **columns,
    }
    rows = pd.DataFrame({"path": [printable(file.as_posix()) for file in files]})
    rows = rows.join(pd.DataFrame(predictions, index=readable))
    for column in rows.columns.intersection(TEXT_COLUMNS):
        rows[column] = rows[column].astype(object).where(rows.index.isin(readable), "")
    return rows.assign(problem=[reasons.get(i, "") for i in range(len(files))])


def batch_predictor(
    run: Run, model: keras.Model, calibration: Calibration | None, review: bool, tta: str | None, total: int
) -> Callable[[np.ndarray, int], tuple[np.ndarray, dict]]:
    """Return a function of pixels and batch size: probabilities, and further columns by name."""
    rules = calibration.review if review and calibration else None
    by_distance = rules is not None and rules.distance is not None
    fitted = embeddings_of(run, calibration) if by_distance else None
    model = flat(model)
    outputs = [model.outputs[0], embedding_tensor(model)] if by_distance else [model.outputs[0]]
    joined = keras.layers.Concatenate(dtype="float32")(outputs) if by_distance else outputs[0]
    engine = run_extractor(keras.Model(model.inputs[0], joined), total * (2 if tta else 1), TOLERANCE)
    count = len(run.class_names)

    def run_network(pixels: np.ndarray, batch_size: int) -> np.ndarray:
        batches = (pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size))
        return np.concatenate([np.zeros((0, joined.shape[1])), *(np.asarray(engine(batch)[0]) for batch in batches)])

    def probabilities_of(outputs: np.ndarray) -> np.ndarray:
        probabilities = outputs[:, :count]
        return calibrated(probabilities, calibration.temperature) if calibration else probabilities

    def predict_batch(pixels: np.ndarray, batch_size: int) -> tuple[np.ndarray, dict]:
        outputs, columns = run_network(pixels, batch_size), {}
        probabilities = probabilities_of(outputs)
        if tta:
            mirrored = probabilities_of(run_network(pixels[:, :, ::-1], batch_size))
            probabilities = (probabilities + mirrored) / 2
        if sets := calibration and calibration.sets:
            names = np.array(run.class_names, dtype=object)
            columns["prediction_set"] = ["|".join(names[row]) for row in prediction_sets(probabilities, sets.threshold)]
        if review and not rules:
            columns |= {"doubt": np.full(len(pixels), np.nan), "review": [""] * len(pixels)}
        elif review:
            far, confidence = np.zeros(len(pixels), bool), probabilities.max(axis=1)
            if by_distance:
                far = distances(outputs[:, count:], fitted) > rules.distance
            columns["doubt"] = uncertainties(confidence, far)
            columns["review"] = review_flags(confidence, far, rules.probability)
        return probabilities, columns

    return predict_batch


def embeddings_of(run: Run, calibration: Calibration) -> dict[str, np.ndarray]:
    """Read the embeddings of a run's train images; ValueError where they are not those of its calibration."""
    path = run.path("embeddings.npz")
    with run.with_hint("embeddings.npz"):
        fitted = read_embeddings(path)
        if sha256(path) != calibration.embeddings_sha256:
            raise ValueError(f"{path} is another file than the one that calibration.json was measured with.")
    return fitted
