"""The pixels of a catalog: decoded once, cached, and an image that cannot be read is a row with a reason."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import COLORS, draw_image
from scenes import table_of_files

from marinecv.data.cache_dir import cache_path
from marinecv.inputs import pixel_cache as room
from marinecv.inputs.decode import decode, fit_image
from marinecv.inputs.pixel_cache import load_pixels, read_pixels, rows_of
from marinecv.inputs.spec import ImageSpec

SPEC = ImageSpec(height=20, width=30, letterbox_px=64)
ENDINGS = (".jpg", ".png", ".webp", ".jpg", ".png")


@pytest.fixture
def files(tmp_path):
    """Five different images in three formats."""
    paths = [tmp_path / f"Ein Fisch {number}{ending}" for number, ending in enumerate(ENDINGS)]
    for number, path in enumerate(paths):
        draw_image(list(COLORS)[number % 3], seed=number).save(path)
    return paths


@pytest.fixture
def with_broken(files, tmp_path):
    """The same with a JPEG cut short, a text renamed, and a file that is gone, among them."""
    cut, text, gone = tmp_path / "cut.jpg", tmp_path / "text.jpg", tmp_path / "gone.jpg"
    cut.write_bytes(files[0].read_bytes()[:700])
    text.write_text("Dear diary, today we saw a ray.")
    return [cut, files[0], text, files[1], gone, *files[2:]]


def in_memory(paths):
    return load_pixels(table_of_files(paths), SPEC)[0]


def load_mapped(paths):
    return load_pixels(table_of_files(paths), SPEC, memory_budget_bytes=0)[0]


BUDGETS = pytest.mark.parametrize("budget", [2**30, 0], ids=["in memory", "mapped"])


@BUDGETS
def test_pixels_are_the_fitted_images_to_half_a_gray_level(budget, files):
    pixels, catalog = load_pixels(table_of_files(files), SPEC, memory_budget_bytes=budget)
    expected = np.stack([fit_image(decode(tf.io.read_file(str(path))), SPEC) for path in files])
    assert pixels.dtype == np.uint8 and isinstance(pixels, np.memmap) == (budget == 0)
    np.testing.assert_allclose(pixels, expected, atol=0.5 + 1e-3)
    pd.testing.assert_frame_equal(catalog, table_of_files(files))


@pytest.mark.parametrize("load", [in_memory, load_mapped])
def test_pixels_are_found_again_until_a_file_changes(load, files, monkeypatch):
    pixels = load(files)
    with monkeypatch.context() as patched:
        patched.setattr(room, "_decode_into", None)  # nothing is decoded a second time
        np.testing.assert_array_equal(load(files), pixels)
    assert not pixels.flags.writeable
    draw_image("ray", seed=77).save(files[0])
    changed = load(files)
    assert not np.array_equal(changed[0], pixels[0])
    monkeypatch.setattr(room, "VERSION", room.VERSION + 1)
    assert load(files) is not changed
    assert len(list(cache_path("pixels").glob("*.npy"))) == (3 if load is load_mapped else 0)


def test_pixels_used_longest_ago_make_room_for_new_ones(files, monkeypatch):
    for number in range(3):
        load_mapped(files[number:])
        newest = max(cache_path("pixels").glob("*.npy"), key=lambda place: place.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    load_mapped(files)  # the oldest is used again
    monkeypatch.setattr(room, "DISK_BUDGET_BYTES", 2 * 5 * 20 * 30 * 3)
    (cache_path("pixels") / "gone").symlink_to("elsewhere")  # as where another process has just removed it
    load_mapped(files[3:])
    (cache_path("pixels") / "gone").unlink()
    assert sorted(len(np.load(place)) for place in cache_path("pixels").glob("*.npy")) == [2, 5]


@BUDGETS
def test_a_file_that_cannot_be_read_is_a_row_with_a_reason_and_never_a_black_image(budget, with_broken, files):
    table = table_of_files(with_broken)
    halves = table.reset_index(drop=True)  # a user's index may repeat, and columns may lack
    repeated = pd.concat([halves.iloc[:4], halves.iloc[4:].reset_index(drop=True)])
    without = repeated.drop(columns=["problem", "width", "height"])
    for own in (table, repeated.assign(problem=np.nan), without.assign(path=without["path"].map(Path))):
        before = own.copy()
        pixels, catalog = load_pixels(own, SPEC, memory_budget_bytes=budget)
        reasons = catalog["problem"].tolist()
        assert "truncated" in reasons[0] and "no image" in reasons[2] and "No such file" in reasons[4]
        assert [not reason for reason in reasons] == [False, True, False, True, False, True, True, True]
        np.testing.assert_array_equal(pixels, in_memory(files))
        assert catalog.index.equals(own.index) and own.equals(before)


@BUDGETS
def test_rows_with_a_problem_are_left_alone(budget, files):
    catalog = table_of_files(files)
    catalog.loc[101, "problem"] = "no box"
    pixels, after = load_pixels(catalog, SPEC, memory_budget_bytes=budget)
    assert after["problem"].tolist() == ["", "no box", "", "", ""]
    np.testing.assert_array_equal(pixels, in_memory(files)[[0, 2, 3, 4]])
    assert load_pixels(catalog.assign(problem="no box"), SPEC)[0].shape == (0, 20, 30, 3)


def test_read_pixels_takes_a_list_and_says_which_could_not_be_read(with_broken, files, tmp_path):
    raw = tmp_path / "raw.dng"  # a raw file holds a thumbnail that Pillow reads
    draw_image("eel", seed=1).save(raw, "TIFF")
    paths = [*with_broken, raw]
    for given in (paths, list(map(str, paths)), pd.Series(paths, index=[4, 4, 1, 0, 7, 2, 3, 5, 6])):
        pixels, reasons = read_pixels(given, SPEC)
        assert sorted(reasons) == [0, 2, 4, 8] and reasons[4] == "the file is absent" and ".dng" in reasons[8]
        np.testing.assert_array_equal(pixels[[1, 3, 5, 6, 7]], in_memory(files))
    for one in (files[0], str(files[0])):
        with pytest.raises(ValueError, match="Expected a list of paths"):
            read_pixels(one, SPEC)


@pytest.mark.parametrize("load", [lambda: load_pixels(table_of_files([]), (20, 30)), lambda: read_pixels([], "small")])
def test_a_size_that_is_no_image_spec_is_refused(load):
    with pytest.raises(ValueError, match="spec of type ImageSpec"):
        load()


@pytest.mark.parametrize("indices", [[2, 3, 4], [0, 3, 1, 2, 4], [4, 3, 2], [1, 1], [0, 2], []])
def test_rows_come_in_the_order_that_is_asked_for_and_adjacent_ones_are_a_view(indices):
    pixels, indices = np.arange(5 * 3).reshape(5, 3), np.array(indices, int)
    np.testing.assert_array_equal(rows_of(pixels, indices), pixels[indices])
    assert np.shares_memory(rows_of(pixels, indices), pixels) == (indices.tolist() == [2, 3, 4])
