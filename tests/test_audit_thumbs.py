"""What the audit looks at: small pictures, decoded as training decodes them."""

import numpy as np
import pytest
from PIL import Image
from scenes import draw_scene, save
from test_audit_pictures import catalog_of

from marinecv.audit import thumbs
from marinecv.audit.thumbs import colours, greys, in_chunks, load_thumbs, shrunk, tiny


def test_every_image_becomes_128_pixels_wide_and_high_whatever_its_shape(tmp_path):
    paths = [save(draw_scene(1, 1), tmp_path / "a.jpg"), save(draw_scene(2, 2, (50, 200)), tmp_path / "b.jpg")]
    pixels, catalog = load_thumbs(catalog_of(paths))
    assert pixels.shape == (2, 128, 128, 3) and pixels.dtype == np.uint8
    assert (catalog["problem"] == "").all()


@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_shrinking_keeps_the_mean_and_one_grey(side):
    pictures = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    assert shrunk(pictures, side).mean(axis=(1, 2)) == pytest.approx(pictures.mean(axis=(1, 2)), rel=1e-5)
    assert shrunk(np.full((1, 8, 8), 7.0, np.float32), side) == pytest.approx(np.full((1, side, side), 7.0))


def test_shrinking_by_a_whole_number_is_the_mean_of_each_block():
    picture = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4)
    assert shrunk(picture, 2)[0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_grey_is_luma_and_tiny_keeps_its_channels():
    red = np.zeros((1, 128, 128, 3), np.uint8)
    red[..., 0] = 200
    assert greys(red, 4) == pytest.approx(np.full((1, 4, 4), 0.299 * 200), rel=1e-5)
    assert tiny(red, 2)[0] == pytest.approx([200] * 4 + [0] * 8)


def test_colours_are_the_same_mirrored_and_have_length_sqrt_2():
    scene = np.asarray(draw_scene(3, 3).resize((128, 128), Image.Resampling.BOX))[None]
    assert np.array_equal(colours(scene), colours(scene[:, :, ::-1]))
    assert (colours(scene) ** 2).sum() == pytest.approx(2, rel=1e-5)


def test_in_chunks_is_as_at_once(monkeypatch):
    monkeypatch.setattr(thumbs, "CHUNK", 3)
    values = np.arange(8.0)
    assert np.array_equal(in_chunks(lambda part: part * 2, values), values * 2)
