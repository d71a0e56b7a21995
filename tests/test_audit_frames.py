"""Numbers and times in names, and EXIF data, order images if the images fit; versions of a photograph are no frames."""

import hashlib
from datetime import datetime
from itertools import product

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scenes import catalog_of_files, draw_scene, save

from marinecv.audit.frames import BLOCK_NUMBERS, FrameOrder, blank_dates, find_frame_order, read_times
from marinecv.audit.pairs import find_pairs
from marinecv.audit.thumbnails import load_thumbs, tiny_pixels
from marinecv.audit.versions import MAX_VERSIONS, one_of_each, photograph_names, versions
from marinecv.data.groups import group_catalog


def frames_of(place, by="number", series=None):
    series = ["dive"] * len(place) if series is None else series
    return FrameOrder(by, np.array(series, dtype=object), np.array(place))


@pytest.mark.parametrize(
    ("frames", "pairs"),
    [
        (frames_of([7, 5, 6, 9]), {(1, 2), (0, 2)}),
        (frames_of([5, 6], series=["one", "two"]), set()),
        (frames_of([5, 6], series=["", ""]), set()),
        (frames_of([3, 3, 4]), {(0, 1), (0, 2), (1, 2)}),
        (frames_of([0, 10, 21], by="time"), {(0, 1)}),
    ],
)
def test_neighbors_are_of_one_series_and_a_number_or_some_seconds_apart(frames, pairs):
    assert {tuple(sorted(pair)) for pair in frames.neighbors().tolist()} == pairs


def test_a_crowd_of_one_number_has_some_neighbors_each():
    assert len(frames_of([3] * 200).neighbors()) < 200 * 17


def test_blocks_hold_50_numbers_or_no_pause_and_do_not_chain():
    blocks = frames_of(range(3 * BLOCK_NUMBERS)).blocks()
    assert pd.Series(blocks).value_counts().tolist() == [BLOCK_NUMBERS] * 3 and blocks[49] != blocks[50]
    blocks = frames_of([0, 1800, 3601, 3602], by="time", series=["a", "a", "a", "b"]).blocks()
    assert blocks[0] == blocks[1] != blocks[2] != blocks[3]
    blocks = frames_of([60, 1, 0], series=["dive", "dive", ""]).blocks()
    assert blocks[2] == "" and blocks[0] != blocks[1]
    assert frames_of([], series=[]).blocks().tolist() == []


def rows_of(names, classes=None, paths=None):
    n = len(names)
    return pd.DataFrame({"image_id": names, "class_name": classes or ["ray"] * n, "path": paths or ["nowhere.jpg"] * n})


def walk(n=60, places=6):
    """Thumbnails of a camera that stands still at some places, one after the other."""
    rng = np.random.default_rng(0)
    return 10 * rng.normal(size=(places, 4))[np.arange(n) * places // n] + rng.normal(size=(n, 4))


def exported(name, version=0):
    return f"{name}_jpg.rf.{hashlib.md5(f'{name} {version}'.encode()).hexdigest()}.jpg"


NUMBERED = [f"IMG_{number:04d}.jpg" for number in range(60)]


@pytest.mark.parametrize(
    ("names", "series", "neighbors"),
    [
        (NUMBERED, {"IMG_*"}, 59),
        ([exported(f"{('train', 'valid', 'test')[n % 3]}/IMG_{n}") for n in range(60)], {"IMG_*"}, 59),
        ([f"{dive}/{n}.jpg" for dive in ("dive_a", "dive_b") for n in range(30)], {"dive_a/*", "dive_b/*"}, 58),
        ([f"cam2_{n:03d}.jpg" for n in range(60)], {"cam2_*"}, 59),
        ([f"20230{4 + n // 30}01-WA{n % 30:04d}.jpg" for n in range(60)], {"20230401-WA*", "20230501-WA*"}, 58),
    ],
    ids=["numbers", "export", "folders that begin anew", "two numbers", "dates"],
)  # fmt: skip
def test_numbers_that_follow_a_camera_are_frames(names, series, neighbors):
    frames = find_frame_order(rows_of(names), walk())
    assert frames.by == "number" and set(frames.series) == series and len(frames.neighbors()) == neighbors


@pytest.mark.parametrize(
    ("names", "thumbs"),
    [
        (NUMBERED, np.random.default_rng(0).permutation(walk())),
        ([f"{number}.jpg" for number in range(15)], walk(15)),
        ([], np.empty((0, 4))),
        ([f"site{number // 10}_{chr(97 + number % 10)}.jpg" for number in range(60)], walk(places=3)),
        ([f"{20230401 + n % 30}_{n // 30}.jpg" for n in range(60)], walk()),
        ([exported(f"train/IMG_{n // 3}", n) for n in range(120)], walk(40, 40).repeat(3, axis=0)),
    ],
    ids=["a list", "too few", "none", "sites", "dates", "versions"],
)
def test_other_numbers_are_no_frames(names, thumbs):
    assert find_frame_order(rows_of(names), thumbs) is None


def test_neighbors_alike_because_they_are_of_one_class_prove_nothing():
    names, classes = [f"{number}.jpg" for number in range(80)], ["eel"] * 40 + ["ray"] * 40
    thumbs = np.r_[np.zeros((40, 4)), np.full((40, 4), 9.0)] + np.random.default_rng(0).normal(size=(80, 4))
    assert find_frame_order(rows_of(names, classes), thumbs) is None


def test_equal_images_with_neighboring_numbers_prove_nothing():
    thumbs = np.random.default_rng(0).normal(size=(200, 8))
    thumbs[:100] = 9
    assert find_frame_order(rows_of([f"{n}.jpg" for n in range(200)]), thumbs) is None


def test_a_way_that_is_asked_for_is_not_tested():
    unlike = np.random.default_rng(0).normal(size=(60, 8))
    assert find_frame_order(rows_of(NUMBERED), unlike) is None
    assert len(find_frame_order(rows_of(NUMBERED), unlike, by="number").neighbors()) == 59
    assert find_frame_order(rows_of(NUMBERED[:5]), unlike[:5], by="number").place.tolist() == [0, 1, 2, 3, 4]


def photograph(path, taken, serial=None):
    exif = Image.Exif()
    exif[272] = "Dive cam"
    exif[0x8769] = {36867: taken} | ({0xA431: serial} if serial else {})
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    return str(path)


def test_times_order_images_that_numbers_do_not(tmp_path):
    names = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}.jpg" for n in range(60)]
    times = [f"2024:05:01 10:{n // 12:02d}:{n % 12 * 5:02d}" for n in range(60)]
    paths = [photograph(tmp_path / name, time) for name, time in zip(names, times, strict=True)]
    frames = find_frame_order(rows_of(names, paths=paths), walk())
    assert frames.by == "time" and set(frames.series) == {"camera Dive cam"} and (np.diff(frames.place) == 5).all()
    assert find_frame_order(rows_of(names, paths=paths), walk(), by="number") is None
    for by in ("time", "number"):
        assert find_frame_order(rows_of(NUMBERED, paths=paths), walk(), by=by).by == by


