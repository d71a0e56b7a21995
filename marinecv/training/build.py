"""Build and compile the model of a recipe."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from marinecv.models.autoencoders import is_variational, target_of
from marinecv.schema import check_type
from marinecv.training.recipe import Recipe, Training


def build_model(recipe: Recipe, num_classes: int) -> keras.Model:
    """Build the model of a recipe, not compiled: pixels in [0, 255] (and attributes) to probabilities.

        >>> import marinecv as mcv
        >>> parts = {"data": mcv.DataConfig(name="reef"), "image": mcv.ImageSpec(), "model": mcv.ScratchModel()}
        >>> mcv.build_model(mcv.Recipe(name="mine", title="Mine", training=mcv.Training(), **parts), 7).output_shape
        (None, 7)

    An autoencoder returns images instead. ValueError if `recipe` is no recipe, or `num_classes` no whole number.
    """
    check_type(Recipe, recipe=recipe)
    check_type(int, num_classes=num_classes)
    return recipe.model.build(recipe.image.shape, num_classes)


def compile_model(
    model: keras.Model, training: Training, learning_rate: float | None = None, *, weighted: bool = False
) -> None:
    """Compile a model in place with the optimizer, the loss and the metrics of a recipe's training.

        >>> import marinecv as mcv
        >>> model = mcv.cnn((64, 64, 3), 7)
        >>> mcv.compile_model(model, mcv.Training(optimizer="adam"))
        >>> type(model.optimizer).__name__
        'Adam'

    `learning_rate` replaces the recipe's; `weighted` applies sample weights to the metrics too. ValueError if the
    settings ask for decay of a model that is not built.
    """
    check_type(keras.Model, model=model)
    check_type(Training, training=training)
    named = {"precision": keras.metrics.Precision(name="precision"), "recall": keras.metrics.Recall(name="recall")}
    metrics = [named.get(name, name) for name in training.metrics]
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing)
    if training.focal_gamma:
        how = {"gamma": training.focal_gamma, "label_smoothing": training.label_smoothing}
        loss = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, **how)  # class_weights weigh classes
    compile_with(model, training, learning_rate, loss=loss, **{"weighted_metrics" if weighted else "metrics": metrics})


def compile_with(model: keras.Model, training: Training, learning_rate: float | None = None, **how) -> None:
    """Compile with the optimizer of the settings and any loss; see `compile_model`."""
    if (training.l2 or training.weight_decay) and not model.built:
        raise ValueError("l2 and weight_decay act on variables. Expected a built model: call model.build first.")
    options = {"learning_rate": learning_rate or training.learning_rate, **training.optimizer_options}
    optimizer = keras.optimizers.get({"class_name": training.optimizer, "config": options})
    undecayed = [variable for variable in model.trainable_variables if not _is_decayed(variable, training.decay_scope)]
    optimizer.exclude_from_weight_decay(undecayed)
    for variable in model.trainable_variables:
        if training.l2 or isinstance(variable.regularizer, TrainingL2):
            is_decayed = training.l2 and _is_decayed(variable, training.decay_scope)
            variable.regularizer = TrainingL2(training.l2 / 2) if is_decayed else None
    jit_compile = {"auto": "auto", "on": True, "off": False}[training.jit_compile]
    model.compile(optimizer=optimizer, jit_compile=jit_compile, **how)


def with_loss(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Return a compiled model with the loss of an autoencoder, which shares its layers.

    The loss is the mean squared error; a variational one adds `beta` times the Kullback-Leibler divergence of its
    embedding from a standard normal distribution, divided by the number of values of an image.
    """
    outputs, losses, weights = {"restored": model.outputs[0]}, {"restored": "mse"}, {"restored": 1.0}
    if is_variational(model):
        mean, log_variance = (model.get_layer(name).output for name in ("code", "log_variance"))
        divergence = ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=-1, keepdims=True) / 2
        outputs["divergence"] = divergence / float(np.prod(model.output_shape[1:]))
        losses["divergence"] = "mae"  # it is never negative: its mean error from 0 is itself
        weights["divergence"] = recipe.model.beta
    fitted_model = keras.Model(model.inputs[0], outputs)
    compile_with(fitted_model, recipe.training, loss=losses, loss_weights=weights, metrics=None)
    return fitted_model


def with_targets(pairs: tf.data.Dataset, model: keras.Model) -> tf.data.Dataset:
    """Map `(noisy, clean)` pixels to the inputs and targets of `with_loss(model)`."""
    target, variational = target_of(model), is_variational(model)

    def targets(clean):
        divergence = {"divergence": tf.zeros((tf.shape(clean)[0], 1))} if variational else {}
        return {"restored": target(clean)} | divergence

    return pairs.map(lambda noisy, clean: (noisy, targets(clean)))


class TrainingL2(keras.regularizers.L2):
    """The regularizer of `Training.l2`, which compiling again removes, unlike those of the model itself."""


def _is_decayed(variable: keras.Variable, scope: str) -> bool:
    return scope == "all" or (len(variable.shape) > 1 and variable.name != "bias")


def backbone_of(model: keras.Model) -> keras.Model:
    """Return the model from pixels to the global pooling."""
    names = [layer.name for layer in model.layers]
    pooled = next(name for name in ("pooled", "average", "largest") if name in names)
    return keras.Model(model.inputs[0], model.get_layer(pooled).output)


def freeze_backbone(model: keras.Model) -> list[keras.layers.Layer]:
    """Freeze all but the head; return the layers that were trainable."""
    frozen = [layer for layer in backbone_of(model).layers if layer.trainable]
    for layer in frozen:
        layer.trainable = False
    return frozen
