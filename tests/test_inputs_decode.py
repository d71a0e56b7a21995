"""Bytes of any common format become the pixels that a person sees, fitted as padding and then resizing fits them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scenes import saved

import marinecv as mcv
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.shards.write import pack
from marinecv.inputs.decode import decode, decode_with_pillow, fit_image, read_decodable
from marinecv.inputs.pixel_cache import load_pixels, read_pixels
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.to_rgb import find_white

HEIGHT, WIDTH = 24, 40
SPEC = ImageSpec(height=HEIGHT, width=WIDTH, fit="stretch")
ORIENTATION = 0x0112


def picture() -> Image.Image:
    """Draw smooth colors that differ from corner to corner: a JPEG keeps them to a few gray levels."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([rows * 10, columns * 6, 255 - rows * 5 - columns * 3], axis=-1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def clear() -> Image.Image:
    """Draw the same, the left half transparent."""
    alpha = np.where(np.arange(WIDTH) < 20, 0, 255).astype(np.uint8)[None].repeat(HEIGHT, 0)
    image = picture().convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    return image


RGB = np.asarray(picture())
BLACKENED = np.where(np.arange(WIDTH)[None, :, None] < 20, 0, RGB)
GRAY, PALETTE, CMYK = picture().convert("L"), picture().quantize(16), picture().convert("CMYK")
SHADES = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
LEVELS = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256


def gray(values) -> np.ndarray:
    return np.repeat(np.asarray(values)[..., None], 3, axis=-1)


CASES = {  # bytes, pixels, tolerance
    "PNG": (saved(picture(), "PNG"), RGB, 0),
    "lossless WebP": (saved(picture(), "WEBP", lossless=True), RGB, 0),
    "BMP": (saved(picture(), "BMP"), RGB, 0),
    "TIFF": (saved(picture(), "TIFF"), RGB, 0),
    "JPEG": (saved(picture(), "JPEG", quality=95), RGB, 12),
    "gray PNG": (saved(GRAY, "PNG"), gray(GRAY), 0),
    "gray JPEG": (saved(GRAY, "JPEG", quality=95), gray(GRAY), 8),
    "palette": (saved(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB")), 0),
    "transparent PNG": (saved(clear(), "PNG"), BLACKENED, 0),
    "transparent WebP": (saved(clear(), "WEBP", lossless=True), BLACKENED, 0),
    "CMYK": (saved(CMYK, "JPEG", quality=95), np.asarray(CMYK.convert("RGB")), 10),
    "16 bits": (saved(Image.fromarray(SHADES), "PNG"), gray((SHADES / 257).round()), 0),
    "32 bits": (saved(Image.fromarray(LEVELS.astype(np.int32)), "TIFF"), gray(LEVELS), 0),
}


@pytest.mark.parametrize(("data", "expected", "tolerance"), CASES.values(), ids=CASES)
def test_a_format_becomes_its_pixels_and_the_same_inside_tf_data(data, expected, tolerance):
    pixels = decode(tf.constant(data)).numpy()
    np.testing.assert_allclose(pixels.astype(int), expected, atol=tolerance)
    inside = next(tf.data.Dataset.from_tensors(data).map(decode).as_numpy_iterator())
    np.testing.assert_array_equal(inside, pixels)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda pixels: pixels),
        (2, lambda pixels: pixels[:, ::-1]),
        (3, lambda pixels: pixels[::-1, ::-1]),
        (4, lambda pixels: pixels[::-1]),
        (5, lambda pixels: pixels.swapaxes(0, 1)),
        (6, lambda pixels: np.rot90(pixels, -1)),
        (7, lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda pixels: np.rot90(pixels)),
    ],
)
def test_a_photo_is_turned_as_its_exif_says(orientation, upright):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for format in ("PNG", "JPEG"):
        lying, turned = saved(picture(), format), saved(picture(), format, exif=exif)
        np.testing.assert_array_equal(decode(tf.constant(turned)), upright(decode_with_pillow(lying)))


@pytest.mark.parametrize("format", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(format):
    red, blue = Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0)), Image.new("RGB", (WIDTH, HEIGHT), (0, 0, 255))
    pixels = decode(tf.constant(saved(red, format, save_all=True, append_images=[blue], duration=50)))
    np.testing.assert_allclose(pixels.numpy().astype(int), np.asarray(red), atol=4)


