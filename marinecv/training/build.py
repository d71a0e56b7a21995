"""A recipe -> a compiled model."""

import keras

from marinecv.models.backbones import backbone_classifier
from marinecv.models.cnn import cnn
from marinecv.training.recipe import Recipe, ScratchModel, Training


def build_model(recipe: Recipe, num_classes: int) -> keras.Model:
    """Build the model of a recipe: pixels in [0, 255] in, probabilities out; not compiled.

    Args:
        recipe: its image spec and model part are read.
        num_classes: outputs.
    """
    settings = vars(recipe.model)
    if isinstance(recipe.model, ScratchModel):
        return cnn(recipe.image.shape, num_classes, **settings)
    weights = None if recipe.model.weights == "none" else recipe.model.weights
    return backbone_classifier(recipe.image.shape, num_classes, **{**settings, "weights": weights})


def compile_model(model: keras.Model, training: Training, learning_rate: float | None = None) -> None:
    """Compile with the optimiser of the recipe, categorical cross-entropy and accuracy.

    Args:
        model: compiled in place.
        training: the settings.
        learning_rate: another one than the recipe's.
    Raises:
        ValueError: an unknown optimiser.
    """
    options = {"learning_rate": learning_rate or training.learning_rate}
    if training.weight_decay:
        options["weight_decay"] = training.weight_decay
    if training.optimizer == "sgd":
        options["momentum"] = training.momentum
    optimizers = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    if training.optimizer not in optimizers:
        raise ValueError(f"Expected an optimizer among {', '.join(optimizers)}. Received: {training.optimizer!r}.")
    model.compile(
        optimizer=optimizers[training.optimizer](**options),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing),
        metrics=["accuracy"],
        jit_compile={"auto": "auto", "on": True, "off": False}[training.jit_compile],
    )


def freeze_backbone(model: keras.Model) -> list[keras.layers.Layer]:
    """Freeze all but the head, which begins behind the global pooling; return the layers that were trainable."""
    names = [layer.name for layer in model.layers]
    pooled = max(names.index(name) for name in ("average", "largest", "average_and_largest") if name in names)
    frozen = [layer for layer in model.layers[:pooled] if layer.trainable]
    for layer in frozen:
        layer.trainable = False
    return frozen
