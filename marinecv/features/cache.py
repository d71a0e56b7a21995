"""The feature cache: what frozen layers give for every image and augmented view, computed once and kept on disk."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.console import Log, silent
from marinecv.data.cache_dir import cache_path, make_room
from marinecv.features.inference_engine import run_extractor
from marinecv.files.atomic import write_json
from marinecv.files.lock import lock_folder
from marinecv.files.memmap import make_array, open_array
from marinecv.inputs.augment import DRAWS, augment, epoch_draws, variant_draws
from marinecv.inputs.decode import plain, without_autotune
from marinecv.inputs.epochs import EpochCounter, counter_of
from marinecv.inputs.pipeline import shuffled_batches
from marinecv.inputs.pixel_cache import files_key
from marinecv.inputs.spec import NONE, Augmentation, ImageSpec
from marinecv.inputs.streamed_pixels import bind_weakly, keep_alive
from marinecv.models.flat import one_or_all
from marinecv.progress import progress_bar
from marinecv.schema import read_json

VERSION = 2  # raised when the same layers give other numbers for the same images
CHUNK = 64  # images a step
SAVE_EVERY_S = 5.0  # what a killed build can lose
BUDGET_BYTES = 50 * 2**30  # of all caches; those used longest ago are removed
PROGRESS_FILE, TENSOR_FILE = "about.json", "tensor{}.npy"


@dataclass(frozen=True)
class AugmentedViews:
    """The augmented views of each image that a cache holds, and the one that an epoch shows.

    A horizontal flip alone needs two views. Of other augmentations `drawn` views of each image, or of each variant, are
    computed; epoch e shows number e modulo `drawn`, so the first epochs are those of training on pixels.
    """

    augmentation: Augmentation = NONE
    drawn: int = 1
    seed: int = 0

    @property
    def kind(self) -> str:
        """`"still"` (no augmentation), `"mirrored"` (a random horizontal flip alone), or `"drawn"`."""
        flip = self.augmentation.flip
        if self.augmentation == NONE:
            return "still"
        return "mirrored" if flip < 1 and self.augmentation == replace(NONE, flip=flip) else "drawn"

    @property
    def count(self) -> int:
        """Number of views an image."""
        if self.augmentation.copies > 1:
            return 1 + (self.augmentation.copies - 1) * self.drawn  # the image itself, and its variants
        return {"still": 1, "mirrored": 2, "drawn": self.drawn}[self.kind]

    @property
    def moves(self) -> Augmentation:
        """The augmentation that `draws` is for: a mirror image is a flip of probability 1."""
        return replace(NONE, flip=1.0) if self.kind == "mirrored" else self.augmentation

    def draws(self, view: int, images: int) -> tf.Tensor:
        """Return the random numbers of one view of all images, as `epoch_draws` does.

        Views are 0 to `count - 1`; of mirrored ones and of variants, 0 is the image as it is.
        """
        if self.kind == "drawn":
            copies = self.augmentation.copies
            copy, epoch = divmod(view - 1 + self.drawn, self.drawn) if copies > 1 else (0, view)
            draws = epoch_draws(copies * images, self.seed, epoch, self.augmentation)
            draws = draws[copy * images : (copy + 1) * images]
            return variant_draws(draws, tf.fill((images,), tf.constant(copy, tf.int64)), self.augmentation)
        return tf.fill((images, DRAWS), 0.0 if view else 1.0)  # 1 is below no probability, 0 below each

    def shown(self, epoch: tf.Tensor, copies: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Return the view of each image in an epoch: int64 `(batch,)`; copies and draws are those of a batch."""
        if self.kind == "mirrored":
            return tf.cast(draws[:, 0] < self.augmentation.flip, tf.int64)
        if self.augmentation.copies > 1:
            return tf.where(copies == 0, 0 * copies, 1 + (copies - 1) * self.drawn + epoch % self.drawn)
        return tf.fill(tf.shape(draws)[:1], epoch % self.count)


@dataclass(frozen=True)
class FeatureCache:
    """Features of some images: for each tensor at the split point an array `(views * images, ...)`.

    View v of image i is row `v * images + i`. `places` are the indices of the images in a cache of more, or None.
    """

    arrays: tuple[np.ndarray, ...]
    views: AugmentedViews
    places: np.ndarray | None = None

    def at(self, view: tf.Tensor | int, ours: tf.Tensor) -> tf.Tensor:
        """Return the rows of a view of some images, int64 as their indices `ours`."""
        images = len(self.arrays[0]) // self.views.count
        return view * images + (ours if self.places is None else tf.gather(tf.constant(self.places), ours))


