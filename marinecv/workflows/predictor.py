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
from marinecv.features.embeddings import up_to_embedding
from marinecv.features.out_of_distribution import distances, read_embeddings
from marinecv.files.csv_tables import table_text
from marinecv.files.hashes import sha256
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.run_records import Calibration
from marinecv.runs import Run

TEXT_COLUMNS = ("predicted_class", "prediction_set", "review")


def chunk_predictor(
    folder: Path, calibration: Calibration | None, review: bool, batch_size: int, root: Path
) -> Callable[[tuple[int, list[Path]]], str]:
    """Load the model of a run; return a function of a chunk of files below `root` that gives its rows as CSV."""
    run = Run(folder)
    model = run.load_model()
    check_inputs(model)
    predict_batch = batch_predictor(run, model, calibration, review)

    def text_of(chunk: tuple[int, list[Path]]) -> str:
        start, files = chunk
        rows = predict_files(predict_batch, files, run, batch_size, root)
        return table_text(rows, header=not start, float_format="%.6f")

    return text_of


def predict_files(look: Callable, files: list[Path], run: Run, batch_size: int, root: Path) -> pd.DataFrame:
    """Return a row a file: path, predicted class, its probability, that of each class, columns of `look`, problem."""
    pixels, reasons = read_pixels([str(root / file) for file in files], run.spec)
    readable = [i for i in range(len(files)) if i not in reasons]
    probabilities, columns = look(pixels[readable], batch_size)
    predictions = {
        "predicted_class": np.array(run.class_names, dtype=object)[predicted_indices(probabilities)],
        "probability": probabilities.max(axis=1),
        **{f"p_{name}": probabilities[:, index] for index, name in enumerate(run.class_names)},
        **columns,
    }
    rows = pd.DataFrame({"path": [printable(file.as_posix()) for file in files]})
    rows = rows.join(pd.DataFrame(predictions, index=readable))
    for column in rows.columns.intersection(TEXT_COLUMNS):
        rows[column] = rows[column].astype(object).where(rows.index.isin(readable), "")
    return rows.assign(problem=[reasons.get(i, "") for i in range(len(files))])


def batch_predictor(
    run: Run, model: keras.Model, calibration: Calibration | None, review: bool
) -> Callable[[np.ndarray, int], tuple[np.ndarray, dict]]:
    """Return a function of pixels and batch size: probabilities, and further columns by name."""
    rules = calibration.review if review and calibration else None
    by_distance = rules is not None and rules.distance is not None
    fitted = embeddings_of(run, calibration) if by_distance else None
    outputs = {"probabilities": model.outputs[0]} | ({"code": up_to_embedding(model).output} if by_distance else {})
    network = keras.Model(model.inputs[0], outputs)

    def predict_batch(pixels: np.ndarray, batch_size: int) -> tuple[np.ndarray, dict]:
        values = {name: np.zeros((0, *tensor.shape[1:])) for name, tensor in outputs.items()}
        if len(pixels):
            values = network.predict(pixels.astype(np.float32), batch_size=batch_size, verbose=0)
        probabilities, columns = values["probabilities"], {}
        if calibration:
            probabilities = calibrated(probabilities, calibration.temperature)
        if sets := calibration and calibration.sets:
            names = np.array(run.class_names, dtype=object)
            columns["prediction_set"] = ["|".join(names[row]) for row in prediction_sets(probabilities, sets.threshold)]
        if review and not rules:
            columns |= {"doubt": np.full(len(pixels), np.nan), "review": [""] * len(pixels)}
        elif review:
            far, confidence = np.zeros(len(pixels), bool), probabilities.max(axis=1)
            if by_distance:
                far = distances(values["code"], fitted) > rules.distance
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
