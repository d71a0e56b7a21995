"""Numbers in names and times in files say which images follow each other, where the images bear it out."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from marinecv.audit.frames import BLOCK, PAUSE, SECONDS, Frames, find_frames


def frames_of(place, by="number", series=None):
    series = ["dive"] * len(place) if series is None else series
    return Frames(by, np.array(series, dtype=object), np.array(place), 0.9)


def pairs_of(frames):
    return {tuple(sorted(pair)) for pair in frames.neighbours().tolist()}


def test_the_next_number_of_a_series_is_a_neighbour_and_of_another_is_not():
    assert pairs_of(frames_of([7, 5, 6, 9])) == {(1, 2), (0, 2)}
    assert pairs_of(frames_of([5, 6], series=["one", "two"])) == set()
    assert pairs_of(frames_of([5, 6], series=["", ""])) == set()


def test_times_are_neighbours_within_some_seconds():
    assert pairs_of(frames_of([0, SECONDS, 2 * SECONDS + 1], by="time")) == {(0, 1)}


def test_images_of_one_number_are_neighbours_and_a_crowd_of_them_has_some_each():
    assert pairs_of(frames_of([3, 3, 4])) == {(0, 1), (0, 2), (1, 2)}
    assert len(pairs_of(frames_of([3] * 200))) < 200 * 17


def test_blocks_hold_50_numbers_and_do_not_chain():
    blocks = frames_of(range(3 * BLOCK)).blocks()
    assert pd.Series(blocks).value_counts().tolist() == [BLOCK] * 3
    assert blocks[BLOCK - 1] != blocks[BLOCK]


def test_blocks_of_times_end_with_a_pause_and_with_a_camera():
    place = [0, PAUSE, 2 * PAUSE + 1, 2 * PAUSE + 2]
    blocks = frames_of(place, by="time", series=["a", "a", "a", "b"]).blocks()
    assert blocks[0] == blocks[1] != blocks[2] != blocks[3]


def test_what_has_no_place_is_of_no_block_and_order_says_nothing():
    blocks = frames_of([60, 1, 0], series=["dive", "dive", ""]).blocks()
    assert blocks[2] == "" and blocks[0] != blocks[1]
    assert frames_of([], series=[]).blocks().tolist() == []


def rows_of(names, classes=None, paths=None):
    n = len(names)
    return pd.DataFrame({"image_id": names, "class_name": classes or ["ray"] * n, "path": paths or ["nowhere.jpg"] * n})


def walk(n=60, places=6, seed=0):
    """Thumbnails of a camera that stands still at some places, one after the other."""
    rng = np.random.default_rng(seed)
    return 10 * rng.normal(size=(places, 4))[np.arange(n) * places // n] + rng.normal(size=(n, 4))


def test_numbers_that_follow_a_camera_are_frames_and_numbers_of_a_list_are_not():
    names = [f"IMG_{number:04d}.jpg" for number in range(60)]
    found = find_frames(rows_of(names), walk())
    assert found.by == "number" and found.alike > 0.7 and len(found.neighbours()) == 59
    assert find_frames(rows_of(names), np.random.default_rng(0).permutation(walk())) is None


def test_neighbours_alike_because_they_are_of_one_class_prove_nothing():
    names, classes = [f"{number}.jpg" for number in range(80)], ["eel"] * 40 + ["ray"] * 40
    thumbs = np.r_[np.zeros((40, 4)), np.full((40, 4), 9.0)] + np.random.default_rng(0).normal(size=(80, 4))
    assert find_frames(rows_of(names, classes), thumbs) is None


def test_folders_of_a_split_do_not_part_a_series_and_the_name_of_an_export_is_no_number():
    split = ("train", "valid", "test")
    names = [f"{split[n % 3]}/IMG_{n}_jpg.rf.{n * 7919 % 97:032x}.jpg" for n in range(60)]
    assert len(find_frames(rows_of(names), walk()).neighbours()) == 59


def test_where_numbers_begin_anew_in_each_folder_a_folder_is_a_series():
    names = [f"{folder}/{number}.jpg" for folder in ("dive_a", "dive_b") for number in range(30)]
    found = find_frames(rows_of(names), walk())
    assert len(set(found.series)) == 2 and len(found.neighbours()) == 58


def test_of_two_numbers_in_a_name_the_one_that_tells_is_taken():
    found = find_frames(rows_of([f"cam2_{number:03d}.jpg" for number in range(60)]), walk())
    assert set(found.series) == {"cam2_*"} and found.place.tolist() == list(range(60))


def test_too_few_neighbours_tell_nothing():
    assert find_frames(rows_of([f"{number}.jpg" for number in range(15)]), walk(15)) is None
    assert find_frames(rows_of([]), np.empty((0, 4))) is None


@pytest.fixture
def timed(tmp_path):
    """60 files without a number in their names, five seconds apart by their EXIF data."""
    paths = []
    for number in range(60):
        path = tmp_path / f"{chr(97 + number // 26)}{chr(97 + number % 26)}.jpg"
        exif = Image.Exif()
        exif[272] = "Dive cam"
        exif.get_ifd(0x8769)[36867] = f"2024:05:01 10:{number * 5 // 60:02d}:{number * 5 % 60:02d}"
        Image.new("RGB", (8, 6)).save(path, exif=exif)
        paths.append(str(path))
    return paths


def test_times_tell_where_numbers_do_not(timed):
    rows = rows_of([path.rpartition("/")[2] for path in timed], paths=timed)
    found = find_frames(rows, walk())
    assert found.by == "time" and set(found.series) == {"camera Dive cam"}
    assert (np.diff(found.place) == 5).all()
    assert find_frames(rows, walk(), by="number") is None


def test_only_what_is_asked_for_is_looked_at(timed):
    names = [f"IMG_{number:04d}.jpg" for number in range(60)]
    assert find_frames(rows_of(names, paths=timed), walk(), by="time").by == "time"
    assert find_frames(rows_of(names, paths=timed), walk(), by="number").by == "number"


def test_a_file_without_a_time_or_with_a_false_one_has_none(tmp_path):
    exif = Image.Exif()
    exif[306] = "yesterday"
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGB", (8, 6)).save(tmp_path / "b.png")
    rows = rows_of(list("abc"), paths=[str(tmp_path / name) for name in ("a.jpg", "b.png", "absent.jpg")])
    assert find_frames(rows, walk(3), by="time") is None


def test_a_number_that_names_share_by_the_dozen_is_no_frame_number():
    names = [f"site{number // 10}_{chr(97 + number % 10)}.jpg" for number in range(60)]
    assert find_frames(rows_of(names), walk(places=3)) is None


def test_versions_of_one_image_in_an_export_do_not_hide_its_frame_number():
    names = [f"train/IMG_{n // 3}_jpg.rf.{n:032x}.jpg" for n in range(120)]
    found = find_frames(rows_of(names), walk(120))
    assert found.by == "number" and found.place.tolist() == [n // 3 for n in range(120)]


def test_versions_of_one_image_are_no_evidence_that_images_follow_each_other():
    names = [f"train/IMG_{n // 3}_jpg.rf.{n:032x}.jpg" for n in range(120)]
    assert find_frames(rows_of(names), np.random.default_rng(0).normal(size=(40, 4)).repeat(3, axis=0)) is None


def test_a_date_is_no_number_and_a_counter_after_it_is():
    names = [f"IMG-20230{4 + n // 30}01-WA{n % 30:04d}.jpg" for n in range(60)]
    found = find_frames(rows_of(names), walk())
    assert set(found.series) == {"IMG-20230401-WA*", "IMG-20230501-WA*"} and len(found.neighbours()) == 58
    assert find_frames(rows_of([f"{20230401 + n % 30}_{n // 30}.jpg" for n in range(60)]), walk()) is None


def test_who_names_the_way_is_taken_at_his_word():
    rows, unlike = (
        rows_of([f"IMG_{number:04d}.jpg" for number in range(60)]),
        np.random.default_rng(0).normal(size=(60, 8)),
    )
    assert find_frames(rows, unlike) is None
    assert len(find_frames(rows, unlike, by="number").neighbours()) == 59
    assert find_frames(rows.head(5), unlike[:5], by="number").place.tolist() == [0, 1, 2, 3, 4]
