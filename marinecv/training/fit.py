"""Train a recipe into a run folder."""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import softmax

from marinecv.choices import FITTED_SPLITS
from marinecv.console import Log, silent
from marinecv.data.groups import groups_of
from marinecv.data.splits.calibration import calibration_mask
from marinecv.data.user_tables import is_usable, usable
from marinecv.features.inference_engine import images_a_batch
from marinecv.files.atomic import whole_file, write_json
from marinecv.files.csv_tables import write_table
from marinecv.inputs.augment import with_noise
from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import attributes_of, label_indices, make_dataset
from marinecv.inputs.pixel_cache import load_pixels, rows_of, split_of
from marinecv.inputs.spec import NONE, Augmentation
from marinecv.models.autoencoders import decoder_of, encoder_of
from marinecv.models.backbones import set_batch_norm_statistics
from marinecv.models.flat import one_or_all
from marinecv.models.save import save_model
from marinecv.progress import duration
from marinecv.runs import Run
from marinecv.schema import check_type
from marinecv.training.build import backbone_of, build_model, compile_model, freeze_backbone, with_loss, with_targets
from marinecv.training.callbacks import batch_bar, callbacks
from marinecv.training.checkpoint import Checkpoint, restore_weights
from marinecv.training.choice_table import add_choices
from marinecv.training.distribution import accelerator, broadcast_from_leader, one_device, shard_here
from marinecv.training.fit_inputs import SplitPixels, learner
from marinecv.training.linear_head import log_losses, pooled_features, pooled_widths, solve_head
from marinecv.training.recipe import Recipe

Callbacks = Sequence[keras.callbacks.Callback]
STATISTICS_IMAGES = 512  # at most; a small train split is used whole


def load_run(run: Run, recipe: Recipe, log: Log | None = None) -> np.ndarray:
    """Decode the usable images of a run to uint8 (n, height, width, 3), in the order of `usable(run.catalog)`."""
    check_type(Run, run=run)
    check_type(Recipe, recipe=recipe)
    before = run.catalog
    pixels, catalog = load_pixels(before, recipe.image, log=log)
    if new_problems := (catalog["problem"] != before["problem"]).sum():
        write_table(run.path("catalog.csv"), catalog)
        found = f"{(~is_usable(catalog)).sum()} images are unusable, {new_problems} of them found when decoded"
        (log or silent)(f"  {found}; catalog.csv and the report say why")
    return pixels


