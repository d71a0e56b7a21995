"""The activation bank: kept whole, found again, looked at before it is used, within its budget, never built twice."""

import gc
import os
import weakref
from contextlib import nullcontext

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

from marinecv.data.store import store_path
from marinecv.features import bank as room
from marinecv.features.bank import bank_bytes, open_bank
from marinecv.features.frontier import split
from marinecv.features.pipeline import make_bank_dataset
from marinecv.features.views import Views
from marinecv.inputs.augment import augment
from marinecv.inputs.pipeline import epoch_draws
from marinecv.inputs.spec import Augmentation, ImageSpec

SPEC = ImageSpec(height=6, width=8, fit="stretch", canvas_px=None)
IMAGES = 7
MOVES = Augmentation(flip=0.5, rotation_deg=20, zoom=0.2)
PIXELS = np.random.default_rng(0).integers(0, 256, (IMAGES, *SPEC.shape)).astype(np.uint8)


@pytest.fixture
def rows(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(IMAGES)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return pd.DataFrame({"path": [str(path) for path in paths]})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(room, "CHUNK", 3)
    monkeypatch.setattr(room, "KEEP_EVERY_S", 0.0)


@pytest.fixture
def front():
    """A front of two tensors: a skip goes around the layer that learns."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SPEC.shape)
    first = layers.Conv2D(2, 3, name="first", trainable=False)(inputs)
    second = layers.Conv2D(3, 1, name="second", trainable=False)(first)
    learnt = layers.Conv2D(2, 1, name="learnt")(second)
    return split(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(learnt + first))))[0]


quietly = open_bank


@pytest.mark.parametrize(
    ("views", "moved"),
    [
        (Views(), [lambda pixels: pixels]),
        (Views(Augmentation(flip=0.3)), [lambda pixels: pixels, lambda pixels: pixels[:, :, ::-1]]),
        (
            Views(MOVES, drawn=3, seed=5),
            [lambda pixels, e=e: augment(pixels, epoch_draws(IMAGES, 5, e), MOVES) for e in range(3)],
        ),
    ],
    ids=["still", "mirrored", "drawn"],
)
def test_a_bank_holds_what_the_front_makes_of_every_view(views, moved, rows, front):
    bank = quietly(front, rows, PIXELS, SPEC, views)
    assert (len(bank.arrays[0]) // views.count, bank.views) == (IMAGES, views) and views.count == len(moved)
    expected = [front(np.asarray(move(PIXELS), np.float32)) for move in moved]
    for number, array in enumerate(bank.arrays):
        assert isinstance(array, np.memmap) and not array.flags.writeable
        np.testing.assert_allclose(array, np.concatenate([one[number] for one in expected]), rtol=1e-4, atol=1e-2)
    assert sum(array.nbytes for array in bank.arrays) == bank_bytes(front, IMAGES, views)


def test_it_is_found_again_and_not_built_twice(rows, front, monkeypatch):
    kept = [np.array(array) for array in quietly(front, rows, PIXELS, SPEC).arrays]
    monkeypatch.setattr(room, "_build", lambda *args: pytest.fail("built again"))
    for mine, theirs in zip(quietly(front, rows, PIXELS, SPEC).arrays, kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("what", ["weights", "file", "order", "spec", "views", "seed"])
def test_whatever_changes_the_activations_makes_another_bank(what, rows, front):
    views, spec = Views(MOVES, drawn=2, seed=1), SPEC
    quietly(front, rows, PIXELS, spec, views)
    if what == "weights":
        front.layers[1].set_weights([weights + 1 for weights in front.layers[1].get_weights()])
    elif what == "file":
        os.utime(rows["path"][3], (0, 0))
    elif what == "order":
        rows = rows[::-1]
    elif what == "spec":
        spec = ImageSpec(height=6, width=8, fit="stretch", canvas_px=None, antialias=True)
    else:
        views = Views(MOVES, drawn=3 if what == "views" else 2, seed=2 if what == "seed" else 1)
    quietly(front, rows, PIXELS, spec, views)
    assert len(list(store_path("features").iterdir())) == 2


def test_a_killed_build_goes_on_where_it_was(rows, front, monkeypatch):
    whole = [np.array(array) for array in quietly(front, rows, PIXELS, SPEC, Views(MOVES, drawn=2)).arrays]
    [folder] = store_path("features").iterdir()
    for path in folder.iterdir():
        path.unlink()
    steps = []

    def killed(step):
        if step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(room, "progress_bar", lambda *_, **__: nullcontext(killed))
    with pytest.raises(KeyboardInterrupt):
        open_bank(front, rows, PIXELS, SPEC, Views(MOVES, drawn=2))
    monkeypatch.setattr(room, "progress_bar", lambda total, *_, done, **__: nullcontext(steps.append))
    resumed = open_bank(front, rows, PIXELS, SPEC, Views(MOVES, drawn=2))
    assert steps == [5, 6]
    for mine, theirs in zip(resumed.arrays, whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("damage", ["cut", "gone", "about", "other"])
def test_a_damaged_bank_is_built_anew(damage, rows, front):
    kept = [np.array(array) for array in quietly(front, rows, PIXELS, SPEC).arrays]
    [folder] = store_path("features").iterdir()
    file = folder / "tensor1.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "gone":
        file.unlink()
    elif damage == "about":
        (folder / "about.json").write_text("{")
    else:
        np.save(file, np.zeros((2, 2)))
    for mine, theirs in zip(quietly(front, rows, PIXELS, SPEC).arrays, kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_bank_used_longest_ago_makes_room(rows, front):
    size = bank_bytes(front, IMAGES, Views())
    for number in range(3):
        front.layers[1].set_weights([weights + number for weights in front.layers[1].get_weights()])
        quietly(front, rows, PIXELS, SPEC, budget_bytes=int(2.5 * size))
        newest = max(store_path("features").iterdir(), key=lambda place: place.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    assert sorted(place.stat().st_mtime for place in store_path("features").iterdir()) == [1, 2]


def test_half_precision_takes_half_the_room_and_three_digits(rows, front):
    whole = quietly(front, rows, PIXELS, SPEC)
    half = quietly(front, rows, PIXELS, SPEC, dtype="float16")
    assert sum(array.nbytes for array in half.arrays) == bank_bytes(front, IMAGES, Views(), "float16")
    assert bank_bytes(front, IMAGES, Views(), "float16") * 2 == bank_bytes(front, IMAGES, Views())
    for mine, theirs in zip(half.arrays, whole.arrays, strict=True):
        assert mine.dtype == np.float16 and not np.array_equal(mine, theirs)
        np.testing.assert_allclose(mine, theirs, rtol=2**-11, atol=1e-6)
    [(tensors, _)] = make_bank_dataset(half, np.zeros(IMAGES, np.int64), 2)
    assert {tensor.dtype for tensor in tensors} == {tf.float32}


def test_numbers_too_large_for_half_precision_are_refused(rows, front):
    front.layers[1].set_weights([weights + 1000 for weights in front.layers[1].get_weights()])
    with pytest.raises(ValueError, match="give numbers as large as .*, more than float16 holds"):
        quietly(front, rows, PIXELS, SPEC, dtype="float16")
    assert quietly(front, rows, PIXELS, SPEC).arrays[0].shape[0] == IMAGES


def test_without_room_it_is_an_error_and_not_a_dead_process(rows, front):
    from conftest import room_for

    with room_for(200), pytest.raises(OSError, match="bytes are needed and .* are free"):
        quietly(front, rows, PIXELS, SPEC)
    assert quietly(front, rows, PIXELS, SPEC).arrays[0].shape[0] == IMAGES


@pytest.mark.parametrize("training", [False, True])
def test_a_deleted_dataset_frees_its_bank(rows, front, training):
    bank = open_bank(front, rows, PIXELS, SPEC)
    held = [weakref.ref(array) for array in bank.arrays]
    dataset = make_bank_dataset(bank, np.zeros(IMAGES, int), 1, batch_size=2, training=training)
    del bank
    batches = dataset.take(4)
    del dataset
    gc.collect()
    assert len([*batches]) == 4 and all(reference() is not None for reference in held)
    del batches
    gc.collect()
    assert all(reference() is None for reference in held)


def test_looking_at_a_batch_of_a_bank_is_no_epoch(rows, front):
    bank = open_bank(front, rows, PIXELS, SPEC)
    labels = np.arange(IMAGES)

    def order(dataset):
        return [label for _, batch in dataset for label in batch.numpy().argmax(axis=1).tolist()]

    epochs = [
        order(make_bank_dataset(bank, labels, IMAGES, batch_size=2, training=True, start_epoch=epoch))
        for epoch in range(2)
    ]
    dataset = make_bank_dataset(bank, labels, IMAGES, batch_size=2, training=True)
    next(iter(dataset))
    assert [order(dataset), order(dataset)] == epochs and epochs[0] != epochs[1]


def test_a_bank_is_built_without_a_word_unless_asked(rows, front, capsys):
    open_bank(front, rows, PIXELS, SPEC)
    assert capsys.readouterr().out == ""
