"""Which layer of a model a heat map is made of."""

import difflib

import keras
from keras import layers

from marinecv.models.flat import flat

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
NO_NEW_MAPS = (  # what may stand between the last maps and the head, and says nothing new of where
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.ZeroPadding2D,
    layers.Dropout,
)


def final_convolution(model: keras.Model) -> str:
    """Name the layer whose maps are the last before pooling or flattening, with what follows the convolution applied.

    Of our CNNs the ReLU of the last convolution; of backbones InceptionV3 `mixed10`, ResNet50 `conv5_block3_out`,
    MobileNet `conv_pw_13_relu`, MobileNetV2 `out_relu`, MobileNetV3Large the activation behind `conv_1`, EfficientNetB4
    `top_activation`. Of models in the model, the names of their own layers.
    """
    model = flat(model)
    places = [place for place, layer in enumerate(model.layers) if isinstance(layer, CONVOLUTIONS)]
    if not places:
        nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
        hint = f" Those of {nested[0]!r}, a subclassed model, are out of reach." if nested else ""
        raise ValueError(
            f'{model.name} has no convolution, so there are no maps to make heat of.{hint} Use method="saliency" or '
            '"lime", which look at pixels alone.'
        )
    behind = [layer for layer in model.layers[places[-1] :] if _gives_maps(layer)]
    return [layer.name for layer in behind if not isinstance(layer, NO_NEW_MAPS)][-1]


def maps_layer(model: keras.Model, name: str | None = None) -> str:
    """Return the name of a layer that gives maps; None takes the final convolution.

    Raises ValueError where there is no such layer, or it gives no `(height, width, channels)`.
    """
    if name is None:
        return final_convolution(model)
    model = flat(model)
    known = {layer.name: layer for layer in model.layers}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"{model.name} has no layer {name!r}.{hint} Expected one of its {len(known)} layers, such as "
            f"{final_convolution(model)!r}, the default."
        )
    if not _gives_maps(known[name]):
        raise ValueError(
            f"The layer {name!r} of {model.name} gives {tuple(known[name].output.shape[1:])}, which is no map. "
            f"Expected one that gives (height, width, channels), such as {final_convolution(model)!r}, the default."
        )
    return name


def _gives_maps(layer: layers.Layer) -> bool:
    return isinstance(layer.output, keras.KerasTensor) and len(layer.output.shape) == 4