def test_exif_goes_before_the_name_and_separates_two_cameras_of_one_model(tmp_path):
    paths = [photograph(tmp_path / f"{serial}.jpg", "2024:05:01 10:00:00", serial) for serial in ("A1", "B2", None)]
    series, seconds = read_times(["20230401_081500"] * 3, paths)
    assert series.tolist() == ["camera Dive cam A1", "camera Dive cam B2", "camera Dive cam"]
    assert seconds.tolist() == [1714557600] * 3
    exif = Image.Exif()
    exif[306] = "yesterday"
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGB", (8, 6)).save(tmp_path / "b.png")
    assert set(read_times(list("abc"), [tmp_path / "a.jpg", tmp_path / "b.png", "absent.jpg"])[0]) == {""}


NAMES = (
    "{date}_{time}",
    "PXL_{date}_{time}123",
    "reef {date}{time}",
    "{year}-{month}-{day} at {hour}.{minute}.{second}",
    "cam2_{year}_{month}_{day}_{hour}_{minute}_{second}",
)


def stem_of(name, day, hour, second):
    moment = datetime(2023, 4, day, hour, 15, second)
    names = {"date": "%Y%m%d", "time": "%H%M%S", "year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M"}
    return name.format(second=f"{second:02d}", **{key: moment.strftime(form) for key, form in names.items()})


@pytest.mark.parametrize("name", NAMES)
def test_a_date_and_time_in_a_name_are_a_time_and_no_number(name):
    stems = [stem_of(name, 1, 8, 0), stem_of(name, 1, 8, 59), stem_of(name, 2, 8, 0)]
    series, seconds = read_times(stems, ["absent.jpg"] * 3)
    assert set(series) == {f"{name.partition('{')[0]}*"} and (seconds - seconds[0]).tolist() == [0, 59, 24 * 3600]
    blank = blank_dates(stems)[0]
    assert len(blank) == len(stems[0]) and "".join(filter(str.isdigit, blank)) in ("", "2")


@pytest.mark.parametrize("stem", ["20231301_081500", "20230431", "20230432_111111", "IMG_2574", "120230401"])
def test_what_is_no_day_is_no_time(stem):
    assert blank_dates([stem]) == [stem] and read_times([stem], ["absent.jpg"])[0].tolist() == [""]


def test_a_date_alone_is_no_time_and_six_digits_that_pass_59_are_a_counter():
    assert blank_dates(["reef_20230401_0007"]) == ["reef_" + 8 * " " + "_0007"]
    assert read_times(["reef_20230401"], ["absent.jpg"])[0].tolist() == [""]
    stems = [f"20230401_{number:06d}" for number in range(70)]
    assert blank_dates(stems) == [f"{8 * ' '}_{number:06d}" for number in range(70)]
    assert set(read_times(stems, ["absent.jpg"] * 70)[0]) == {""}
    stems = [*(f"20230401_0815{second:02d}" for second in range(30)), "20230401_246060"]  # one false time among many
    assert read_times(stems, ["absent.jpg"] * 31)[0].tolist() == ["*"] * 30 + [""]


