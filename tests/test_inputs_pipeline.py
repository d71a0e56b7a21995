"""Datasets: order, augmentation, epochs, labels, and the memory that a deleted one frees."""

import gc
import weakref

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import COLORS, draw_image
from keras import layers

from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import DeviceShard, make_dataset
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.inputs.spec import Augmentation, ImageSpec

SPEC = ImageSpec(height=8, width=10, fit="stretch")
CLASSES = ("crab", "eel", "ray")
LABELS = [0] * 6 + [1] * 3 + [2] * 2
MOVES = Augmentation(flip=0.5, rotation_deg=20, zoom=0.2)
NOISE = np.random.default_rng(0).integers(0, 256, (11, *SPEC.shape)).astype(np.uint8)


@pytest.fixture
def catalog():
    """Eleven images: six crabs, three eels, two rays; nothing lies on the disk."""
    ids = [f"{number}.jpg" for number in range(11)]
    names = [CLASSES[label] for label in LABELS]
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


def numbers(images):
    return (np.asarray(images)[:, 0, 0, 0] / 20).astype(int).tolist()


def numbers_of(dataset):
    return numbers(epoch_of(dataset)[0])


def first_of(dataset):
    return numbers(next(iter(dataset))[0])


def test_validation_comes_in_the_order_of_the_catalog_and_as_it_is(make, catalog, pixels):
    halves = catalog.drop(columns="problem")  # a user's catalog may repeat its index
    repeated = pd.concat([halves.iloc[:6], halves.iloc[6:].reset_index(drop=True)])
    dataset = make(augmentation=MOVES)
    for validation in (dataset, dataset, make_dataset(repeated, SPEC, CLASSES, pixels=pixels)):
        images, labels = epoch_of(validation)
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_array_equal(images, pixels)
        assert labels.argmax(axis=1).tolist() == LABELS


def test_each_image_comes_once_an_epoch_with_its_own_label_in_another_order(make):
    dataset, orders = make(training=True), []
    assert dataset.cardinality().numpy() == make().cardinality().numpy() == 3 == len([*make()])
    for _ in range(3):
        images, labels = epoch_of(dataset)
        orders.append(numbers(images))
        assert labels.argmax(axis=1).tolist() == [LABELS[number] for number in orders[-1]]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert len({tuple(order) for order in [*orders, range(11)]}) == 4


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


def test_augmentation_is_keyed_by_seed_epoch_and_image(make):
    def epochs(**options):
        dataset = make(pixels=NOISE, training=True, augmentation=MOVES, **options)
        return [epoch_of(dataset)[0] for _ in range(2)]

    first, second = epochs(seed=1)
    np.testing.assert_array_equal(epochs(seed=1, batch_size=3)[1], second)  # not by index in the batch
    assert not np.array_equal(epochs(seed=2)[0], first)
    sums = [np.sort(images.reshape(11, -1).sum(axis=1)) for images in (first, second)]  # whatever the order
    assert not np.allclose(*sums)


def test_balanced_draws_classes_evenly_and_an_image_drawn_twice_moves_differently(make):
    dataset = make(training=True, balanced=True)
    labels = np.concatenate([epoch_of(dataset)[1] for _ in range(30)])
    assert len(labels) == 330  # an epoch is as long as ever
    np.testing.assert_allclose(labels.mean(axis=0), 1 / 3, atol=0.08)
    options = {"training": True, "balanced": True, "batch_size": 11, "pixels": NOISE}
    plain, moved = epoch_of(make(**options))[0], epoch_of(make(**options, augmentation=MOVES))[0]
    twins = [(i, j) for i in range(11) for j in range(i) if np.array_equal(plain[i], plain[j])]
    assert twins and all(not np.array_equal(moved[i], moved[j]) for i, j in twins)


def test_a_row_of_another_class_is_refused_and_has_a_label_of_zeros_where_that_is_asked_for(make):
    images, labels = epoch_of(make(class_names=["crab", "eel"], allow_unknown=True))
    assert labels.sum(axis=1).tolist() == [1] * 9 + [0] * 2
    for how in ({}, {"training": True}, {"training": True, "allow_unknown": True}):
        with pytest.raises(ValueError, match="2 of 11 images .* 9.jpg of class 'ray'. Expected one of crab, eel"):
            make(class_names=["crab", "eel"], **how)


def test_class_weights_are_the_third_element_of_a_batch(make):
    batches = make(training=True, class_weight={2: 5.0})
    for _, labels, weights in batches:
        np.testing.assert_array_equal(weights, np.where(labels.numpy()[:, 2] == 1, 5, 1))


