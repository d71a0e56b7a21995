"""Events are chains of images of one camera: never across cameras or a clock that was set back, nothing guessed."""

import pandas as pd
import pytest

import marinecv as mcv
from marinecv.evaluation.events import (
    EVENT_COLUMNS,
    event_accuracy,
    event_numbers,
    events_of,
    events_sentence,
    parse_gap,
)


def images(*rows):
    """One row an image of a text such as "c1 05:10 fox": camera, time (of a day, or a date too), class; - is none."""
    table = pd.DataFrame([row.split() for row in rows], columns=["camera", "taken_at", "predicted_class"]).replace(
        "-", ""
    )
    is_clock = table["taken_at"].str.len().between(1, 5)
    table["taken_at"] = table["taken_at"].mask(is_clock, "2025-04-02T" + table["taken_at"] + ":00")
    return table.assign(file=[f"IMG_{number}.JPG" for number in range(1, len(table) + 1)])


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        (["c1 05:00 fox", "c1 05:30 deer", "c1 06:00 fox"], [0, 0, 0]),  # a chain, of whatever class
        (["c1 05:00 fox", "c1 05:31 fox"], [0, 1]),
        (["c1 05:00 fox", "c2 05:00 fox", "c1 05:01 -"], [0, 1, 0]),
        (["- 05:00 fox", "c1 - fox", "c1 05:00 fox"], [-1, -1, 0]),
        (["c1 05:00 fox", "c1 06:10 fox", "c1 05:20 fox", "c1 05:40 fox"], [0, 1, 2, 2]),  # set back by an hour
        (["c1 05:00 fox", "c1 2000-01-01T00:00:05 fox", "c1 2000-01-01T00:10:00 fox"], [0, 1, 1]),
        (["c1 2025-04-02T05:00:00+02:00 fox", "c1 2025-04-02T05:10:00+02:00 fox"], [0, 0]),
    ],
)
def test_an_event_is_a_chain_of_one_camera_and_clock(rows, numbers):
    found = event_numbers(images(*rows), "30m")
    assert found.tolist() == numbers


def test_an_order_of_files_that_is_not_that_of_time_is_no_clock_set_back():
    table = images(*(f"c1 {hour:02}:{minute} fox" for hour in range(5) for minute in ("00", "20", "40")))
    shuffled = table.sample(frac=1, random_state=1).assign(file=sorted(table["file"]))
    assert set(event_numbers(shuffled, "30m")) == {0}


def test_folders_whose_times_overlap_are_no_clock_set_back():
    """Of one camera below class folders, or of a file put beside its folders of days."""
    table = images(
        *(f"c1 2025-04-{day:02}T0{hour}:0{minute}:00 x" for day in (1, 2) for hour in range(9) for minute in (0, 5))
    )
    folders = ["fox/c1/", "deer/c1/"] * 18
    numbers = event_numbers(table.assign(file=folders + table["file"]), "30m")
    assert numbers.tolist() == [number for number in range(18) for _ in range(2)]


def test_the_rows_of_an_event_are_its_classes_with_the_most_boxes_of_one_image():
    table = images("c1 05:00 fox", "c1 05:00 fox", "c1 05:10 fox", "c1 05:20 empty", "c1 05:25 -", "c1 09:00 deer")
    found = events_of(table.assign(file=[*"aabcde"]), "30m")
    assert list(found) == EVENT_COLUMNS
    first, last = "2025-04-02T05:00:00", "2025-04-02T05:25:00"
    deer = ["e2", "c1", "deer", 1, "2025-04-02T09:00:00", "2025-04-02T09:00:00", 1, "30m"]
    rows = [["e1", "c1", "empty", 0, first, last, 1, "30m"], ["e1", "c1", "fox", 2, first, last, 2, "30m"], deer]
    assert found.to_numpy().tolist() == rows
    assert events_of(table.iloc[:0]).empty
    renamed = table.assign(file=["a²1", "a²1", "b", "c", "d", "e"], label="x", event=1).set_axis(
        [0] * 6
    )  # ² is no number of a file
    assert events_of(renamed, "30m")["count"].tolist() == [0, 2, 1]


def test_images_in_no_event_and_those_of_a_wrong_clock_are_counted():
    table = images("c1 05:00 fox", "c1 2000-01-01T00:00:05 fox", "- 05:00 fox", "c1 - fox")
    sentence = events_sentence(table, event_numbers(table, "30m"), "30m")
    assert sentence == (
        "2 events (pauses of 30m at most); 2 of 4 images without camera or time are in none; "
        "1 images have times of a wrong clock (a factory date): their events are apart, at those times"
    )
    assert events_sentence(table.iloc[:0], event_numbers(table.iloc[:0], "1h"), "1h").startswith("0 events")


@pytest.mark.parametrize("gap", ["30", "m30", "0m", "1d", ""])
def test_a_gap_has_a_unit(gap):
    with pytest.raises(ValueError, match="Expected a number of seconds, minutes or hours: 90s, 30m or 1h"):
        parse_gap(gap)


def test_a_table_without_images_camera_or_time_is_refused():
    with pytest.raises(ValueError, match="lacks the column 'taken_at'"):
        events_of(images("c1 05:00 fox").drop(columns="taken_at"))
    with pytest.raises(ValueError, match="lacks the column 'file'"):
        events_of(images("c1 05:00 fox").drop(columns="file"))


def test_accuracy_by_event_is_that_of_the_mean_probabilities_of_events_of_one_class():
    true = ["fox", "fox", "fox", "deer", "deer", "fox", "deer"]
    p_fox = [0.4, 0.4, 0.9, 0.2, 0.6, 0.9, 0.1]
    predictions = mcv.make_table([*"abcdefg"], "test", true, [[p, 1 - p] for p in p_fox], ["fox", "deer"])
    clocks = ["05:00", "05:10", "05:20", "09:00", "12:00", "12:05", "-"]
    catalog = images(*(f"c{number // 3} {clock} x" for number, clock in enumerate(clocks)))
    catalog = catalog.assign(image_id=[*"abcdefg"], camera=["c1", "c1", "c1", "c2", "c3", "c3", "c4"])
    metric, sentence = event_accuracy(predictions, catalog, "30m")
    assert (metric["value"], metric["n"]) == (1.0, 2)  # a wrong majority, but a right mean; and deer alone
    assert "1 of several true classes are not scored" in sentence and "1 of 7 images without camera or time" in sentence
    metric, sentence = event_accuracy(predictions, catalog.drop(columns="camera"), "30m")
    assert metric is None and sentence.startswith("no accuracy by event: 0 events")
