"""Findings, one by one, on tables small enough to count by hand; test_audit_planted.py finds them all in images."""

import numpy as np
import pandas as pd
import pytest
from scenes import links_of

from marinecv.audit import codes
from marinecv.audit.findings import agree, cases_table, counted, findings_table
from marinecv.audit.judge import as_split, is_split, list_findings, looked_at
from marinecv.audit.labelling import label_findings
from marinecv.audit.leak import APART, AS_SPLIT
from marinecv.audit.relative_findings import crossing_pairs, relative_findings
from marinecv.audit.unfit import image_findings
from marinecv.data.boxes import BOX_COLUMNS, bad_row
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.groups import LINK_COLUMNS

NO_LEAK = {"difference": np.nan, "low": np.nan, "high": np.nan, "n": 0}
NO_BOXES = pd.DataFrame(columns=[*BOX_COLUMNS, "clipped"])
VOTES = pd.DataFrame(columns=["vote", "image_id", "split", "group", "true_class", "predicted_class"], dtype=str)
QUALITY = pd.DataFrame({"image_id": [], "contrast": [], "sharpness": [], "remark": []}).astype({"remark": str})


def catalog_of(counts, problem=""):
    """So many images of each split and class."""
    rows = [
        (f"{split}/{name}{n}", "x.jpg", split, name, "", 90, 60, 1.0, problem)
        for (split, name), count in counts.items()
        for n in range(count)
    ]
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS)


def only(findings):
    assert len(findings) == 1
    return findings[0]


def named(findings):
    return {finding.name: finding for finding in findings}


EVEN = catalog_of({("train", "eel"): 20, ("train", "ray"): 20, ("test", "eel"): 2, ("test", "ray"): 2})


def related(catalog, links, votes=VOTES, leak=NO_LEAK, published=True):
    thumbs = np.arange(len(catalog), dtype=float)[:, None]
    return relative_findings(catalog, links, crossing_pairs(catalog, links, thumbs), votes, leak, published)


def test_nothing_is_found_where_nothing_is_wrong():
    assert related(EVEN, links_of()) == image_findings(EVEN, QUALITY) == label_findings(EVEN, NO_BOXES) == []
    assert findings_table([]).empty and cases_table([]).empty
    assert list(cases_table([])) == ["finding", "image_id", "other", "note"]


def test_a_finding_in_one_line_says_what_how_many_and_what_to_do():
    finding = only(label_findings(catalog_of({("train", "eel"): 20, ("train", "ray"): 3}), NO_BOXES))
    assert finding.line.startswith("classes with few train images: 1 of 2 classes. Add photographs of them")
    table = findings_table([finding])
    assert table[["finding", "serious", "count", "of", "unit"]].to_numpy().tolist() == [
        [finding.name, "no", 1, 2, "classes"]
    ]


def test_numbers_agree_with_their_words():
    assert counted(1, "pair") == "1 pair" and counted(2000, "pair") == "2,000 pairs"
    assert agree(1, "is", "are") == "is" and agree(0, "is", "are") == "are"


def test_copies_across_splits_are_serious_and_within_one_worth_a_look():
    links = links_of(
        ("train/eel0", "test/eel0", "near copy"),
        ("train/eel1", "train/eel2", "copy"),
        ("train/eel3", "test/eel1", "block"),
    )
    found = named(related(EVEN, links))
    across, within = found["copies across splits"], found["copies within a split"]
    assert across.serious and not within.serious and (across.count, across.of) == (1, 2)
    assert across.cases.to_numpy().tolist() == [["train/eel0", "test/eel0", "near copy, likeness 0.90, found by hash"]]
    assert within.what == "1 pair of exact copies lies in one split."


def test_the_same_file_comes_before_what_is_nearly_the_same_and_the_likest_first():
    links = links_of(
        *[(f"train/eel{n}", f"test/{name}", "near copy") for n, name in enumerate(["eel0", "eel1", "ray0"])]
    )
    links = links.assign(likeness=[0.85, 0.95, 1.0], kind=["near copy", "near copy", "copy"])
    assert named(related(EVEN, links))["copies across splits"].cases["other"].tolist() == [
        "test/ray0", "test/eel1", "test/eel0",
    ]  # fmt: skip


