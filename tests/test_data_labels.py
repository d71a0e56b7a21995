"""Labels from boxes: the rules, ties, unusable boxes, clipping."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marinecv.data.boxes import BOX_COLUMNS, CORNERS, clean_boxes
from marinecv.data.labels import dominant_class, ranked_classes


def boxes_of(*rows):
    """Rows: class and corners, all of image a.jpg."""
    records = [("a.jpg", name, *corners, f"t.csv:{line}", "") for line, (name, *corners) in enumerate(rows, start=2)]
    return pd.DataFrame(records, columns=BOX_COLUMNS)


def sizes(width=64, height=48):
    return pd.DataFrame({"image_id": ["a.jpg"], "width": [width], "height": [height]})


MIXED = boxes_of(
    ("ray", 0, 0, 30, 20),  # 600 px^2, one box
    ("eel", 0, 0, 20, 10),  # 2 x 200 px^2 in the same place: 400 x 2, each pixel once 200 x 2
    ("eel", 0, 0, 20, 10),
    ("crab", 0, 0, 5, 5),  # 3 x 25 px^2
    ("crab", 5, 0, 10, 5),
    ("crab", 10, 0, 15, 5),
)


@pytest.mark.parametrize(
    ("rule", "winner", "score", "total"),
    [("dominant", "eel", 800, 1625), ("area", "ray", 600, 1075), ("count", "crab", 3, 6), ("union", "ray", 600, 1225)],
)
def test_each_rule_has_its_winner_and_its_dominance(rule, winner, score, total):
    label = dominant_class(MIXED, rule).iloc[0]
    assert (label["class_name"], label["score"], label["dominance"]) == (winner, score, score / total)


def test_ties_go_to_the_class_that_sorts_first_whatever_the_order_of_rows():
    boxes = boxes_of(("ray", 0, 0, 10, 10), ("eel", 5, 5, 15, 15))
    assert dominant_class(boxes)["class_name"].tolist() == dominant_class(boxes[::-1])["class_name"].tolist() == ["eel"]


def test_unknown_rule_and_missing_column_are_refused():
    with pytest.raises(ValueError, match="Expected rule to be one of .*'union'.*biggest"):
        dominant_class(MIXED, "biggest")
    with pytest.raises(ValueError, match="boxes table lacks the column 'xmax'"):
        dominant_class(MIXED.drop(columns="xmax"))


def test_boxes_over_the_edge_are_clipped():
    clean = clean_boxes(boxes_of(("eel", "-4", "6", "40", "60"), ("ray", 1, 2, 3, 4)), sizes())
    assert clean[CORNERS].to_numpy().tolist() == [[0, 6, 40, 48], [1, 2, 3, 4]]
    assert clean["clipped"].tolist() == [True, False] and set(clean["problem"]) == {""}
    assert all(clean[corner].dtype == float for corner in CORNERS)


def test_boxes_outside_and_flat_boxes_and_those_of_an_image_of_unknown_size_keep_their_corners():
    boxes = boxes_of(("eel", 64, 0, 90, 20), ("ray", 7, 8, 7, 20), ("ray", 9, 8, 7, 20))
    for size, first in ((sizes(), "outside the image"), (sizes(0, 0), "")):
        clean = clean_boxes(boxes, size)
        assert clean["problem"].tolist() == [first, "no area", "no area"] and not clean["clipped"].any()
        assert clean[CORNERS].equals(boxes[CORNERS].astype(float))


def test_flat_boxes_can_be_an_error():
    boxes = boxes_of(("eel", 1, 2, 3, 4), ("shark", 310, 88, 310, 140))
    with pytest.raises(ValueError, match=r"1 of 2 boxes .* row 3 of t.csv \(a.jpg, shark 310,88,310,140\)"):
        clean_boxes(boxes, sizes(), flat_boxes="error")
    with pytest.raises(ValueError, match="have no area"):
        dominant_class(boxes)
    with pytest.raises(ValueError, match="Expected flat_boxes to be one of .*'keep', 'error'.*drop"):
        clean_boxes(boxes, sizes(), flat_boxes="drop")


def table_of(rows):
    """Boxes in images a, b and c: image, class, corner, width, height."""
    table = pd.DataFrame(rows, columns=["image_id", "class_name", "xmin", "ymin", "width", "height"])
    return table.assign(xmax=table["xmin"] + table["width"], ymax=table["ymin"] + table["height"])


def rows_of(number, side):
    box = st.tuples(st.sampled_from("abc"), st.sampled_from(["eel", "ray"]), number, number, side, side)
    return st.lists(box, min_size=1, max_size=12).map(table_of)


@settings(max_examples=20, deadline=None)
@given(rows_of(st.integers(0, 30), st.integers(1, 30)))
def test_the_union_is_that_of_a_raster(boxes):
    ranked = ranked_classes(boxes, "union").set_index(["image_id", "class_name"])["score"]
    for key, rows in boxes.groupby(["image_id", "class_name"]):
        raster = np.zeros((60, 60), dtype=bool)
        for box in rows.itertuples():
            raster[box.ymin : box.ymax, box.xmin : box.xmax] = True
        assert ranked[key] == raster.sum() * len(rows)


@settings(max_examples=20, deadline=None)
@given(rows_of(st.floats(-1e3, 1e3), st.floats(0.1, 1e3)), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing_to_the_last_bit(boxes, random):
    order = random.sample(range(len(boxes)), len(boxes))
    for rule in ("dominant", "area", "union"):
        shuffled, ordered = ranked_classes(boxes.iloc[order], rule), ranked_classes(boxes, rule)
        pd.testing.assert_frame_equal(shuffled, ordered, check_exact=True)


@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "float32", "Int64", "str", "object"])
def test_numbers_of_every_kind_give_the_same_labels(kind):
    boxes = boxes_of(("eel", 0, 0, 1000, 1000), ("ray", 0, 0, 600, 400))
    labels = dominant_class(boxes.astype(dict.fromkeys(CORNERS, kind)))
    assert labels[["class_name", "score"]].to_numpy().tolist() == [["eel", 1_000_000.0]]


def test_rows_that_cannot_serve_do_not_count():
    outside = MIXED.assign(problem=np.where(MIXED["class_name"] == "eel", "outside the image", ""))
    assert dominant_class(outside)["class_name"].tolist() == ["ray"]
    boxes = boxes_of(*[("eel", 0, 0, 9, 9)] * 6, ("ray", 0, 0, 2, 2)).astype({"xmax": object, "ymin": float})
    boxes.loc[0:2, "xmax"], boxes.loc[3, "class_name"] = ["wide", np.nan, np.inf], None
    boxes.loc[4, "image_id"], boxes.loc[5, "ymin"] = None, -np.inf
    assert dominant_class(boxes)["class_name"].tolist() == ["ray"]
    assert dominant_class(boxes.head(6)).empty and dominant_class(pd.DataFrame()).empty
    assert list(dominant_class(boxes.head(6))) == ["image_id", "class_name", "score", "dominance"]
