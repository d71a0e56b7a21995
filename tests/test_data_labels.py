import numpy as np
import pandas as pd
import pytest

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
    ("rule", "winner", "score"),
    [("dominant", "eel", 800), ("area", "ray", 600), ("count", "crab", 3), ("union", "ray", 600)],
)
def test_each_rule_has_its_winner(rule, winner, score):
    label = dominant_class(MIXED, rule).iloc[0]
    assert (label["class_name"], label["score"]) == (winner, score)


def test_shares_sum_to_one_and_ranks_count_up():
    ranked = ranked_classes(MIXED)
    assert ranked["class_name"].tolist() == ["eel", "ray", "crab"] and ranked["rank"].tolist() == [1, 2, 3]
    assert ranked["share"].sum() == pytest.approx(1) and ranked["score"].tolist() == [800, 600, 225]


def test_ties_go_to_the_class_that_sorts_first_whatever_the_order_of_rows():
    boxes = boxes_of(("ray", 0, 0, 10, 10), ("eel", 5, 5, 15, 15))
    assert dominant_class(boxes)["class_name"].tolist() == dominant_class(boxes[::-1])["class_name"].tolist() == ["eel"]


def test_boxes_with_a_problem_do_not_count():
    boxes = MIXED.assign(problem=np.where(MIXED["class_name"] == "eel", "outside the image", ""))
    assert dominant_class(boxes)["class_name"].tolist() == ["ray"]
    assert dominant_class(boxes.assign(problem="no area")).empty


def test_union_counts_each_pixel_once():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 40, (12, 2, 2)), axis=1) + [[0], [1]]
    raster = np.zeros((50, 50), dtype=bool)
    for (x0, y0), (x1, y1) in corners:
        raster[y0:y1, x0:x1] = True
    boxes = boxes_of(*(("eel", *box.ravel()) for box in corners))
    assert dominant_class(boxes, "union")["score"].item() == raster.sum() * len(boxes)


def test_unknown_rule_and_missing_column_are_refused():
    with pytest.raises(ValueError, match='rule is "biggest". Expected one of dominant, area, count, union'):
        dominant_class(MIXED, "biggest")
    with pytest.raises(ValueError, match="boxes table lacks the column xmax. Expected image_id, .*found image_id"):
        dominant_class(MIXED.drop(columns="xmax"))


def test_boxes_over_the_edge_are_clipped_and_said():
    clean = clean_boxes(boxes_of(("eel", "-4", "6", "40", "60"), ("ray", 1, 2, 3, 4)), sizes())
    assert clean[CORNERS].to_numpy().tolist() == [[0, 6, 40, 48], [1, 2, 3, 4]]
    assert clean["clipped"].tolist() == [True, False] and set(clean["problem"]) == {""}
    assert all(clean[corner].dtype == float for corner in CORNERS)


def test_boxes_outside_and_flat_boxes_keep_their_rows_and_corners():
    clean = clean_boxes(boxes_of(("eel", 64, 0, 90, 20), ("ray", 7, 8, 7, 20), ("ray", 9, 8, 7, 20)), sizes())
    assert clean["problem"].tolist() == ["outside the image", "no area", "no area"]
    assert clean[CORNERS].iloc[0].tolist() == [64, 0, 90, 20] and not clean["clipped"].any()


def test_boxes_of_an_image_of_unknown_size_are_left_as_they_are():
    clean = clean_boxes(boxes_of(("eel", -4, 0, 90, 20)), sizes(0, 0))
    assert clean[CORNERS].iloc[0].tolist() == [-4, 0, 90, 20] and clean["problem"].tolist() == [""]


def test_flat_boxes_can_be_an_error():
    boxes = boxes_of(("eel", 1, 2, 3, 4), ("shark", 310, 88, 310, 140))
    expected = (
        r"1 of 2 boxes have no area; the first is row 3 of t.csv \(a.jpg, shark 310,88,310,140\).\nExpected xmin < "
    )
    with pytest.raises(ValueError, match=expected):
        clean_boxes(boxes, sizes(), flat_boxes="error")
    with pytest.raises(ValueError, match="have no area"):
        dominant_class(boxes)
    with pytest.raises(ValueError, match='flat_boxes is "drop". Expected one of keep, error'):
        clean_boxes(boxes, sizes(), flat_boxes="drop")


@pytest.mark.parametrize("corner", ["", "wide", None, "inf", float("nan")])
def test_a_corner_that_is_no_number_is_named(corner):
    with pytest.raises(
        ValueError, match=r"1 of 2 boxes have a corner that is no number; the first is row t.csv:3 \(ray 1,"
    ):
        clean_boxes(boxes_of(("eel", 1, 2, 3, 4), ("ray", 1, 2, corner, 4)), sizes())