@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_the_groups_of_a_month_are_its_dives(tmp_path, name):
    paths = []
    for day, hour, n in product((1, 2, 3), (8, 14), range(6)):
        picture = draw_scene(10 * day + hour, 1000 * day + 10 * hour + n)
        paths.append(save(picture, tmp_path / f"{stem_of(name, day, hour, 4 * n)}.jpg"))
    catalog = catalog_of_files(paths)
    pairs = find_pairs(catalog)
    groups = group_catalog(catalog, pairs)["group"]
    assert set(pairs["method"]) == {"time"} and groups.value_counts().tolist() == [6] * 6
    assert groups.tolist() == [group for group in groups.unique() for _ in range(6)]


@pytest.mark.parametrize(
    "name",
    [exported("IMG_7"), "IMG_7_aug1.jpg", "IMG_7_tile_0_3.png", "IMG_7-crop2.jpg", "IMG_7 - Copy.jpg"]
    + ["IMG_7 - Copy (2).jpg", "valid/IMG_7_flipped.jpg", "IMG_7 (1).jpg", exported("IMG_7_aug3")],
)
def test_the_names_of_versions(name):
    stems, names, marked = photograph_names(["train/IMG_7.jpg", name, "IMG_8.jpg"])
    assert stems == ["IMG_7", "IMG_7", "IMG_8"] and names[0] == names[1] != names[2]
    assert marked.tolist() == [False, True, False] and one_of_each(names, marked).tolist() == [True, False, True]


@pytest.mark.parametrize("name", ["dive (1).jpg", "crop_0001.jpg", "_aug1.jpg", "microtile7.jpg", "a.rf.12.jpg"])
def test_names_that_are_no_versions(name):
    stems, _, marked = photograph_names([name])
    assert stems == [name.removesuffix(".jpg")] and not marked.any()


def test_one_name_in_two_folders_is_two_photographs_and_many_files_are_no_versions():
    for folders, count in (("ab", 2), (("seg_train", "seg_test"), 1)):
        names = photograph_names([f"{folder}/1_aug{n}.jpg" for folder in folders for n in (1, 2)])[1]
        assert len(set(names)) == count
    stems, _, marked = photograph_names([f"wheat_crop_{n}.jpg" for n in range(MAX_VERSIONS + 1)])
    assert stems[3] == "wheat_crop_3" and not marked.any()


def test_versions_of_photographs_are_grouped_and_their_numbers_are_no_frames(tmp_path):
    """Three versions each in one folder, numbered by whoever saved them from the web."""
    scenes = [draw_scene(500 + n, 700 + n) for n in range(24)]
    turns = (lambda x: x, lambda x: x.transpose(Image.Transpose.ROTATE_90), lambda x: x.rotate(12))
    versions = product(enumerate(scenes), enumerate(turns))
    paths = [save(turn(scene), tmp_path / exported(f"images-{n}", v)) for (n, scene), (v, turn) in versions]
    catalog = catalog_of_files(paths)
    pairs = find_pairs(catalog)
    assert set(pairs["kind"]) == {"near copy"} and "name" in set(pairs["method"])
    groups = group_catalog(catalog, pairs)["group"].to_numpy().reshape(-1, 3)
    assert sum(len(set(three)) == 1 for three in groups) >= 23 and len({tuple(three) for three in groups}) >= 23


@pytest.mark.parametrize("name", ["{}_jpg.rf.{}", "{}", "flickr_{}_b", "{0}-1a2b-4c3d-8e7f-12ab34cd56ef"])
def test_digits_of_hexadecimal_names_are_no_numbers(name):
    names = [name.format(f"{10 + n}ab3c{n % 10}d", hashlib.md5(bytes([n])).hexdigest()) + ".jpg" for n in range(40)]
    assert find_frame_order(rows_of(names), walk(40, 4)) is None
    assert find_frame_order(rows_of([f"cafe{n:04d}.jpg" for n in range(40)]), walk(40, 4)).by == "number"


def test_frames_are_found_beside_versions_of_them():
    names = [f"GOPR{n:04d}{mark}.jpg" for n in range(40) for mark in ("", "_aug1", "_aug2")]
    frames = find_frame_order(rows_of(names), walk(40, 4).repeat(3, axis=0))
    assert set(frames.series) == {"/GOPR*"} and frames.place.tolist() == [n for n in range(40) for _ in range(3)]
    shuffled = np.random.default_rng(0).permutation(40).repeat(3)
    assert find_frame_order(rows_of(names), walk(40, 4)[shuffled]) is None


def test_versions_of_other_colors_are_not_paired(tmp_path):
    paths = [save(draw_scene(500 + n, 700 + n), tmp_path / exported("images", n)) for n in range(5)]
    paths.append(save(Image.new("RGB", (160, 120), (240, 235, 230)), tmp_path / exported("images", 9)))
    thumbs, catalog = load_thumbs(catalog_of_files(paths))
    pairs = versions(thumbs, catalog["image_id"])
    assert 5 not in {*pairs["image_a"], *pairs["image_b"]} and versions(thumbs[:0], []).empty
    assert len(tiny_pixels(thumbs)) == 6
