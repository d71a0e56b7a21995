import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import COLOURS, draw_image
from PIL import Image

from marinecv.data.store import store_path
from marinecv.inputs import pixels as room
from marinecv.inputs.decode import decode
from marinecv.inputs.pixels import load_pixels, read_pixels
from marinecv.inputs.decode import fit_image
from marinecv.inputs.spec import ImageSpec

SPEC = ImageSpec(height=20, width=30, canvas_px=64)


def catalog_of(paths) -> pd.DataFrame:
    """A row a file, numbered from 100: rows are not found by their number."""
    rows = [(Path(path).name, str(path), 64, 48, "") for path in paths]
    names = ["image_id", "path", "width", "height", "problem"]
    return pd.DataFrame(rows, columns=names, index=range(100, 100 + len(rows)))


@pytest.fixture
def files(tmp_path):
    """Five different images in three formats."""
    paths = [tmp_path / f"Ein Fisch {number}{ending}" for number, ending in enumerate((".jpg", ".png", ".webp") * 2)][
        :5
    ]
    for number, path in enumerate(paths):
        draw_image(list(COLOURS)[number % 3], seed=number).save(path)
    return paths


@pytest.fixture
def with_broken(files, tmp_path):
    """The same with a JPEG cut short, a text renamed, and a file that is gone, among them."""
    cut, text, gone = tmp_path / "cut.jpg", tmp_path / "text.jpg", tmp_path / "gone.jpg"
    cut.write_bytes(files[0].read_bytes()[:700])
    text.write_text("Dear diary, today we saw a ray.")
    return [cut, files[0], text, files[1], gone, *files[2:]]


def expected(paths):
    images = [fit_image(decode(tf.io.read_file(str(path))), SPEC) for path in paths]
    return np.stack(images)


def in_memory(catalog, spec=SPEC, **options):
    return load_pixels(catalog, spec, **options)


def mapped(catalog, spec=SPEC, **options):
    return load_pixels(catalog, spec, memory_budget_bytes=0, **options)


WORLDS = pytest.mark.parametrize("load", [in_memory, mapped])


@WORLDS
def test_pixels_are_the_fitted_images_to_half_a_grey_level(load, files):
    pixels, catalog = load(catalog_of(files))
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, expected(files), atol=0.5 + 1e-3)
    pd.testing.assert_frame_equal(catalog, catalog_of(files))


def test_mapped_pixels_are_the_same_and_are_found_again(files, monkeypatch):
    pixels, _ = mapped(catalog_of(files))
    assert isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels, in_memory(catalog_of(files))[0])
    with monkeypatch.context() as patched:
        patched.setattr(room, "_fill", None)  # nothing is decoded a second time
        np.testing.assert_array_equal(mapped(catalog_of(files))[0], pixels)
    draw_image("ray", seed=77).save(files[0])
    assert not np.array_equal(mapped(catalog_of(files))[0][0], pixels[0])  # a changed file is read anew
    assert not list(store_path("pixels").glob("*.part"))


