"""A preset of KerasHub as a backbone: frozen, at another image size, in the range that it was trained on."""

from contextlib import suppress
from pathlib import Path

import keras
import numpy as np
from keras import KerasTensor, layers

from marinecv.models.backbone_file import RESERVED, SCALES, check_hash
from marinecv.models.flat import check_graph, copied, is_stock
from marinecv.models.safe_load import first_line


def preset_backbone(preset: Path | str, inputs: KerasTensor, input_range: str, expected_hash: str = "") -> keras.Model:
    """Return a flat model from `inputs`, pixels in [0, 255], to the last feature map of a preset of KerasHub.

    Of a transformer it holds the token of each patch with the class token behind it, if there is one: their mean is
    what DINOv2's linear evaluation takes. Pixels are scaled to `input_range`, else as the preset's
    image converter does. ValueError where the preset has changed or is none for this size, or the range is unknown.
    """
    import keras_hub

    check_hash(preset, expected_hash)
    name, load, own, shape = str(preset), keras_hub.models.Backbone.from_preset, "", inputs.shape[1:]
    try:
        network = load(name, image_shape=shape)
        check_graph(network)
        rows, columns = np.broadcast_to(getattr(network, "patch_size", 1), 2).tolist()
        if shape[0] % rows or shape[1] % columns:
            raise ValueError(f"sides are not multiples of its patches, {rows} x {columns}")
    except Exception as error:  # of any network, or of a download
        with suppress(Exception):
            own = "It was saved for {:d} x {:d} pixels. ".format(*load(name, load_weights=False).image_shape)
        raise ValueError(
            f"{name} is no backbone for {shape[0]} x {shape[1]} pixels: {first_line(error)} {own}Expected a preset of "
            "KerasHub for images of this size: a folder of save_to_preset, hf://... or kaggle://..."
        ) from error
    scale = offset = None
    with suppress(FileNotFoundError, ValueError, AttributeError):  # none in the preset, or none for such a network
        converter = keras_hub.layers.ImageConverter.from_preset(name)
        scale, offset = converter.scale, converter.offset
    if not (input_range or scale or offset):
        raise ValueError(
            f"{name} does not tell how to scale pixels. Name what it was trained on: input_range="
            '"signed" (-1 to 1, as most ViT), "imagenet" (as DINOv2), "0..1", "0..255" or "bgr".'
        )
    scaled = (SCALES[input_range] if input_range else layers.Rescaling(scale or 1.0, offset or 0.0))(inputs)
    settings = network.get_config() | {"name": "preset"}  # the key of the feature cache has names within a layer
    still = type(network).from_config(settings | {key: 0.0 for key in settings if "drop" in key and settings[key]})
    still.set_weights(network.get_weights())
    if all(map(is_stock, still.operations)):
        output = copied(still, scaled, RESERVED | {each.name for each in keras.Model(inputs, scaled).operations})
    else:  # layers of KerasHub: they cannot all be copied, and do not all know their shape
        x = keras.Input(shape, name="scaled")
        inner = keras.Model(x, still(keras.tree.pack_sequence_as(still.input, [x]), training=False), name="inner")
        output = layers.Pipeline([inner], name="preset")(scaled, training=False)
        output = layers.Reshape(inner.output.shape[1:])(output)
    if len(output.shape) == 3:
        count, grid = output.shape[1], (shape[0] // rows, shape[1] // columns)
        if count > (patches := grid[0] * grid[1]):  # class token, registers
            of_class = layers.Flatten()(layers.Cropping1D((0, count - 1))(output))
            of_patches = layers.Cropping1D((count - patches, 0))(output)
            output = layers.Concatenate()([of_patches, layers.RepeatVector(patches)(of_class)])
        grid = grid if count >= patches else (count, 1)  # those of Swin were merged
        output = layers.Reshape((*grid, output.shape[-1]))(output)
    return keras.Model(inputs, output, name="preset")
