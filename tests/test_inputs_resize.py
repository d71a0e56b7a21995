import numpy as np
import pytest
import tensorflow as tf

from marinecv.inputs.decode import fit_image
from marinecv.inputs.spec import ImageSpec

ODD_SIZES = [(48, 64), (63, 101), (1, 7), (201, 97), (330, 221)]


def eagerly(pixels, spec):
    return fit_image(tf.constant(pixels), spec).numpy()


def inside_tf_data(pixels, spec):
    """One trace for every size, as the pipeline has it."""
    images = tf.data.Dataset.from_generator(lambda: [pixels], output_signature=tf.TensorSpec((None, None, 3), tf.uint8))
    return next(images.map(lambda image: fit_image(image, spec)).as_numpy_iterator())


def naively(pixels, spec, side):
    canvas = tf.image.resize_with_crop_or_pad(pixels, side, side)
    return tf.image.resize(canvas, (spec.height, spec.width), antialias=spec.antialias).numpy()


def noise(height, width, seed=0):
    """Black and white dots: the hardest image to interpolate alike."""
    return np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), (height, width, 3))


@pytest.mark.parametrize("world", [eagerly, inside_tf_data])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size_hw", ODD_SIZES)
def test_fused_fit_equals_pad_then_resize(world, antialias, size_hw):
    pixels = noise(*size_hw)
    for out_hw in ((64, 64), (100, 300)):
        for canvas_px in (1024, None):
            spec = ImageSpec(height=out_hw[0], width=out_hw[1], canvas_px=canvas_px, antialias=antialias)
            fitted = world(pixels, spec)
            assert fitted.shape == (*out_hw, 3) and fitted.dtype == np.float32
            np.testing.assert_allclose(fitted, naively(pixels, spec, canvas_px or max(size_hw)), atol=2e-3, rtol=0)


@pytest.mark.parametrize("antialias", [False, True])
def test_fused_fit_equals_pad_then_resize_whatever_the_sizes(antialias):
    rng = np.random.default_rng(7)
    for _ in range(40):  # shrunk, enlarged, and almost its own size; odd offsets
        height, width, canvas, out_height, out_width = (int(value) for value in rng.integers(2, 300, 5))
        pixels = noise(height, width)
        spec = ImageSpec(height=out_height, width=out_width, canvas_px=canvas, antialias=antialias)
        expected = naively(pixels, spec, max(height, width, canvas))
        np.testing.assert_allclose(
            eagerly(pixels, spec), expected, atol=1e-3, rtol=0, err_msg=str((pixels.shape, spec))
        )


@pytest.mark.parametrize("size_hw", [(1023, 767), (640, 1024), (124, 167)])
def test_averaging_at_sharp_edges_is_as_exact(size_hw):
    pixels = noise(*size_hw)
    for out_hw in ((224, 64), (1000, 300)):  # 1000 of 1024: the offset's rounding was seen here
        spec = ImageSpec(height=out_hw[0], width=out_hw[1], canvas_px=1024, antialias=True)
        np.testing.assert_allclose(eagerly(pixels, spec), naively(pixels, spec, 1024), atol=1e-3, rtol=0)


@pytest.mark.parametrize("antialias", [False, True])
def test_a_larger_image_is_shrunk_whole_and_never_cropped(antialias):
    pixels = noise(90, 151)
    spec = ImageSpec(height=32, width=32, canvas_px=64, antialias=antialias)
    np.testing.assert_allclose(eagerly(pixels, spec), naively(pixels, spec, 151), atol=1e-3, rtol=0)


def test_without_a_canvas_the_image_fills_the_input():
    pixels = noise(40, 75)
    spec = ImageSpec(height=25, width=25)
    np.testing.assert_allclose(eagerly(pixels, spec), naively(pixels, spec, 75), atol=1e-3, rtol=0)


def test_an_image_of_the_size_of_its_canvas_stays_as_it_is():
    pixels = noise(32, 32)
    for antialias in (False, True):
        spec = ImageSpec(height=32, width=32, canvas_px=32, antialias=antialias)
        np.testing.assert_array_equal(eagerly(pixels, spec), pixels)


@pytest.mark.parametrize("world", [eagerly, inside_tf_data])
def test_stretched_images_leave_no_black(world):
    white = np.full((20, 50, 3), 255, np.uint8)
    for size in (30, 50):
        fitted = world(white, ImageSpec(height=20, width=size, fit="stretch"))
        assert fitted.shape == (20, size, 3) and fitted.dtype == np.float32
        assert fitted.min() == 255


def test_height_and_width_are_not_swapped():
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    fitted = eagerly(pixels, ImageSpec(height=20, width=40, canvas_px=40))
    assert fitted[:, :19].max() == 0  # the left half is black
    assert fitted[10, 30].min() == 255
    assert fitted[2].max() == 0  # above the image there is canvas


def test_only_a_padded_image_can_exceed_its_canvas():
    assert exceeds_canvas(65, 10, ImageSpec(canvas_px=64))
    assert not exceeds_canvas(64, 64, ImageSpec(canvas_px=64))
    assert not exceeds_canvas(65, 65, ImageSpec(canvas_px=None))
    assert not exceeds_canvas(65, 65, ImageSpec(canvas_px=64, fit="stretch"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 0}, "height is 0. Expected `int` >= 1"),
        ({"fit": "crop"}, "fit to be one of .*Received: fit='crop'"),
        ({"larger": "crop"}, "larger to be one of .*Received: larger='crop'"),
        ({"canvas_px": 0}, "canvas_px is 0. Expected `int` >= 1"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageSpec(**settings)
