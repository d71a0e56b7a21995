"""The time of an image is read from its EXIF data or its name, and groups are dives, not months."""

import pytest
from PIL import Image
from scenes import draw_scene, save
from test_audit_pictures import catalog_of

from marinecv.audit.links import find_links
from marinecv.audit.moments import blank_dates, read_times
from marinecv.data.groups import group_catalog

NAMES = (
    "{date}_{time}",
    "IMG_{date}_{time}",
    "PXL_{date}_{time}123",
    "reef {date}{time}",
    "{year}-{month}-{day} {hour}.{minute}.{second}",
    "{year}-{month}-{day} at {hour}.{minute}.{second}",
    "cam2_{year}_{month}_{day}_{hour}_{minute}_{second}",
)
DAYS, HOURS, FRAMES = (1, 2, 3), (8, 14), 6


def stem_of(name, day, hour, second):
    parts = {"year": "2023", "month": "04", "day": f"{day:02d}", "hour": f"{hour:02d}", "minute": "15"}
    parts["second"] = f"{second:02d}"
    date, time = (
        "".join(parts[part] for part in half) for half in (("year", "month", "day"), ("hour", "minute", "second"))
    )
    return name.format(date=date, time=time, **parts)


@pytest.mark.parametrize("name", NAMES)
def test_a_date_and_time_in_a_name_are_a_time_and_no_number(name):
    stems = [stem_of(name, 1, 8, 0), stem_of(name, 1, 8, 59), stem_of(name, 2, 8, 0)]
    series, seconds = read_times(stems, ["absent.jpg"] * 3)
    assert set(series) == {f"{name.partition('{')[0]}*"}
    assert (seconds - seconds[0]).tolist() == [0, 59, 24 * 3600]
    blank = blank_dates(stems)[0]
    assert len(blank) == len(stems[0]) and "".join(filter(str.isdigit, blank)) in ("", "2")


@pytest.mark.parametrize(
    "stem", ["20231301_081500", "20230431", "20230432_111111", "IMG_2574", "123456789", "120230401"]
)
def test_what_is_no_day_is_left_as_it_is_and_tells_no_time(stem):
    assert blank_dates([stem]) == [stem]
    assert read_times([stem], ["absent.jpg"])[0].tolist() == [""]


def test_a_date_alone_tells_no_time():
    assert blank_dates(["reef_20230401_0007"]) == ["reef_" + 8 * " " + "_0007"]
    assert read_times(["reef_20230401"], ["absent.jpg"])[0].tolist() == [""]


def test_six_digits_that_pass_59_are_a_counter_for_every_name():
    stems = [f"20230401_{number:06d}" for number in range(70)]
    assert blank_dates(stems) == [f"{8 * ' '}_{number:06d}" for number in range(70)]
    assert set(read_times(stems, ["absent.jpg"] * 70)[0]) == {""}


def test_one_false_time_among_many_does_not_hide_the_others():
    stems = [*(f"20230401_0815{second:02d}" for second in range(30)), "20230401_246060"]
    assert read_times(stems, ["absent.jpg"] * 31)[0].tolist() == ["*"] * 30 + [""]


def test_exif_goes_before_the_name_and_parts_two_cameras_of_one_model(tmp_path):
    paths = []
    for serial in ("A1", "B2", None):
        exif = Image.Exif()
        exif[272] = "Dive cam"
        exif.get_ifd(0x8769)[36867] = "2024:05:01 10:00:00"
        if serial:
            exif.get_ifd(0x8769)[0xA431] = serial
        paths.append(tmp_path / f"{serial}.jpg")
        Image.new("RGB", (8, 6)).save(paths[-1], exif=exif)
    series, seconds = read_times(["20230401_081500"] * 3, paths)
    assert series.tolist() == ["camera Dive cam A1", "camera Dive cam B2", "camera Dive cam"]
    assert seconds.tolist() == [1714557600] * 3


@pytest.fixture(scope="module")
def dives():
    """Three days with two dives, six images each, four seconds apart."""
    return {
        (day, hour, frame): draw_scene(10 * day + hour, 1000 * day + 10 * hour + frame)
        for day in DAYS
        for hour in HOURS
        for frame in range(FRAMES)
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_groups_of_a_month_are_its_dives(tmp_path, dives, name):
    paths = [
        save(picture, tmp_path / f"{stem_of(name, day, hour, 4 * frame)}.jpg")
        for (day, hour, frame), picture in dives.items()
    ]
    catalog = catalog_of(paths)
    links = find_links(catalog)
    assert set(links["found_by"]) == {"time"}
    groups = group_catalog(catalog, links)["group"]
    assert groups.value_counts().tolist() == [FRAMES] * 6
    assert groups.tolist() == [group for group in groups.unique() for _ in range(FRAMES)]
