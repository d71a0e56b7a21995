"""Findings, one by one, on tables small enough to count by hand; test_audit_planted.py finds them all in images."""

import numpy as np
import pandas as pd
import pytest
from scenes import diving, pairs_of

from marinecv.audit import leakage_findings as leakage
from marinecv.audit.findings import cases_table, findings_table
from marinecv.audit.image_findings import image_findings
from marinecv.audit.label_findings import label_findings
from marinecv.audit.leakage_findings import AS_SPLIT, RELATED_APART, VOTE_COLUMNS, nearest_neighbor_baseline
from marinecv.audit.run_audit import as_split, is_split
from marinecv.audit.thumbnails import tiny_pixels
from marinecv.data.boxes import BOX_COLUMNS, bad_row
from marinecv.data.catalog import CATALOG_COLUMNS

NO_LEAK = {"difference": np.nan, "low": np.nan, "high": np.nan, "n": 0}
LEAK = {"difference": 0.4, "low": 0.1, "high": 0.7, "n": 10}
NO_BOXES = pd.DataFrame(columns=[*BOX_COLUMNS, "clipped"])
VOTES = pd.DataFrame(columns=VOTE_COLUMNS, dtype=str)
QUALITY = pd.DataFrame({"image_id": [], "contrast": [], "sharpness": [], "flags": []}).astype({"flags": str})
FLIPS = ["image_id", "split", "dominance", "dominant", "area", "count", "union"]


def catalog_of(counts, problem=""):
    """So many images of each split and class."""
    rows = [
        (f"{split}/{name}{n}", "x.jpg", split, name, "", 90, 60, 1.0, problem)
        for (split, name), count in counts.items()
        for n in range(count)
    ]
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS)


def named(findings):
    return {finding.name: finding for finding in findings}


EVEN = catalog_of({("train", "eel"): 20, ("train", "ray"): 20, ("test", "eel"): 2, ("test", "ray"): 2})


def related(catalog, pairs, votes=VOTES, leak=NO_LEAK, published=True):
    crossing = leakage.pairs_across_splits(catalog, pairs, np.arange(len(catalog), dtype=float)[:, None])
    return leakage.leakage_findings(catalog, pairs, crossing, votes, leak, published)


def test_nothing_is_found_where_nothing_is_wrong():
    assert related(EVEN, pairs_of()) == image_findings(EVEN, QUALITY) == label_findings(EVEN, NO_BOXES) == []
    assert label_findings(catalog_of({("", "eel"): 20, ("", "ray"): 21}), NO_BOXES) == []
    assert findings_table([]).empty and list(cases_table([])) == ["finding", "image_id", "other", "note"]


def test_a_finding_in_one_line_has_name_count_and_fix():
    [finding] = label_findings(catalog_of({("train", "eel"): 20, ("train", "ray"): 3}), NO_BOXES)
    assert finding.line.startswith("classes with few train images: 1 of 2 classes. Add images")
    row = findings_table([finding])[["finding", "serious", "count", "of", "unit"]].to_numpy().tolist()
    assert row == [[finding.name, "no", 1, 2, "classes"]]


def test_a_pair_of_copies_stands_under_one_finding_and_the_most_similar_first():
    pairs = pairs_of(
        *[(f"train/eel{n}", f"test/{name}", "near copy") for n, name in enumerate(["eel0", "eel1", "ray0"])],
        ("train/eel5", "train/eel6", "copy"),
        ("train/eel3", "test/eel1", "block"),
    )
    pairs = pairs.assign(similarity=[0.85, 0.95, 1.0, 1.0, np.nan])
    pairs.loc[2, "kind"] = "copy"
    found = named(related(EVEN, pairs))
    across, within = found["copies across splits"], found["copies within a split"]
    labels = found["one picture under two labels"]
    assert across.serious and not within.serious and (across.count, across.of) == (2, 4)
    assert across.cases["other"].tolist() == ["test/eel1", "test/eel0"]
    assert across.cases["note"].tolist()[0] == "near-duplicate, similarity 0.95, method hash"
    assert within.what == "1 pair of copies (1 exact, 0 near) in one split."
    assert labels.serious and labels.cases.to_numpy().tolist() == [["train/eel2", "test/ray0", "exact copy"]]
    cases = cases_table(list(found.values()))
    assert len(cases) == 4 and not cases.duplicated(["image_id", "other"]).any()


