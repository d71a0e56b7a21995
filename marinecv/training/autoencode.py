"""Train an autoencoder into a run folder."""

import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from marinecv.atomic import whole_file
from marinecv.console import quiet
from marinecv.inputs.augment import with_noise
from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import make_dataset
from marinecv.models.autoencoders import decoder_of, encoder_of, is_variational, target_of
from marinecv.progress import duration
from marinecv.runs import Run
from marinecv.training.build import build_model, compile_with
from marinecv.training.callbacks import batch_bar, callbacks
from marinecv.training.checkpoint import restore_weights
from marinecv.training.distribution import share_here
from marinecv.training.fit import check_finite, keep, prepared
from marinecv.training.recipe import Recipe


def fit_autoencoder(
    recipe: Recipe,
    run: Run,
    pixels: np.ndarray,
    *,
    also: Sequence[keras.callbacks.Callback] = (),
    say: Callable[[str], None] | None = None,
) -> keras.Model:
    """Train until the recipe's end and save `encoder.keras`, `decoder.keras` and `model.keras`; go on where it stopped.

    Each is an ordinary Keras model, `model.keras` both in one: pixels in [0, 255] to the code, and the code (and what
    skips hand across) to the image. Noise is drawn afresh each epoch; that of validation stays. Arguments and errors
    are those of `fit_recipe`; several devices are one more. Returns the autoencoder with the weights of the best epoch.
    """
    if share_here().devices > 1:
        raise ValueError("An autoencoder is trained on one device. Expected no distribution around: leave it out.")
    started, say, parts = time.perf_counter(), say or quiet, prepared(recipe, run, pixels)
    training = recipe.training
    model = build_model(recipe, len(run.class_names))
    state = restore_weights(model, run.path("checkpoint.npz"))
    done = state.epochs_done if state else 0
    learns, counter = with_loss(model, recipe), EpochCounter(done)

    def pairs(split: str, start_epoch: EpochCounter | None) -> tf.data.Dataset:
        rows, of_split = parts[split]
        drawn = {} if start_epoch is None else {"training": True, "start_epoch": start_epoch, "seed": training.seed}
        moves = {"augmentation": training.augmentation, "batch_size": training.batch_size, "pixels": of_split}
        batches = make_dataset(rows, recipe.image, run.class_names, **moves, **drawn)
        noise = {"salt": recipe.model.salt, "pepper": recipe.model.pepper, "seed": training.seed}
        return with_targets(with_noise(batches, **noise, start_epoch=start_epoch), model)

    beside = {"resume": True, "say": say, "whole": model, "validation_images": len(parts["validation"][0])}
    with batch_bar(say) as bar:
        learns.fit(
            pairs("train", counter),
            validation_data=pairs("validation", None),
            initial_epoch=done,
            epochs=training.epochs,
            callbacks=[bar, counter, *callbacks(training, run.folder, **beside), *also],
            verbose=0,
        )
    check_finite(model, run, training.learning_rate, say)
    for name, part in (("encoder", encoder_of(model)), ("decoder", decoder_of(model))):
        with whole_file(run.path(f"{name}.keras")) as file:
            part.save(file)
    keep(model, run, recipe)
    say(f"  trained in {duration(time.perf_counter() - started)}")
    return model


def with_loss(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Return an autoencoder as what learns, compiled; it shares the layers.

    The loss is the mean squared error. A variational one adds the divergence of its code from a standard normal
    distribution, times the recipe's `beta`, over the values of an image, which have one share each of the error.
    """
    outputs, weights = {"restored": model.outputs[0]}, {"restored": 1.0}
    if is_variational(model):
        mean, log_variance = (model.get_layer(name).output for name in ("code", "log_variance"))
        divergence = ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=-1, keepdims=True) / 2
        outputs["divergence"] = divergence / float(np.prod(model.output_shape[1:]))
        weights["divergence"] = recipe.model.beta
    learns = keras.Model(model.inputs[0], outputs)
    losses = {"restored": "mse", "divergence": "mae"}  # it is never negative, so its distance from 0 is itself
    compile_with(
        learns, recipe.training, loss={name: losses[name] for name in outputs}, loss_weights=weights, metrics=None
    )
    return learns


def with_targets(pairs: tf.data.Dataset, model: keras.Model) -> tf.data.Dataset:
    """`(noisy, clean)` pixels as what `with_loss(model)` is fitted on: the clean ones in the range of the model."""
    target, variational = target_of(model), is_variational(model)

    def beside(noisy, clean):
        targets = {"restored": target(clean)}
        if variational:
            targets["divergence"] = tf.zeros((tf.shape(clean)[0], 1))
        return noisy, targets

    return pairs.map(beside)
