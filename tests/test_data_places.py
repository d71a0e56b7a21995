"""Time and place of images: EXIF, names, folders and tables; wrong clocks; sequences stay together."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from marinecv.audit.image_findings import image_findings, measure_quality
from marinecv.data import images as images_module
from marinecv.data.catalog import read_catalog
from marinecv.data.groups import group_catalog, split_in_groups
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.places import BACKWARDS, FUTURE, RESET, clock_problems, trusted_times, with_places
from marinecv.data.shards.write import pack
from marinecv.data.times import iso_time, times_in_names
from marinecv.data.user_tables import PLACE_COLUMNS
from marinecv.inputs.decode import read_decodable

ORIGINAL, DIGITIZED, OFFSET, CHANGED = 0x9003, 0x9004, 0x9011, 0x0132


def draw(path, tags=None, changed=None):
    exif = Image.Exif()
    exif[0x8769] = tags or {}
    exif.update({CHANGED: changed} if changed else {})
    path.parent.mkdir(parents=True, exist_ok=True)
    color = tuple(np.random.default_rng(len(str(path))).integers(0, 256, 3).tolist())
    Image.new("RGB", (24, 16), color).save(path, exif=exif)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023:04:12 18:30:15", "2023-04-12T18:30:15"),
        ("2023-04-12T18:30:15", "2023-04-12T18:30:15"),
        ("2023/04/12 18:30", "2023-04-12T18:30:00"),
        ("2023-04-12 18:30:15.25+0200", "2023-04-12T18:30:15+02:00"),
        ("2023-04-12T18:30:15Z", "2023-04-12T18:30:15+00:00"),
        *(
            (text, "")
            for text in ("0000:00:00 00:00:00", "2023:02:30 10:00:00", "2023-04-12 24:30:00", "12.04.2023", "")
        ),
        ("2023-04-12", ""),  # a day has no time of day
    ],
)
def test_a_time_is_iso_or_none(text, expected):
    assert iso_time(text) == expected


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("20230412_183015", "2023-04-12T18:30:15"),
        ("2023-04-12 18-30-15", "2023-04-12T18:30:15"),
        ("IMG_20230412_183015", "2023-04-12T18:30:15"),
        ("20230412183015123", "2023-04-12T18:30:15"),
        *((stem, "") for stem in ("RCNX0412", "20230412_1830", "IMG_20231399_183015", "20230412_0007", "a")),
        ("20230412_183015_20230413_183015", ""),  # which of the two?
    ],
)
def test_a_file_name_has_a_time_only_if_it_is_one(stem, expected):
    assert times_in_names([stem]) == [expected]


def test_six_digits_that_count_are_no_times():
    assert set(times_in_names([f"20230412_{number:06}" for number in range(300)])) == {""}


@pytest.fixture
def folder(tmp_path):
    """Class folders of cameras; each file name says what its EXIF data hold."""
    root = tmp_path / "data"
    draw(root / "fox/site 3/cam1/original.jpg", {ORIGINAL: "2023:04:12 18:30:15", DIGITIZED: "2024:01:01 00:00:00"})
    draw(root / "fox/site 3/cam1/offset.jpg", {ORIGINAL: "2023:04:12 18:30:15", OFFSET: "+02:00"})
    draw(root / "fox/site 3/cam1/odd_offset.jpg", {ORIGINAL: "2023:04:12 18:30:15", OFFSET: "summer"})
    draw(root / "fox/CT_07/digitized.jpg", {ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: "2023:04:12 18:30:15"})
    draw(root / "owl/cam2/changed.jpg", changed="2023:04:12 18:30:15")
    draw(root / "owl/cam2/20230412_183015.png")
    draw(root / "owl/day 2/none.png", {})
    return root


def test_read_catalog_says_when_and_where_and_opens_each_file_once(folder, tmp_path, monkeypatch):
    opened, open_file = [], Image.open
    monkeypatch.setattr(images_module.Image, "open", lambda file, **how: opened.append(file) or open_file(file, **how))
    catalog = read_catalog(manifest_of_folder(folder))
    assert len(opened) == len(catalog) == 7
    found = catalog.assign(name=catalog["image_id"].str.rsplit("/", n=1).str[-1]).set_index("name")[PLACE_COLUMNS]
    assert {name: tuple(row) for name, row in found.iterrows()} == {
        "original.jpg": ("site 3/cam1", "", "2023-04-12T18:30:15", "exif"),
        "offset.jpg": ("site 3/cam1", "", "2023-04-12T18:30:15+02:00", "exif"),
        "odd_offset.jpg": ("site 3/cam1", "", "2023-04-12T18:30:15", "exif"),
        "digitized.jpg": ("CT_07", "", "2023-04-12T18:30:15", "exif"),
        "changed.jpg": ("cam2", "", "", ""),  # an editor's time is none
        "20230412_183015.png": ("cam2", "", "2023-04-12T18:30:15", "name"),
        "none.png": ("", "", "", ""),
    }
    packed = read_catalog(manifest_of_folder(pack(manifest_of_folder(folder), tmp_path / "pack", read_decodable)))
    pd.testing.assert_frame_equal(packed.drop(columns="path"), catalog.drop(columns="path"))


def test_a_table_comes_first_and_its_camera_is_the_group_where_there_is_none():
    images = pd.DataFrame({
        "image_id": ["cam1/a.jpg", "cam2/b.jpg", "cam3/c.jpg", "cam4/20230412_183015.jpg"],
        "class_name": "fox",
        "group": ["", "", "g", ""],
        "camera": ["cam1", np.nan, 7, "x"],
        "taken_at": ["2020-01-02 03:04:05", "", "no time", ""],
        "exif_time": ["2021-01-02T03:04:05", "2021-01-02T03:04:05", "", ""],
    })  # fmt: skip
    places = with_places(images)
    assert places["camera"].tolist() == ["cam1", "cam2", "7", "x"] and "exif_time" not in places
    assert places["group"].tolist() == ["cam1", "", "g", "x"]
    assert places["time_source"].tolist() == ["table", "exif", "", "name"]
    assert places["taken_at"].str[:4].tolist() == ["2020", "2021", "", "2023"]


def camera(times, camera="cam1", numbers=None, source="exif"):
    numbers = range(1, len(times) + 1) if numbers is None else numbers
    ids = [f"fox/{camera or 'none'}/IMG_{number:04}.JPG" for number in numbers]
    rows = {"image_id": ids, "camera": camera, "taken_at": times, "time_source": source, "problem": ""}
    return pd.DataFrame(rows)


def days(start, count, year):
    return [f"{year}-05-{day:02}T10:00:00" for day in range(start, start + count)]


GOOD = days(1, 6, 2023)
YEARS = [*days(1, 2, 2019), *GOOD]  # a camera that came back to its place


def folders(names, times):
    """Folders of one camera in which the file numbers begin anew."""
    tables = [
        camera(times).assign(image_id=lambda table, name=name: name + table["image_id"].str[9:]) for name in names
    ]
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("catalog", "expected"),
    [
        (camera(GOOD), [""] * 6),
        (camera([*GOOD, "2000-01-01T00:00:07", "1970-01-01T05:00:00"]), [""] * 6 + [RESET] * 2),
        (camera([*GOOD, "2031-01-01T00:00:00"]), [""] * 6 + [FUTURE]),
        (camera([*GOOD[:4], *days(1, 2, 2016), *GOOD[4:]]), [""] * 4 + [BACKWARDS] * 2 + [""] * 2),
        (camera([*days(1, 2, 2016), *GOOD]), [""] * 8),  # an earlier deployment, in order
        (camera([*GOOD[:4], *days(1, 2, 2022)[::-1], *GOOD[4:]], camera=""), [""] * 8),  # of no known camera
        (camera([*GOOD[:4], *days(1, 2, 2016)], source="name"), [""] * 6),  # a name is no file number
        (camera([*GOOD[:1], *days(1, 5, 2016)]), [""] * 6),  # which are wrong? the most are not
        (camera([]), []),
        (camera(GOOD).drop(columns=["camera", "taken_at"]), [""] * 6),
        (folders(["deer/cam1/", "fox/cam1/"], YEARS), [""] * 16),  # the second class begins before the first ends
        (folders(["cam1/100MEDIA/", "cam1/101MEDIA/"], YEARS), [""] * 8 + [BACKWARDS] * 2 + [""] * 6),
    ],
)
def test_a_wrong_clock_is_found_and_its_times_are_not_trusted(catalog, expected):
    now = datetime(2030, 1, 1)
    for table in (catalog, catalog[::-1]):
        problems = clock_problems(table.set_axis([0] * len(table)), now)
        assert problems.tolist() == (expected if table is catalog else expected[::-1])
    if "taken_at" in catalog:
        as_timestamps = catalog.assign(taken_at=pd.to_datetime(catalog["taken_at"]))  # of a user's own table
        assert clock_problems(as_timestamps, now).tolist() == expected
        assert (trusted_times(catalog).isna() == (pd.Series(expected, dtype=str) != "")).all() or FUTURE in expected


def test_the_audit_counts_wrong_clocks_by_camera_and_names_the_first_image():
    wrong = ["2000-01-01T00:00:07"] * 2
    catalog = pd.concat([camera([*GOOD, *wrong]), camera([*GOOD, *wrong[:1]], "cam2")], ignore_index=True)
    catalog = catalog.assign(split="", class_name="fox", group="", path="", width=24, height=16, dominance=1.0)
    quality = measure_quality(catalog, np.random.default_rng(0).integers(0, 256, (15, 8, 8, 3)).astype(np.uint8))
    [finding] = [each for each in image_findings(catalog, quality) if each.name == "times of a wrong camera clock"]
    assert finding.line.startswith("times of a wrong camera clock: 3 of 15 dated images.") and not finding.serious
    assert "(cam1 2, cam2 1); the first is fox/cam1/IMG_0007.JPG" in finding.what
    assert finding.cases["note"].iloc[0] == f"cam1 2000-01-01T00:00:07: {RESET}"


def test_images_of_one_sequence_of_a_camera_stay_together():
    rows = [("a", "", "1", "s"), ("b", "", "1", "s"), ("c", "", "2", "s"), ("d", "", "1", ""), ("e", "g", "3", "t")]
    rows += [("f", "h", "3", "t"), ("g", "h", "3", "u"), ("h", "k", "4", "t")]
    rows += [("i", "l", "1", "11"), ("j", "m", "11", "1")]
    catalog = pd.DataFrame(rows, columns=["image_id", "group", "camera", "sequence"])
    pairs = pd.DataFrame([["d", "c", "copy"]], columns=["image_a", "image_b", "kind"])
    expected = ["a", "a", "c", "c", "g", "g", "g", "k", "l", "m"]
    assert group_catalog(catalog, pairs)["group"].tolist() == expected
    many = pd.DataFrame({"image_id": [f"{n:03}" for n in range(90)], "class_name": ["fox", "owl"] * 45, "split": ""})
    many = many.assign(group=[f"day{n // 3}" for n in range(90)], camera="c", sequence=[f"{n // 5}" for n in range(90)])
    split = split_in_groups(many.assign(problem=""), 0, (0.6, 0.2, 0.2), None, lambda line: None)
    assert split.groupby("sequence")["split"].nunique().max() == 1 and split["split"].nunique() == 3
