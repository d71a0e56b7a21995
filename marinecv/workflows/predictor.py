"""Predict files with the model of a run: calibrated probabilities, prediction sets, and which images to review."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.data.formats import printable
from marinecv.data.images import read_capture
from marinecv.data.shards.records import photo_and_box
from marinecv.evaluation.calibration import calibrated
from marinecv.evaluation.conformal import prediction_sets
from marinecv.evaluation.predict import check_inputs
from marinecv.evaluation.predictions import predicted_indices
from marinecv.evaluation.selective import review_flags, uncertainties
from marinecv.evaluation.unknown import UNKNOWN, is_unknown
from marinecv.features.inference_engine import run_extractor
from marinecv.features.out_of_distribution import distances, read_embeddings
from marinecv.files.csv_tables import table_text
from marinecv.files.hashes import sha256
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.models.flat import flat
from marinecv.models.outputs import embedding_tensor
from marinecv.run_records import Calibration
from marinecv.runs import Run

MIN_IMAGES_TO_FUSE = 100  # for fewer it takes longer than it saves


def chunk_predictor(folder: Path, root: Path, top: int, *how) -> tuple[Callable, Callable]:
    """Load the model of a run for files below `root`; return functions that read and predict a chunk of them.

    The first gives what `read_pixels` does; the second a table as CSV, from the files of the chunk and that, with `top`
    classes. `how` is as of `batch_predictor`.
    """
    run = Run(folder)
    predict_batch = batch_predictor(run, *how)

    def read(files: list[Path]) -> tuple[np.ndarray, dict[int, str]]:
        return read_pixels([str(root / file) for file in files], run.spec)

    def text_of(files: list[Path], pixels: np.ndarray, reasons: dict[int, str]) -> str:
        rows = rows_of_files(predict_batch, files, pixels, reasons, run.class_names, top)
        digits = "%.9g" if any(photo_and_box(file)[1] for file in files) else "%.6f"  # photographs are computed of them
        return table_text(rows, float_format=digits)

    return read, text_of


def rows_of_files(
    look: Callable, files: list[Path], pixels: np.ndarray, reasons: dict, class_names, top: int = 1
) -> pd.DataFrame:
    """Return a row a file: path, predicted class, its probability, that of each class, columns of `look`, problem."""
    readable = [i for i in range(len(files)) if i not in reasons]
    probabilities, columns = look(pixels[readable] if reasons else pixels)
    names, order = np.array(class_names, dtype=object), np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=1)
    predictions = {
        "predicted_class": np.where(columns.pop("is_unknown", False), UNKNOWN, names[predicted_indices(probabilities)]),
        "probability": probabilities.max(axis=1),
        **{f"p_{name}": probabilities[:, index] for index, name in enumerate(class_names)},
    }
    for rank in range(1, min(top, len(names))):
        predictions[f"class_{rank + 1}"] = names[order[:, rank]]
        predictions[f"probability_{rank + 1}"] = ordered[:, rank]
    predictions |= {"exif_time": [read_capture(files[i].absolute())[0] for i in readable], **columns}
    rows = pd.DataFrame({"path": [printable(file.as_posix()) for file in files]})
    rows = rows.join(pd.DataFrame(predictions, index=readable))
    rows = rows.fillna(dict.fromkeys(rows.select_dtypes(exclude="number"), ""))
    return rows.assign(problem=[reasons.get(i, "") for i in range(len(files))])


def batch_predictor(
    run: Run,
    calibration: Calibration | None,
    review: bool,
    thresholds: tuple[float, float] | None,
    mirror: bool,
    batch_size: int,
    total: int,
) -> Callable[[np.ndarray], tuple[np.ndarray, dict]]:
    """Return a function of pixels, for so many in all: probabilities, and further columns by name.

    `thresholds` are of `unknown_thresholds`, None for no unknown; with `mirror` mirror images count, too.
    """
    model = run.load_model()
    check_inputs(model)
    rules = calibration.review if review and calibration else None
    by_distance = rules is not None and rules.distance is not None
    by_distance |= thresholds is not None and calibration.held_out.distance is not None
    fitted = embeddings_of(run, calibration) if by_distance else None
    model, count = flat(model), len(run.class_names)
    output = model.outputs[0]
    if by_distance:  # one tensor of both, for LiteRT
        output = keras.layers.Concatenate(dtype="float32")([output, embedding_tensor(model)])
    engine = run_extractor(
        keras.Model(model.inputs[0], output), total * (1 + mirror), tolerance=1e-5, fuse=total >= MIN_IMAGES_TO_FUSE
    )

    def look(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batches = (pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size))
        seen = np.concatenate([np.zeros((0, output.shape[1])), *(np.asarray(engine(batch)[0]) for batch in batches)])
        probabilities = seen[:, :count]
        return calibrated(probabilities, calibration.temperature) if calibration else probabilities, seen[:, count:]

    def predict_batch(pixels: np.ndarray) -> tuple[np.ndarray, dict]:
        (probabilities, embeddings), columns = look(pixels), {}
        if mirror:
            probabilities = (probabilities + look(pixels[:, :, ::-1])[0]) / 2
        if sets := calibration and calibration.sets:
            names = np.array(run.class_names, dtype=object)
            columns["prediction_set"] = ["|".join(names[row]) for row in prediction_sets(probabilities, sets.threshold)]
        confidence = probabilities.max(axis=1)
        to_train = distances(embeddings, fitted) if by_distance else np.zeros(len(pixels))
        if thresholds:
            columns["is_unknown"] = is_unknown(confidence, to_train, thresholds)
        if review and not rules:
            columns |= {"doubt": np.full(len(pixels), np.nan), "review": [""] * len(pixels)}
        elif review:
            far = to_train > (np.inf if rules.distance is None else rules.distance)
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
