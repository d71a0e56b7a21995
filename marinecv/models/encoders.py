"""A classifier on what an autoencoder has learned: the way down of a U-Net, and a head."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import keras
from keras import layers

from marinecv.models.autoencoders import encoder_of, unet
from marinecv.models.backbones import head
from marinecv.models.load import load_model
from marinecv.schema import one_of


def encoder_classifier(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weights: str | Path | None = None,
    frozen: bool = False,
    pooling: str = "avg",
    hidden: Sequence[int] = (),
    dropout: float = 0.2,
    **encoder,
) -> keras.Model:
    """The encoder of a U-Net, its code pooled or flattened, optional dense layers, dropout and softmax: one flat graph.

    It begins with the `encoder.keras` at the path `weights`, of the same filters and of any image size, or with random
    weights. A frozen one stays as it is, its batch normalisation too. The head then takes its code scaled to unit
    variance, image by image: the code of a U-Net with skips is so small that no head would learn from it. Pooling
    `"avg"` hands the mean of the code's map to the head, `"flatten"` every cell. `hidden` are the units of dense ReLU
    layers before the output, with dropout behind each of them; without any, before the output. `**encoder` is as `unet`
    takes it: `filters`, `bottleneck`, `convolutions`, `batch_norm`.

    Returns a model from `(batch, height, width, 3)` in [0, 255] to `(batch, num_classes)` probabilities. Raises
    FileNotFoundError where there is no such file, and ValueError where it holds another encoder, or as `unet` and
    `load_model`. Source: butterflies report, section III: classifiers A (random), B1 (frozen) and B2 (not frozen).
    """
    seen = encoder_of(unet(image_shape, skips=False, **encoder))
    if weights is not None:
        _begin_with(seen, Path(weights))
    for layer in seen.layers:
        layer.trainable = not frozen
    pools = {"avg": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
    one_of(pools, pooling=pooling)
    x = pools[pooling](name="features")(seen.output)
    if frozen:
        x = layers.LayerNormalization(epsilon=1e-10, name="scaled")(x)  # its own scale may be next to nothing
    return keras.Model(seen.input, head(x, num_classes, hidden, dropout), name="encoder_classifier")


def _begin_with(encoder: keras.Model, file: Path) -> None:
    if not file.exists():
        raise FileNotFoundError(f"There is no encoder {file}. Expected the encoder.keras of a run of `autoencode`.")
    found = load_model(file)
    given, wanted = ([tuple(weight.shape) for weight in model.weights] for model in (found, encoder))
    if given != wanted:
        place, pair = next((n, pair) for n, pair in enumerate(zip_longest(given, wanted)) if pair[0] != pair[1])
        here, there = (shape or "none" for shape in pair)
        raise ValueError(
            f"{file} holds another encoder than this classifier's: {len(given)} weights, number {place + 1} of shape "
            f"{here}. Expected {len(wanted)}, that one of {there}. Train one by `autoencode` with the same filters."
        )
    encoder.set_weights(found.get_weights())
