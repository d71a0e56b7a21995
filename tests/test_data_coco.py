"""COCO in the forms that are met: of its own site, of Roboflow, of camera traps; what is unclear is a problem."""

import json
import subprocess

import pytest
from PIL import Image

from marinecv.data.accounting import ANNOTATION, count_files, reading_lines
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.manifests import Manifest, manifest_of_folder
from marinecv.data.readers.coco import read_coco

CATEGORIES = [{"id": 3, "name": "red fox", "supercategory": "animal"}, {"id": 9, "name": "cat"}]
HASHES = "0123456789abcdef" * 2, "f" * 32


def draw(path, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path)


def image(number, name, **facts):
    return {"id": number, "file_name": name, "width": 64, "height": 48, **facts}


def mark(image_id, category=3, bbox=(4, 6, 20, 30), **facts):
    return {"id": 1, "image_id": image_id, "category_id": category, **({"bbox": [*bbox]} if bbox else {}), **facts}


def write(path, images, annotations, categories=CATEGORIES):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    return path


def catalog_of(root, **options):
    manifest = manifest_of_folder(root)
    assert manifest.layout == "coco"
    catalog = read_catalog(manifest, **options)
    return catalog.set_index("image_id")


def test_a_file_a_split_of_roboflow_with_ids_of_its_own(tmp_path):
    categories = [{"id": 0, "name": "my project", "supercategory": "none"}] + [
        {"id": number, "name": name, "supercategory": "my project"} for number, name in ((2, "cat"), (5, "red fox"))
    ]
    for split, category in (("train", 5), ("valid", 2), ("test", 5)):
        names = [f"{split}_jpg{ending}.jpg" for ending in ("", *(f".rf.{each}" for each in HASHES))]
        for name in names:
            draw(tmp_path / split / name)
        images = [image(number, name, date_captured="2023-01-01T00:00:00") for number, name in enumerate(names)]
        write(tmp_path / split / "_annotations.coco.json", images, [mark(0, category), mark(1, category)], categories)
    catalog = catalog_of(tmp_path)
    assert catalog["split"].value_counts().to_dict() == {"train": 3, "validation": 3, "test": 3}
    assert set(catalog["class_name"]) == {"cat", "red fox", ""} and set(catalog["taken_at"]) == {""}
    assert catalog.loc[f"test/test_jpg.rf.{HASHES[1]}.jpg", ["problem", "group"]].tolist() == ["no box", ""]
    manifest = manifest_of_folder(tmp_path)
    assert read_boxes(manifest)[CORNERS].iloc[0].tolist() == [4, 6, 24, 36]
    assert count_files(manifest, catalog)[ANNOTATION] == 3 and reading_lines(manifest, catalog) == []


def test_a_file_a_split_beside_or_in_annotations_and_folders_of_images(tmp_path):
    for split, category in (("train2017", 3), ("val2017", 9)):
        draw(tmp_path / "images" / split / "0001.jpg")
        write(tmp_path / "annotations" / f"instances_{split}.json", [image(1, "0001.jpg")], [mark(1, category)])
    catalog = catalog_of(tmp_path)
    assert catalog[["split", "class_name"]].T.to_dict("list") == {
        "images/train2017/0001.jpg": ["train", "red fox"],
        "images/val2017/0001.jpg": ["validation", "cat"],
    }


def test_one_file_whose_images_lie_in_folders_of_splits(tmp_path):
    for name in ("train/a.jpg", "test/b.jpg"):
        draw(tmp_path / name)
    write(tmp_path / "all.json", [image(0, "train/a.jpg"), image(1, "test/b.jpg")], [mark(0), mark(1)])
    assert catalog_of(tmp_path)["split"].to_dict() == {"train/a.jpg": "train", "test/b.jpg": "test"}


