import gc
import os
import subprocess
import sys
import weakref

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import COLOURS, draw_image
from keras import layers
from marinecv.inputs.pipeline import Share

from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import make_dataset
from marinecv.inputs.pixels import load_pixels
from marinecv.inputs.spec import Augmentation, ImageSpec

SPEC = ImageSpec(height=8, width=10, fit="stretch")
CLASSES = ("crab", "eel", "ray")
MOVES = Augmentation(flip=0.5, rotation_deg=20, zoom=0.2)


@pytest.fixture
def catalog():
    """Eleven images: six crabs, three eels, two rays; nothing lies on the disk."""
    names = ["crab"] * 6 + ["eel"] * 3 + ["ray"] * 2
    ids = [f"{number}.jpg" for number in range(len(names))]
    return pd.DataFrame({"image_id": ids, "path": ids, "class_name": names, "problem": ""})


@pytest.fixture
def pixels():
    """Image i has only pixels of i * 20, so that a batch tells which images it holds."""
    return np.broadcast_to((np.arange(11, dtype=np.uint8) * 20)[:, None, None, None], (11, *SPEC.shape)).copy()


@pytest.fixture
def make(catalog, pixels):
    def made(**options):
        given = {"spec": SPEC, "class_names": CLASSES, "pixels": pixels, "batch_size": 4}
        return make_dataset(catalog, **(given | options))

    return made


def epoch_of(dataset):
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def numbers_of(dataset):
    return (epoch_of(dataset)[0][:, 0, 0, 0] / 20).astype(int).tolist()


def test_validation_comes_in_the_order_of_the_catalog_and_as_it_is(make, pixels):
    dataset = make(augmentation=MOVES)
    for _ in range(2):
        images, labels = epoch_of(dataset)
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_array_equal(images, pixels)
        assert labels.argmax(axis=1).tolist() == [0] * 6 + [1] * 3 + [2] * 2


def test_each_image_comes_once_an_epoch_with_its_own_label(make, catalog):
    dataset = make(training=True)
    for _ in range(3):
        images, labels = epoch_of(dataset)
        numbers = (images[:, 0, 0, 0] / 20).astype(int)
        assert sorted(numbers) == list(range(11))
        assert [CLASSES[i] for i in labels.argmax(axis=1)] == catalog["class_name"].iloc[numbers].tolist()


def test_the_second_epoch_has_another_order(make):
    dataset = make(training=True)
    first, second = numbers_of(dataset), numbers_of(dataset)
    assert first != second and first != list(range(11))


@pytest.mark.parametrize("balanced", [False, True])
def test_a_data_set_started_at_epoch_2_goes_on_exactly(make, balanced):
    options = {"training": True, "augmentation": MOVES, "seed": 5, "balanced": balanced}
    whole, resumed = make(**options), make(**options, start_epoch=2)
    epochs = [epoch_of(whole) for _ in range(4)]
    for images, labels in epochs[2:]:
        again, same_labels = epoch_of(resumed)
        np.testing.assert_array_equal(again, images)
        np.testing.assert_array_equal(same_labels, labels)
    assert not np.array_equal(epochs[0][0], epochs[2][0])


def test_augmentation_is_keyed_by_seed_epoch_and_image(catalog):
    pixels = np.random.default_rng(0).integers(0, 256, (11, *SPEC.shape)).astype(np.uint8)

    def epochs(seed, batch_size=4):
        dataset = make_dataset(
            catalog, SPEC, CLASSES, pixels=pixels, batch_size=batch_size, training=True, augmentation=MOVES, seed=seed
        )
        return [epoch_of(dataset)[0] for _ in range(2)]

    first, second = epochs(seed=1)
    np.testing.assert_array_equal(epochs(seed=1, batch_size=3)[1], second)  # not by place in the batch
    assert not np.array_equal(epochs(seed=2)[0], first)

    def movement(image):  # which draw an image had shows in how it moved: sorted, order is left out
        return np.sort(image.reshape(11, -1).sum(axis=1))

    assert not np.allclose(movement(first), movement(second))


