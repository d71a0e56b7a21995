"""Synthetic images: dominant animals vanish, the second class stays and gives the label, originals are untouched."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from PIL import Image

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.catalog import CATALOG_COLUMNS, read_boxes, read_catalog
from marinecv.data.find_data import find_data
from marinecv.inputs.synthesize import box_mask, candidates, contact_sheet, erase, synthesize


def boxes_of(*rows):
    return pd.DataFrame([(*row, "somewhere:1", "") for row in rows], columns=BOX_COLUMNS)


@pytest.fixture
def tank(tmp_path):
    """Four images of 64x48 (one a PNG): eel behind ray, fish behind ray, one class only, and one of test."""
    folder = tmp_path / "tank"
    names = ["train/a.jpg", "train/sub/b.png", "train/c.jpg", "train/d.jpg", "test/e.jpg"]
    rows = []
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_image("ray", number).save(path)
        rows.append((name, str(path), name.split("/")[0].replace("sub", ""), "ray", "cam1", 64, 48, 0.9, ""))
    boxes = boxes_of(
        *((name, "ray", 4, 6, 44, 36) for name in names),
        ("train/a.jpg", "eel", 30, 20, 60, 30),
        ("train/a.jpg", "crab", 50, 0, 56, 5),
        ("train/sub/b.png", "crab", 30, 20, 60, 30),
        ("train/c.jpg", "fish", 30, 20, 60, 30),
        ("test/e.jpg", "eel", 30, 20, 60, 30),
    )
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS), boxes, folder


def test_candidates_are_train_images_with_a_second_class_other_than_fish(tank):
    catalog, boxes, _ = tank
    found = candidates(catalog, boxes)
    assert found[["image_id", "dominant", "class_name", "num_classes"]].to_numpy().tolist() == [
        ["train/a.jpg", "ray", "eel", 3],
        ["train/sub/b.png", "ray", "crab", 2],
    ]
    np.testing.assert_allclose(found["dominance"], [300 / 330, 1.0])
    assert candidates(catalog.assign(problem="broken"), boxes).empty


def test_the_dominant_class_is_filled_with_the_median_outside_all_boxes():
    pixels = np.zeros((10, 12, 3), np.uint8)
    pixels[:, :] = (10, 60, 120)
    pixels[0, 0] = (255, 0, 0)
    pixels[2:8, 2:9] = (200, 200, 0)  # ray
    pixels[6:10, 7:11] = (0, 255, 0)  # eel, over a corner of the ray
    boxes = boxes_of(("a", "ray", 2, 2, 9, 8), ("a", "eel", 7, 6, 11, 10))
    erased = np.asarray(erase(Image.fromarray(pixels), boxes, "ray", "eel"))
    expected = pixels.copy()
    expected[2:8, 2:9] = (10, 60, 120)
    expected[6:10, 7:11] = (0, 255, 0)
    np.testing.assert_array_equal(erased, expected)
    covered = erase(Image.new("RGB", (8, 6), (7, 7, 7)), boxes_of(("a", "ray", 0, 0, 8, 6)), "ray", "eel")
    assert covered.getcolors() == [(48, (7, 7, 7))]


def test_a_mask_covers_every_pixel_that_a_box_touches():
    expected = np.zeros((4, 6), np.uint8)
    expected[:2, 1:4] = 255
    np.testing.assert_array_equal(box_mask(boxes_of(("a", "ray", 1.5, 0.0, 3.2, 1.9)), (6, 4)), expected)


def test_rows_and_files_lie_in_the_folder_and_originals_are_untouched(tank, tmp_path):
    catalog, boxes, folder = tank
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rows = synthesize(catalog, boxes, tmp_path / "run" / "synthetic")
    assert list(rows) == CATALOG_COLUMNS
    assert rows["image_id"].tolist() == ["synthetic/train/a.jpg", "synthetic/train/sub/b.png.jpg"]
    assert rows[["class_name", "split", "group", "width", "height", "problem"]].to_numpy().tolist() == [
        ["eel", "train", "cam1", 64, 48, ""],
        ["crab", "train", "cam1", 64, 48, ""],
    ]
    for path in rows["path"]:
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (64, 48))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_limit_keeps_the_images_whose_second_class_is_largest(tank, tmp_path):
    catalog, boxes, _ = tank
    wider = boxes.assign(xmax=boxes["xmax"].where(boxes["class_name"] != "crab", boxes["xmin"] + 33))
    for number, (limit, table) in enumerate([(1, boxes), (1, wider), (9, boxes)]):
        rows = synthesize(catalog, table, tmp_path / str(number), limit)
        assert rows["class_name"].tolist() == [["eel"], ["crab"], ["eel", "crab"]][number]


def test_a_folder_that_holds_originals_is_refused(tank):
    with pytest.raises(ValueError, match="^2 originals lie in .*; the first is .*a.jpg"):
        synthesize(*tank)


def test_the_contact_sheet_shows_every_image(tank, tmp_path):
    rows = synthesize(*tank[:2], tmp_path / "new")
    assert contact_sheet(rows).size == (400, 216) and contact_sheet(pd.concat([rows] * 5)).size == (1600, 432)


@pytest.mark.data
def test_105_train_images_of_the_aquarium_qualify(real_data):
    manifest = find_data("aquarium", real_data / "aquarium")
    found = candidates(read_catalog(manifest), read_boxes(manifest))
    assert len(found) == 105
    assert (found["num_classes"] == 2).sum() == 76


def test_a_users_catalog_keeps_its_columns_and_may_repeat_its_index(tank, tmp_path):
    catalog, boxes, _ = tank
    own = catalog.drop(columns=["problem", "group"]).assign(**{"depth in m": range(5)}).set_axis([0, 0, 1, 1, 0])
    found = synthesize(pd.concat([own, own]), boxes.assign(problem=np.nan), tmp_path / "other")
    assert found["image_id"].tolist() == ["synthetic/train/a.jpg", "synthetic/train/sub/b.png.jpg"]
    assert found["depth in m"].tolist() == [0, 1] and list(found) == list(own)
