"""A Keras file of one's own as a backbone: its layers up to the last feature map, at another image size."""

from pathlib import Path

import keras
import numpy as np
from keras import KerasTensor, layers

from marinecv.choices import INPUT_RANGES
from marinecv.files.hashes import sha256
from marinecv.models.flat import check_graph, copied, flat
from marinecv.models.normalize import bgr_centered, imagenet, raw, signed_unit, unit
from marinecv.models.safe_load import check_loadable, first_line, load_h5_model, load_model

SCALES = dict(zip(INPUT_RANGES, (raw, unit, signed_unit, imagenet, bgr_centered), strict=True))
RESERVED = {"average", "largest", "pooled", "probabilities"}  # names of layers behind a backbone
MIN_SPAN, MAX_PIXEL = 0.5, 300.0  # of what the first weights read: fewer are scaled twice, more are not scaled


def check_hash(path: Path | str, expected: str) -> str:
    """Return the hash of a file or preset folder, "" of an address; ValueError where it is not the `expected` one."""
    parts = [path] if Path(path).is_file() else sorted(Path(path).glob("*.[jh]*"))  # of a preset: .json and .h5
    found = "".join(sha256(part)[: 64 // len(parts)] for part in parts)
    if expected not in ("", found):
        raise ValueError(f"{path} has changed since this recipe was settled. Put the old file there, or train again.")
    return found


def file_backbone(path: Path, inputs: KerasTensor, input_range: str, expected_hash: str = "") -> keras.Model:
    """Return a flat model from `inputs`, pixels in [0, 255] of any size, to the last feature map of a Keras file.

    A file whose graph begins with `Rescaling` or `Normalization` takes pixels as they are, another the `input_range`.
    ValueError where it has changed, has no feature map or is for one image size, or the range is unknown or wrong.
    """
    check_hash(path, expected_hash)
    model = load_model(path) if path.suffix == ".keras" else load_h5_model(path)
    check_graph(model)
    model = flat(model)
    check_loadable(model)
    if (shape := model.inputs[0].shape)[3:] != (3,):
        raise ValueError(f"{path} takes {tuple(shape[1:])}. Expected images (height, width, 3).")
    model = keras.Model(model.inputs[0], feature_map(model, path))
    before = model.operations[: model.operations.index(_first_weighted(model))]
    rescales = any(isinstance(each, (layers.Rescaling, layers.Normalization)) for each in before)
    if not (rescales or input_range):
        raise ValueError(
            f"{path} does not scale pixels itself, and nothing tells what it was trained on. Name it: "
            'input_range="signed" (-1 to 1, as Teachable Machine), "0..1", "0..255", "imagenet" or "bgr".'
        )
    scaled = SCALES[input_range or "0..255"](inputs)
    taken = RESERVED | {each.name for each in keras.Model(inputs, scaled).operations}
    try:
        base = keras.Model(inputs, copied(model, scaled, taken), name="file")
    except Exception as error:  # of any layer
        raise ValueError(f"{path} takes {shape[1]} x {shape[2]} pixels only: {first_line(error)} Use these.") from error
    _check_range(base, path)
    return base


def feature_map(model: keras.Model, path: Path) -> KerasTensor:
    """Return the output of a flat model, or what its head of pooling, flattening and dense layers begins with."""
    maps = [x for each in model.operations for x in keras.tree.flatten(each.output) if len(x.shape) == 4]
    maps = [each for each in maps if each.shape[1:3] != (1, 1)] or maps  # those are squeezed, pooled or logits
    tensor = model.outputs[0] if len(model.outputs[0].shape) == 4 else maps[-1]
    if not _first_weighted(keras.Model(model.inputs[0], tensor)):
        raise ValueError(
            f"{path} has no trained feature map (height, width, channels) before its pooling or dense layers. Save one "
            "that ends in it: keras.Model(model.input, model.get_layer(NAME).output)."
        )
    return tensor


def _first_weighted(model: keras.Model) -> keras.Operation | None:
    fixed = (layers.Rescaling, layers.Normalization)
    return next(
        (each for each in model.operations if getattr(each, "weights", 0) and not isinstance(each, fixed)), None
    )


def _check_range(base: keras.Model, path: Path) -> None:
    """Raise ValueError where a ramp from 0 to 255 reaches the first weights as a constant, or not scaled at all."""
    height, width, channels = base.inputs[0].shape[1:]
    ramp = np.linspace(0, 255, height * width * channels, dtype=np.float32).reshape(1, height, width, channels)
    [read] = keras.tree.flatten(_first_weighted(base).input)
    found = keras.ops.convert_to_numpy(keras.Model(base.inputs[0], read)(ramp))
    if np.ptp(found) < MIN_SPAN or np.abs(found).max() > MAX_PIXEL:
        raise ValueError(
            f"Pixels from 0 to 255 reach the first weights of {path} from {found.min():.3g} to {found.max():.3g}: they "
            "are scaled twice, or were scaled outside the file. Leave out input_range, or name that of its training."
        )
