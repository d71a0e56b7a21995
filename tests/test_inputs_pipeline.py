import numpy as np
import pandas as pd
import pytest
from conftest import COLOURS, draw_image

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
        return make_dataset(catalog, SPEC, CLASSES, **{"pixels": pixels, "batch_size": 4, **options})

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
