"""What was measured on the real aquarium set, and must hold through any layout of it."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marinecv.data.boxes import CORNERS, clean_boxes
from marinecv.data.catalog import class_names_of, read_boxes, read_catalog, read_images_and_boxes
from marinecv.data.download.fetch import verify
from marinecv.data.find_data import find_data
from marinecv.data.manifests import Manifest

pytestmark = pytest.mark.data
FISH_TO_STINGRAY = {"fish", "jellyfish", "penguin", "puffin", "shark", "starfish", "stingray"}
LABELS = {
    "train": dict(fish=191, shark=53, stingray=48, penguin=47, puffin=45, starfish=32, jellyfish=31),
    "validation": dict(fish=50, penguin=17, puffin=15, shark=12, starfish=12, stingray=12, jellyfish=9),
    "test": dict(fish=23, jellyfish=11, penguin=7, shark=6, puffin=6, starfish=5, stingray=5),
}


@pytest.fixture
def aquarium(real_data) -> Manifest:
    return find_data("aquarium", real_data / "aquarium")


def test_hashes_and_labels_by_split(aquarium):
    verify(aquarium)
    catalog = read_catalog(aquarium)
    good = catalog[catalog["problem"] == ""]
    assert {split: rows["class_name"].value_counts().to_dict() for split, rows in good.groupby("split")} == LABELS
    left_out = catalog[catalog["problem"] != ""]
    assert left_out["problem"].tolist() == ["no box"] and left_out["image_id"].iloc[0].startswith("train/IMG_3133")
    assert set(class_names_of(catalog, aquarium)) == FISH_TO_STINGRAY
    sizes = set(zip(catalog["width"], catalog["height"], strict=True))
    assert sizes == {(768, 1024), (1024, 768), (576, 1024), (1024, 576)}


def test_two_boxes_of_test_have_no_area(aquarium):
    images, boxes = read_images_and_boxes(aquarium)
    flat = boxes[boxes["problem"] != ""]
    assert flat["source"].tolist() == ["test/_annotations.csv:72", "test/_annotations.csv:235"]
    assert set(flat["problem"]) == {"no area"} and not boxes["clipped"].any()
    of_test = boxes[boxes["image_id"].str.startswith("test/")].assign(problem="")
    with pytest.raises(ValueError, match="^2 of 584 boxes have no area; the first is row 72 of test/_annotations.csv"):
        clean_boxes(of_test, images, flat_boxes="error")


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("area", dict(train=38, validation=8, test=2)),
        ("count", dict(train=37, validation=7, test=7)),
        ("union", {}),  # corners are edges; only counting both edge pixels in (xmax - xmin + 1) changes one label
    ],
)
def test_labels_that_change_under_another_rule(aquarium, rule, changed):
    dominant, other = read_catalog(aquarium), read_catalog(aquarium, label_rule=rule)
    assert dominant["split"][dominant["class_name"] != other["class_name"]].value_counts().to_dict() == changed


def test_a_yolo_copy_of_it_gives_the_same_boxes_and_labels(aquarium, tmp_path):
    names = list(aquarium.class_names)
    for split in ("train", "valid", "test"):
        (tmp_path / split / "labels").mkdir(parents=True)
        os.symlink(aquarium.root / split, tmp_path / split / "images")
        for image, rows in pd.read_csv(aquarium.root / split / "_annotations.csv").groupby("filename"):
            scale = rows[["width", "height"]].to_numpy()
            low, high = rows[["xmin", "ymin"]].to_numpy(), rows[["xmax", "ymax"]].to_numpy()
            fractions = np.hstack([(low + high) / 2 / scale, (high - low) / scale]).tolist()
            labels = map(names.index, rows["class"])
            lines = [" ".join(map(str, (label, *box))) for label, box in zip(labels, fractions, strict=True)]
            (tmp_path / split / "labels" / f"{Path(image).stem}.txt").write_text("\n".join(lines))
    (tmp_path / "data.yaml").write_text(f"train: ../train/images\nnc: {len(names)}\nnames: {names}\n")
    copy = find_data("aquarium", tmp_path)
    assert copy.layout == "yolo"
    verify(copy)
    ours, theirs = read_catalog(aquarium), read_catalog(copy)
    assert theirs["image_id"].str.replace("/images/", "/").tolist() == ours["image_id"].tolist()
    same = ["split", "class_name", "width", "height", "dominance", "problem"]
    pd.testing.assert_frame_equal(theirs[same], ours[same])
    columns = ["image_id", *CORNERS, "class_name", "problem"]
    boxes = read_boxes(copy).assign(image_id=lambda table: table["image_id"].str.replace("/images/", "/"))
    tables = [table[columns].sort_values(columns, ignore_index=True) for table in (boxes, read_boxes(aquarium))]
    pd.testing.assert_frame_equal(*tables)
