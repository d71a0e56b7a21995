"""Export a run: convert its model, compare the export with the model, and replace an older export only then."""

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
from marinecv.export.engines import THREADS, load_exported
from marinecv.export.formats import FILES, check_format
from marinecv.export.parity import PARITY_FILE, agreement, calibration_of, file_hashes, self_test_images
from marinecv.export.table import EXPORTS, write_exports
from marinecv.files.atomic import replaced_folder, write_json, write_text
from marinecv.files.hashes import sha256
from marinecv.files.lock import lock_folder
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.runs import Run
from marinecv.schema import check_type
from marinecv.training.fit import latency_ms

MARGIN = 0.02  # of accuracy
CALIBRATION_IMAGES = 128
CALLS = {"warm_up": 5, "calls": 30}
SEED = 0  # of the calibration images and of the self-test images


@dataclass(frozen=True)
class Original:
    """The Keras model of a run and its predictions of the validation images, with which an export is compared.

    `rows` are the readable validation images, `pixels` (uint8) and `predictions` theirs in this order, and `figures`
    `bytes`, `latency_ms`, `threads`, `accuracy` and `sha256` of `model.keras`.
    """

    model: keras.Model
    rows: pd.DataFrame
    pixels: np.ndarray
    predictions: pd.DataFrame
    figures: dict


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
        "latency_ms": latency_ms(model.predict_on_batch, pixels[:1].astype(np.float32), **CALLS),
        "threads": THREADS,
        "accuracy": classification_metrics(predictions, groups=rows.set_index("image_id")["group"])["accuracy"],
    }
    return Original(model, rows, pixels, predictions, figures)


def export_model(
    run: Run,
    format: str,
    quantize: str = "none",
    *,
    margin: float = MARGIN,
    original: Original | None = None,
    log: Log | None = None,
) -> dict:
    """Export the model of a run to `exports/<format>[-<quantize>]`, in place of an older export, and check its parity.

    The folder holds the model, `labels.txt` (class names in the order of the outputs), `preprocessing.json` of the run
    and `parity.json`. If it is stopped or refused, the older export stays.

    Args:
        run: a finished run; `run_of_model` makes one of a model that was trained elsewhere.
        format: `"litert"`, `"savedmodel"` or `"onnx"`.
        quantize: for `"litert"`: `"none"` (float32), `"float16"` weights, `"int8-dynamic"` weights, or `"int8-full"`:
            weights and activations, whose ranges are learned from train images.
        margin: how far the validation accuracy may fall below the original's, 0 to 1.
        original: the result of `measure_original`, to save it for several exports.
        log: called with a line about images that are left out.
    Returns:
        The content of `parity.json`.
    Raises:
        ValueError: a format or package is missing, the calibration is of another model, the model cannot be converted,
            or the export loses more than `margin`.
    """
    check_format(format, quantize)
    check_type(Run, run=run)
    if not 0 <= margin <= 1:
        raise ValueError(f"Expected a margin from 0 to 1, a fraction of accuracy. Received: {margin}.")
    if broken := [name for name in run.class_names if len(name.splitlines()) > 1]:
        raise ValueError(f"The class {broken[0]!r} has a line break in its name, and labels.txt has a class a line.")
    calibration, original = calibration_of(run), original or measure_original(run, log=log)
    samples = _load(run, "train", CALIBRATION_IMAGES, log)[1] if quantize == "int8-full" else ()
    name = format if quantize == "none" else f"{format}-{quantize}"
    target = run.path(EXPORTS, name)
    target.parent.mkdir(exist_ok=True)
    with lock_folder(target.parent):
        with replaced_folder(target, log) as folder:
            write_model(original.model, folder / FILES[format], format, quantize, samples)
            write_text(folder / "labels.txt", "".join(f"{label}\n" for label in run.class_names))
            preprocessing = run.read("preprocessing.json")
            preprocessing.pop("data_dirs", None)  # paths of this machine
            write_json(folder / "preprocessing.json", preprocessing)
            parity = {
                "export": name,
                **_measure(folder, format, original, run),
                "margin": margin,
                "calibration_images": len(samples),
                **calibration,
                "environment": {key: value for key, value in environment().items() if key != "command"},
            }
            accuracy, expected = parity["accuracy"], original.figures["accuracy"]["value"]
            if expected - accuracy["value"] > margin + 1e-9:  # 45 of 50 are 0.02 below 46, and a rounding error more
                raise ValueError(
                    f"{name} is not written: its validation accuracy is {accuracy['value']:.4f} and that of the Keras "
                    f"model {expected:.4f} (n={accuracy['n']}). Expected at most {margin} less: allow more with "
                    "margin=, or take another quantize=."
                )
            write_json(folder / PARITY_FILE, parity)
        write_exports(run, original.figures)
    return parity


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


def _measure(folder: Path, format: str, original: Original, run: Run) -> dict:
    """Return size, latency, accuracy and agreement of an export, and its predictions of the self-test images."""
    predict, rows, pixels, model = load_exported(folder), original.rows, original.pixels, folder / FILES[format]
    probabilities = predict(pixels)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # of many classes, 8-bit ones miss a sum of 1 by far
    keys = (rows[column].tolist() for column in ("image_id", "split", "class_name"))
    predictions, groups = make_table(*keys, probabilities, run.class_names), rows.set_index("image_id")["group"]
    return {
        "sha256": file_hashes(folder),
        "bytes": sum(path.stat().st_size for path in (model, *model.rglob("*")) if path.is_file()),
        "latency_ms": latency_ms(predict, pixels[:1], **CALLS),
        "threads": THREADS,
        "split": "validation",
        "accuracy": classification_metrics(predictions, groups=groups)["accuracy"],
        "original": original.figures,
        **agreement(predictions, original.predictions, groups),
        "self_test": {"seed": SEED, "probabilities": predict(self_test_images(run.spec.shape, SEED)).tolist()},
    }
