"""Time and place of images: of a table, EXIF data, file names or folders; and cameras whose clock was wrong."""

import re
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from posixpath import basename, dirname, splitext

import pandas as pd

from marinecv.data.readers.folders import CAMERA_NAME
from marinecv.data.times import iso_time, times_in_names
from marinecv.data.user_tables import PLACE_COLUMNS, as_table, with_place_columns

FACTORY_DATES = ("1970-01-01", "2000-01-01")  # that a clock shows after its battery was changed
MIN_GAP = timedelta(days=365)  # from the images of a reset clock to all others of the camera
_CARD = r"(^|/)\d{3}[0-9A-Z_]{5}$"  # a folder of a memory card, as cameras number them
RESET, FUTURE, BACKWARDS = "a factory date", "in the future", "back by years from an earlier file number"


def with_places(images: pd.DataFrame) -> pd.DataFrame:
    """Return an images table of a reader with `PLACE_COLUMNS` as its last ones.

    `taken_at` is local time, `YYYY-MM-DDTHH:MM:SS`, with an offset only if one is stated: what the reader's table says,
    else the EXIF data, else the file name (`time_source`: table, exif, name). `camera` is the reader's, else the
    folders named as a camera, a site or a station (site3/cam1); a reader's is also the group where there is none.
    """
    if {*PLACE_COLUMNS} <= {*images} and "exif_time" not in images:  # of a pack: they were complete when it was made
        return images
    images = as_table(images, optional=dict.fromkeys((*PLACE_COLUMNS, "exif_time"), ""))
    names = [splitext(basename(image_id))[0] for image_id in images["image_id"]]
    times = {"table": images["taken_at"].map(iso_time), "exif": images["exif_time"]}
    times["name"] = pd.Series(times_in_names(names), images.index, dtype=str)
    taken_at, source = times["table"], images["time_source"]
    for name, found in times.items():
        taken_at = taken_at.mask(taken_at == "", found)
        source = source.mask((source == "") & (taken_at != ""), name)
    given, group = images["camera"], images["group"].mask(images["group"] == "", images["camera"])
    named = [
        "/".join(name for name in image_id.split("/")[:-1] if CAMERA_NAME.fullmatch(name) and name != class_name)
        for image_id, class_name in zip(images["image_id"], images["class_name"], strict=True)
    ]
    camera = given.mask(given == "", pd.Series(named, images.index, dtype=str))
    places = {"camera": camera, "sequence": images["sequence"], "taken_at": taken_at, "time_source": source}
    return images.drop(columns=[*PLACE_COLUMNS, "exif_time"]).assign(group=group, **places)


def clock_problems(catalog: pd.DataFrame, now: datetime | None = None) -> pd.Series:
    """Return why the clock of the camera was wrong when an image was taken; "" where nothing shows it.

    Wrong is a factory date, a time in the future, and, in the order of the file numbers of one camera, a time that goes
    back to a year and more before all others; of fewer than half of its images. Where numbers begin anew in a folder,
    they order its images only, or those of all folders of a memory card (100MEDIA, 101MEDIA).
    """
    index = catalog.index
    catalog = with_place_columns(catalog).reset_index(drop=True)
    times = _local_times(catalog)
    problems = pd.Series("", catalog.index, dtype=str).mask(catalog["taken_at"].str[:10].isin(FACTORY_DATES), RESET)
    problems = problems.mask(times > (now or datetime.now()) + timedelta(days=1), FUTURE)
    has_number = (problems == "") & times.notna() & (catalog["time_source"] != "name") & (catalog["camera"] != "")
    ids = catalog.loc[has_number, "image_id"]
    numbers = ids.map(lambda name: int("0" + re.sub(r"\D", "", PurePosixPath(name).stem)))
    frames = pd.DataFrame({"folder": ids.map(dirname), "number": numbers, "time": times[has_number]})
    for _, rows in frames.groupby(catalog["camera"]):
        ordered = rows["time"].sort_values()
        others_begin = ordered[ordered.diff() >= MIN_GAP].max()
        is_early = rows["time"] < others_begin
        if 0 < 2 * is_early.sum() < len(rows):
            is_anew = rows["number"].duplicated().any()
            rows = rows.sort_values(["folder", "number"] if is_anew else "number")
            order = rows["folder"].str.replace(_CARD if is_anew else ".+", "", regex=True)
            jumped_back = (rows["time"] >= others_begin).groupby(order).cummax() & is_early
            problems[jumped_back.index[jumped_back]] = BACKWARDS
    return problems.set_axis(index)


def trusted_times(catalog: pd.DataFrame) -> pd.Series:
    """Return when each image was taken, local time as datetime64; NaT where unknown or by a wrong clock."""
    catalog = with_place_columns(catalog)
    return _local_times(catalog).mask(clock_problems(catalog) != "")


def _local_times(catalog: pd.DataFrame) -> pd.Series:
    texts = [iso_time(text)[:19] for text in catalog["taken_at"]]
    return pd.Series(pd.to_datetime(texts, format="%Y-%m-%dT%H:%M:%S", errors="coerce"), catalog.index)