@pytest.mark.parametrize(
    ("facts", "annotations", "class_name", "problem"),
    [
        ({}, [], "", "no box"),
        ({}, [mark("a", 1, None)], "empty", ""),
        ({}, [mark("a", 1, (0, 0, 0, 0))], "empty", ""),
        ({}, [mark("a", 3, None)], "red fox", ""),
        ({}, [mark("a", 3, None), mark("a", 9, None)], "", "names several classes: cat, red fox"),
        ({}, [mark("a", 3, None, sequence_level_annotation=True), mark("a", 9, None)], "cat", ""),
        ({}, [mark("a", 3, None, sequence_level_annotation=True)], "red fox", ""),
        ({}, [mark("a"), mark("a", 9, (0, 0, 40, 40))], "cat", ""),
        ({}, [mark("a", 9, None), mark("a", 9, (0, 0, 5, 5)), mark("a", 3, (0, 0, 50, 40))], "cat", ""),
        ({}, [mark("a", 1, None), mark("a")], "empty", "is stated to be empty, and has boxes"),
        ({}, [mark("a", iscrowd=1)], "", "no usable box: a crowd, not one animal"),
        ({}, [mark("a", iscrowd=1), mark("a", 9)], "cat", ""),
        ({}, [mark("a", -1, None)], "", "its category is not in categories"),
        ({"corrupt": True}, [mark("a")], "red fox", "is marked as corrupt"),
        ({"width": float("nan")}, [mark("a")], "red fox", ""),
        ({"width": 640, "height": 640}, [mark("a")], "", "the annotations say 640x640, the file is 64x48"),
    ],
)
def test_the_class_of_an_image_of_a_camera_trap(tmp_path, facts, annotations, class_name, problem):
    draw(tmp_path / "L4/a.jpg"), draw(tmp_path / "L4/b.jpg")
    facts = {"location": 4, "datetime": "2024-02-03 21:14:09", "seq_id": "L4_17"} | facts
    images = [image("a", "L4/a.jpg", **facts), image("b", "L4\\b.jpg")]
    write(tmp_path / "traps.json", images, [*annotations, mark("b")], [{"id": 1, "name": "Blank"}, *CATEGORIES])
    row = catalog_of(tmp_path).loc["L4/a.jpg"]
    assert (
        row["class_name"] == class_name and row["problem"].startswith(problem) and bool(problem) == bool(row["problem"])
    )
    assert row[["group", "camera", "sequence", "taken_at"]].tolist() == ["4", "4", "L4_17", "2024-02-03T21:14:09"]


def test_fractions_bad_boxes_and_annotations_of_no_image(tmp_path):
    draw(tmp_path / "a.jpg")
    relative = {"bbox_relative": [0.25, 0.5, 0.25, 0.5]}
    bad = [mark(1, -1), mark(1, bbox=("x", 0, 1, 1)), mark(1, bbox=(1, 2, 3))]
    write(
        tmp_path / "x.json", [image(1, "a.jpg")], [mark(1, bbox=None, **relative), mark(1), mark(1, 9), *bad, mark(8)]
    )
    manifest = manifest_of_folder(tmp_path)
    boxes, catalog = read_boxes(manifest), catalog_of(tmp_path)
    assert boxes[CORNERS].iloc[0].tolist() == [16, 24, 32, 48] and boxes["source"].iloc[0] == "x.json:annotations[0]"
    problems = boxes["problem"].iloc[3:6].tolist()
    assert problems[0].endswith("expected a category_id that categories lists, not -1")
    assert all(problem.startswith("bad row") for problem in problems)
    assert catalog.loc["image id 8", "problem"] == "annotations of x.json name it and images does not"


def test_rows_have_one_order_in_every_process(tmp_path):  # else a pack is taken for one of other images
    draw(tmp_path / "a.jpg")
    write(tmp_path / "x.json", [image(1, "a.jpg")], [mark(number) for number in (1, *range(20, 60))])
    images, _ = read_coco(manifest_of_folder(tmp_path))
    assert images["image_id"].tolist() == ["a.jpg", *(f"image id {number}" for number in range(20, 60))]


