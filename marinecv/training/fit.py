"""Train a recipe into a run folder."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.atomic import whole_file, write_json
from marinecv.choices import FITTED_SPLITS
from marinecv.console import quiet
from marinecv.data.held import calibration_rows
from marinecv.data.user_tables import is_usable, usable
from marinecv.inputs.augment import with_noise
from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import attributes_of, make_dataset
from marinecv.inputs.pixels import load_pixels, rows_of, split_of
from marinecv.models.autoencoders import decoder_of, encoder_of
from marinecv.models.backbones import set_batch_norm_statistics
from marinecv.models.flat import one_or_all
from marinecv.progress import duration
from marinecv.runs import Run
from marinecv.schema import of_type
from marinecv.tables import write_table
from marinecv.training.build import (
    backbone_of,
    build_model,
    compile_model,
    freeze_backbone,
    with_loss,
    with_targets,
)
from marinecv.training.callbacks import batch_bar, callbacks
from marinecv.training.checkpoint import restore_weights
from marinecv.training.distribution import accelerator, of_leader, one_device, share_here
from marinecv.training.learner import Parts, learner
from marinecv.training.recipe import Recipe

STATISTICS_IMAGES = 512  # at most; a small train split is used whole


def load_run(run: Run, recipe: Recipe, say: Callable[[str], None] | None = None) -> np.ndarray:
    """Decode the usable images of a run to uint8 (n, height, width, 3), in the order of `usable(run.catalog)`."""
    of_type(Run, run=run)
    of_type(Recipe, recipe=recipe)
    before = run.catalog
    pixels, catalog = load_pixels(before, recipe.image, log=say)
    if new := (catalog["problem"] != before["problem"]).sum():
        write_table(run.path("catalog.csv"), catalog)
        in_all, say = (~is_usable(catalog)).sum(), say or quiet
        say(f"  {in_all} images are unusable, {new} of them found when decoded; catalog.csv and the report say why")
    return pixels


def fit_recipe(
    recipe: Recipe,
    run: Run,
    pixels: np.ndarray,
    *,
    also: Sequence[keras.callbacks.Callback] = (),
    say: Callable[[str], None] | None = None,
) -> keras.Model:
    """Train a recipe into a run, or resume it, save `model.keras` and return it with the weights of the best epoch.

    Within `distributed` all devices train one model; of several processes, which share the folder, the first writes.
    `pixels` are those of `load_run(run, recipe)`; `also` are more callbacks, such as a tracker. ValueError if train or
    validation is empty, the checkpoint is of another model, the recipe does not allow several devices, or the training
    diverged.
    """
    started, share, say = time.perf_counter(), share_here(), say or quiet
    parts, leads = prepared(recipe, run, pixels), share.process == 0
    training, class_names = recipe.training, run.class_names
    told = run.attributes if recipe.model.takes_attributes else None
    attributes = {split: attributes_of(told, part) for split, (part, _) in parts.items()}

    model = build_model(recipe, len(class_names))
    state = restore_weights(model, run.path("checkpoint.npz"))  # first: the key of a feature cache hashes the weights
    done = state.epochs_done if state else 0
    if recipe.model.has_backbone and not recipe.model.is_pretrained and not done:
        train_pixels = parts["train"][1]
        sample = np.random.default_rng(training.seed).permutation(len(train_pixels))[:STATISTICS_IMAGES]
        images = train_pixels[np.sort(sample)].astype(np.float32)
        with one_device(model) as alone:
            set_batch_norm_statistics(
                backbone_of(alone), np.array_split(images, max(1, len(images) // training.batch_size))
            )
            weights = alone.get_weights()
        model.set_weights(of_leader(weights))

    class_weight = _class_weights(parts["train"][0], class_names) if training.class_weights else None
    by_fit, by_input = (class_weight, None) if share.devices == 1 else (None, class_weight)

    def fit(stage, first, last, learning_rate):
        clock = EpochCounter(first)
        inputs = {"attributes": attributes, "class_weight": by_input, "start_epoch": clock, "share": share, "say": say}
        learns, train, validation = learner(model, recipe, class_names, parts, **inputs)
        compile_model(learns, training, learning_rate, weighted=share.devices > 1)
        how = {"stage": stage, "whole": model, "writes": leads, "validation_images": len(parts["validation"][0])}
        own = callbacks(training, run.folder, resume=True, say=say, **how)
        _fit(learns, train, validation, first, last, [clock, *own, *also], say, by_fit)
        if leads:
            check_finite(model, run, learning_rate, say)

    head_epochs = _head_epochs(recipe)
    if done < head_epochs:
        thawed = freeze_backbone(model)
        fit("head", done, head_epochs, training.head_learning_rate)
        for layer in thawed:
            layer.trainable = True
        done = head_epochs
    if head_epochs < training.epochs:
        fit("all", done, training.epochs, training.learning_rate)

    if leads:
        keep(model, run, recipe)
    say(f"  trained in {duration(time.perf_counter() - started)}")
    return model


def fit_autoencoder(
    recipe: Recipe,
    run: Run,
    pixels: np.ndarray,
    *,
    also: Sequence[keras.callbacks.Callback] = (),
    say: Callable[[str], None] | None = None,
) -> keras.Model:
    """Train an autoencoder into a run, or resume it, and save `encoder.keras`, `decoder.keras` and `model.keras`.

    The encoder takes pixels in [0, 255] and returns embeddings (and skip connections), from which the decoder returns
    images. Each epoch has new noise, validation the same. Arguments, result and errors are those of `fit_recipe`, and
    ValueError on several devices.
    """
    if share_here().devices > 1:
        raise ValueError("An autoencoder is trained on one device. Leave out distribute=.")
    started, say, parts = time.perf_counter(), say or quiet, prepared(recipe, run, pixels)
    training = recipe.training
    model = build_model(recipe, len(run.class_names))
    state = restore_weights(model, run.path("checkpoint.npz"))
    done = state.epochs_done if state else 0
    counter = EpochCounter(done)

    def pairs(split: str, start_epoch: EpochCounter | None) -> tf.data.Dataset:
        rows, of_split = parts[split]
        drawn = {} if start_epoch is None else {"training": True, "start_epoch": start_epoch, "seed": training.seed}
        moves = {"augmentation": training.augmentation, "batch_size": training.batch_size, "pixels": of_split}
        batches = make_dataset(rows, recipe.image, run.class_names, **moves, **drawn)
        noise = {"salt": recipe.model.salt, "pepper": recipe.model.pepper, "seed": training.seed}
        return with_targets(with_noise(batches, **noise, start_epoch=start_epoch), model)

    how = {"resume": True, "say": say, "whole": model, "validation_images": len(parts["validation"][0])}
    own = [counter, *callbacks(training, run.folder, **how), *also]
    data = pairs("train", counter), pairs("validation", None)
    _fit(with_loss(model, recipe), *data, done, training.epochs, own, say)
    check_finite(model, run, training.learning_rate, say)
    for name, part in (("encoder", encoder_of(model)), ("decoder", decoder_of(model))):
        with whole_file(run.path(f"{name}.keras")) as file:
            part.save(file)
    keep(model, run, recipe)
    say(f"  trained in {duration(time.perf_counter() - started)}")
    return model


def _fit(learns, train, validation, first: int, last: int, callbacks: list, say: Callable, class_weight=None) -> None:
    with batch_bar(say) as bar:
        epochs = {"initial_epoch": first, "epochs": last, "validation_data": validation}
        learns.fit(train, **epochs, class_weight=class_weight, callbacks=[bar, *callbacks], verbose=0)


def prepared(recipe: Recipe, run: Run, pixels: np.ndarray) -> Parts:
    """Set seed and precision of a training, and return the rows and pixels to fit and validate on.

    They are the usable rows of `"train"` and `"validation"`, without the calibration set.
    """
    of_type(Recipe, recipe=recipe)
    of_type(Run, run=run)
    keras.utils.set_random_seed(recipe.training.seed)
    half = "mixed_float16" if accelerator() == "GPU" else "mixed_bfloat16"
    keras.config.set_dtype_policy(half if recipe.training.mixed_precision else "float32")
    rows, training = usable(run.catalog), recipe.training
    if (expected := (len(rows), *recipe.image.shape)) != np.shape(pixels):
        raise ValueError(f"Expected pixels as load_run(run, recipe) gives: {expected}. Received: {np.shape(pixels)}.")
    parts = {split: split_of(rows, pixels, split) for split in FITTED_SPLITS}
    for split, (part, _) in parts.items():
        if part.empty:
            bad = run.catalog[~is_usable(run.catalog) & (run.catalog["split"] == split)]
            first = f"; the first, {bad['image_id'].iloc[0]}: {bad['problem'].iloc[0]}" if len(bad) else ""
            raise ValueError(f"The {split} split holds no usable image{first}. `marinecv audit` shows the reasons.")
    if training.calibration:
        part, of_part = parts["validation"]
        kept = np.flatnonzero(~calibration_rows(part, training.calibration, training.seed))
        if not len(kept):
            raise ValueError(
                f"calibration={training.calibration} leaves none of {len(part)} validation images to choose the epoch "
                "by. Expected a smaller fraction; calibration=0 holds out none."
            )
        parts["validation"] = part.iloc[kept], rows_of(of_part, kept)
    return parts


def check_finite(model: keras.Model, run: Run, learning_rate: float, say: Callable[[str], None]) -> None:
    """Note the epoch whose loss is not finite; ValueError if the weights are not finite either."""
    if not np.isfinite(run.history["loss"].iloc[-1]):
        message = f"training ended in epoch {len(run.history)}: its loss is not finite; the best weights before it stay"
        run.note(message)
        say(f"  {message}")
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise ValueError(
            f"The training diverged: after {len(run.history)} epochs its weights are not finite. Retrain with a lower "
            f"learning rate. Received: learning_rate={learning_rate}."
        )


def keep(model: keras.Model, run: Run, recipe: Recipe) -> None:
    """Save `model.keras`, then `timing.json`: what the training cost."""
    with one_device(model) as alone:
        with whole_file(run.path("model.keras")) as part:
            alone.save(part)
        write_json(run.path("timing.json"), _timing(alone, run, recipe))


def _head_epochs(recipe: Recipe) -> int:
    """Epochs in which only the head learns; 0 without a backbone."""
    return min(recipe.training.head_epochs, recipe.training.epochs) if recipe.model.has_backbone else 0


def _class_weights(train: pd.DataFrame, class_names: tuple[str, ...]) -> dict[int, float]:
    counts = train["class_name"].value_counts()
    return {i: len(train) / (len(counts) * counts[name]) for i, name in enumerate(class_names) if name in counts}


def _timing(model: keras.Model, run: Run, recipe: Recipe) -> dict:
    history = run.history
    blank = one_or_all([np.zeros((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs])
    return {
        "train_seconds": round(float(history["seconds"].sum()), 1),  # of all epochs, before and after a resume
        "seconds_per_epoch": round(float(history["seconds"].median()), 3),
        "latency_ms_per_image": round(latency_ms(model.predict_on_batch, blank), 2),
        "parameters": model.count_params(),
        "trainable_parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        "epochs": len(history),
        "best_epoch": best_epoch(history, recipe.training.monitor, _head_epochs(recipe)),
        "device": accelerator() or f"{os.cpu_count()} CPU cores",
    }


def best_epoch(history: pd.DataFrame, monitor: str, head_epochs: int = 0) -> int:
    """Return the epoch, from 1, whose weights were restored: the first with the best value of the monitor.

    The head's epochs do not count; if there are no others, it is the last.
    """
    values = history.set_index("epoch")[monitor]
    watched = values[values.index > head_epochs]
    if watched.empty:
        return int(values.index[-1])
    return int(watched.idxmin() if monitor.endswith("loss") else watched.idxmax())


def latency_ms(see: Callable[[Any], Any], image: Any, *, warm_up: int = 1, calls: int = 5) -> float:
    """Return the median time in milliseconds of a model for one image, after warm-up calls."""
    times = []
    for _ in range(warm_up + calls):
        start = time.perf_counter()
        see(image)
        times.append(time.perf_counter() - start)
    return float(np.median(times[warm_up:]) * 1000)
