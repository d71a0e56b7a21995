"""What a trained run says of images: calibrated probabilities, the classes not ruled out, and whom to look at."""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.data.layouts import printable
from marinecv.evaluation.calibration import calibrated
from marinecv.evaluation.conformal import prediction_sets
from marinecv.evaluation.predict import check_inputs
from marinecv.evaluation.predictions import predicted_indices
from marinecv.evaluation.review import doubts, flags
from marinecv.features.distance import distances, read_codes
from marinecv.features.embeddings import up_to_code
from marinecv.hashes import sha256
from marinecv.inputs.pixels import read_pixels
from marinecv.run_records import Calibration
from marinecv.runs import Run
from marinecv.tables import table_text


def open_run(
    folder: Path, calibration: Mapping | None, review: bool, batch_size: int, root: Path
) -> Callable[[tuple[int, list[Path]]], str]:
    """Load the model of a run; return what writes a chunk of files as rows of a CSV, under a header if the first."""
    run = Run(folder)
    model = run.load_model()
    check_inputs(model)
    look = looker(run, model, calibration, review)

    def text_of(chunk: tuple[int, list[Path]]) -> str:
        place, files = chunk
        rows = predict_files(look, files, run, batch_size, root)
        return table_text(rows, header=not place, float_format="%.6f")

    return text_of


def predict_files(look: Callable, files: list[Path], run: Run, batch_size: int, root: Path) -> pd.DataFrame:
    """A row a file: path, predicted class, its probability, that of every class, what `look` adds, and its problem."""
    class_names = run.class_names
    pixels, reasons = read_pixels([str(root / file) for file in files], run.spec)
    good = [i for i in range(len(files)) if i not in reasons]
    rows = pd.DataFrame({"path": [printable(file.as_posix()) for file in files]})
    probabilities = np.full((len(files), len(class_names)), np.nan)
    probabilities[good], beside = look(pixels[good], batch_size)
    names = np.array([*class_names, ""])
    best = np.where(np.isnan(probabilities[:, 0]), len(class_names), predicted_indices(probabilities))
    rows["predicted_class"] = names[best]
    rows["probability"] = probabilities.max(axis=1)
    for column, name in enumerate(class_names):
        rows[f"p_{name}"] = probabilities[:, column]
    for column, values in beside.items():
        said = pd.Series(values, index=good)
        rows[column] = said.reindex(rows.index, fill_value=np.nan if said.dtype == float else "")
    rows["problem"] = [reasons.get(i, "") for i in range(len(files))]
    return rows


def looker(
    trained: Run, model: keras.Model, calibration: Calibration | None, review: bool
) -> Callable[[np.ndarray, int], tuple[np.ndarray, dict]]:
    """Return a function of pixels and batch size: probabilities, and by column what else is said of each image."""
    rules = calibration.review if review and calibration else None
    by_distance = rules is not None and rules.distance is not None
    fitted = codes_of(trained, calibration) if by_distance else None
    wanted = {"probabilities": model.outputs[0]} | ({"code": up_to_code(model).output} if by_distance else {})
    whole = keras.Model(model.inputs[0], wanted)

    def look(pixels: np.ndarray, batch_size: int) -> tuple[np.ndarray, dict]:
        seen = {name: np.zeros((0, *tensor.shape[1:])) for name, tensor in wanted.items()}
        if len(pixels):
            seen = whole.predict(pixels.astype(np.float32), batch_size=batch_size, verbose=0)
        probabilities, beside = seen["probabilities"], {}
        if calibration:
            probabilities = calibrated(probabilities, calibration.temperature)
        if sets := calibration and calibration.sets:
            inside = prediction_sets(probabilities, sets.threshold)
            names = np.array(trained.class_names, dtype=object)
            beside["prediction_set"] = ["|".join(names[row]) for row in inside]
        if review and not rules:
            beside |= {"doubt": np.full(len(pixels), np.nan), "review": [""] * len(pixels)}
        elif review:
            far = np.zeros(len(pixels), bool)
            if by_distance:
                far = distances(seen["code"], fitted) > rules.distance
            confidence = probabilities.max(axis=1)
            beside["doubt"] = doubts(confidence, far)
            beside["review"] = flags(confidence, far, rules.probability)
        return probabilities, beside

    return look


def codes_of(trained: Run, calibration: Calibration) -> dict[str, np.ndarray]:
    """What the run keeps of the codes of its train images."""
    path = trained.path("codes.npz")
    with trained.mending("codes.npz"):
        fitted = read_codes(path)
        if sha256(path) != calibration.codes_sha256:
            raise ValueError(f"{path} is another file than the one that calibration.json was measured with.")
    return fitted
