import numpy as np
import pytest
import tensorflow as tf

from marinecv.inputs.augment import DRAWS, augment
from marinecv.inputs.spec import Augmentation

STILL = Augmentation(flip=0)
ALL = Augmentation(flip=0.5, vertical_flip=0.5, rotation_deg=30, zoom=0.3, crop=0.3)


def images(count=3, height=12, width=20):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def draws(count=3, **fixed):
    """Numbers of which none moves an image, but for those that are fixed."""
    names = ("flip", "vertical_flip", "rotation", "zoom", "crop", "crop_row", "crop_column")
    still = {"flip": 0.99, "vertical_flip": 0.99, "rotation": 0.5, "zoom": 0.5, "crop": 0.0, "crop_row": 0.5}
    row = [{**still, "crop_column": 0.5, **fixed}[name] for name in names]
    return np.tile(np.float32(row), (count, 1))


def random_draws(count=3):
    return np.random.default_rng(1).random((count, DRAWS)).astype(np.float32)


def eagerly(pixels, numbers, bounds):
    return augment(tf.constant(pixels), tf.constant(numbers), bounds).numpy()


def inside_tf_data(pixels, numbers, bounds):
    batches = tf.data.Dataset.from_tensor_slices((pixels, numbers)).batch(len(pixels))
    return next(batches.map(lambda x, y: augment(x, y, bounds), num_parallel_calls=2).as_numpy_iterator())


WORLDS = pytest.mark.parametrize("world", [eagerly, inside_tf_data])


@WORLDS
def test_without_bounds_nothing_moves(world):
    moved = world(images(), random_draws(), STILL)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved, images())


@WORLDS
def test_a_flip_is_the_exact_mirror(world):
    np.testing.assert_array_equal(world(images(), draws(), Augmentation(flip=1)), images()[:, :, ::-1])
    np.testing.assert_array_equal(world(images(), draws(), Augmentation(flip=0, vertical_flip=1)), images()[:, ::-1])
    both = world(images(), draws(), Augmentation(flip=1, vertical_flip=1))
    np.testing.assert_array_equal(both, images()[:, ::-1, ::-1])


def test_a_flip_of_one_half_mirrors_what_draws_below():
    numbers = draws(3)
    numbers[1, 0] = 0.49
    found = eagerly(images(), numbers, Augmentation(flip=0.5))
    expected = images()
    expected[1] = expected[1, :, ::-1]
    np.testing.assert_array_equal(found, expected)


@WORLDS
def test_a_rotation_of_90_degrees_is_a_quarter_turn(world):
    square = images(height=16, width=16)
    turned = world(square, draws(rotation=1.0), Augmentation(flip=0, rotation_deg=90))
    back = world(square, draws(rotation=0.0), Augmentation(flip=0, rotation_deg=90))
    np.testing.assert_allclose(turned, np.rot90(square, 1, axes=(1, 2)), atol=0.1)
    np.testing.assert_allclose(back, np.rot90(square, -1, axes=(1, 2)), atol=0.1)


def test_a_crop_of_half_enlarges_one_quarter():
    pixels = np.zeros((1, 16, 16, 3), np.float32)
    pixels[:, :8, 8:] = 200
    bounds = Augmentation(flip=0, crop=0.5)
    np.testing.assert_allclose(
        eagerly(pixels, draws(1, crop=1.0, crop_row=0.0, crop_column=1.0), bounds)[0, 1:-1, 1:-1], 200, atol=0.1
    )
    assert eagerly(pixels, draws(1, crop=1.0, crop_row=1.0, crop_column=0.0), bounds)[0, 1:, :-1].max() == 0


def test_zooming_out_shows_black_around():
    white = np.full((1, 20, 20, 3), 255, np.float32)
    out = eagerly(white, draws(1, zoom=1.0), Augmentation(flip=0, zoom=0.5))[0]
    assert out[0].max() == 0 and out[:, 0].max() == 0
    assert out[10, 10].min() == 255
    assert eagerly(white, draws(1, zoom=0.0), Augmentation(flip=0, zoom=0.5)).min() == 255


@WORLDS
def test_the_same_draws_give_the_same_image_whatever_the_batch(world):
    whole = world(images(), random_draws(), ALL)
    np.testing.assert_array_equal(whole, world(images(), random_draws(), ALL))
    for number in range(3):
        alone = world(images()[number : number + 1], random_draws()[number : number + 1], ALL)
        np.testing.assert_array_equal(alone[0], whole[number])
    assert np.abs(whole - images()).mean() > 1


@pytest.mark.parametrize("value", [-1, 361, float("nan"), "15", None])
def test_a_rotation_that_is_no_angle_is_refused(value):
    with pytest.raises(ValueError, match="rotation_deg is .*Expected `float`"):
        Augmentation(rotation_deg=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("flip", 1.5), ("vertical_flip", -0.1), ("zoom", 1), ("crop", 1), ("flip", True), ("zoom", None), ("crop", "a")],
)
def test_a_bound_that_is_no_fraction_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}. Expected `float`"):
        Augmentation(**{name: value})