def test_what_only_codes_find_is_to_be_removed_for_a_grouped_split_does_not_know_it():
    links = links_of(("train/eel0", "test/eel0", "near copy"), ("train/eel1", "test/eel1", "near copy"))
    across = [
        named(related(EVEN, links.assign(found_by=ways)))["copies across splits"].todo
        for ways in (["hash", "colours"], ["hash", "embedding"], ["embedding", "embedding"])
    ]
    assert across == [
        "Split with --split-by grouped, or remove one of each pair.",
        "Split with --split-by grouped, or remove one of each pair; of those found by embedding alone (1) remove one, "
        "a grouped split does not know these.",
        "Remove one of each pair: found by embedding alone, a grouped split does not know these.",
    ]


def test_a_pair_counts_once_and_copies_of_one_copy_are_copies_of_each_other():
    names = ["train/eel0", "train/eel1", "train/eel2"]
    chain = links_of((names[0], names[1], "copy"), (names[1], names[2], "copy"))
    near = links_of(
        (names[0], names[1], "near copy"), (names[0], names[2], "near copy"), (names[1], names[2], "near copy")
    )
    finding = only(related(EVEN, pd.concat([chain, near], ignore_index=True)))
    assert finding.what == "3 pairs of exact copies lie in one split."


def test_one_picture_under_two_labels_is_serious_wherever_it_lies():
    found = named(related(EVEN, links_of(("train/eel0", "train/ray0", "near copy"))))
    assert found["one picture under two labels"].serious
    assert "one picture under two labels" not in named(related(EVEN, links_of(("train/eel0", "train/eel1", "copy"))))


def test_frames_are_counted_by_judged_images_and_those_that_differ_least_come_first():
    links = links_of(
        ("train/eel0", "test/eel0", "neighbour"),
        ("train/eel19", "test/eel0", "neighbour"),
        ("train/ray19", "test/eel1", "neighbour"),
        ("train/eel1", "train/eel2", "neighbour"),
    )
    finding = only(related(EVEN, links))
    assert finding.what == "2 of 4 test images were taken right before or after a train image."
    assert finding.serious and (finding.count, finding.of) == (2, 4)
    assert finding.cases.to_numpy().tolist() == [
        ["test/eel1", "train/ray19", "2 of 255 grey levels apart"],
        ["test/eel0", "train/eel19", "21 of 255 grey levels apart"],
    ]