def test_balanced_draws_classes_evenly(make):
    dataset = make(training=True, balanced=True)
    labels = np.concatenate([epoch_of(dataset)[1] for _ in range(30)])
    assert len(labels) == 330  # an epoch is as long as ever
    np.testing.assert_allclose(labels.mean(axis=0), 1 / 3, atol=0.08)


def test_an_image_drawn_twice_moves_differently(catalog):
    pixels = np.random.default_rng(0).integers(0, 256, (11, *SPEC.shape)).astype(np.uint8)
    options = {"training": True, "balanced": True, "batch_size": 11, "pixels": pixels}
    plain = epoch_of(make_dataset(catalog, SPEC, CLASSES, **options))[0]
    moved = epoch_of(make_dataset(catalog, SPEC, CLASSES, augmentation=MOVES, **options))[0]
    twins = [(i, j) for i in range(11) for j in range(i) if np.array_equal(plain[i], plain[j])]
    assert twins and all(not np.array_equal(moved[i], moved[j]) for i, j in twins)


def test_the_number_of_batches_is_known_before(make):
    for training in (False, True):
        assert make(training=training).cardinality().numpy() == 3
        assert make(training=training, batch_size=11).cardinality().numpy() == 1
        assert [len(labels) for _, labels in make(training=training)] == [4, 4, 3]


def test_a_row_of_another_class_is_refused_and_has_a_label_of_zeros_where_that_is_asked_for(catalog, pixels):
    options = {"pixels": pixels, "batch_size": 11}
    images, labels = epoch_of(make_dataset(catalog, SPEC, ["crab", "eel"], allow_unknown=True, **options))
    rays = images[:, 0, 0, 0] >= 180
    assert rays.any() and not labels[rays].any()
    assert labels[~rays].sum(axis=1).tolist() == [1] * (~rays).sum()
    refused = "2 of 11 images are of a class .* the first is 9.jpg of class 'ray'. Expected one of crab, eel"
    for how in ({}, {"training": True}, {"training": True, "allow_unknown": True}):
        with pytest.raises(ValueError, match=refused):
            make_dataset(catalog, SPEC, ["crab", "eel"], **options, **how)


def test_without_pixels_the_files_are_decoded(tmp_path):
    rows = []
    for number, name in enumerate(COLOURS):
        path = tmp_path / f"{number}.jpg"
        draw_image(name, seed=number).save(path)
        rows.append((path.name, str(path), name, ""))
    rows.insert(1, ("x.jpg", "x.jpg", "", "no box"))
    catalog = pd.DataFrame(rows, columns=["image_id", "path", "class_name", "problem"])
    images, labels = epoch_of(make_dataset(catalog, SPEC, CLASSES))
    np.testing.assert_array_equal(images, load_pixels(catalog, SPEC)[0])
    np.testing.assert_array_equal(labels, np.eye(3))
    (tmp_path / "2.jpg").write_text("no image")
    with pytest.raises(
        ValueError, match=r"1 of 3 images cannot be loaded; the first is 2.jpg \(cannot be decoded.*hand"
    ):
        make_dataset(catalog, SPEC, CLASSES)


def test_nothing_usable_is_refused(catalog, pixels):
    with pytest.raises(ValueError, match="No usable image.*`problem`"):
        make_dataset(catalog.assign(problem="no box"), SPEC, CLASSES)


def test_pixels_of_another_catalog_are_refused(catalog, pixels):
    with pytest.raises(ValueError, match=r"pixels of the 11 usable rows.*uint8 \(11, 8, 10, 3\). Received.*\(10, 8"):
        make_dataset(catalog, SPEC, CLASSES, pixels=pixels[:10])