@pytest.mark.parametrize("size", [(48, 64), (47, 61), (33, 17), (101, 203), (1, 1)])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}, {"quality": 30}, {"mode": "L"}],
)
def test_a_jpeg_has_the_very_pixels_that_pillow_gives(size, options):
    noise = np.random.default_rng(1).normal(128, 60, (*size, 3)).clip(0, 255).astype(np.uint8)
    mode, options = options.get("mode", "RGB"), {name: options[name] for name in options if name != "mode"}
    data = saved(Image.fromarray(noise).convert(mode), "JPEG", **options)
    np.testing.assert_array_equal(decode(tf.constant(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


TOPS = {"twelve.png": 4095, "top_250.png": 250, "top_300.png": 300, "sixteen.png": 65535}


WHITES = {255: ["top_250.png"], 1023: ["top_250.png", "top_300.png"], 4095: ["twelve.png", "top_300.png"], 65535: TOPS}


@pytest.mark.parametrize(("white", "names"), WHITES.items())
@pytest.mark.parametrize("packed", [False, True])
def test_the_gray_levels_of_a_data_set_are_scaled_by_one_rule(tmp_path, names, white, packed):
    ramp, folder = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH), tmp_path / "tank" / "crab"
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray((ramp * TOPS[name]).astype(np.uint16)).save(folder / name)
    picture().save(folder / "photo.png")
    manifest = manifest_of_folder(tmp_path / "tank")
    if packed:
        manifest = manifest_of_folder(pack(manifest, tmp_path / "pack", read_decodable, log=lambda line: None))
    catalog = mcv.read_catalog(manifest)
    assert find_white(catalog) == white
    spec = ImageSpec(height=HEIGHT, width=WIDTH, fit="stretch", white=white)
    pixels, loaded = load_pixels(catalog, spec)
    assert (loaded["problem"] == "").all()
    of_name = {image_id.rpartition("/")[2]: image for image_id, image in zip(loaded["image_id"], pixels, strict=True)}
    np.testing.assert_array_equal(of_name["photo.png"], RGB)
    np.testing.assert_array_equal(read_pixels([catalog["path"].iloc[0]], spec)[0][0], pixels[0])
    for name in names:
        expected = ((ramp * TOPS[name]).astype(np.uint16) * (255 / white)).round().astype(np.uint8)
        np.testing.assert_array_equal(of_name[name][..., 0], expected)


def test_an_image_above_the_white_of_its_data_set_is_a_row_and_without_one_it_is_its_own(tmp_path):
    for name, top in TOPS.items():
        Image.fromarray(np.full((HEIGHT, WIDTH), top, np.uint16)).save(tmp_path / name)
    paths = [tmp_path / name for name in TOPS]
    reasons = read_pixels(paths, ImageSpec(height=HEIGHT, width=WIDTH, white=1023))[1]
    assert [*reasons] == [0, 3] and "run from 4095 to 4095; expected 0 to 1023" in reasons[0]
    pixels, reasons = read_pixels(paths, SPEC)
    assert not reasons and [image.max() for image in pixels] == [255, 250, 75, 255]


def test_data_without_deep_images_have_no_white(tmp_path):
    (tmp_path / "crab").mkdir()
    picture().save(tmp_path / "crab" / "a.png")
    Image.fromarray(np.full((HEIGHT, WIDTH), -1, np.int32)).save(tmp_path / "crab" / "negative.tif")
    (tmp_path / "crab" / "broken.png").write_bytes(b"no image")
    catalog = mcv.read_catalog(manifest_of_folder(tmp_path))
    assert find_white(catalog) is None and find_white(catalog[:0]) is None
    Image.fromarray(np.full((HEIGHT, WIDTH), 300, np.uint16)).save(tmp_path / "crab" / "deep.jpg", format="PNG")
    assert find_white(mcv.read_catalog(manifest_of_folder(tmp_path))) == 1023  # under a wrong suffix too


def naively(pixels, spec):
    side = max(*pixels.shape[:2], spec.letterbox_px or 0)
    letterbox = tf.image.resize_with_crop_or_pad(pixels, side, side)
    return tf.image.resize(letterbox, (spec.height, spec.width), antialias=spec.antialias).numpy()


def noise(height, width):
    """Return black and white dots: the hardest image to interpolate alike."""
    return np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (height, width, 3))


@pytest.mark.slow
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size_hw", [(48, 64), (63, 101), (1, 7), (201, 97), (330, 221), (1023, 767), (1500, 90)])
def test_fused_fit_equals_pad_then_resize_and_the_same_inside_tf_data(antialias, size_hw):
    pixels, signature = noise(*size_hw), tf.TensorSpec((None, None, 3), tf.uint8)  # one trace for every size
    images = tf.data.Dataset.from_generator(lambda: [pixels], output_signature=signature)
    for height, width in ((64, 64), (100, 300), (1000, 300)):  # 1000 of 1024: offsets were rounded there
        for letterbox_px in (1024, 150, None):
            spec = ImageSpec(height=height, width=width, letterbox_px=letterbox_px, antialias=antialias)
            found = fit_image(tf.constant(pixels), spec).numpy()
            assert found.shape == spec.shape and found.dtype == np.float32
            np.testing.assert_allclose(found, naively(pixels, spec), atol=2e-3, rtol=0)
            inside = next(images.map(lambda image, spec=spec: fit_image(image, spec)).as_numpy_iterator())
            np.testing.assert_allclose(inside, found, atol=1e-2)


def test_stretched_images_leave_no_black():
    for width in (30, 50):
        spec = ImageSpec(height=20, width=width, fit="stretch")
        found = fit_image(tf.fill((20, 50, 3), np.uint8(255)), spec).numpy()
        assert found.shape == spec.shape and found.dtype == np.float32 and found.min() == 255


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 0}, "height is 0"),
        ({"height": "20"}, "height is '20'"),
        ({"letterbox_px": True}, "letterbox_px is True"),
        ({"white": 0}, "white is 0"),
        ({"fit": "crop"}, "fit='crop'"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageSpec(**settings)
