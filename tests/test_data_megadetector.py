"""The batch output of MegaDetector and of what writes its form; for a class a box, and for boxes alone."""

import json
import subprocess

import pytest
from PIL import Image

from marinecv.data.accounting import ANNOTATION, count_files, reading_lines
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers.megadetector import VIDEO, read_detections

DETECTED = {"1": "animal", "2": "person", "3": "vehicle"}
SPECIES = {"0": "red fox", "7": "cat", "8": "blank"}


def draw(path, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path)


def found(category="1", conf=0.9, bbox=(0.25, 0.5, 0.25, 0.5), **facts):
    return {"category": category, "conf": conf, "bbox": [*bbox], **facts}


def write(path, images, categories=DETECTED, classes=SPECIES, **info):
    content = {"info": {"format_version": "1.6", **info}, "detection_categories": categories, "images": images}
    path.write_text(json.dumps(content | ({"classification_categories": classes} if classes else {})))
    return path


def catalog_of(root):
    manifest = manifest_of_folder(root)
    assert manifest.layout == "megadetector"
    return read_catalog(manifest).set_index("image_id")


@pytest.mark.parametrize(
    ("image", "class_name", "problem"),
    [
        ({"detections": [found()]}, "animal", ""),
        ({"detections": [found(conf=1)]}, "animal", ""),
        ({"detections": [found(classifications=[["7", 0.3], ["0", 0.6]])]}, "red fox", ""),
        ({"detections": [found("2"), found(bbox=(0, 0, 0.2, 0.2))]}, "person", ""),
        ({"detections": [found("2", 0.1), found(conf=0.2)]}, "animal", ""),
        ({"detections": [found(conf=0.19)]}, "empty", ""),
        ({"detections": [], "max_detection_conf": ""}, "empty", ""),
        ({"detections": [found("0")]}, "empty", ""),  # animl's category "empty"
        ({"detections": None, "failure": "Failure image access"}, "", "was not processed: Failure image access"),
        ({"detections": None}, "", "was not processed: it has no list"),
        ({}, "", "was not processed: it has no list"),
        ({"detections": ["x"]}, "", "its detections are no list of objects"),
        ({"detections": [found("9")]}, "", "no usable box: bad row .* that detection_categories lists"),
        (
            {"detections": [found(classifications=[["6", 0.9]])]},
            "",
            "no usable box: .* classification_categories lists",
        ),
        ({"detections": [found(classifications=[["7"]])]}, "", "no usable box: .* pairs of class and number"),
        ({"detections": [found(conf=None)]}, "", "no usable box: .* a number as conf"),
        ({"detections": [found(conf=60)]}, "", "no usable box: .* from 0 to 1"),
        ({"detections": [found(bbox=(10, 20, 30, 40))]}, "", "no usable box: .* fractions of the image"),
        ({"detections": [found("4", 0, (0, 0, 1, 1), classifications=[["7", 0.8]])]}, "cat", ""),  # of SpeciesNet
        ({"detections": [found("4", 0, (0, 0, 1, 1), classifications=[["8", 0.8]])]}, "empty", ""),
        ({"detections": [found("4", 0, (0, 0, 1, 1))]}, "", "nothing was detected, and no class found"),
        ({"detections": [found("4")]}, "unknown", ""),
        ({"detections": [found(frame_number=3)], "frame_rate": 30}, "", VIDEO),
    ],
)
def test_the_class_of_an_image(tmp_path, image, class_name, problem):
    for name in ("S1/a.jpg", "S1/b.jpg", "S2/c.jpg", "S2/d.jpg"):
        draw(tmp_path / name)
    others = [
        {"file": "S1\\b.jpg", "detections": [found(), found("3"), found()]},
        {"file": "S2/v.MP4", "detections": []},
    ]
    images = [{"file": "S1/a.jpg", "datetime": "2024-02-03 21:14:09", **image}, *others]
    write(tmp_path / "md.json", images, {"0": "empty", "4": "unknown", **DETECTED})
    catalog = catalog_of(tmp_path)
    row = catalog.loc["S1/a.jpg"]
    assert [*row[["class_name", "group", "taken_at"]]] == [class_name, "S1", "2024-02-03T21:14:09"]
    assert (catalog.loc["S1/a.jpg":"S1/a.jpg", "problem"].str.fullmatch(f"(?s){problem}.*" if problem else "")).all()
    assert catalog.loc[["S2/c.jpg", "S2/v.MP4"], "problem"].tolist() == ["no annotation names it", VIDEO]


