"""Classifiers on pretrained backbones."""

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
from keras import KerasTensor, layers

from marinecv.choices import FUSIONS
from marinecv.models.backbone_file import SCALES, file_backbone
from marinecv.models.backbone_table import backbone_entry, backbone_path, is_preset, weights_file
from marinecv.models.flat import flat
from marinecv.models.normalize import NORMALIZATIONS
from marinecv.models.preset import preset_backbone
from marinecv.models.safe_load import first_line
from marinecv.schema import check_choice


def backbone_classifier(
    image_shape: tuple[int, int, int], num_classes: int, *, hidden: Sequence[int] = (), dropout: float = 0.2, **backbone
) -> keras.Model:
    """Build a backbone without its top, global pooling, optional dense layers, dropout and softmax: one flat graph.

        >>> import marinecv as mcv
        >>> mcv.backbone_classifier((64, 64, 3), 7, backbone="mobilenet", weights=None).output_shape
        (None, 7)

    Args:
        image_shape, num_classes: `(height, width, 3)` of the input, and number of outputs.
        hidden, dropout: units of dense ReLU layers, and dropout behind each; without any, before the output.
        **backbone: arguments of `backbone_features`: `backbone="mobilenet"`, `weights`, `trainable_layers` and so on.
    Returns:
        Model from `(batch, height, width, 3)` in [0, 255] to `(batch, num_classes)` probabilities.
    Source: aquarium report, section 1.6; Keras applications.
    """
    features = backbone_features(image_shape, **backbone)
    return keras.Model(features.input, head(features.output, num_classes, hidden, dropout), name=features.name)


def multimodal_classifier(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    attributes: int = 312,
    attribute_units: int = 256,
    fusion: str = "concatenate",
    hidden: Sequence[int] = (512,),
    dropout: float = 0.5,
    **backbone,
) -> keras.Model:
    """Build a classifier on the pooled features of a backbone and a dense layer on attributes: one flat graph.

    `attributes` is the length of the vector of attributes, `attribute_units` the size of the dense ReLU layer on it.
    `fusion` is `"concatenate"`, or `"gated"`: a sigmoid of the image features weighs each attribute unit. `hidden` are
    the units of dense ReLU layers before the output, `dropout` stands behind each; `**backbone` are arguments of
    `backbone_features`. Returns a model from pixels `(batch, height, width, 3)` in [0, 255] and attributes `(batch,
    attributes)` from 0 to 1 to `(batch, num_classes)` probabilities. Source: birds report, section 3.2.
    """
    check_choice(FUSIONS, fusion=fusion)
    features = backbone_features(image_shape, **backbone)
    inputs = keras.Input((attributes,), name="attributes")
    x = layers.Identity(name="attribute_values")(inputs)  # a graph cannot be cut at an input
    x = layers.Dense(attribute_units, activation="relu", name="attribute_dense")(x)
    x = layers.Dropout(dropout, name="attribute_dropout")(x)
    if fusion == "gated":
        gate = layers.Dense(attribute_units, activation="sigmoid", name="attribute_gate")(features.output)
        x = layers.Multiply(name="gated_attributes")([x, gate])
    x = layers.Concatenate(name="image_and_attributes")([features.output, x])
    outputs = head(x, num_classes, hidden, dropout)
    return keras.Model([features.input, inputs], outputs, name=f"multimodal_{features.name}")


def head(x: keras.KerasTensor, num_classes: int, hidden: Sequence[int], dropout: float) -> keras.KerasTensor:
    """Add optional dense layers with dropout behind each, else dropout alone, and softmax."""
    for number, units in enumerate(hidden, start=1):
        x = layers.Dense(units, activation="relu", name=f"head_dense{number}")(x)
        x = layers.Dropout(dropout, name=f"head_dropout{number}")(x)
    if dropout and not hidden:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    return layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)