def test_a_pair_counts_once_and_copies_of_one_copy_are_copies_of_each_other():
    names = ["train/eel0", "train/eel1", "train/eel2"]
    pairs = [(names[0], names[1]), (names[1], names[2]), (names[0], names[2])]
    near = pairs_of(*[(*pair, "near copy") for pair in pairs])
    pairs = pd.concat([pairs_of(*[(*pair, "copy") for pair in pairs[:2]]), near], ignore_index=True)
    [finding] = related(EVEN, pairs)
    assert finding.what == "3 pairs of copies (3 exact, 0 near) in one split."


def test_frames_are_counted_by_judged_images_and_those_that_differ_least_come_first():
    pairs = pairs_of(
        ("train/eel0", "test/eel0", "neighbor"),
        ("train/eel19", "test/eel0", "neighbor"),
        ("train/ray19", "test/eel1", "neighbor"),
        ("train/eel1", "train/eel2", "neighbor"),
    )
    [finding] = related(EVEN, pairs)
    assert finding.serious and (finding.count, finding.of) == (2, 4) and "2 of 4 test images" in finding.what
    assert finding.cases.to_numpy().tolist() == [
        ["test/eel1", "train/ray19", "2 of 255 gray levels apart"],
        ["test/eel0", "train/eel19", "21 of 255 gray levels apart"],
    ]


def votes_of(as_split, apart):
    """Predictions of ten test images, so many of them right."""
    votes = pd.DataFrame({"protocol": np.repeat([AS_SPLIT, RELATED_APART], 10), "split": "test", "true_class": "eel"})
    votes["image_id"] = votes["group"] = [f"test/{n}" for n in range(10)] * 2
    return votes.assign(
        predicted_class=["eel" if n < right else "ray" for right in (as_split, apart) for n in range(10)]
    )


def test_leakage_is_stated_in_points_of_a_score():
    [finding] = related(EVEN, pairs_of(), votes_of(8, 4), LEAK)
    assert finding.serious and (finding.count, finding.of, len(finding.cases)) == (4, 10, 4)
    for part in ("80.0% of the 10 test images", "40.0% of the same", "alone: 100%", "40 points", "(95% CI 10 to 70)"):
        assert part in finding.what
    assert set(finding.cases["note"]) == {"predicted as ray without its related images"}


@pytest.mark.parametrize(("difference", "low"), [(0.4, -0.01), (0.04, 0.01), (np.nan, np.nan)])
def test_leakage_by_chance_or_below_5_points_is_no_finding(difference, low):
    assert related(EVEN, pairs_of(), votes_of(8, 4), NO_LEAK | {"difference": difference, "low": low}) == []


def test_a_random_split_of_the_audit_is_no_fault_of_the_data():
    pairs = pairs_of(("train/eel0", "test/eel0", "neighbor"), ("train/eel1", "test/eel1", "copy"))
    found = related(EVEN, pairs, votes_of(8, 4), LEAK, published=False)
    assert len(found) == 3 and not any(finding.serious for finding in found)
    assert all(finding.what.startswith("Under a random split, ") for finding in found)
    assert all(", if split at random: " in finding.line for finding in found)


def test_a_nearest_neighbor_classifies_what_has_a_related_image_in_train_and_little_else(monkeypatch):
    def right(votes, vote):
        part = votes[votes["protocol"] == vote]
        return (part["true_class"] == part["predicted_class"]).mean()

    rows, thumbs = diving()
    votes = nearest_neighbor_baseline(rows, thumbs)
    assert list(votes) == VOTE_COLUMNS and right(votes, AS_SPLIT) == 1.0 and right(votes, RELATED_APART) < 0.8
    assert votes["protocol"].value_counts().to_dict() == {AS_SPLIT: 20, RELATED_APART: 60}  # test; every image once
    assert right(nearest_neighbor_baseline(*diving(dives=2)), RELATED_APART) == 0.0  # only the other class is left
    for split in ("", "train"):
        assert set(nearest_neighbor_baseline(rows.assign(split=split), thumbs)["protocol"]) == {RELATED_APART}
    assert set(nearest_neighbor_baseline(rows.assign(group="one"), thumbs)["protocol"]) == {AS_SPLIT}
    assert list(nearest_neighbor_baseline(rows.assign(group="one", split=""), thumbs)) == VOTE_COLUMNS
    pixels = np.random.default_rng(0).integers(0, 256, (len(rows), 128, 128, 3), dtype=np.uint8)
    of_pixels, of_tiny = (nearest_neighbor_baseline(rows, each) for each in (pixels, tiny_pixels(pixels)))
    pd.testing.assert_frame_equal(of_pixels, of_tiny)
    monkeypatch.setattr(leakage, "MAX_PREDICTED_IMAGES", 5)
    votes = nearest_neighbor_baseline(rows, thumbs, seed=3)
    assert (votes["protocol"] == AS_SPLIT).sum() == 5 and votes.equals(nearest_neighbor_baseline(rows, thumbs, seed=3))