@pytest.mark.parametrize(
    ("categories", "info", "class_name", "threshold"),
    [
        ({"0": "animal", "1": "person"}, {}, "person", 0.2),  # of PyTorch-Wildlife
        ({"1": "wild boar"}, {"format_version": "3.0"}, "wild boar", 0.2),
        (DETECTED, {"detector_metadata": {"typical_detection_threshold": 0.8}}, "animal", 0.8),
        (DETECTED, {"detector_metadata": {"typical_detection_threshold": "unknown"}}, "animal", 0.2),
        (DETECTED, {"detector_metadata": None}, "animal", 0.2),
    ],
)
def test_categories_go_by_name_and_the_threshold_is_that_of_the_detector(
    tmp_path, categories, info, class_name, threshold
):
    draw(tmp_path / "a.jpg"), draw(tmp_path / "b.jpg")
    images = [{"file": "/run/here/a.jpg", "detections": [found()]}, {"file": "b.jpg", "detections": [found(conf=0.5)]}]
    write(tmp_path / "md.json", images, categories, **info)
    manifest, catalog = manifest_of_folder(tmp_path), catalog_of(tmp_path)
    assert catalog["class_name"].tolist() == [class_name, class_name if threshold < 0.5 else "empty"]
    [line] = reading_lines(manifest, read_catalog(manifest))
    assert f"less confidence than {threshold} are not used" in line and "end of their path" in line
    assert count_files(manifest, catalog)[ANNOTATION] == 1
    assert read_boxes(manifest)[CORNERS].iloc[0].tolist() == [16, 24, 32, 48]


def test_all_boxes_are_read_for_another_layout(tmp_path):
    """Class folders go before detections, which then give boxes alone, whatever their confidence."""
    for name in ("cat/a.jpg", "fox/b.jpg"):
        draw(tmp_path / "photos" / name)
    detections = [found(conf=0.05), found("2", 0.7, classifications=[["0", 0.9]]), found(bbox=(0, 0, 1, 2))]
    path = write(tmp_path / "md.json", [{"file": "cat/a.jpg", "detections": detections}])
    manifest = manifest_of_folder(tmp_path)
    assert manifest.layout == "folders"
    boxes = read_detections(path, manifest.root)
    assert boxes["image_id"].tolist() == ["cat/a.jpg"] * 3 + ["fox/b.jpg"]
    assert boxes["class_name"].tolist() == ["animal", "red fox", "animal", ""]
    assert boxes["category"].tolist() == ["animal", "person", "animal", ""]
    assert boxes["confidence"].tolist()[:3] == [0.05, 0.7, 0.9] and boxes["confidence"].isna().sum() == 1
    assert boxes[CORNERS].iloc[0].tolist() == [16, 24, 32, 48] and boxes[CORNERS].iloc[3].isna().all()
    assert boxes["problem"].tolist() == ["", "", "", "no annotation names it"]
    images = [{"file": name, "detections": []} for name in ("cat/a.jpg", "fox/b.jpg")]
    empty = read_detections(write(tmp_path / "none.json", images), manifest.root)
    assert [*empty] == [*boxes] and empty.empty
    with pytest.raises(ValueError, match="None of the 1 files that .*md.json names"):
        read_detections(write(path, [{"file": "x.jpg", "detections": []}]), manifest.root)


@pytest.mark.parametrize("places", [("S1", "S2"), ("photos",), ("DCIM/100MEDIA", "DCIM/101MEDIA"), ("",)])
def test_folders_of_cameras_are_no_classes(tmp_path, places):
    for place in places:
        draw(tmp_path / place / f"{len(place)}.jpg")
    write(tmp_path / "md.json", [{"file": f"{place}/{len(place)}.jpg", "detections": []} for place in places])
    assert set(catalog_of(tmp_path)["class_name"]) == {"empty"}
    (tmp_path / "second.json").write_bytes((tmp_path / "md.json").read_bytes())
    with pytest.raises(ValueError, match="has the detections md.json and second.json. Expected one"):
        catalog_of(tmp_path)


@pytest.mark.slow
def test_what_megadetector_writes_is_read(tmp_path, producer):
    needed = (
        "dill humanfriendly jsonpickle matplotlib opencv-python-headless pandas pytest requests scipy send2trash tqdm"
    )
    python = producer(*needed.split(), alone="megadetector")  # without PyTorch
    for name in "abc":
        draw(tmp_path / "data" / "s" / f"{name}.jpg")
    results = [
        {"file": str(tmp_path / "data/s/a.jpg"), "detections": [found(), found("2", 0.15)]},
        {"file": str(tmp_path / "data/s/b.jpg"), "detections": []},
        {"file": str(tmp_path / "data/s/c.jpg"), "detections": None, "failure": "Failure image access"},
    ]
    script = (
        "import json, sys; from megadetector.detection.run_detector_batch import write_results_to_file as write;"
        "write(json.loads(sys.argv[1]), sys.argv[2] + '/md.json', sys.argv[2], 'md_v5a.0.0.pt')"
    )
    subprocess.run([python, "-c", script, json.dumps(results), tmp_path / "data"], check=True, capture_output=True)
    catalog = catalog_of(tmp_path / "data")
    assert catalog["class_name"].tolist() == ["animal", "empty", ""]
    assert catalog["problem"].tolist() == ["", "", "was not processed: Failure image access"]
