import io
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import marinecv as mcv
from marinecv.data import images as room
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.pack import pack
from marinecv.inputs.decode import decode, decode_with_pillow, read_decodable
from marinecv.inputs.pixels import load_pixels, read_pixels
from marinecv.inputs.rgb import find_white
from marinecv.inputs.spec import ImageSpec

HEIGHT, WIDTH = 24, 40
ORIENTATION = 0x0112


def picture() -> Image.Image:
    """Smooth colours that differ from corner to corner: a JPEG keeps them to a few grey levels."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([rows * 10, columns * 6, 255 - rows * 5 - columns * 3], axis=-1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def eagerly(data):
    return decode(tf.constant(data)).numpy()


def inside_tf_data(data):
    return next(tf.data.Dataset.from_tensors(data).map(decode).as_numpy_iterator())


WORLDS = pytest.mark.parametrize("world", [eagerly, inside_tf_data])


@WORLDS
@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {})])
def test_a_lossless_format_comes_back_exactly(world, format, options):
    np.testing.assert_array_equal(world(saved(picture(), format, **options)), np.asarray(picture()))


@WORLDS
def test_a_jpeg_comes_back_almost(world):
    np.testing.assert_allclose(world(saved(picture(), "JPEG", quality=95)), np.asarray(picture()), atol=12)


@WORLDS
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
def test_a_photo_is_turned_as_its_exif_says(world, orientation, upright):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for format, options in (("PNG", {}), ("JPEG", {"quality": 95})):
        lying = decode_with_pillow(saved(picture(), format, **options))
        np.testing.assert_array_equal(world(saved(picture(), format, exif=exif, **options)), upright(lying))


@WORLDS
def test_grey_becomes_three_equal_channels(world):
    grey = picture().convert("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(world(saved(grey, "PNG")), expected)
    np.testing.assert_allclose(world(saved(grey, "JPEG", quality=95)), expected, atol=8)


@WORLDS
def test_a_palette_becomes_its_colours(world):
    palette = picture().quantize(16)
    np.testing.assert_array_equal(world(saved(palette, "PNG")), np.asarray(palette.convert("RGB")))


@WORLDS
def test_what_is_transparent_is_black(world):
    clear = picture().convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(np.arange(WIDTH) < 20, 0, 255).astype(np.uint8)[None].repeat(HEIGHT, 0)))
    expected = np.asarray(picture()).copy()
    expected[:, :20] = 0
    np.testing.assert_array_equal(world(saved(clear, "PNG")), expected)
    np.testing.assert_array_equal(world(saved(clear, "WEBP", lossless=True)), expected)


@WORLDS
def test_cmyk_becomes_the_colours_seen(world):
    expected = np.asarray(picture().convert("CMYK").convert("RGB"))
    np.testing.assert_allclose(world(saved(picture().convert("CMYK"), "JPEG", quality=95)), expected, atol=10)


@WORLDS
def test_sixteen_bits_keep_their_shades(world):
    shades = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    expected = np.repeat((shades / 257).round().astype(np.uint8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(world(saved(Image.fromarray(shades), "PNG")), expected)


TOPS = {"twelve.png": 4095, "top_250.png": 250, "top_300.png": 300, "sixteen.png": 65535}


@pytest.mark.parametrize(
    ("names", "white"),
    [
        (["top_250.png"], 255),
        (["top_250.png", "top_300.png"], 1023),
        (["twelve.png", "top_300.png"], 4095),
        (TOPS, 65535),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_gray_levels_of_a_data_set_are_scaled_by_one_rule(tmp_path, names, white, packed):
    ramp, folder = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH), tmp_path / "tank" / "crab"
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray((ramp * TOPS[name]).astype(np.uint16)).save(folder / name)
    picture().save(folder / "photo.png")
    manifest = manifest_of_folder(tmp_path / "tank")
    if packed:
        manifest = manifest_of_folder(pack(manifest, tmp_path / "pack", read_decodable, say=lambda line: None))
    catalog = mcv.read_catalog(manifest)
    assert find_white(catalog) == white
    spec = ImageSpec(height=HEIGHT, width=WIDTH, fit="stretch", canvas_px=None, white=find_white(catalog))
    pixels, loaded = load_pixels(catalog, spec)
    assert (loaded["problem"] == "").all()
    of_name = {image_id.rpartition("/")[2]: image for image_id, image in zip(loaded["image_id"], pixels, strict=True)}
    np.testing.assert_array_equal(of_name["photo.png"], np.asarray(picture()))
    for name in names:
        expected = ((ramp * TOPS[name]).astype(np.uint16) * (255 / white)).round().astype(np.uint8)
        np.testing.assert_array_equal(of_name[name][..., 0], expected)
        np.testing.assert_array_equal(read_pixels([catalog["path"].iloc[0]], spec)[0][0], pixels[0])  # a file alone


def test_an_image_above_the_white_of_its_data_set_is_a_row_and_without_one_it_is_its_own(tmp_path):
    for name, top in TOPS.items():
        Image.fromarray(np.full((HEIGHT, WIDTH), top, np.uint16)).save(tmp_path / name)
    paths = [str(tmp_path / name) for name in TOPS]
    spec = ImageSpec(height=HEIGHT, width=WIDTH, white=1023)
    reason = "cannot be decoded: its pixels run from {0} to {0}; expected 0 to 1023, which is white here"
    assert read_pixels(paths, spec)[1] == {0: reason.format(4095), 3: reason.format(65535)}
    pixels, reasons = read_pixels(paths, ImageSpec(height=HEIGHT, width=WIDTH, fit="stretch", canvas_px=None))
    assert not reasons and [image.max() for image in pixels] == [255, 250, 75, 255]
    with pytest.raises(ValueError, match="white is 0. Expected `int` >= 1"):
        ImageSpec(white=0)


def test_data_without_deep_images_have_no_white(tmp_path):
    (tmp_path / "crab").mkdir()
    picture().save(tmp_path / "crab" / "a.png")
    Image.fromarray(np.full((HEIGHT, WIDTH), -1, np.int32)).save(tmp_path / "crab" / "negative.tif")
    (tmp_path / "crab" / "broken.png").write_bytes(b"no image")
    catalog = mcv.read_catalog(manifest_of_folder(tmp_path))
    assert find_white(catalog) is None and find_white(catalog[:0]) is None
    Image.fromarray(np.full((HEIGHT, WIDTH), 300, np.uint16)).save(tmp_path / "crab" / "deep.jpg", format="PNG")
    assert find_white(mcv.read_catalog(manifest_of_folder(tmp_path))) == 1023  # under a wrong suffix too


def test_a_number_a_pixel_up_to_255_is_a_grey_level():
    levels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256
    for kind in (np.int32, np.float32):
        found = decode_with_pillow(saved(Image.fromarray(levels.astype(kind)), "TIFF"))
        np.testing.assert_array_equal(found[..., 1], levels)


@WORLDS
@pytest.mark.parametrize("format", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(world, format):
    red, blue = Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0)), Image.new("RGB", (WIDTH, HEIGHT), (0, 0, 255))
    found = world(saved(red, format, save_all=True, append_images=[blue], duration=50))
    assert found.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(found, np.asarray(red), atol=4)


@pytest.mark.parametrize("data", [b"", b"this is no picture", b"\xff\xd8\xff but no more", b"GIF89a"])
def test_bytes_that_are_no_image_are_refused(data):
    with pytest.raises(ValueError, match="cannot be decoded: it is no image that Pillow can read"):
        decode_with_pillow(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_file_cut_short_is_refused_and_never_black(format):
    whole = saved(Image.effect_noise((400, 300), 80).convert("RGB"), format)
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_with_pillow(whole[: len(whole) // 2])
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        eagerly(whole[: len(whole) // 2])


def test_an_image_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(room, "MAX_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(ValueError, match="cannot be decoded: 40x24 pixels are more than 959"):
        decode_with_pillow(saved(picture(), "PNG"))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [(1024, 768), (577, 1021), (600, 500)])
def test_reduced_decoding_keeps_the_geometry(tmp_path, suffix, size):
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 255 / height, columns * 255 / width, 128 + 0 * rows], axis=-1).astype(np.uint8)
    path = tmp_path / f"ramp.{suffix}"
    Image.fromarray(pixels).save(path, **({"quality": 95} if suffix == "jpg" else {}))
    spec = ImageSpec(height=64, width=64, canvas_px=1024, antialias=True)
    full, reduced = (
        read_pixels([str(path)], replace(spec, reduced_decoding=choice))[0][0].astype(int) for choice in (False, True)
    )
    inside = (full > 0).all(axis=-1) & (reduced > 0).all(axis=-1)
    assert abs((full > 0).sum() - (reduced > 0).sum()) <= 0.05 * full.size
    assert np.median(abs(full - reduced)[inside]) <= 4


def test_reduced_decoding_divides_by_what_the_canvas_has_to_spare():
    canvas = {"canvas_px": 1024, "reduced_decoding": True}
    ratios = [ImageSpec(height=n, width=n, **canvas).decode_ratio for n in (64, 128, 224, 512, 600)]
    assert ratios == [8, 8, 4, 2, 1] and ImageSpec(height=64, width=64).decode_ratio == 1


def test_reduced_decoding_needs_a_canvas():
    for choice in ({"fit": "stretch", "canvas_px": 1024}, {}):
        with pytest.raises(ValueError, match='Expected fit="pad" and a canvas_px beside reduced_decoding'):
            ImageSpec(reduced_decoding=True, **choice)


@WORLDS
@pytest.mark.parametrize("size", [(48, 64), (47, 61), (33, 17), (101, 203), (1, 1)])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}, {"quality": 30}, {"mode": "L"}],
)
def test_a_jpeg_has_the_very_pixels_that_pillow_gives(world, size, options):
    options = dict(options)
    noise = np.random.default_rng(1).normal(128, 60, (*size, 3)).clip(0, 255).astype(np.uint8)
    data = saved(Image.fromarray(noise).convert(options.pop("mode", "RGB")), "JPEG", **options)
    np.testing.assert_array_equal(world(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