@pytest.mark.parametrize(
    ("bboxes", "expected", "said"),
    [
        ([(10, 10, 60, 40), (30, 20, 50, 48)], [10, 10, 60, 40], True),
        ([(10, 10, 60, 38), (30, 20, 9, 9)], [10, 10, 64, 48], False),  # over the edge: clipped
        ([(0, 0, 60, 40), (1, 2, 50, 40)], [0, 0, 60, 40], False),
    ],
)
def test_corners_in_the_place_of_sizes_are_noticed_over_the_whole_file(tmp_path, bboxes, expected, said):
    draw(tmp_path / "a.jpg")
    write(tmp_path / "animl.json", [image(1, "a.jpg")], [mark(1, bbox=bbox) for bbox in bboxes])
    manifest = manifest_of_folder(tmp_path)
    assert read_boxes(manifest)[CORNERS].iloc[0].tolist() == expected
    assert any("are read as corners" in line for line in reading_lines(manifest, read_catalog(manifest))) == said


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "message"),
    [
        ([image(1, "a.jpg"), image(1, "b.jpg")], [], CATEGORIES, "Two images of .*x.json have the same id"),
        ([image(1, "a.jpg")], [], [*CATEGORIES, {"id": "3", "name": "x"}], "Two categories of .* have the same id"),
        ([image(1, "a.jpg")], {"1": 2}, CATEGORIES, "has no list 'annotations'"),
        ([image(1, "a.jpg")], ["x"], CATEGORIES, r"annotations\[0\] of .*x.json is 'x'. Expected an object"),
        ([image(1, "c.png")], [mark(1)], CATEGORIES, "None of the 1 files that .*x.json names is there"),
        ([image(1, "a.jpg")], [mark(1, 7)], CATEGORIES, "1 of 1 annotation rows cannot be read.* categories lists"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_how_to_correct_it(tmp_path, images, annotations, categories, message):
    draw(tmp_path / "a.jpg")
    write(tmp_path / "x.json", images, annotations, categories)
    with pytest.raises(ValueError, match=message):
        catalog_of(tmp_path)


def test_a_manifest_of_a_folder_without_a_file_is_an_error(tmp_path):
    for layout, message in {"coco": "no JSON file of images, annotations", "megadetector": "of no JSON file"}.items():
        with pytest.raises(ValueError, match=message):
            read_catalog(Manifest(name="x", layout=layout, root=tmp_path))


def test_labels_of_yolo_and_a_labels_csv_go_before_a_stray_file(tmp_path):
    draw(tmp_path / "images/a.jpg")
    write(tmp_path / "x.json", [image(1, "a.jpg")], [mark(1)])
    assert manifest_of_folder(tmp_path).layout == "coco"
    (tmp_path / "labels").mkdir()
    assert manifest_of_folder(tmp_path).layout == "yolo"


@pytest.mark.slow
def test_what_pycocotools_loads_is_read_alike(tmp_path, producer):
    """Its index of a file, by image, against the boxes that are read."""
    python = producer("pycocotools")
    marks = [mark(number % 3, (3, 9)[number % 2], (number, 2.5, 10.25, 20)) | {"id": number} for number in range(1, 9)]
    marks = [each | {"area": 1.0, "iscrowd": 0} for each in marks]
    for number in range(3):
        draw(tmp_path / f"{number}.jpg")
    path = write(tmp_path / "x.json", [image(number, f"{number}.jpg") for number in range(3)], marks)
    path.write_text(path.read_text("utf-8-sig"))
    script = (
        "import json, sys; from pycocotools.coco import COCO; c = COCO(sys.argv[1]); print(json.dumps([[c.imgs[i]"
        "['file_name'], c.cats[a['category_id']]['name'], *a['bbox']] for i in c.imgs for a in c.imgToAnns[i]]))"
    )
    shown = subprocess.run([python, "-c", script, path], check=True, capture_output=True, text=True).stdout
    boxes = read_boxes(manifest_of_folder(tmp_path))
    boxes = boxes.assign(width=boxes["xmax"] - boxes["xmin"], height=boxes["ymax"] - boxes["ymin"])
    columns = ["image_id", "class_name", "xmin", "ymin", "width", "height"]
    assert sorted(json.loads(shown.splitlines()[-1])) == sorted(boxes[columns].to_numpy().tolist())