def open_cache(
    extractor: keras.Model,
    rows: pd.DataFrame,
    pixels: np.ndarray,
    spec: ImageSpec,
    views: AugmentedViews | None = None,
    *,
    dtype: str = "float32",
    log: Log | None = None,
) -> FeatureCache:
    """Return the features that a feature extractor, from `split_point.split_model`, gives for some images.

    They are computed where the cache has none of the same layers and weights, image files, geometry, views and dtype. A
    killed computation is resumed. Pixels are row i for row i of the usable `rows`; `dtype="float16"` takes half the
    room, with three digits. Raises OSError without room, ValueError where a feature is too large for the dtype.
    """
    views, log = views or AugmentedViews(), log or silent
    shapes = [(views.count * len(rows), *tensor.shape[1:]) for tensor in extractor.outputs]
    folder = cache_path("features", _key(extractor, rows, spec, views, dtype))
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, waiting=lambda: log("  another process computes the same frozen layers; waiting for it")):
        if _steps_done(folder) < _steps(views, len(rows)) or not _arrays(folder, shapes, dtype):
            make_room(folder, cache_bytes(extractor, len(rows), views, dtype), BUDGET_BYTES)
            _build(extractor, pixels, views, folder, shapes, np.dtype(dtype), log)
        os.utime(folder)
        return FeatureCache(_arrays(folder, shapes, dtype), views)


def open_shared_cache(
    extractor: keras.Model, parts: Sequence[tuple[pd.DataFrame, np.ndarray]], *settings, **more
) -> list[FeatureCache]:
    """Return the features of each of some sets of images from one cache of them all, whatever their partition is.

    Arguments are those of `open_cache`, with a pair of rows and pixels for each set. Views must not depend on the row.
    """
    rows = pd.concat([rows for rows, _ in parts])
    whole = open_part(extractor, rows, [pixels for _, pixels in parts], np.arange(len(rows)), *settings, **more)
    ends = np.cumsum([len(part) for part, _ in parts])
    return [replace(whole, places=places) for places in np.split(whole.places, ends[:-1])]


def open_part(
    extractor: keras.Model, rows: pd.DataFrame, pixels: Sequence[np.ndarray], chosen: np.ndarray, *settings, **more
) -> FeatureCache:
    """Return the features of the images at some positions of `rows`, whose pixels are in several arrays, in turn."""
    order = rows["image_id"].to_numpy()[chosen].argsort()
    whole = open_cache(extractor, rows.iloc[chosen[order]], _Gathered(pixels, chosen[order]), *settings, **more)
    return replace(whole, places=order.argsort())


class _Gathered:
    """Rows of several arrays in one order, copied when they are asked for."""

    def __init__(self, arrays: list[np.ndarray], order: np.ndarray):
        self.order = order
        self.rows = [(array, row) for array in arrays for row in range(len(array))]

    def __getitem__(self, chosen: slice) -> np.ndarray:
        return np.stack([array[row] for array, row in (self.rows[place] for place in self.order[chosen])])


def fill_cache(extractor: keras.Model, rows: pd.DataFrame, spec: ImageSpec, views: AugmentedViews, features) -> None:
    """Write features that are known already into the cache, where `open_shared_cache` of one set finds them.

    `features` are `(views * n, values)`, in the order of the rows by `image_id`.
    """
    rows = rows.iloc[rows["image_id"].to_numpy().argsort()]
    folder = cache_path("features", _key(extractor, rows, spec, views, "float32"))
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, waiting=lambda: None):
        (folder / PROGRESS_FILE).unlink(missing_ok=True)
        make_room(folder, features.nbytes, BUDGET_BYTES)
        array = make_array(folder / TENSOR_FILE.format(0), features.shape, np.dtype("float32"))
        array[:] = features
        array.flush()
        write_json(folder / PROGRESS_FILE, {"done": _steps(views, len(rows))})


def values_per_view(cut: list[keras.KerasTensor]) -> int:
    """Return the number of features of one view of one image at a split point."""
    return sum(int(np.prod(tensor.shape[1:])) for tensor in cut)


def cache_bytes(extractor: keras.Model, images: int, views: AugmentedViews, dtype: str = "float32") -> int:
    """Return how much disk the features take."""
    return images * views.count * values_per_view(extractor.outputs) * np.dtype(dtype).itemsize