def fit_recipe(
    recipe: Recipe, run: Run, pixels: np.ndarray, *, extra_callbacks: Callbacks = (), log: Log | None = None
) -> keras.Model:
    """Train a recipe into a run, or resume it, save `model.keras` and return it with the weights of the best epoch.

    `pixels` are those of `load_run(run, recipe)`; `extra_callbacks` are, for example, trackers. Within `distributed`
    all devices train one model, and the first process writes. ValueError if train or validation is empty, the
    checkpoint is of another model, the recipe does not allow several devices, or the training diverged.
    """
    started, shard, log = time.perf_counter(), shard_here(), log or silent
    parts, is_leader = prepared(recipe, run, pixels), shard.process == 0
    if recipe.training.head_l2 and shard.devices > 1:
        raise ValueError("A head is solved on one device. Expected head_l2=0, or leave out distribute=.")
    training, class_names = recipe.training, run.class_names
    attribute_table = run.attributes if recipe.model.takes_attributes else None
    attributes = {split: attributes_of(attribute_table, part) for split, (part, _) in parts.items()}

    model = build_model(recipe, len(class_names))
    done = restore_weights(model, run.path("checkpoint.npz"))  # first: the key of a feature cache hashes the weights
    if recipe.model.has_backbone and not recipe.model.is_pretrained and not done:
        train_pixels = parts["train"][1]
        sample = np.random.default_rng(training.seed).permutation(len(train_pixels))[:STATISTICS_IMAGES]
        images = train_pixels[np.sort(sample)].astype(np.float32)
        batches = np.array_split(images, max(1, len(images) // training.batch_size))
        with one_device(model) as local_model:
            set_batch_norm_statistics(backbone_of(local_model), batches)
            weights = local_model.get_weights()
        model.set_weights(broadcast_from_leader(weights))

    class_weight = _class_weights(parts["train"][0], class_names) if training.class_weights else None
    by_fit, by_input = (class_weight, None) if shard.devices == 1 else (None, class_weight)

    def fit(stage, first, last, learning_rate):
        clock = EpochCounter(first)
        inputs = {"attributes": attributes, "class_weight": by_input, "start_epoch": clock, "shard": shard, "log": log}
        learns, train, validation = learner(model, recipe, class_names, parts, **inputs)
        compile_model(learns, training, learning_rate, weighted=shard.devices > 1)
        how = {"stage": stage, "whole": model, "writes": is_leader, "validation_images": len(parts["validation"][0])}
        own = callbacks(training, run.folder, resume=True, log=log, **how)
        _fit(learns, train, validation, first, last, [clock, *own, *extra_callbacks], log, by_fit)
        if is_leader:
            check_finite(model, run, learning_rate, log)

    head_epochs = _head_epochs(recipe)
    if done < head_epochs and training.head_l2:
        fit_head(model, recipe, run, pixels, parts["validation"][0], log)
        done = 1
    elif done < head_epochs:
        frozen_layers = freeze_backbone(model)
        fit("head", done, head_epochs, training.head_learning_rate)
        for layer in frozen_layers:
            layer.trainable = True
        done = head_epochs
    if head_epochs < training.epochs:
        fit("all", done, training.epochs, training.learning_rate)
        if training.keep_if_better:
            model, recipe = keep_better(model, recipe, run, pixels, parts["validation"], log)

    if is_leader:
        keep(model, run, recipe)
    log(f"  trained in {duration(time.perf_counter() - started)}")
    return model


def fit_autoencoder(
    recipe: Recipe, run: Run, pixels: np.ndarray, *, extra_callbacks: Callbacks = (), log: Log | None = None
) -> keras.Model:
    """Train an autoencoder into a run, or resume it, and save `encoder.keras`, `decoder.keras` and `model.keras`.

    The encoder takes pixels in [0, 255] and returns embeddings (and skip connections), from which the decoder returns
    images. Each epoch has new noise, validation the same. Arguments, result and errors are those of `fit_recipe`, and
    ValueError on several devices.
    """
    if shard_here().devices > 1:
        raise ValueError("An autoencoder is trained on one device. Leave out distribute=.")
    started, log, parts = time.perf_counter(), log or silent, prepared(recipe, run, pixels)
    training = recipe.training
    model = build_model(recipe, len(run.class_names))
    done = restore_weights(model, run.path("checkpoint.npz"))
    counter = EpochCounter(done)

    def pairs(split: str, start_epoch: EpochCounter | None) -> tf.data.Dataset:
        rows, of_split = parts[split]
        drawn = {} if start_epoch is None else {"training": True, "start_epoch": start_epoch, "seed": training.seed}
        options = {"augmentation": training.augmentation, "batch_size": training.batch_size, "pixels": of_split}
        batches = make_dataset(rows, recipe.image, run.class_names, **options, **drawn)
        noise = {"salt": recipe.model.salt, "pepper": recipe.model.pepper, "seed": training.seed}
        return with_targets(with_noise(batches, **noise, start_epoch=start_epoch), model)

    how = {"resume": True, "log": log, "whole": model, "validation_images": len(parts["validation"][0])}
    own = [counter, *callbacks(training, run.folder, **how), *extra_callbacks]
    data = pairs("train", counter), pairs("validation", None)
    _fit(with_loss(model, recipe), *data, done, training.epochs, own, log)
    check_finite(model, run, training.learning_rate, log)
    for name, half in (("encoder", encoder_of(model)), ("decoder", decoder_of(model))):
        with whole_file(run.path(f"{name}.keras")) as file:
            half.save(file)
    keep(model, run, recipe)
    log(f"  trained in {duration(time.perf_counter() - started)}")
    return model


def _fit(learns, train, validation, first: int, last: int, callbacks: list, log: Callable, class_weight=None) -> None:
    with batch_bar(log) as bar:
        epochs = {"initial_epoch": first, "epochs": last, "validation_data": validation}
        learns.fit(train, **epochs, class_weight=class_weight, callbacks=[bar, *callbacks], verbose=0)


def prepared(recipe: Recipe, run: Run, pixels: np.ndarray) -> SplitPixels:
    """Set seed and precision of a training, and return the rows and pixels to fit and validate on.

    They are the usable rows of `"train"` and `"validation"`, without the calibration set.
    """
    check_type(Recipe, recipe=recipe)
    check_type(Run, run=run)
    keras.utils.set_random_seed(recipe.training.seed)
    half_policy = "mixed_float16" if accelerator() == "GPU" else "mixed_bfloat16"
    keras.config.set_dtype_policy(half_policy if recipe.training.mixed_precision else "float32")
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
        kept = np.flatnonzero(~calibration_mask(part, training.calibration, training.seed))
        if not len(kept):
            none_left = f"leaves none of {len(part)} validation images to choose the epoch by"
            raise ValueError(f"calibration={training.calibration} {none_left}. Expected a smaller fraction, or 0.")
        parts["validation"] = part.iloc[kept], rows_of(of_part, kept)
    return parts


def check_finite(model: keras.Model, run: Run, learning_rate: float, log: Log) -> None:
    """Note the epoch whose loss is not finite; ValueError if the weights are not finite either."""
    if not np.isfinite(run.history["loss"].iloc[-1]):
        message = f"training ended in epoch {len(run.history)}: its loss is not finite; the best weights before it stay"
        run.note(message)
        log(f"  {message}")
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        reason = f"after {len(run.history)} epochs its weights are not finite"
        raise ValueError(f"The training diverged: {reason}. Lower learning_rate={learning_rate}.")


def keep(model: keras.Model, run: Run, recipe: Recipe) -> None:
    """Save `model.keras`, then `timing.json`: what the training cost."""
    with one_device(model) as local_model:
        save_model(local_model, run.path("model.keras"), run.read("preprocessing.json"))
        write_json(run.path("timing.json"), _timing(local_model, run, recipe))


def fit_head(
    model: keras.Model, recipe: Recipe, run: Run, pixels: np.ndarray, held_out: pd.DataFrame, log: Log
) -> None:
    """Solve the head of a model in place, as the first epoch of its history and checkpoint."""
    started, training = time.perf_counter(), recipe.training
    rows, losses, is_right = solve_in_place(model, recipe, run, pixels, log)
    logs, val = {}, rows["image_id"].isin(held_out["image_id"]).to_numpy()
    for part, mask in (("", (rows["split"] == "train").to_numpy()), ("val_", val)):
        logs |= {f"{part}loss": losses[mask].mean(), f"{part}accuracy": is_right[mask].mean()}
    compile_model(model, training, training.head_learning_rate)
    model.optimizer.build(model.trainable_variables)  # or the saved model would lack what it is compiled with
    checkpoint = Checkpoint(run.folder, training, stage="head", whole=model, log=log)
    checkpoint.set_model(model)
    checkpoint.on_train_begin()
    checkpoint.on_epoch_begin(0)
    checkpoint.started = started
    checkpoint.on_epoch_end(0, logs)
    log(f"  head solved: validation {logs['val_accuracy']:.3f} (loss {logs['val_loss']:.3f}, n={val.sum()})")


def solve_in_place(
    model: keras.Model, recipe: Recipe, run: Run, pixels: np.ndarray, log: Log
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Set the weights of the head; return the rows of all splits, their log losses and whether they are right."""
    training, class_names, rows = recipe.training, run.class_names, usable(run.catalog)
    chosen = np.flatnonzero(rows["split"] != "")
    rows, of_rows, extractor = rows.iloc[chosen], rows_of(pixels, chosen), backbone_of(model)
    features = pooled_features(extractor, rows, of_rows, recipe.image, mirrored=training.has_flips, log=log)
    labels, train = label_indices(rows, class_names), (rows["split"] == "train").to_numpy()
    options = {"widths": pooled_widths(extractor), "balanced": training.class_weights or training.balanced}
    kernel, bias = solve_head(features[:, train], labels[train], len(class_names), training.head_l2, **options)
    model.get_layer("probabilities").set_weights([kernel, bias])
    probabilities = softmax(features[0] @ kernel + bias, axis=1)
    return rows, log_losses(probabilities, labels), probabilities.argmax(axis=1) == labels


def keep_better(
    model: keras.Model,
    recipe: Recipe,
    run: Run,
    pixels: np.ndarray,
    held_out: tuple[pd.DataFrame, np.ndarray],
    log: Log,
) -> tuple[keras.Model, Recipe]:
    """Return the fine-tuned model, or the linear probe it began with, and its recipe, which the run then has.

    Fine-tuning is kept where it lowers the mean log loss of `held_out`, rows and pixels, by more than the standard
    error of the mean over groups of related images.
    """
    tuned_recipe = replace(recipe.with_training(keep_if_better=False), title=f"Fine-tuned: {recipe.title}")
    probe_recipe = linear_probe(recipe)
    probe = build_model(probe_recipe, len(run.class_names))
    all_rows, losses, is_right = solve_in_place(probe, probe_recipe, run, pixels, log)
    rows, of_rows = held_out
    place = pd.Index(all_rows["image_id"]).get_indexer(rows["image_id"])
    labels = label_indices(rows, run.class_names)
    batch_size = images_a_batch(model.input_shape)
    dataset = make_dataset(rows, recipe.image, run.class_names, batch_size=batch_size, pixels=of_rows)
    probabilities = model.predict(dataset, verbose=0)
    tuned, tuned_right = log_losses(probabilities, labels), probabilities.argmax(axis=1) == labels
    gain, error = mean_and_error(losses[place] - tuned, groups_of(rows))
    is_better = gain > error
    shared = {"n": len(rows), "judged_on": "validation"}
    steps = {
        "linear probe": (losses[place], is_right[place], not is_better),
        "fine-tuned": (tuned, tuned_right, is_better),
    }
    table = [
        {"step": step, "log_loss": loss.mean(), "accuracy": right.mean(), "chosen": is_chosen, **shared}
        for step, (loss, right, is_chosen) in steps.items()
    ]
    add_choices(run, table)
    verdict = "kept" if is_better else "not kept: the linear probe stays"
    effect = f"{'lowers' if gain > 0 else 'raises'} the log loss of {len(rows)} validation images by {abs(gain):.3f}"
    spread = f"standard error {error:.3f}" if np.isfinite(error) else "one group of images: no standard error"
    log(f"  fine-tuning {effect} ({spread}): {verdict}")
    run.path("checkpoint.npz").unlink(missing_ok=True)
    model, recipe = (model, tuned_recipe) if is_better else (probe, probe_recipe)
    if not is_better:
        write_table(run.path("history.csv"), run.history[:1])
    write_json(run.path("recipe.json"), recipe.to_dict())
    return model, recipe


def linear_probe(recipe: Recipe) -> Recipe:
    """Return a recipe of a solved head without its fine-tuning; of its augmentation only flips act."""
    frozen = replace(recipe, title=f"Linear probe: {recipe.title}").with_model(trainable_layers=0, trainable_blocks=())
    augmentation = Augmentation() if recipe.training.has_flips else NONE
    return frozen.with_training(epochs=1, keep_if_better=False, cache_features=1, augmentation=augmentation)


def mean_and_error(values: np.ndarray, groups: pd.Series) -> tuple[float, float]:
    """Return the mean of some values and its standard error where those of a group depend on each other."""
    mean, count = values.mean(), groups.nunique()
    sums = pd.Series(values - mean).groupby(groups.to_numpy()).sum()
    return float(mean), float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values)) if count > 1 else math.inf


def _head_epochs(recipe: Recipe) -> int:
    """Epochs in which only the head learns, one of a solved head; 0 without a backbone."""
    if recipe.training.head_l2:
        return 1
    return min(recipe.training.head_epochs, recipe.training.epochs) if recipe.model.has_backbone else 0


def _class_weights(train: pd.DataFrame, class_names: tuple[str, ...]) -> dict[int, float]:
    counts = train["class_name"].value_counts()
    return {i: len(train) / (len(counts) * counts[name]) for i, name in enumerate(class_names) if name in counts}


def _timing(model: keras.Model, run: Run, recipe: Recipe) -> dict:
    history = run.history
    zero_inputs = one_or_all([np.zeros((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs])
    return {
        "train_seconds": round(float(history["seconds"].sum()), 1),  # of all epochs, before and after a resume
        "seconds_per_epoch": round(float(history["seconds"].median()), 3),
        "latency_ms_per_image": round(latency_ms(model.predict_on_batch, zero_inputs), 2),
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


def latency_ms(predict: Callable[[Any], Any], image: Any, *, warm_up: int = 1, calls: int = 5) -> float:
    """Return the median time in milliseconds of a model for one image, after warm-up calls."""
    times = []
    for _ in range(warm_up + calls):
        start = time.perf_counter()
        predict(image)
        times.append(time.perf_counter() - start)
    return float(np.median(times[warm_up:]) * 1000)
