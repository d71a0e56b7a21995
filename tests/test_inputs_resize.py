"""Fitting in one step gives what padding and then resizing gives."""

import numpy as np
import pytest
import tensorflow as tf

from marinecv.inputs.decode import fit_image
from marinecv.inputs.spec import ImageSpec

ANTIALIAS = pytest.mark.parametrize("antialias", [False, True])


def fitted(pixels, spec):
    return fit_image(tf.constant(pixels), spec).numpy()


def naively(pixels, spec):
    side = max(*pixels.shape[:2], spec.canvas_px or 0)
    canvas = tf.image.resize_with_crop_or_pad(pixels, side, side)
    return tf.image.resize(canvas, (spec.height, spec.width), antialias=spec.antialias).numpy()


def noise(height, width):
    """Return black and white dots: the hardest image to interpolate alike."""
    return np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (height, width, 3))


@ANTIALIAS
@pytest.mark.parametrize("size_hw", [(48, 64), (63, 101), (1, 7), (201, 97), (330, 221), (1023, 767), (1500, 90)])
def test_fused_fit_equals_pad_then_resize_and_the_same_inside_tf_data(antialias, size_hw):
    pixels, signature = noise(*size_hw), tf.TensorSpec((None, None, 3), tf.uint8)  # one trace for every size
    images = tf.data.Dataset.from_generator(lambda: [pixels], output_signature=signature)
    for height, width in ((64, 64), (100, 300), (1000, 300)):  # 1000 of 1024: offsets were rounded there
        for canvas_px in (1024, None):
            spec = ImageSpec(height=height, width=width, canvas_px=canvas_px, antialias=antialias)
            found = fitted(pixels, spec)
            assert found.shape == spec.shape and found.dtype == np.float32
            np.testing.assert_allclose(found, naively(pixels, spec), atol=2e-3, rtol=0)
            inside = next(images.map(lambda image, spec=spec: fit_image(image, spec)).as_numpy_iterator())
            np.testing.assert_allclose(inside, found, atol=1e-2)


@ANTIALIAS
def test_fused_fit_equals_pad_then_resize_whatever_the_sizes(antialias):
    rng = np.random.default_rng(7)
    for _ in range(40):  # shrunk, enlarged, and almost its own size; odd offsets
        height, width, canvas, out_height, out_width = (int(value) for value in rng.integers(2, 300, 5))
        spec = ImageSpec(height=out_height, width=out_width, canvas_px=canvas, antialias=antialias)
        pixels = noise(height, width)
        np.testing.assert_allclose(fitted(pixels, spec), naively(pixels, spec), atol=1e-3, rtol=0, err_msg=str(spec))


def test_stretched_images_leave_no_black():
    for width in (30, 50):
        spec = ImageSpec(height=20, width=width, fit="stretch")
        found = fitted(np.full((20, 50, 3), 255, np.uint8), spec)
        assert found.shape == spec.shape and found.dtype == np.float32 and found.min() == 255


def test_height_and_width_are_not_swapped():
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    found = fitted(pixels, ImageSpec(height=20, width=40, canvas_px=40))
    assert found[:, :19].max() == 0 and found[10, 30].min() == 255  # the left half is black
    assert found[2].max() == 0  # above the image is padding


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 0}, "height is 0"),
        ({"height": "20"}, "height is '20'"),
        ({"canvas_px": True}, "canvas_px is True"),
        ({"white": 0}, "white is 0"),
        ({"fit": "crop"}, "fit='crop'"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageSpec(**settings)