def test_without_pixels_the_files_are_decoded(tmp_path):
    rows = [("x.jpg", "x.jpg", "", "no box")]
    for number, name in enumerate(COLORS):
        path = tmp_path / f"{number}.jpg"
        draw_image(name, seed=number).save(path)
        rows.append((path.name, str(path), name, ""))
    catalog = pd.DataFrame(rows, columns=["image_id", "path", "class_name", "problem"])
    images, labels = epoch_of(make_dataset(catalog, SPEC, CLASSES))
    np.testing.assert_array_equal(images, load_pixels(catalog, SPEC)[0])
    np.testing.assert_array_equal(labels, np.eye(3))
    (tmp_path / "2.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"1 of 3 images cannot be loaded; the first is 2.jpg \(cannot be decoded"):
        make_dataset(catalog, SPEC, CLASSES)
    with pytest.raises(ValueError, match="No usable image.*`problem`"):
        make_dataset(catalog[:1], SPEC, CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": {*CLASSES}}, "the set .* Expected a list"),
        ({"class_names": "crab"}, "the str 'crab'"),
        ({"class_names": ["crab", "eel", "eel"]}, "'eel' is empty or there twice"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**63}, "seed=9223372036854775808"),
        ({"start_epoch": 1.5}, "start_epoch=1.5"),
        ({"attributes": np.zeros((10, 2))}, r"shape \(11, ...\). Received: \(10, 2\)"),
        ({"class_weight": {"eel": 2.0}}, "keys of class_weight .*'eel'"),
        ({"pixels": NOISE[:10]}, r"of the 11 usable rows: an array of uint8 \(11, 8, 10, 3\)"),
        ({"pixels": NOISE / 255}, "of the 11 usable rows"),
        ({"pixels": NOISE.tolist()}, "of the 11 usable rows"),
        ({"shard": DeviceShard(devices=3)}, "4 images .* 3 devices"),
        ({"spec": (8, 10)}, "spec of type ImageSpec"),
        ({"augmentation": layers.RandomFlip()}, "augmentation of type Augmentation"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_wrong_argument_is_named(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(training=True, **options)


def test_looking_at_a_batch_is_no_epoch(make):
    train = make(training=True)
    for epoch in range(3):
        expected = numbers_of(make(training=True, start_epoch=epoch))
        assert first_of(train) == first_of(train) == expected[:4]
        assert numbers_of(train) == expected


def test_an_epoch_ends_with_its_last_batch_for_keras_never_asks_for_more(make):
    epochs, train = [numbers_of(make(training=True, start_epoch=epoch)) for epoch in range(5)], make(training=True)
    for epoch in epochs[:2]:
        iterator = iter(train)
        assert sum((numbers(next(iterator)[0]) for _ in range(len(train))), []) == epoch
    assert numbers_of(train.map(lambda x, y: (x, y)).prefetch(1)) == epochs[2]
    assert numbers_of(train.repeat(2)) == epochs[3] + epochs[4]


class Seen(keras.layers.Layer):
    """Keeps the number of every image of training."""

    def __init__(self):
        super().__init__()
        self.numbers = []

    def call(self, images, training=False):
        if training and tf.executing_eagerly():
            self.numbers += numbers(images)
        return images


@pytest.mark.parametrize("batch_size", [4, 11], ids=["batches", "one batch"])
def test_as_a_callback_the_counter_follows_fit(make, tmp_path, batch_size):
    options = {"training": True, "batch_size": batch_size}
    epochs = [numbers_of(make(start_epoch=epoch, **options)) for epoch in range(5)]
    counter, seen = EpochCounter(), Seen()
    train = make(start_epoch=counter, **options)
    model = keras.Sequential([seen, layers.Flatten(), layers.Dense(3)])  # not built: Keras looks at a batch
    model.compile("sgd", "mse", run_eagerly=True)
    first_of(train)
    model.fit(train, initial_epoch=1, epochs=3, callbacks=[counter], verbose=0)
    assert seen.numbers == epochs[1] + epochs[2]
    for times in (2, 4):  # stopped after two epochs, then resumed
        seen.numbers.clear()
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        model.fit(train, epochs=times, callbacks=[counter, backup], verbose=0)
        assert seen.numbers == sum(epochs[times - 2 : times], [])
    assert counter.model is None  # TensorFlow would never free it


@pytest.mark.parametrize("training", [False, True])
def test_a_deleted_dataset_frees_its_pixels(make, pixels, training):
    model = keras.Sequential([keras.Input(SPEC.shape), layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", "mse")
    dataset = make(pixels=pixels.copy(), training=training)
    referenced = weakref.ref(dataset.referenced[0])
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
    assert referenced() is None


def test_batches_of_a_deleted_dataset_are_an_error_and_never_black(make, pixels):
    dataset = make(pixels=pixels.copy())
    kept = tf.data.experimental.from_variant(tf.data.experimental.to_variant(dataset), dataset.element_spec)
    del dataset
    gc.collect()
    with pytest.raises(tf.errors.InvalidArgumentError, match="dataset is deleted"):
        next(iter(kept))