def test_pixels_used_longest_ago_make_room_for_new_ones(files, monkeypatch):
    for number in range(3):
        mapped(catalog_of(files[number:]))
        newest = max(store_path("pixels").glob("*.npy"), key=lambda place: place.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    assert sorted(place.stat().st_mtime for place in store_path("pixels").glob("*.npy")) == [0, 1, 2]
    mapped(catalog_of(files))  # the oldest is used again
    monkeypatch.setattr(room, "DISK_BUDGET_BYTES", 2 * 5 * 20 * 30 * 3)
    mapped(catalog_of(files[3:]))
    shapes = sorted(len(np.load(place)) for place in store_path("pixels").glob("*.npy"))
    assert shapes == [2, 5]


def test_pixels_kept_by_another_version_are_not_found_again(files, monkeypatch):
    mapped(catalog_of(files))
    monkeypatch.setattr(room, "VERSION", room.VERSION + 1)
    mapped(catalog_of(files))
    assert len(list(store_path("pixels").glob("*.npy"))) == 2


@WORLDS
def test_a_file_that_cannot_be_read_is_a_row_with_a_reason_and_never_a_black_image(load, with_broken, files):
    before = catalog_of(with_broken)
    pixels, catalog = load(before)
    assert (before["problem"] == "").all()  # the catalog handed in is left alone
    reasons = catalog["problem"].tolist()
    assert "truncated" in reasons[0]
    assert reasons[2] == "cannot be decoded: it is no image that Pillow can read"
    assert "No such file" in reasons[4]
    assert [not reason for reason in reasons] == [False, True, False, True, False, True, True, True]
    np.testing.assert_array_equal(pixels, in_memory(catalog_of(files))[0])
    assert not list(store_path("pixels").glob("*.part"))


@WORLDS
def test_rows_with_a_problem_are_left_alone(load, files):
    catalog = catalog_of(files)
    catalog.loc[101, "problem"] = "no box"
    pixels, after = load(catalog)
    assert len(pixels) == 4 and after["problem"].tolist() == ["", "no box", "", "", ""]
    np.testing.assert_array_equal(pixels[1], in_memory(catalog_of(files))[0][2])


def test_refused_sizes_are_rows_with_a_reason(files):
    catalog = catalog_of(files)
    catalog.loc[102, "width"] = 65
    pixels, after = load_pixels(catalog, ImageSpec(height=20, width=30, canvas_px=64, larger="refuse"))
    assert len(pixels) == 4
    assert after.loc[102, "problem"] == "larger than the canvas of 64 px"


def test_sizes_that_a_users_catalog_does_not_know_are_read_from_the_files(files, tmp_path):
    large = tmp_path / "large.jpg"
    draw_image("eel", seed=1).resize((66, 40)).save(large)
    catalog = catalog_of([files[0], large, files[1]])
    spec = ImageSpec(height=20, width=30, canvas_px=64, larger="refuse")
    for own in (catalog.drop(columns=["width", "height"]), catalog.assign(width=np.nan, height=np.nan)):
        assert load_pixels(own, spec)[1]["problem"].tolist() == ["", "larger than the canvas of 64 px", ""]


@WORLDS
def test_a_repeated_index_and_missing_problems_change_nothing(load, files, with_broken):
    once = load(catalog_of(with_broken))
    table = catalog_of(with_broken).reset_index(drop=True)
    repeated = pd.concat([table.iloc[:4], table.iloc[4:].reset_index(drop=True)])
    without = repeated.drop(columns=["problem", "width", "height"])
    for own in (repeated, repeated.assign(problem=np.nan), without, without.assign(path=without["path"].map(Path))):
        before = own.copy()
        pixels, after = load(own)
        np.testing.assert_array_equal(pixels, once[0])
        assert after["problem"].tolist() == once[1]["problem"].tolist()
        assert after.index.equals(own.index) and own.equals(before)


def test_paths_are_a_list_of_text_or_paths(files):
    expected = read_pixels([str(path) for path in files], SPEC)[0]
    np.testing.assert_array_equal(read_pixels(files, SPEC)[0], expected)
    np.testing.assert_array_equal(read_pixels(pd.Series(files, index=[4, 4, 1, 0, 7]), SPEC)[0], expected)
    for one in (files[0], str(files[0])):
        with pytest.raises(ValueError, match=r"Expected a list of paths. Received one: .*Write read_pixels\(\[path\]"):
            read_pixels(one, SPEC)


@pytest.mark.parametrize("load", [lambda: load_pixels(catalog_of([]), (20, 30)), lambda: read_pixels([], "small")])
def test_a_size_that_is_no_image_spec_is_refused(load):
    with pytest.raises(ValueError, match="Expected spec to be an ImageSpec"):
        load()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"height": "20"}, "height is '20'. Expected `int`"),
        ({"width": 30.0}, "width is 30.0. Expected `int`"),
        ({"canvas_px": True}, "canvas_px is True. Expected `int"),
        ({"white": "255"}, "white is '255'. Expected `int"),
    ],
)
def test_a_spec_of_wrong_types_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ImageSpec(**wrong)


def test_numbers_of_numpy_make_the_same_spec():
    assert repr(ImageSpec(height=np.int64(20), width=np.uint8(30))) == repr(ImageSpec(height=20, width=30))


def test_no_usable_row_gives_no_pixels(files):
    pixels, _ = load_pixels(catalog_of(files).assign(problem="no box"), SPEC)
    assert pixels.shape == (0, 20, 30, 3)


def test_progress_ends_with_all_images(files, monkeypatch):
    seen = []
    monkeypatch.setattr(room, "progress_bar", lambda total, *_, **__: nullcontext(lambda n: seen.append((n, total))))
    load_pixels(catalog_of(files), SPEC)
    assert seen == [(5, 5)]


def test_read_pixels_says_which_positions_failed(with_broken, files):
    pixels, reasons = read_pixels([str(path) for path in with_broken], SPEC)
    assert sorted(reasons) == [0, 2, 4] and reasons[4] == "there is no such file"
    good = [position for position in range(len(with_broken)) if position not in reasons]
    np.testing.assert_array_equal(pixels[good], in_memory(catalog_of(files))[0])


def test_read_pixels_refuses_as_load_pixels_does(files, tmp_path):
    large = tmp_path / "large.jpg"
    draw_image("eel", seed=1).resize((66, 40)).save(large)
    raw = tmp_path / "raw.dng"  # a raw file holds a thumbnail that Pillow reads
    draw_image("eel", seed=1).save(raw, "TIFF")
    spec = ImageSpec(height=20, width=30, canvas_px=64, larger="refuse")
    _, reasons = read_pixels([str(path) for path in (large, files[1], raw)], spec)
    assert reasons == {0: "larger than the canvas of 64 px", 2: "unsupported format .dng; convert it to JPEG or PNG"}
    assert list(read_pixels([str(large)], SPEC)[1]) == []


def test_a_jpeg_that_only_pillow_decodes_is_used(tmp_path):
    path = tmp_path / "four inks.jpg"
    draw_image("crab", seed=1).convert("CMYK").save(path)
    pixels, reasons = read_pixels([str(path)], SPEC)
    assert not reasons
    red, green, blue = pixels[0, 10, 15].astype(int)
    assert red > green and red > blue


def test_a_photo_lying_on_its_side_is_loaded_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_image("crab", seed=1).save(tmp_path / "lying.jpg", exif=exif)
    pixels, _ = read_pixels([str(tmp_path / "lying.jpg")], SPEC)
    assert pixels[0, :, 0].max() == 0  # 48x64 stands upright: there is canvas left and right of it
    assert pixels[0, 1].max() > 0
