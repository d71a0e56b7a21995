"""An image and attributes of what it shows, side by side."""

from collections.abc import Sequence

import keras
from keras import layers

from marinecv.checked import one_of
from marinecv.choices import FUSIONS
from marinecv.models.backbones import backbone_features, head


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
    """The pooled features of a backbone beside a dense layer on attributes, fused, then dense layers and softmax.

    Args:
        image_shape: `(height, width, 3)`.
        num_classes: outputs.
        attributes: length of the vector of attributes.
        attribute_units: of the dense ReLU layer on them.
        fusion: `"concatenate"`, or `"gated"`: the image says by a sigmoid how much of each attribute unit counts.
        hidden: units of dense ReLU layers before the output.
        dropout: behind each dense layer.
        **backbone: as `backbone_features` takes them.
    Returns:
        Model from pixels `(batch, height, width, 3)` in [0, 255] and attributes `(batch, attributes)` from 0 to 1 to
        `(batch, num_classes)` probabilities: one flat graph.
    Raises:
        ValueError: as `backbone_features`, or an unknown fusion.
    Source: birds report, section 3.2.
    """
    one_of(FUSIONS, fusion=fusion)
    seen = backbone_features(image_shape, **backbone)
    told = keras.Input((attributes,), name="attributes")
    x = layers.Identity(name="told")(told)  # Keras cannot cut a graph at an input itself: `features.frontier.split`
    x = layers.Dense(attribute_units, activation="relu", name="attribute_dense")(x)
    x = layers.Dropout(dropout, name="attribute_dropout")(x)
    if fusion == "gated":
        gate = layers.Dense(attribute_units, activation="sigmoid", name="attribute_gate")(seen.output)
        x = layers.Multiply(name="gated_attributes")([x, gate])
    x = layers.Concatenate(name="image_and_attributes")([seen.output, x])
    return keras.Model([seen.input, told], head(x, num_classes, hidden, dropout), name=f"multimodal_{seen.name}")