def _build(extractor, pixels, views, folder, shapes, dtype, log) -> None:
    """Fill the files of a cache, from where a killed build left them."""
    total, done = shapes[0][0] // views.count, _steps_done(folder)
    steps = _steps(views, total)
    arrays = _arrays(folder, shapes, dtype, "r+") if done else ()
    if not arrays:
        done, arrays = 0, [make_array(folder / TENSOR_FILE.format(n), shape, dtype) for n, shape in enumerate(shapes)]

    def move(images, draws):
        return augment(images, draws, views.moves) if views.kind != "still" else tf.cast(images, tf.float32)

    numbers = views.draws(0, 1).shape[1]
    signature = tf.TensorSpec((None, *extractor.input_shape[1:]), tf.uint8), tf.TensorSpec((None, numbers), tf.float32)
    move = tf.function(move, input_signature=signature, autograph=False).get_concrete_function()
    extract = run_extractor(extractor, views.count * total)
    saved_at = time.monotonic()
    with progress_bar(steps, "frozen layers", unit="batches", done=done, log=log) as show:
        for step in range(done, steps):
            view, chunk = divmod(step, steps // views.count)
            start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, total)
            features = extract(move(tf.constant(pixels[start:stop]), views.draws(view, total)[start:stop]))
            for array, tensor in zip(arrays, features, strict=True):
                if (largest := float(np.abs(tensor).max())) > float(np.finfo(dtype).max):
                    raise ValueError(
                        f"The frozen layers give numbers as large as {largest:.0f}, more than {dtype} holds. Use "
                        "float32, the default."
                    )
                array[view * total + start : view * total + stop] = tensor
            if step + 1 == steps or time.monotonic() - saved_at > SAVE_EVERY_S:
                for array in arrays:
                    array.flush()
                write_json(folder / PROGRESS_FILE, {"done": step + 1})
                saved_at = time.monotonic()
            show(step + 1)


def _steps(views: AugmentedViews, images: int) -> int:
    return views.count * -(-images // CHUNK)


def _steps_done(folder: Path) -> int:
    try:
        done = read_json(folder / PROGRESS_FILE).get("done")
    except ValueError:
        return 0
    return done if isinstance(done, int) else 0


def _arrays(folder: Path, shapes: list, dtype: str, mode: str = "r") -> tuple[np.ndarray, ...]:
    """Return the arrays of a cache; none where one of them is damaged."""
    files = [(folder / TENSOR_FILE.format(number), shape) for number, shape in enumerate(shapes)]
    arrays = tuple(open_array(path, shape, np.dtype(dtype), mode) for path, shape in files)
    return () if any(array is None for array in arrays) else arrays


def _key(extractor: keras.Model, rows: pd.DataFrame, spec: ImageSpec, views: AugmentedViews, dtype: str) -> str:
    view_settings = (views.kind, views.count, *((views.augmentation, views.seed) if views.kind == "drawn" else ()))
    facts = f"{VERSION}\0{fingerprint(extractor)}\0{files_key(list(rows['path']), spec)}\0{view_settings!r}\0{dtype}"
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def fingerprint(model: keras.Model) -> str:
    """Return a hash of the operations of a model, how they are connected, and every weight.

    Names do not count: Keras numbers them through a process, so the same network has others the second time.
    """
    digest = hashlib.sha256()
    sources_by_tensor = {id(tensor): f"input{number}" for number, tensor in enumerate(model.inputs)}
    for number, operation in enumerate(model.operations):
        sources = [sources_by_tensor[id(tensor)] for tensor in keras.tree.flatten(operation.input)]
        settings = {key: value for key, value in operation.get_config().items() if key not in ("name", "trainable")}
        facts = [type(operation).__name__, sources, settings]
        digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
        for place, tensor in enumerate(keras.tree.flatten(operation.output)):
            sources_by_tensor[id(tensor)] = f"{number}.{place}"
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    digest.update(json.dumps([sources_by_tensor[id(tensor)] for tensor in model.outputs]).encode())
    return digest.hexdigest()


def make_cached_dataset(
    cache: FeatureCache,
    labels: np.ndarray,
    num_classes: int,
    *,
    batch_size: int = 32,
    training: bool = False,
    balanced: bool = False,
    seed: int = 0,
    start_epoch: int | EpochCounter = 0,
    attributes: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Return batches of `(features, one-hot labels)` in the order in which `make_dataset` gives the images.

    Labels are class indices; several tensors are a tuple, in which `attributes` `(n, attributes)` come last. Without
    `training` the cache has one view of each image.
    """
    one_hot = tf.one_hot(labels, num_classes)
    shapes = [(None, *array.shape[1:]) for array in cache.arrays]

    def read(cache, rows):
        return [array[rows].astype(np.float32, copy=False) for array in cache.arrays]

    def gather(indices, rows):
        features = tf.numpy_function(bind_weakly(cache, read), [rows], [tf.float32] * len(shapes), stateful=False)
        features = tuple(map(tf.ensure_shape, features, shapes))
        if attributes is not None:
            features += (tf.gather(tf.constant(attributes, tf.float32), indices),)
        return one_or_all(features), tf.gather(one_hot, indices)

    if not training:
        batches = tf.data.Dataset.range(len(labels)).batch(batch_size)
        batches = batches.map(plain(lambda indices: gather(indices, cache.at(0, indices)))).prefetch(2)
        return keep_alive(without_autotune(batches), cache)
    counter, moves = counter_of(start_epoch), cache.views.augmentation
    batches = shuffled_batches(labels, moves, counter, batch_size=batch_size, balanced=balanced, seed=seed)

    @plain
    def shown(epoch, i, *drawn):
        return epoch, gather(i, cache.at(cache.views.shown(epoch, *drawn), i))

    batches = counter.counted(batches.map(shown).prefetch(2))
    return keep_alive(without_autotune(batches), cache)
