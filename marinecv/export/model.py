"""Export a run: convert its model, compare the export with the model, and replace an older export only then."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.console import Log
from marinecv.data.user_tables import is_usable, usable
from marinecv.environment import environment
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import make_table
from marinecv.export.convert import write_model
from marinecv.export.engines import THREADS, Predict, load_exported
from marinecv.export.formats import FILES, RESIZE, SAMPLED, check_format
from marinecv.export.parity import (
    EXPECTED,
    INTEGER_TOLERANCE,
    PARITY_FILE,
    TOLERANCE,
    agreement,
    calibration_of,
    file_hashes,
    predict_pictures,
)
from marinecv.export.pictures import draw_pictures
from marinecv.export.readme import readme
from marinecv.export.table import EXPORTS, ORIGINAL, export_folders
from marinecv.files.atomic import replaced_folder, write_json, write_text
from marinecv.files.hashes import sha256
from marinecv.files.lock import lock_folder
from marinecv.inputs.decode import decode
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.to_rgb import open_rgb
from marinecv.run_records import read_preprocessing
from marinecv.runs import Run
from marinecv.schema import check_type
from marinecv.training.fit import latency_ms

MARGIN = 0.02  # of accuracy
CALIBRATION_IMAGES = 128
CALLS = {"warm_up": 5, "calls": 30}
SEED = 0  # of the calibration images


@dataclass(frozen=True)
class Original:
    """The Keras model of a run and its predictions of the validation images, with which an export is compared.

    `rows` are the readable validation images, `pixels` (uint8) and `predictions` theirs in this order, and `figures`
    `bytes`, `latency_ms`, `threads`, `accuracy` and `sha256` of `model.keras`. `pictures` are those of `draw_pictures`.
    """

    model: keras.Model
    rows: pd.DataFrame
    pixels: np.ndarray
    predictions: pd.DataFrame
    figures: dict
    pictures: dict[str, tuple[bytes, dict]]


class RefusedExport(ValueError):
    """An export that is not written; `row` is its name, what was measured of it, and the reason as `problem`."""

    def __init__(self, message: str, row: dict):
        super().__init__(message)
        self.row = {**row, "problem": message}


def measure_original(run: Run, *, log: Log | None = None) -> Original:
    """Measure the Keras model of a run once; ValueError if it takes attributes or no validation image is readable."""
    check_type(Run, run=run)
    model, path = run.load_model(), run.path("model.keras")
    if len(model.inputs) > 1:
        raise ValueError(
            f"The model of {run.folder} takes attributes beside the image, which no export supports. Expected a model "
            "of images alone: train one with a recipe that is not multimodal."
        )
    rows, pixels = _load(run, "validation", log=log)
    predictions = predict_table(model, rows, run.spec, run.class_names, pixels=pixels)
    figures = {
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "threads": THREADS,
        "accuracy": classification_metrics(predictions, groups=rows.set_index("image_id")["group"])["accuracy"],
    }
    return Original(model, rows, pixels, predictions, figures, draw_pictures(run.spec, model.predict_on_batch))


def export_model(
    run: Run,
    format: str,
    quantize: str = "none",
    *,
    margin: float = MARGIN,
    resize: bool = False,
    original: Original | None = None,
    log: Log | None = None,
) -> dict:
    """Export the model of a run to `exports/<format>[-<quantize>]`, in place of an older export, and check its parity.

    The folder holds the model, `labels.txt` (class names in the order of the outputs), `preprocessing.json` of the run,
    `README.md` with the code that makes the pixels, three pictures with `expected.json`, and `parity.json`. If it is
    stopped or refused, the older export stays.

    Args:
        run: a finished run; `run_of_model` makes one of a model that was trained elsewhere.
        format: `"litert"`, `"savedmodel"` or `"onnx"`.
        quantize: for `"litert"`: `"none"` (float32), `"float16"` weights, `"int8-dynamic"` weights, `"int8-full"`:
            weights and activations, whose ranges are learned from train images, or `"int8-io"`: input and output too.
        margin: how far the validation accuracy may fall below the original's, 0 to 1.
        resize: for `"savedmodel"` and `"onnx"`: the file takes pictures of any size and fits them itself.
        original: the result of `measure_original`, to save it for several exports.
        log: called with a line about images that are left out.
    Returns:
        The content of `parity.json`.
    Raises:
        ValueError: a format or package is missing, or the calibration is of another model. RefusedExport, one of these:
            the model cannot be converted, or the export loses more than `margin`.
    """
    check_format(format, quantize, resize)
    check_type(Run, run=run)
    if not 0 <= margin <= 1:
        raise ValueError(f"Expected a margin from 0 to 1, a fraction of accuracy. Received: {margin}.")
    if resize and format == "onnx" and run.spec.antialias:
        raise ValueError(
            "ONNX has no resizing with antialiasing, as of this run. Leave out resize, or take savedmodel."
        )
    if broken := [name for name in run.class_names if len(name.splitlines()) > 1]:
        raise ValueError(f"The class {broken[0]!r} has a line break in its name, and labels.txt has a class a line.")
    calibration, original = calibration_of(run), original or measure_original(run, log=log)
    samples = _load(run, "train", CALIBRATION_IMAGES, log)[1] if quantize in SAMPLED else ()
    name = "-".join([format] + [quantize] * (quantize != "none") + [RESIZE] * resize)
    tolerance = INTEGER_TOLERANCE if quantize.startswith("int8") else TOLERANCE
    target, row = run.path(EXPORTS, name), {"export": name, "resize": resize, "tolerance": tolerance}
    preprocessing = run.shared_preprocessing
    target.parent.mkdir(exist_ok=True)
    with lock_folder(target.parent), replaced_folder(target, log) as folder:
        try:
            about = (run.class_names, preprocessing, run.spec if resize else None)
            write_model(original.model, folder / FILES[format], format, quantize, samples, *about)
            write_text(folder / "labels.txt", "".join(f"{label}\n" for label in run.class_names))
            write_json(folder / "preprocessing.json", preprocessing)
            predict = load_exported(folder)
            row |= _measure(predict, folder / FILES[format], original, run, resize)
            accuracy, expected = row["accuracy"], original.figures["accuracy"]["value"]
            if expected - accuracy["value"] > margin + 1e-9:  # 45 of 50 are 0.02 below 46, and a rounding error more
                raise ValueError(
                    f"{name} is not written: its validation accuracy is {accuracy['value']:.4f} and that of the Keras "
                    f"model {expected:.4f} (n={accuracy['n']}). Expected at most {margin} less: allow more with "
                    "margin=, or take another quantize=."
                )
        except ValueError as error:
            raise RefusedExport(str(error), row) from error
        expected = _write_pictures(folder, predict, original, None if resize else run.spec)
        about = read_preprocessing(folder / "preprocessing.json")
        write_text(folder / "README.md", readme(name, format, about, row, expected))
        parity = {
            **row,
            "sha256": file_hashes(folder),
            "margin": margin,
            "calibration_images": len(samples),
            **calibration,
            "environment": {key: value for key, value in environment().items() if key != "command"},
        }
        write_json(folder / PARITY_FILE, parity)
    return parity


def _write_pictures(folder: Path, predict: Predict, original: Original, spec: ImageSpec | None) -> dict:
    """Write the pictures, and `expected.json`, which is returned; None as `spec` as for `predict_pictures`."""
    for name, (data, _) in original.pictures.items():
        (folder / name).write_bytes(data)
    found = predict_pictures(predict, {name: data for name, (data, _) in original.pictures.items()}, spec)
    expected = {
        name: {"probabilities": found[name].tolist(), "changes": changes if spec else {}}
        for name, (_, changes) in original.pictures.items()
    }
    write_json(folder / EXPECTED, expected)
    return expected


def time_exports(run: Run, original: Original) -> dict[str, float]:
    """Time the Keras model and every export one after another; ms for one image."""
    fitted, photo = original.pixels[:1].astype(np.float32), decode(original.pictures["landscape.jpg"][0]).numpy()
    times = {ORIGINAL: latency_ms(original.model.predict_on_batch, fitted, **CALLS)}
    for folder in export_folders(run):
        image = photo[np.newaxis] if folder.name.endswith(RESIZE) else fitted
        with suppress(ValueError):  # its engine is not installed
            times[folder.name] = latency_ms(load_exported(folder), image, **CALLS)
    return times


def _load(run: Run, split: str, limit: int | None = None, log=None) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the readable images of a split, or a random sample of at most `limit`, and their pixels."""
    rows = usable(run.catalog).query("split == @split")
    if limit:
        rows = rows.sample(min(limit, len(rows)), random_state=SEED)
    pixels, rows = load_pixels(rows, run.spec)
    good, bad = usable(rows), rows[~is_usable(rows)]
    if good.empty:
        raise ValueError(
            f"No {split} image of {run.folder} can be read. Expected its data where catalog.csv says: "
            f"{', '.join(rows['path'].head(1)) or 'there is no such split'}. Bring it back."
        )
    if len(bad) and log:
        first = "{image_id}: {problem}".format(**bad.iloc[0])
        log(f"{len(bad)} of {len(rows)} {split} images left out; the first, {first}")
    return good, pixels


def _measure(predict: Predict, model: Path, original: Original, run: Run, resize: bool) -> dict:
    """Return size, accuracy and agreement of an export."""
    rows = original.rows
    if resize:
        pictures = (np.asarray(open_rgb(path, run.spec.white))[np.newaxis] for path in rows["path"])
        probabilities = np.concatenate([*map(predict, pictures)])
    else:
        probabilities = predict(original.pixels)
    # Of many classes, 8-bit probabilities miss a sum of 1 by far, or are all 0.
    probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    keys = (rows[column].tolist() for column in ("image_id", "split", "class_name"))
    predictions, groups = make_table(*keys, probabilities, run.class_names), rows.set_index("image_id")["group"]
    return {
        "bytes": sum(path.stat().st_size for path in (model, *model.rglob("*")) if path.is_file()),
        "threads": THREADS,
        "split": "validation",
        "accuracy": classification_metrics(predictions, groups=groups)["accuracy"],
        "original": original.figures,
        **agreement(predictions, original.predictions, groups),
    }
