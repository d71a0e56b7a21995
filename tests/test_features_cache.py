"""The feature cache: kept whole, found again, checked before it is used, within its budget, never computed twice."""

import gc
import os
import weakref
from contextlib import nullcontext
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

from marinecv.data.cache_dir import cache_path
from marinecv.features import cache as room
from marinecv.features.cache import AugmentedViews, cache_bytes, make_cached_dataset, open_cache
from marinecv.features.split_point import split_model
from marinecv.inputs.augment import augment, epoch_draws
from marinecv.inputs.spec import Augmentation, ImageSpec

SPEC = ImageSpec(height=6, width=8, fit="stretch")
IMAGES = 7
MOVES = Augmentation(flip=0.5, rotation_deg=20, zoom=0.2)
COLOR = Augmentation(brightness=0.2, saturation=0.3, erasing=0.8)
PIXELS = np.random.default_rng(0).integers(0, 256, (IMAGES, *SPEC.shape)).astype(np.uint8)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(room, "CHUNK", 3)
    monkeypatch.setattr(room, "SAVE_EVERY_S", 0.0)


@pytest.fixture
def rows(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(IMAGES)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return pd.DataFrame({"path": [str(path) for path in paths]})


@pytest.fixture
def extractor():
    """A feature extractor of two tensors: a skip goes around the trainable layer."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SPEC.shape)
    first = layers.Conv2D(2, 3, name="first", trainable=False)(inputs)
    second = layers.Conv2D(3, 1, name="second", trainable=False)(first)
    learnt = layers.Conv2D(2, 1, name="learnt")(second)
    return split_model(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(learnt + first))))[0]


@pytest.fixture
def opened(rows, extractor):
    """Return a function that opens the cache of these images: it, and copies of its arrays."""

    def open_(views=None, **settings):
        cache = open_cache(extractor, rows, PIXELS, SPEC, views, **settings)
        return cache, [np.array(array) for array in cache.arrays]

    return open_


def assert_same(arrays, expected):
    for mine, theirs in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("views", "moved"),
    [
        (AugmentedViews(), [lambda pixels: pixels]),
        (AugmentedViews(Augmentation(flip=0.3)), [lambda pixels: pixels, lambda pixels: pixels[:, :, ::-1]]),
        (
            AugmentedViews(MOVES, drawn=3, seed=5),
            [lambda pixels, e=e: augment(pixels, epoch_draws(IMAGES, 5, e), MOVES) for e in range(3)],
        ),
        (
            AugmentedViews(COLOR, drawn=2, seed=5),
            [lambda pixels, e=e: augment(pixels, epoch_draws(IMAGES, 5, e, COLOR), COLOR) for e in range(2)],
        ),
    ],
    ids=["still", "mirrored", "drawn", "colored"],
)
def test_the_cache_holds_what_the_layers_give_for_every_view(views, moved, opened, extractor, capsys):
    cache, _ = opened(views)
    assert (len(cache.arrays[0]) // views.count, cache.views) == (IMAGES, views) and views.count == len(moved)
    expected = [extractor(np.asarray(move(PIXELS), np.float32)) for move in moved]
    for number, array in enumerate(cache.arrays):
        assert isinstance(array, np.memmap) and not array.flags.writeable
        np.testing.assert_allclose(array, np.concatenate([one[number] for one in expected]), rtol=1e-4, atol=1e-2)
    assert sum(array.nbytes for array in cache.arrays) == cache_bytes(extractor, IMAGES, views)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("what", ["", "weights", "file", "order", "spec", "views", "seed"])
def test_whatever_changes_the_features_makes_another_cache(what, rows, extractor):
    views, spec = AugmentedViews(MOVES, drawn=2, seed=1), SPEC
    open_cache(extractor, rows, PIXELS, spec, views)
    if what == "weights":
        extractor.layers[1].set_weights([weights + 1 for weights in extractor.layers[1].get_weights()])
    elif what == "file":
        os.utime(rows["path"][3], (0, 0))
    elif what == "order":
        rows = rows[::-1]
    elif what == "spec":
        spec = replace(SPEC, antialias=True)
    elif what:
        views = AugmentedViews(MOVES, drawn=3 if what == "views" else 2, seed=2 if what == "seed" else 1)
    open_cache(extractor, rows, PIXELS, spec, views)
    assert len(list(cache_path("features").iterdir())) == (2 if what else 1)


def test_a_killed_build_goes_on_where_it_was(opened, monkeypatch):
    views, steps = AugmentedViews(MOVES, drawn=2), []
    whole = opened(views)[1]
    [folder] = cache_path("features").iterdir()
    for path in folder.iterdir():
        path.unlink()

    def killed(step):
        if step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(room, "progress_bar", lambda *_, **__: nullcontext(killed))
    with pytest.raises(KeyboardInterrupt):
        opened(views)
    monkeypatch.setattr(room, "progress_bar", lambda total, *_, done, **__: nullcontext(steps.append))
    assert_same(opened(views)[1], whole)
    assert steps == [5, 6]


DAMAGES = {
    "cut": lambda folder: os.truncate(folder / "tensor1.npy", (folder / "tensor1.npy").stat().st_size - 1),
    "gone": lambda folder: (folder / "tensor1.npy").unlink(),
    "about": lambda folder: (folder / "about.json").write_text("{"),
    "other": lambda folder: np.save(folder / "tensor1.npy", np.zeros((2, 2))),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_made_again(damage, opened):
    arrays = opened()[1]
    [folder] = cache_path("features").iterdir()
    damage(folder)
    assert_same(opened()[1], arrays)


def test_the_cache_used_longest_ago_makes_room(opened, extractor, monkeypatch):
    monkeypatch.setattr(room, "BUDGET_BYTES", int(2.5 * cache_bytes(extractor, IMAGES, AugmentedViews())))
    for number in range(3):
        extractor.layers[1].set_weights([weights + number for weights in extractor.layers[1].get_weights()])
        opened()
        newest = max(cache_path("features").iterdir(), key=lambda place: place.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    assert sorted(place.stat().st_mtime for place in cache_path("features").iterdir()) == [1, 2]


def test_half_precision_takes_half_the_room_and_three_digits(opened, extractor):
    whole, (half, arrays) = opened()[1], opened(dtype="float16")
    assert sum(array.nbytes for array in half.arrays) * 2 == cache_bytes(extractor, IMAGES, AugmentedViews())
    for mine, theirs in zip(arrays, whole, strict=True):
        assert mine.dtype == np.float16 and not np.array_equal(mine, theirs)
        np.testing.assert_allclose(mine, theirs, rtol=2**-11, atol=1e-6)
    [(tensors, _)] = make_cached_dataset(half, np.zeros(IMAGES, np.int64), 2)
    assert {tensor.dtype for tensor in tensors} == {tf.float32}
    extractor.layers[1].set_weights([weights + 1000 for weights in extractor.layers[1].get_weights()])
    with pytest.raises(ValueError, match="more than float16 holds"):
        opened(dtype="float16")


@pytest.mark.parametrize("training", [False, True])
def test_a_deleted_dataset_frees_its_cache(rows, extractor, training):
    cache = open_cache(extractor, rows, PIXELS, SPEC)
    references = [weakref.ref(array) for array in cache.arrays]
    dataset = make_cached_dataset(cache, np.zeros(IMAGES, int), 1, batch_size=2, training=training)
    del cache
    batches = dataset.take(4)
    del dataset
    gc.collect()
    assert len([*batches]) == 4 and all(reference() is not None for reference in references)
    del batches
    gc.collect()
    assert all(reference() is None for reference in references)