def test_every_lost_file_is_serious_and_a_missing_box_or_folder_is_not():
    problems = ["cannot be decoded: cut", "unsupported format .heic", "no box", "no usable box: no area (a.csv:3)"]
    catalog = catalog_of({("train", "eel"): 5}).assign(problem=[*problems, "lies in no class folder"])
    found = named(image_findings(catalog, QUALITY))
    assert {name: (finding.count, finding.serious) for name, finding in found.items()} == {
        "files that cannot be read": (2, True),
        "images outside the folders": (1, False),
        "images without a box": (2, False),
    }
    assert found["files that cannot be read"].cases["note"].tolist() == problems[:2]


def test_a_class_that_train_lacks_is_serious_and_few_images_are_not():
    counts = {("train", "eel"): 40, ("train", "ray"): 19, ("train", "crab"): 4, ("test", "whale"): 2}
    absent, few, uneven = label_findings(catalog_of(counts), NO_BOXES)
    assert absent.serious and absent.cases["image_id"].tolist() == ["test/whale0", "test/whale1"]
    assert not few.serious and "crab (4), ray (19)" in few.what and few.count == 2
    assert "20 times as many as whale" in uneven.what and uneven.cases.empty


BOXES = pd.DataFrame(
    [
        ("train/eel0", "eel", 0, 0, 30, 30, "a.csv:1", "", False),
        ("train/eel0", "eel", 0, 0, 30, 30, "a.csv:2", "", False),
        ("train/eel1", "eel", 5, 5, 5, 9, "a.csv:3", "no area", False),
        ("train/eel2", "eel", 80, 5, 90, 20, "a.csv:4", "", True),
        ("train/eel3", "eel", 5, 5, 7, 7, "a.csv:5", "", False),
        ("train/eel4", "eel", 0, 0, 90, 60, "a.csv:6", "", False),
        ("train/eel5", "eel", 10, 10, 40, 40, "a.csv:7", "", False),
    ],
    columns=[*BOX_COLUMNS, "clipped"],
)


def test_odd_boxes_are_named_with_their_row_and_rows_that_cannot_be_read_are_serious():
    bad = BOXES.tail(1).assign(problem=bad_row("0 .5", "expected five numbers"), source="train/labels/a.txt:3")
    found = named(label_findings(EVEN, pd.concat([BOXES, bad], ignore_index=True)))
    rows, odd = found["annotation rows that cannot be read"], found["odd boxes"]
    assert rows.serious and (rows.count, rows.of) == (1, 8) and (odd.count, odd.of) == (5, 7)
    assert rows.cases["note"].tolist() == ["bad row '0 .5': expected five numbers (train/labels/a.txt:3)"]
    defects = ("no area (a.csv:3)", "duplicated (a.csv:2)", "cut at the edge of the image (a.csv:4)", "tiny (a.csv:5)")
    assert odd.cases["note"].tolist() == [f"eel: {defect}" for defect in (*defects, "all of the image (a.csv:6)")]
    assert label_findings(EVEN, BOXES.tail(1)) == []


def test_unsure_labels_are_shown_with_their_rivals_and_changed_ones_with_the_rule():
    boxes = BOXES.tail(1)
    boxes = pd.concat([boxes, boxes.assign(class_name="ray", xmax=36.0)], ignore_index=True)
    catalog = EVEN.assign(dominance=EVEN["dominance"].mask(EVEN["image_id"] == "train/eel5", 0.54))
    [finding] = label_findings(catalog, boxes, pd.DataFrame(columns=FLIPS))
    assert finding.cases.to_numpy().tolist() == [["train/eel5", "", "eel 54%, ray 46%"]]
    flips = pd.DataFrame([("train/eel0", "train", 0.6, "eel", "ray", "eel", "ray")], columns=FLIPS)
    [finding] = label_findings(EVEN, NO_BOXES, flips)
    assert finding.cases["note"].tolist() == ["eel; by area ray, by union ray"]
    assert "1 by area, 0 by count, 1 by union" in finding.what


def test_a_set_without_splits_is_split_at_random_in_the_order_of_its_rows():
    assert is_split(EVEN) and as_split(EVEN) is EVEN
    loose = EVEN.assign(split="").sample(frac=1, random_state=0)
    split = as_split(loose)
    assert split["image_id"].tolist() == loose["image_id"].tolist()
    assert set(split["split"]) == {"train", "validation", "test"}
    assert not is_split(loose) and not is_split(EVEN.assign(split="train"))
    broken = EVEN.assign(problem="broken", split="")
    assert as_split(broken) is broken