def backbone_features(
    image_shape: tuple[int, int, int],
    *,
    backbone: str = "mobilenetv3large",
    weights: str | None = "imagenet",
    trainable_layers: int | None = 20,
    trainable_blocks: Sequence[str] = (),
    alpha: float = 1.0,
    normalization: str = "backbone",
    pooling: str = "avg",
    also_pooled: Sequence[str] = (),
    freeze_batch_norm: bool = True,
    input_range: str = "",
    backbone_sha256: str = "",
) -> keras.Model:
    """Build a backbone without its top, and global pooling.

    Args:
        image_shape: `(height, width, 3)`.
        backbone: a name of `backbones_table`, a Keras file, `.keras` or `.h5`, or a preset of KerasHub (kept frozen).
        weights: `"imagenet"`, None for random ones, or the path of a weights file without top.
        trainable_layers: number of trainable layers, from the last; 0 freezes all, None trains all.
        trainable_blocks: prefixes of the names of the trainable layers, such as `conv5_`, instead of their number.
        alpha: width multiplier, of the MobileNets only.
        normalization: `"backbone"` is the range it was trained on; or `"standardize"`, `"unit"`, `"imagenet"`.
        pooling: `"avg"`, `"max"` or `"avg_max"` (both, concatenated).
        also_pooled: earlier layers whose maps are pooled too, for finer features.
        freeze_batch_norm: batch normalization keeps its statistics and scales, in trainable layers too.
        input_range: of a file or preset that does not tell how to scale pixels, a word of `choices.INPUT_RANGES`.
        backbone_sha256: hash that the file must have.
    Returns:
        Model from `(batch, height, width, 3)` in [0, 255] to `(batch, features)`; ValueError where a layer is unknown,
        or the backbone cannot take the normalization, width or weights file.
    """
    check_choice(("backbone", *NORMALIZATIONS), normalization=normalization)
    inputs, path = keras.Input(image_shape, name="pixels"), backbone_path(backbone)
    if path and (alpha != 1.0 or weights not in ("imagenet", str(path)) or normalization != "backbone"):
        raise ValueError(f"{path} has its own weights, width and range. Leave out weights=, alpha= and normalization=.")
    if input_range and not path:
        raise ValueError(f"The input range of {backbone} is known. Leave out input_range={input_range!r}.")
    load = preset_backbone if path and is_preset(path) else file_backbone
    if load is preset_backbone and (trainable_layers != 0 or trainable_blocks or also_pooled):
        raise ValueError(
            f"{path} is a preset of KerasHub, which stays frozen. Use trainable_layers=0, and no trainable_blocks or "
            "also_pooled: these need a network of keras.applications or a Keras file."
        )
    base = path and load(path, inputs, input_range, backbone_sha256)
    base = base or _application(inputs, backbone, weights, alpha, normalization)
    trainable = _trainable_names(base, trainable_layers, trainable_blocks)
    for layer in base.layers:
        is_batch_norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = layer.name in trainable and not (is_batch_norm and freeze_batch_norm)
        if layer.name not in trainable and isinstance(layer, layers.Dropout):
            layer.rate = 0.0  # such as stochastic depth: a frozen layer does the same in training as in inference
    maps_by_layer = {layer.name: layer.output for layer in base.layers if len(layer.output.shape) == 4}
    if missing := [name for name in also_pooled if name not in maps_by_layer]:
        raise ValueError(
            f"{base.name} has no map {missing[0]!r}. Its last ones are {', '.join([*maps_by_layer][-6:])}."
        )
    maps = {"": base.output} | {f"_of_{name}": maps_by_layer[name] for name in also_pooled}
    pooling_layers = {"average": layers.GlobalAveragePooling2D, "largest": layers.GlobalMaxPooling2D}
    chosen = {"avg": ["average"], "max": ["largest"], "avg_max": ["average", "largest"]}
    check_choice(chosen, pooling=pooling)
    pooled = [pooling_layers[way](name=way + of)(x) for of, x in maps.items() for way in chosen[pooling]]
    outputs = layers.Concatenate(name="pooled")(pooled) if len(pooled) > 1 else pooled[0]
    name = re.sub(r"\W", "_", Path(path).stem) if path else backbone
    return keras.Model(base.inputs[0], outputs, name=name)


