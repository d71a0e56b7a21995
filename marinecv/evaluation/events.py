"""Events: the images of one camera between longer pauses, and which classes each event shows."""

import re
from datetime import timedelta
from posixpath import dirname

import pandas as pd

from marinecv.data.names import EMPTY_CLASS
from marinecv.data.places import clock_problems
from marinecv.data.user_tables import as_table, with_place_columns
from marinecv.evaluation.estimates import interval_text, mean_estimate

EVENT_COLUMNS = ["event_id", "camera", "class", "count", "first", "last", "images", "event_gap"]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_MAX_BACKWARD = 0.05  # fraction of the images of a camera: with more, the order of its files is not that of time


def parse_gap(gap: str) -> timedelta:
    """Parse the longest pause within an event, such as "90s", "30m" or "1h"; ValueError for anything else."""
    match = re.fullmatch(r"(\d{1,6})([smh])", str(gap).strip())
    if not match or not int(match[1]):
        raise ValueError(f"event_gap is {gap!r}. Expected a number of seconds, minutes or hours: 90s, 30m or 1h.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def events_of(table: pd.DataFrame, gap: str = "30m") -> pd.DataFrame:
    """Return the events of a table of images, such as of `predict`, and the classes seen in each.

        >>> import marinecv as mcv
        >>> times = ["2025-04-02T05:00:00", "2025-04-02T05:20:00", "2025-04-02T09:00:00"]
        >>> table = mcv.catalog_of(["1.jpg", "2.jpg", "3.jpg"], ["fox", "fox", "deer"])
        >>> mcv.events_of(table.assign(camera="c1", taken_at=times), "30m")[["class", "images"]].to_numpy().tolist()
        [['fox', 2], ['deer', 1]]

    An event is a chain of images of one camera, of whatever class, in which no image is later than the one before it by
    more than the gap. It never spans cameras, nor a clock that was set back: a jump back by more than the gap in the
    order of the files of a folder starts another event, unless that order has nothing to do with time.

    Args:
        table: one row an image, or one a box: `camera`, `taken_at` (local time, ISO), the class as `predicted_class` or
            `class_name`, and the image as `file`, `image_id` or `path`. Images without a camera or a time are in no
            event, those without a class only bridge pauses.
        gap: the longest pause, as of `parse_gap`.
    Returns:
        DataFrame `EVENT_COLUMNS`, one row an event and class: `count` is the largest number of rows of the class that
        one image has (1 where rows are images; 0 of `empty`), `first` and `last` bound the whole event, `images` is the
        number of images of the class.
    Raises:
        ValueError: the gap is none, or a column is missing.
    """
    numbers, label = event_numbers(table, gap), "predicted_class" if "predicted_class" in table else "class_name"
    rows = as_table(table, (label,))[["camera", "taken_at", label]].set_axis(["camera", "taken_at", "class"], axis=1)
    rows = rows.assign(image=_image_names(table), event=numbers, time=rows["taken_at"].str[:19])
    rows = rows[rows["event"] >= 0].sort_values(["event", "time"], kind="stable")
    times = {"first": ("taken_at", "first"), "last": ("taken_at", "last")}
    bounds = rows.groupby("event").agg(camera=("camera", "first"), **times)
    seen = rows[rows["class"] != ""].groupby(["event", "class", "image"]).size()
    found = seen.groupby(["event", "class"]).agg(count="max", images="size").reset_index().join(bounds, on="event")
    found["count"] = found["count"].mask(found["class"] == EMPTY_CLASS, 0)
    return found.assign(event_id="e" + (found["event"] + 1).astype(str), event_gap=gap)[EVENT_COLUMNS]


def event_numbers(table: pd.DataFrame, gap: str) -> pd.Series:
    """Return the number of the event of each row, from 0; -1 without camera or time. As of `events_of`."""
    pause, table = parse_gap(gap), as_table(table, ("camera", "taken_at"))
    times = pd.to_datetime(table["taken_at"].str[:19], format="%Y-%m-%dT%H:%M:%S", errors="coerce")
    names = _image_names(table)
    rows = pd.DataFrame({"camera": [*table["camera"]], "time": [*times], "folder": [*names.map(dirname)]})
    order = [[int(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d+)", name))] for name in names]
    rows = rows.iloc[sorted(range(len(rows)), key=order.__getitem__)]
    rows = rows[(rows["camera"] != "") & rows["time"].notna()]
    of_folder = [rows["camera"], rows["folder"]]  # perhaps that of a class: the clock is set back in each
    is_back = rows.groupby(of_folder)["time"].diff() < -pause
    of_camera = is_back.groupby(rows["camera"])
    is_back &= of_camera.transform("sum") <= of_camera.transform("size").mul(_MAX_BACKWARD).clip(lower=1)
    rows["clock"] = is_back.groupby(of_folder).cumsum()
    rows = rows.sort_values(["camera", "clock", "time"], kind="stable")
    keys = rows[["camera", "clock"]]
    starts = (keys != keys.shift()).any(axis=1) | (rows["time"].diff() > pause)
    return (starts.cumsum() - 1).reindex(range(len(table)), fill_value=-1).set_axis(table.index)


def event_names(table: pd.DataFrame, gap: str) -> pd.Series:
    """Return the event of each row, such as "event 1"; "" without camera or time. As of `events_of`."""
    numbers = event_numbers(table, gap)
    return ("event " + (numbers + 1).astype(str)).where(numbers >= 0, "")


def _image_names(table: pd.DataFrame) -> pd.Series:
    """Return the name of the image of each row; ValueError where there is none."""
    column = next((name for name in ("file", "image_id", "path") if name in table), "file")
    return as_table(table, (column,))[column].astype(str)


def events_sentence(table: pd.DataFrame, numbers: pd.Series, gap: str) -> str:
    """Return a sentence on the number of events, on rows that are in none, and on those of a wrong clock."""
    absent, wrong = (numbers < 0).sum(), clock_problems(table.assign(image_id=_image_names(table)))
    wrong = wrong[(wrong != "") & (numbers >= 0)]
    text = f"{numbers.max() + 1 if len(numbers) else 0} events (pauses of {gap} at most)"
    text += f"; {absent} of {len(numbers)} images without camera or time are in none" if absent else ""
    clocks = f"; {len(wrong)} images have times of a wrong clock ({', '.join(wrong.unique())})"
    return text + (f"{clocks}: their events are apart, at those times" if len(wrong) else "")


def event_accuracy(
    predictions: pd.DataFrame, catalog: pd.DataFrame, gap: str, seed: int = 0
) -> tuple[dict | None, str]:
    """Return the accuracy by event, as `mean_estimate` does (of cameras, resampled whole), and a sentence on it.

    The class of an event is the one with the largest mean probability over its images. Events that show several true
    classes are counted, not scored. None without any event to score.
    """
    places = with_place_columns(catalog)
    places = places.drop_duplicates("image_id").set_index("image_id")[["camera", "taken_at"]]
    table = predictions.drop(columns=["camera", "taken_at"], errors="ignore").join(places, on="image_id")
    numbers = event_numbers(table, gap)
    rows = table.assign(event=numbers)[(numbers >= 0) & (table["true_class"] != "")]
    by_event, columns = rows.groupby("event"), [name for name in table if name.startswith("p_")]
    is_single = by_event["true_class"].nunique() == 1
    sentence = events_sentence(table, numbers, gap)
    if not is_single.any():
        return None, f"no accuracy by event: {sentence}, and none to score."
    first = by_event[["true_class", "camera"]].first()[is_single]
    predicted = by_event[columns].mean()[is_single].idxmax(axis=1).str.removeprefix("p_")
    metric = mean_estimate((predicted == first["true_class"]).to_numpy(bool), first["camera"].to_numpy(str), seed)
    mixed = f"; {(~is_single).sum()} of several true classes are not scored" if not is_single.all() else ""
    text = f"accuracy by event {metric['value']:.3f} ({interval_text(metric)}, n={metric['n']})"
    return metric, f"{text}; {sentence}{mixed}"
