"""A run -> one export of it: converted, held against the model it was made of, certified, and only then in place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.atomic import replaced, write_json, write_text
from marinecv.data.user_tables import is_usable, usable
from marinecv.environment import environment
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import make_table
from marinecv.export.certificate import CERTIFICATE, agreement, calibration_of, canary_images, file_hashes
from marinecv.export.convert import write_model
from marinecv.export.engines import THREADS, load_exported
from marinecv.export.formats import FILES, check_format
from marinecv.export.table import EXPORTS, write_exports
from marinecv.hashes import sha256
from marinecv.hold import hold
from marinecv.inputs.pixels import load_pixels
from marinecv.runs import Run
from marinecv.schema import of_type
from marinecv.training.fit import latency_ms

MARGIN = 0.02  # of accuracy
CALIBRATION_IMAGES = 128
CALLS = {"warm_up": 5, "calls": 30}
SEED = 0  # of the calibration images and of the canary


@dataclass(frozen=True)
class Original:
    """The Keras model of a run, and what it says of the validation images: what an export is held against.

    `rows` are the validation images that can be read, `pixels` (uint8) and `predictions` theirs in this order, and
    `figures` `bytes`, `latency_ms`, `threads`, `accuracy` and `sha256` of `model.keras`.
    """

    model: keras.Model
    rows: pd.DataFrame
    pixels: np.ndarray
    predictions: pd.DataFrame
    figures: dict


def measure_original(run: Run, *, say: Callable[[str], None] | None = None) -> Original:
    """Measure the Keras model of a finished run once, for several exports.

    ValueError where the model takes attributes, there is none, or no validation image can be read.
    """
    of_type(Run, run=run)
    model, path = run.load_model(), run.path("model.keras")
    if len(model.inputs) > 1:
        raise ValueError(
            f"The model of {run.folder} takes attributes beside the image, and no export has room for them. Expected a "
            "model of images alone: train one with a recipe that is not multimodal."
        )
    rows, pixels = _load(run, "validation", say=say)
    predictions = predict_table(model, rows, run.spec, run.class_names, pixels=pixels)
    figures = {
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "latency_ms": latency_ms(model.predict_on_batch, pixels[:1].astype(np.float32), **CALLS),
        "threads": THREADS,
        "accuracy": classification_metrics(predictions, groups=_groups(rows))["accuracy"],
    }
    return Original(model, rows, pixels, predictions, figures)


def export_model(
    run: Run,
    format: str,
    quantise: str = "none",
    *,
    margin: float = MARGIN,
    original: Original | None = None,
    say: Callable[[str], None] | None = None,
) -> dict:
    """Export the model of a run to `exports/<format>[-<quantise>]`, in place of an older one, and certify it.

    The folder holds the model, `labels.txt` (class names in the order of the outputs), `contract.json` of the run and
    `certificate.json`. Stopped or refused, it leaves the older one.

    Args:
        run: a finished run; `run_of_model` makes one of a model that was trained elsewhere.
        format: `"litert"`, `"savedmodel"` or `"onnx"`.
        quantise: of `"litert"`: `"none"` (float32), `"float16"` weights, `"int8-dynamic"` weights, or `"int8-full"`:
            weights and activations, whose ranges are learned from images of train.
        margin: by how much the validation accuracy may fall below the original's, 0 to 1.
        original: what `measure_original` gave, to save it for several exports.
        say: takes a line about images that are left out.
    Returns:
        The certificate.
    Raises:
        ValueError: a format or package that is not there, a calibration of another model, a model that cannot be
            converted, or one that loses more than `margin`.
    """
    check_format(format, quantise)
    of_type(Run, run=run)
    if not 0 <= margin <= 1:
        raise ValueError(f"Expected a margin from 0 to 1, a fraction of accuracy. Received: {margin}.")
    if broken := [name for name in run.class_names if len(name.splitlines()) > 1]:
        raise ValueError(f"The class {broken[0]!r} has a line break in its name, and labels.txt has a class a line.")
    calibration, original = calibration_of(run), original or measure_original(run, say=say)
    samples = _load(run, "train", CALIBRATION_IMAGES, say)[1] if quantise == "int8-full" else ()
    name = format if quantise == "none" else f"{format}-{quantise}"
    place = run.path(EXPORTS, name)
    place.parent.mkdir(exist_ok=True)
    with hold(place.parent):
        with replaced(place, say) as folder:
            write_model(original.model, folder / FILES[format], format, quantise, samples)
            write_text(folder / "labels.txt", "".join(f"{label}\n" for label in run.class_names))
            contract = run.read("contract.json")
            contract.pop("data_dirs", None)  # where the images lie on this machine is nobody's business elsewhere
            write_json(folder / "contract.json", contract)
            certificate = {
                "export": name,
                **_measure(folder, format, original, run),
                "margin": margin,
                "calibration_images": len(samples),
                **calibration,
                "environment": {key: value for key, value in environment().items() if key != "command"},
            }
            _refuse_loss(name, certificate["accuracy"], original.figures["accuracy"], margin)
            write_json(folder / CERTIFICATE, certificate)
        write_exports(run, original.figures)
    return certificate


def _load(run: Run, split: str, most: int | None = None, say=None) -> tuple[pd.DataFrame, np.ndarray]:
    """The images of a split that can be read, or some of them drawn by seed, and their pixels."""
    part = usable(run.catalog).query("split == @split")
    if most:
        part = part.sample(min(most, len(part)), random_state=SEED)
    pixels, part = load_pixels(part, run.spec)
    rows, left_out = usable(part), part[~is_usable(part)]
    if rows.empty:
        raise ValueError(
            f"No {split} image of {run.folder} can be read. Expected its data where catalog.csv says: "
            f"{', '.join(part['path'].head(1)) or 'there is no such split'}. Bring it back."
        )
    if len(left_out) and say:
        first = "{image_id}: {problem}".format(**left_out.iloc[0])
        say(f"{len(left_out)} of {len(part)} {split} images left out; the first, {first}")
    return rows, pixels


def _groups(rows: pd.DataFrame) -> pd.Series:
    return rows.set_index("image_id")["group"]


def _measure(folder: Path, format: str, original: Original, run: Run) -> dict:
    """What an export weighs, costs and says."""
    see, rows, pixels, model = load_exported(folder), original.rows, original.pixels, folder / FILES[format]
    probabilities = see(pixels)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # of 8 bits each, those of many classes miss 1 by far
    keys = (rows[column].tolist() for column in ("image_id", "split", "class_name"))
    predictions = make_table(*keys, probabilities, run.class_names)
    canary = see(canary_images(run.spec.shape, SEED))
    return {
        "sha256": file_hashes(folder),
        "bytes": sum(path.stat().st_size for path in (model, *model.rglob("*")) if path.is_file()),
        "latency_ms": latency_ms(see, pixels[:1], **CALLS),
        "threads": THREADS,
        "split": "validation",
        "accuracy": classification_metrics(predictions, groups=_groups(rows))["accuracy"],
        "original": original.figures,
        **agreement(predictions, original.predictions, _groups(rows)),
        "canary": {"seed": SEED, "probabilities": canary.tolist()},
    }


def _refuse_loss(name: str, accuracy: dict, original: dict, margin: float) -> None:
    if original["value"] - accuracy["value"] > margin + 1e-9:  # 45 of 50 are 0.02 below 46, and a rounding more
        raise ValueError(
            f"{name} is not written: its validation accuracy is {accuracy['value']:.4f} and that of the Keras model "
            f"{original['value']:.4f} (n={accuracy['n']}). Expected at most {margin} less: allow more with margin=, "
            "or take another quantise=."
        )