def _application(inputs: KerasTensor, backbone: str, weights: str | None, alpha: float, normalization: str):
    """Return a network of `keras.applications` without its top, from pixels in [0, 255]."""
    entry = backbone_entry(backbone)
    if normalization != "backbone" and entry.rescales_inside:
        raise ValueError(
            f"{backbone} rescales [0, 255] inside, which would make {normalization!r} input constant. "
            'Use normalization="backbone".'
        )
    if alpha != 1.0 and not entry.alphas:
        raise ValueError(f"{backbone} has no width multiplier. Received: alpha={alpha}. Leave it at 1.0.")
    if entry.rescales_inside and weights not in (None, "imagenet"):
        raise ValueError(
            f"Keras scales the input of {backbone} for its own weights file. Put yours in place of "
            f'{weights_file(backbone)} and use weights="imagenet". Received: weights={str(weights)!r}.'
        )
    if weights == "imagenet" and entry.alphas and weights_file(backbone, alpha).is_file():
        weights = weights_file(backbone, alpha)  # at 128, 160 and 192 pixels Keras would look for another file
    scale = SCALES[entry.input_range] if normalization == "backbone" else NORMALIZATIONS[normalization]
    options = dict(entry.options) | ({"alpha": alpha} if entry.alphas else {})
    options |= {"include_top": False, "input_shape": inputs.shape[1:]}
    options["weights"] = weights if weights == "imagenet" else None
    with warnings.catch_warnings():
        # Convolution weights trained at 224 pixels serve every size.
        warnings.filterwarnings("ignore", message=".*input_shape.* is undefined or non-square")
        try:
            base = getattr(keras.applications, entry.factory)(input_tensor=scale(inputs), **options)
        except Exception as error:  # so Keras calls a download that failed
            if "URL fetch failure" not in str(error):
                raise
            file = weights_file(backbone, alpha)
            hint = f"Run it again with a network, or put {file.name} into {file.parent}."
            raise ConnectionError(f"{error}. {hint}") from None
    if weights not in (None, "imagenet"):
        _load_weights(base, Path(weights), backbone)
    return flat(base) if any(isinstance(layer, keras.Model) for layer in base.layers) else base  # ConvNeXt


def _trainable_names(base: keras.Model, count: int | None, blocks: Sequence[str]) -> set[str]:
    """Return the names of the trainable layers."""
    names = [layer.name for layer in base.layers]
    for prefix in blocks:
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(
                f"No layer of {base.name} has a name that begins with {prefix!r}. Its last ones are "
                f"{', '.join(names[-3:])}."
            )
    if blocks:
        return {name for name in names if name.startswith(tuple(blocks))}
    return set(names if count is None else names[max(0, len(names) - count) :])


def _load_weights(base: keras.Model, file: Path, backbone: str) -> None:
    try:
        base.load_weights(file)
    except Exception as error:  # Keras and h5py raise many kinds
        raise ValueError(
            f"{file} cannot be loaded into {backbone}: {first_line(error)} Expected a file .weights.h5 that "
            "save_weights of the same backbone wrote without its top, at the same alpha."
        ) from error


def set_batch_norm_statistics(model: keras.Model, batches: Iterable) -> None:
    """Replace the statistics of every batch normalization, in place, by their mean over some batches of pixels.

    A network with random weights and default statistics shrinks its signal layer by layer to nothing.
    """
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    before = [(norm.momentum, norm.trainable) for norm in norms]
    for norm in norms:
        norm.trainable = True
    for number, batch in enumerate(batches):
        for norm in norms:
            norm.momentum = number / (number + 1)  # the running mean of all batches so far
        model(batch, training=True)
    for norm, (momentum, trainable) in zip(norms, before, strict=True):
        norm.momentum, norm.trainable = momentum, trainable