def test_pixels_of_another_size_kind_or_dtype_are_refused(catalog, pixels):
    for wrong in (pixels[:, :6], pixels[..., :1], pixels / 255, pixels.astype(np.int64), pixels.tolist(), pixels[0]):
        with pytest.raises(ValueError, match=r"pixels of the 11 usable rows: an array of uint8 \(11, 8, 10, 3\)"):
            make_dataset(catalog, SPEC, CLASSES, pixels=wrong)


@pytest.mark.parametrize("ordered", [list, np.array, pd.Index, lambda names: pd.Series(names, index=[7, 3, 5])])
def test_class_names_may_be_any_list(make, ordered):
    assert epoch_of(make(class_names=ordered(CLASSES)))[1].argmax(axis=1).tolist() == [0] * 6 + [1] * 3 + [2] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": {*CLASSES}}, "class_names is the set .* Expected a list: its order counts"),
        ({"class_names": frozenset(CLASSES)}, "class_names is the frozenset"),
        ({"class_names": dict.fromkeys(CLASSES)}, "class_names is the dict"),
        ({"class_names": dict.fromkeys(CLASSES).keys()}, "class_names is the dict_keys"),
        ({"class_names": "crab"}, "class_names is the str 'crab'"),
        ({"class_names": iter(CLASSES)}, "class_names is the tuple_iterator"),
        ({"class_names": ["crab", "eel", "eel"]}, "'eel' is empty or there twice"),
        ({"class_names": ["crab", "eel", None]}, "'' is empty or there twice"),
        ({"batch_size": 0}, "Expected batch_size to be a whole number of at least 1. Received: batch_size=0"),
        ({"batch_size": 4.0}, "Received: batch_size=4.0"),
        ({"batch_size": True}, "Received: batch_size=True"),
        ({"seed": -1}, "Expected seed to be a whole number of at least 0. Received: seed=-1"),
        ({"seed": None}, "Received: seed=None"),
        ({"seed": 2**63}, "Received: seed=9223372036854775808"),
        ({"start_epoch": 1.5}, "Expected start_epoch to be a whole number of at least 0. Received: start_epoch=1.5"),
        ({"start_epoch": -1}, "Received: start_epoch=-1"),
        ({"attributes": np.zeros((10, 2))}, r"Expected attributes of shape \(11, ...\). Received: \(10, 2\)"),
        ({"attributes": np.zeros(11)}, r"Received: \(11,\)"),
        (
            {"class_weight": {"eel": 2.0}, "share": Share(devices=2)},
            r"places in class_names, from 0. Received: \['eel'\]",
        ),
        ({"spec": (8, 10)}, r"Expected spec to be an ImageSpec\(height=..., width=...\). Received: \(8, 10\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_wrong_argument_is_named(catalog, pixels, options, message):
    given = {"spec": SPEC, "class_names": CLASSES, "pixels": pixels, "batch_size": 4, "training": True} | options
    with pytest.raises(ValueError, match=message):
        make_dataset(catalog, **given)


@pytest.mark.parametrize(
    "given",
    [
        layers.RandomFlip(),
        keras.Sequential([layers.RandomFlip()]),
        [layers.RandomFlip()],
        lambda images: images,
        {"flip": 1},
    ],
    ids=["layer", "sequential", "list", "callable", "dict"],
)
def test_augmentation_by_keras_layers_is_refused_with_the_line_that_works(make, given):
    with pytest.raises(
        ValueError, match=r"Expected augmentation to be an Augmentation.*train.map\(lambda images, labels"
    ):
        make(training=True, augmentation=given)


def test_the_line_that_works_works(make, pixels):
    layer = layers.RandomFlip("horizontal", seed=1)
    train = make(training=True).map(lambda images, labels: (layer(images, training=True), labels))
    assert sorted(numbers_of(train)) == list(range(11))


def test_a_users_catalog_may_repeat_its_index_and_say_nothing_of_problems(catalog, pixels):
    halves = catalog.drop(columns="problem").reset_index(drop=True)
    repeated = pd.concat([halves.iloc[:6], halves.iloc[6:].reset_index(drop=True)])
    np.testing.assert_array_equal(epoch_of(make_dataset(repeated, SPEC, CLASSES, pixels=pixels))[0], pixels)


def first_of(dataset):
    return next(iter(dataset))[0].numpy()[:, 0, 0, 0].tolist()


def test_looking_at_a_batch_is_no_epoch(make):
    epochs = [numbers_of(make(training=True, start_epoch=epoch)) for epoch in range(3)]
    train = make(training=True)
    for epoch in epochs:
        for _ in range(2):
            assert (np.array(first_of(train)) / 20).astype(int).tolist() == epoch[:4]
        assert numbers_of(train) == epoch


def test_an_epoch_ends_with_its_last_batch_for_keras_never_asks_for_more(make):
    train, epochs = make(training=True), [numbers_of(make(training=True, start_epoch=epoch)) for epoch in range(2)]
    for epoch in epochs:
        iterator = iter(train)
        seen = np.concatenate([next(iterator)[0].numpy()[:, 0, 0, 0] / 20 for _ in range(len(train))])
        assert seen.astype(int).tolist() == epoch
    assert numbers_of(train.map(lambda x, y: (x, y)).prefetch(1)) == numbers_of(make(training=True, start_epoch=2))
    assert numbers_of(train.repeat(2)) == sum((numbers_of(make(training=True, start_epoch=e)) for e in (3, 4)), [])


def test_two_iterators_at_once_stay_each_in_its_epoch(make):
    train, epochs = make(training=True), [numbers_of(make(training=True, start_epoch=epoch)) for epoch in range(2)]
    early, early_too = iter(train), iter(train)
    seen = [[*next(iterator)[0].numpy()[:, 0, 0, 0]] for iterator in (early, early_too)]
    assert seen[0] == seen[1]
    seen[0] += [value for images, _ in early for value in images.numpy()[:, 0, 0, 0]]
    late = iter(train)
    third = [*next(late)[0].numpy()[:, 0, 0, 0]]
    seen[1] += [value for images, _ in early_too for value in images.numpy()[:, 0, 0, 0]]
    third += [value for images, _ in late for value in images.numpy()[:, 0, 0, 0]]
    found = [(np.array(values) / 20).astype(int).tolist() for values in (*seen, third)]
    assert found == [epochs[0], epochs[0], epochs[1]]
    assert numbers_of(train) == numbers_of(make(training=True, start_epoch=2))


class Seen(keras.layers.Layer):
    """Keeps the number of every image of training."""

    def __init__(self):
        super().__init__()
        self.numbers = []

    def call(self, images, training=False):
        if training and tf.executing_eagerly():
            self.numbers += (images.numpy()[:, 0, 0, 0] / 20).astype(int).tolist()
        return images


@pytest.mark.parametrize("batch_size", [4, 11], ids=["batches", "one batch"])
def test_as_a_callback_the_counter_follows_fit(make, tmp_path, batch_size):
    epochs = [numbers_of(make(training=True, start_epoch=epoch, batch_size=batch_size)) for epoch in range(5)]
    counter = EpochCounter()
    train = make(training=True, start_epoch=counter, batch_size=batch_size)
    seen = Seen()
    model = keras.Sequential([seen, layers.Flatten(), layers.Dense(3)])  # not built: Keras looks at a batch
    model.compile("sgd", "mse", run_eagerly=True)
    first_of(train)
    options = {"verbose": 0}
    model.fit(train, initial_epoch=1, epochs=3, callbacks=[counter], **options)
    assert seen.numbers == epochs[1] + epochs[2]
    for times in (2, 4):  # stopped after two epochs, gone on with
        seen.numbers.clear()
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        model.fit(train, epochs=times, callbacks=[counter, backup], **options)
        assert seen.numbers == sum(epochs[times - 2 : times], [])


def test_a_counter_holds_no_model():
    counter, model = EpochCounter(), keras.Sequential([layers.Dense(1)])
    keras.callbacks.CallbackList([counter], model=model)
    assert counter.model is None
    with pytest.raises(ValueError, match="Expected epoch to be a whole number of at least 0. Received: epoch='2'"):
        EpochCounter("2")


@pytest.mark.parametrize("training", [False, True])
def test_a_deleted_dataset_frees_its_pixels(catalog, pixels, training):
    model = keras.Sequential([keras.Input(SPEC.shape), layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", "mse")
    dataset = make_dataset(catalog, SPEC, CLASSES, pixels=pixels.copy(), batch_size=4, training=training)
    [copy] = dataset.held
    held = weakref.ref(copy)
    del copy
    for use in (numbers_of, first_of, lambda dataset: model.fit(dataset, verbose=0), model.evaluate):
        use(dataset)
    derived = dataset.map(lambda images, labels: (images + 1, labels)).shuffle(3).prefetch(2).take(3)
    del dataset
    gc.collect()
    assert len(epoch_of(derived)[0]) == 11  # a derived one holds them
    iterator = iter(derived)
    del derived
    gc.collect()
    assert len([*iterator]) == 3  # and an iterator
    del iterator
    gc.collect()
    assert held() is None
    assert len([*make_dataset(catalog, SPEC, CLASSES, pixels=pixels.copy(), training=training)]) == 1


def test_batches_of_a_deleted_dataset_are_an_error_and_never_black(catalog, pixels):
    dataset = make_dataset(catalog, SPEC, CLASSES, pixels=pixels.copy())
    kept = tf.data.experimental.from_variant(tf.data.experimental.to_variant(dataset), dataset.element_spec)
    del dataset
    gc.collect()
    with pytest.raises(tf.errors.InvalidArgumentError, match="The dataset is deleted. Keep it in a variable"):
        next(iter(kept))


ON_JAX = """
import gc, weakref
import keras, numpy as np, pandas as pd, tensorflow as tf
import marinecv as mcv
from marinecv.inputs.epochs import EpochCounter

assert keras.backend.backend() == "jax"
spec, names, count = mcv.ImageSpec(height=8, width=10), ("a", "b"), 44
rows = pd.DataFrame({"image_id": [f"{i}" for i in range(count)], "path": "", "class_name": ["a", "b"] * (count // 2)})
pixels = np.empty((count, *spec.shape), np.uint8)
pixels[:] = np.arange(count)[:, None, None, None]
held = weakref.ref(pixels)
options = {"batch_size": 4, "training": True, "pixels": pixels}
expected = []
for epoch in range(5):
    batches = mcv.make_dataset(rows, spec, names, start_epoch=epoch, **options)
    expected.append([number for images, _ in batches for number in images.numpy()[:, 0, 0, 0]])
for counter, first in ((EpochCounter(), 2), (0, 0)):
    seen = []

    def note(images, labels):
        noted = tf.numpy_function(lambda x: (seen.extend(x[:, 0, 0, 0]), x)[1], [images], tf.float32)
        return tf.ensure_shape(noted, images.shape), labels

    train = mcv.make_dataset(rows, spec, names, start_epoch=counter, **options)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    own = [counter] if first else []
    model.fit(train.map(note), initial_epoch=first, epochs=first + 3, callbacks=own, verbose=0)
    assert len(seen) == 4 + 3 * count  # Keras looked at a batch
    assert seen[4:] == sum(expected[first : first + 3], [])
    model.predict(train, verbose=0)
del options, pixels, train, model, batches
gc.collect()
assert held() is None
"""


@pytest.mark.slow
def test_on_jax_epochs_and_memory_are_the_same():
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", ON_JAX],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        check=True,
    )