def votes_of(as_split, apart):
    """Votes on ten test images, so many of them right."""
    names = [f"test/{n}" for n in range(10)]
    parts = [
        pd.DataFrame({"vote": vote, "image_id": names, "split": "test", "group": names, "true_class": "eel"}).assign(
            predicted_class=["eel"] * right + ["ray"] * (10 - right)
        )
        for vote, right in ((AS_SPLIT, as_split), (APART, apart))
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_leak_is_said_in_points_of_a_score():
    leak = {"difference": 0.4, "low": 0.1, "high": 0.7, "n": 10}
    finding = only(related(EVEN, links_of(), votes_of(8, 4), leak))
    assert finding.serious and (finding.count, finding.of) == (4, 10)
    assert finding.what == (
        "A memory of 16x16 thumbnails, which learns nothing, names 80.0% of the 10 test images; with relatives kept "
        "apart 40.0% of the same images (the most frequent class alone: 100%). So about 40 points of that score "
        "come from relatives (95%: 10 to 70). A network's share may be smaller or larger: evaluate RUN --folds 5 "
        "measures it."
    )
    assert len(finding.cases) == 4 and set(finding.cases["note"]) == {"taken for ray without its relatives"}


@pytest.mark.parametrize("leak", [(0.4, -0.01), (0.04, 0.01), (np.nan, np.nan)])
def test_a_leak_that_chance_could_make_or_that_is_small_is_none(leak):
    difference, low = leak
    assert related(EVEN, links_of(), votes_of(8, 4), NO_LEAK | {"difference": difference, "low": low}) == []


def test_what_a_random_split_would_do_is_no_fault_of_the_data():
    leak = {"difference": 0.4, "low": 0.1, "high": 0.7, "n": 10}
    links = links_of(("train/eel0", "test/eel0", "neighbour"), ("train/eel1", "test/eel1", "copy"))
    found = related(EVEN, links, votes_of(8, 4), leak, published=False)
    assert len(found) == 3 and not any(finding.serious for finding in found)
    assert all(finding.what.startswith("Under a random split, ") for finding in found)
    assert all(", if split at random: " in finding.line for finding in found)
    assert "copies across splits: 1 of 1 pairs." in related(EVEN, links)[-1].line


def test_every_lost_file_is_serious_and_what_has_no_box_or_folder_worth_a_look():
    problems = [
        "cannot be decoded: cut",
        "unsupported format .heic",
        "no box",
        "no usable box: no area (a.csv:3)",
        "lies in no class folder",
    ]
    catalog = catalog_of({("train", "eel"): 5}).assign(problem=problems)
    found = named(image_findings(catalog, QUALITY))
    assert {name: (finding.count, finding.serious) for name, finding in found.items()} == {
        "files that cannot be read": (2, True),
        "images outside the folders": (1, False),
        "images without a box": (2, False),
    }
    assert found["files that cannot be read"].cases["note"].tolist() == problems[:2]


def test_a_class_that_train_lacks_is_serious_and_few_images_worth_a_look():
    counts = {("train", "eel"): 40, ("train", "ray"): 19, ("train", "crab"): 4, ("test", "whale"): 2}
    found = named(label_findings(catalog_of(counts), NO_BOXES))
    absent, few, uneven = (found[name] for name in list(found))
    assert absent.serious and absent.cases["image_id"].tolist() == ["test/whale0", "test/whale1"]
    assert few.what == "2 classes have fewer than 20 images to learn from: crab (4), ray (19)."
    assert uneven.what == "eel has 40 images, 20 times as many as whale with 2." and uneven.cases.empty


def test_without_a_train_split_all_images_count():
    assert label_findings(catalog_of({("", "eel"): 20, ("", "ray"): 21}), NO_BOXES) == []


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


def test_annotation_rows_that_cannot_be_read_are_serious_and_quoted():
    bad = BOXES.tail(1).assign(problem=bad_row("0 .5", "expected five numbers"), source="train/labels/a.txt:3")
    found = named(label_findings(EVEN, pd.concat([BOXES, bad], ignore_index=True)))
    rows = found["annotation rows that cannot be read"]
    assert rows.serious and (rows.count, rows.of) == (1, 8) and found["odd boxes"].of == 7
    assert rows.cases["note"].tolist() == ["bad row '0 .5': expected five numbers (train/labels/a.txt:3)"]


def test_odd_boxes_are_named_with_their_row_the_worst_first():
    finding = only(label_findings(EVEN, BOXES))
    assert (finding.count, finding.of) == (5, 7)
    assert finding.cases["note"].tolist() == [
        "eel: no area (a.csv:3)",
        "eel: there twice (a.csv:2)",
        "eel: cut at the edge (a.csv:4)",
        "eel: tiny (a.csv:5)",
        "eel: all of the image (a.csv:6)",
    ]


def test_ordinary_boxes_are_no_finding():
    assert label_findings(EVEN, BOXES.tail(1)) == []


def test_labels_that_hardly_won_are_said_with_their_rivals():
    boxes = BOXES.tail(1)
    boxes = pd.concat([boxes, boxes.assign(class_name="ray", xmax=36.0)], ignore_index=True)
    catalog = EVEN.assign(share=EVEN["share"].mask(EVEN["image_id"] == "train/eel5", 0.54))
    flips = pd.DataFrame(columns=["image_id", "split", "share", "dominant", "area", "count", "union"])
    finding = only(label_findings(catalog, boxes, flips))
    assert finding.cases.to_numpy().tolist() == [["train/eel5", "", "eel 54%, ray 46%"]]


def test_labels_that_another_rule_changes_are_said_with_the_rule():
    flips = pd.DataFrame([("train/eel0", "train", 0.6, "eel", "ray", "eel", "ray")])
    flips.columns = ["image_id", "split", "share", "dominant", "area", "count", "union"]
    finding = only(label_findings(EVEN, NO_BOXES, flips))
    assert finding.cases["note"].tolist() == ["eel; by area ray, by union ray"]
    assert finding.what.endswith("under another rule: 1 by area, 0 by count, 1 by union.")


def test_a_set_without_judged_images_is_split_as_training_might_in_the_order_of_its_rows():
    assert is_split(EVEN) and as_split(EVEN) is EVEN
    loose = EVEN.assign(split="").sample(frac=1, random_state=0)
    split = as_split(loose)
    assert split["image_id"].tolist() == loose["image_id"].tolist()
    assert set(split["split"]) == {"train", "validation", "test"}
    assert not is_split(loose) and not is_split(EVEN.assign(split="train"))
    broken = EVEN.assign(problem="broken", split="")
    assert as_split(broken) is broken


def test_the_serious_come_first_and_what_was_looked_at_is_said():
    counts = {("train", "eel"): 40, ("train", "ray"): 3, ("test", "eel"): 2}
    catalog = catalog_of(counts)
    links = pd.concat([links_of(("train/eel0", "train/ray0", "copy"))], ignore_index=True)
    crossing = crossing_pairs(catalog, links, np.zeros((45, 2)))
    tables = {"links": links, "crossing": crossing, "votes": VOTES, "quality": QUALITY}
    found = list_findings(catalog, NO_BOXES, tables, NO_LEAK)
    assert [finding.serious for finding in found] == sorted((finding.serious for finding in found), reverse=True)
    assert found[0].name == "one picture under two labels" and len(found) == 4
    said = looked_at(catalog, NO_BOXES, tables, by_codes=False)
    assert (
        "45 files" in said and "hashes and colours;" in said and "no number in the file names and no time says" in said
    )
    said = {frames: looked_at(catalog, NO_BOXES, tables, False, frames) for frames in ("none", "number", "time")}
    assert "frames were not looked for" in said["none"] and "follow" not in said["none"]
    assert "; no number in the file names says which" in said["number"] and "; no time says which" in said["time"]
    told = {**tables, "links": links_of(("train/eel0", "train/eel1", "neighbour")).assign(found_by="time")}
    assert "follow each other by time" in looked_at(catalog, BOXES, told, by_codes=True)
    assert "codes of a small backbone" in looked_at(catalog, BOXES, told, by_codes=True)


def test_codes_are_asked_only_where_weights_are_at_hand(monkeypatch, tmp_path):
    rows, thumbs = EVEN.head(2), np.zeros((2, 128, 128, 3), np.uint8)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert codes.copies_by_codes(rows, thumbs) is None
    monkeypatch.setattr(codes, "weights_file", lambda *_: tmp_path / "here")
    (tmp_path / "here").touch()
    assert codes.copies_by_codes(rows.head(0), thumbs[:0]) is None
    pairs = pd.DataFrame(
        [(0, 1, "near copy", 0.9, "embedding"), (0, 1, "near copy", 0.9, "hash")], columns=LINK_COLUMNS
    )
    monkeypatch.setattr(codes, "backbone_features", lambda *_, **options: options)
    monkeypatch.setattr(codes, "embed", lambda model, *_, keep: (model["backbone"], model["alpha"], keep))
    monkeypatch.setattr(codes, "near_copies", lambda _, found: pairs if found == ("mobilenet", 0.25, False) else None)
    found = codes.copies_by_codes(rows, thumbs)
    assert found[["first", "second", "found_by"]].to_numpy().tolist() == [["train/eel0", "train/eel1", "embedding"]]
