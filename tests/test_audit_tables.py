"""Counts, sizes and label shares, on a catalog small enough to count by hand."""

import pandas as pd
import pytest

from marinecv.audit.tables import (
    class_changes,
    class_counts,
    distinct_sizes,
    label_flips,
    label_shares,
    labels_by_rule,
    size_table,
)
from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.catalog import CATALOG_COLUMNS, read_boxes, read_catalog
from marinecv.data.locate import locate

CATALOG = pd.DataFrame(
    [
        ("a", "a.jpg", "train", "eel", "", 64, 48, 1.0, ""),
        ("b", "b.jpg", "train", "ray", "", 64, 48, 0.5, ""),
        ("c", "c.jpg", "train", "ray", "", 48, 64, 0.7, ""),
        ("d", "d.jpg", "test", "ray", "", 64, 48, 0.9, ""),
        ("e", "e.jpg", "extra", "eel", "", 100, 30, 0.59, ""),
        ("f", "f.jpg", "test", "", "", 64, 48, float("nan"), "no box"),
        ("g", "g.jpg", "test", "", "", 0, 0, float("nan"), "cannot be read"),
    ],
    columns=CATALOG_COLUMNS,
)


def test_classes_are_counted_by_split_with_a_total():
    counts = class_counts(CATALOG)
    assert list(counts) == ["class_name", "train", "test", "extra", "total", "share"]
    assert counts.to_numpy().tolist() == [
        ["ray", 2, 1, 0, 3, 0.6],
        ["eel", 1, 0, 1, 2, 0.4],
        ["total", 3, 1, 1, 5, 1.0],
    ]


def test_a_catalog_without_usable_images_has_a_total_of_nothing():
    counts = class_counts(CATALOG.assign(problem="broken"))
    assert counts[["class_name", "total"]].to_numpy().tolist() == [["total", 0]]


def test_sizes_are_summarised_by_split_and_unknown_ones_left_out():
    table = size_table(CATALOG).set_index(["split", "side"])
    assert table.loc[("train", "width")].tolist() == [3, 176 / 3, 64, 48, 64]
    assert table.loc[("test", "height")].tolist() == [2, 48, 48, 48, 48]
    assert table.loc[("all", "width"), ["n", "max"]].tolist() == [6, 100]


def test_distinct_sizes_most_frequent_first():
    assert distinct_sizes(CATALOG).to_numpy().tolist() == [[64, 48, 4], [48, 64, 1], [100, 30, 1]]


def test_label_shares_count_the_unsure():
    table = label_shares(CATALOG).set_index("class_name")
    assert table["n"].to_dict() == {"eel": 2, "ray": 3, "all": 5}
    assert table["unsure"].to_dict() == {"eel": 1, "ray": 1, "all": 2}
    assert table.loc["ray", ["mean", "median", "min"]].tolist() == pytest.approx([0.7, 0.7, 0.5])


def test_class_changes_are_counted_by_rule_and_split():
    boxes = pd.DataFrame(
        [
            ("a", "eel", 0, 0, 20, 20, "x:1", ""),
            ("b", "ray", 0, 0, 10, 10, "x:2", ""),  # 2 rays of 10x10: score 400, area 200
            ("b", "ray", 20, 0, 30, 10, "x:3", ""),
            ("b", "eel", 0, 20, 30, 30, "x:4", ""),  # score and area 300
            ("d", "ray", 0, 0, 30, 30, "x:5", ""),
            ("d", "eel", 40, 0, 42, 2, "x:6", ""),
            ("d", "eel", 40, 4, 42, 6, "x:7", ""),
            ("z", "ray", 0, 0, 9, 9, "x:8", ""),  # of no image in the catalog
        ],
        columns=BOX_COLUMNS,
    )
    labels = labels_by_rule(boxes, CATALOG)
    flips = label_flips(labels)
    assert flips[["image_id", "dominant", "area", "count", "union"]].to_numpy().tolist() == [
        ["b", "ray", "eel", "ray", "ray"],
        ["d", "ray", "ray", "eel", "ray"],
    ]
    assert flips["share"].is_monotonic_increasing
    table = class_changes(labels, CATALOG).set_index("rule")
    assert table["n"].tolist() == [3, 3, 3]
    assert table.loc["area", ["train", "test", "extra", "total"]].tolist() == [1, 0, 0, 1]
    assert table.loc["count", ["train", "test", "extra", "total"]].tolist() == [0, 1, 0, 1]
    assert table.loc["union", "total"] == 0


@pytest.mark.data
def test_labels_of_the_aquarium_that_change(real_data):
    manifest = locate("aquarium", real_data / "aquarium")
    catalog = read_catalog(manifest)
    table = class_changes(labels_by_rule(read_boxes(manifest), catalog), catalog).set_index("rule")
    assert table.loc["area", ["train", "validation", "test", "total"]].tolist() == [38, 8, 2, 48]
    assert table.loc["count", ["train", "validation", "test", "total"]].tolist() == [37, 7, 7, 51]
    assert label_shares(catalog).iloc[-1][["n", "unsure"]].tolist() == [637, 34]
