"""Deviations of the field from each format: read, or refused in words; docs/formats.md counts them."""

import gzip
import json
import re
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from marinecv.data.catalog import read_catalog_and_boxes
from marinecv.data.manifests import manifest_of_folder

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"
FOX = {"a.jpg": "fox"}
RF = "IMG_7_jpg.rf.0f0e0d0c0b0a09080706050403020100.jpg"


def merged(content, changes):
    """Return a dict with some entries replaced at the top, or in the first object of a list."""
    content = json.loads(json.dumps(content))
    for key, value in changes.items():
        name, _, entry = key.partition("__")
        if entry:
            content[name][0][entry] = value
        else:
            content[name] = value
    return content


def coco(file="annotations.json", **changes):
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 3, "name": "fox", "supercategory": "animal"}],
        "annotations": [{"id": 9, "image_id": 7, "category_id": 3, "bbox": [4, 6, 20.5, 30], "iscrowd": 0}],
    }
    return {file: json.dumps(merged(content, changes))}


def camera_traps(**changes):
    content = {
        "images": [{"id": "a1", "file_name": "a.jpg", "location": "L04", "datetime": "2024-02-03 21:14:09"}],
        "categories": [{"id": 0, "name": "empty"}, {"id": 1, "name": "fox"}],
        "annotations": [{"id": "x1", "image_id": "a1", "category_id": 1}],
    }
    return {"metadata.json": json.dumps(merged(content, changes))}


def voc(file="a.xml", filename="a.jpg", size="<width>64</width><height>48</height>", box=None, head=""):
    box = "<xmin>4</xmin><xmax>24</xmax><ymin>6</ymin><ymax>36</ymax>" if box is None else box
    seen = f"<object><name>fox</name><difficult>1</difficult><bndbox>{box}</bndbox></object>" if box else ""
    text = f"<annotation><folder/><filename>{filename}</filename><path>/home/me/other.png</path><size>{size}</size>"
    return {file: f"{head}{text}{seen}</annotation>"}


CHOICE = {"type": "choices", "from_name": "sp", "to_name": "img", "value": {"choices": ["fox"]}}
SIZE = {"original_width": 64, "original_height": 48}
PERCENT = {"x": 25, "y": 40, "width": 10, "height": 12.5, "rotation": 30}


def task(image="a.jpg", results=(CHOICE,), **changes):
    annotation = {"created_at": "2026-01-02T10:00:00Z", "result": list(results)}
    return {"export.json": json.dumps([merged({"data": {"image": image}, "annotations": [annotation]}, changes)])}


def rectangle(kind="rectanglelabels", **value):
    return {"type": kind, "id": "r", "from_name": "b", "to_name": "img", **SIZE, "value": PERCENT | value}


def cvat(children='<box label="fox" xtl="4" ytl="6" xbr="24" ybr="36"/>', name="a.jpg", size=(64, 48), subset=""):
    head = f'<image id="0" name="{name}" width="{size[0]}" height="{size[1]}" {subset}>'
    return {"annotations.xml": f"<annotations><version>1.1</version>{head}{children}</image></annotations>"}


def yolo(line="1 0.5 0.5 0.2 0.2", head="train: train/images\nnames: [owl, fox]\n", file="train/labels/a.txt", **more):
    return {"data.yaml": head} | ({file: line} if file else {}) | more


TRAIN = {"train/images/a.jpg": "fox"}
NEW_POSE = "kpt_shape: [2, 3]\n"


def detections(image=None, **changes):
    found = {"category": "1", "conf": 0.9, "bbox": [0.1, 0.25, 0.3, 0.4], "classifications": [["7", 0.8], ["8", 0.1]]}
    content = {
        "info": {"format_version": "1.6"},
        "detection_categories": {"1": "animal", "2": "person"},
        "classification_categories": {"7": "fox", "8": "owl"},
        "images": [{"file": "a.jpg", "detections": [found]} | (image or {})],
    }
    return {"md.json": json.dumps(merged(content, changes))}


def box(**changes):
    return {"detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.25, 0.3, 0.4]} | changes]}


MEDIA = "mediaID,deploymentID,timestamp,filePath,fileName\n"
PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/camtrap-dp-profile.json"
SEEN = "observationID,deploymentID,mediaID,eventStart,eventEnd,observationType,scientificName"
EVENT = "2025-04-02T05:00:00Z,2025-04-02T06:00:00Z"


def camtrap(row="o1,d1,m1,,,animal,fox", columns="", media="m1,d1,2025-04-02T05:11:07Z,a.jpg,a.jpg", **changes):
    paths = changes.pop("paths", {})
    resources = [{"name": name, "path": paths.get(name, f"{name}.csv")} for name in ("deployments", "media")]
    resources += [{"name": "observations", "path": paths.get("observations", "observations.csv")}]
    package = {"profile": PROFILE, "resources": resources} | changes.pop("package", {})
    return {
        "datapackage.json": json.dumps(package),
        "deployments.csv": "deploymentID,locationID\nd1,ridge\n",
        "media.csv": f"{MEDIA}{media}\n",
        "observations.csv": f"{SEEN}{columns}\n{row}\n",
    } | changes


def csv(text, file="labels.csv"):
    return {file: text}


INSIGHTS = "project_id,deployment_id,image_id,filename,location,is_blank,genus,species,common_name,timestamp\n"
TIMELAPSE = "File,RelativePath,DateTime,DeleteFlag,Species,Count\n"
VARIANTS = [  # format, deviation, files, what is read ({image: class}, or {image: (class, time)}) or said, image files
    ("COCO", "ids with gaps that begin anywhere", coco(categories=[{"id": 90, "name": "owl"},
     {"id": 3, "name": "fox"}]), FOX),
    ("COCO", "a category of the project's name", coco(categories=[{"id": 0, "name": "p"}, {"id": 3, "name": "fox"}]),
     FOX),
    ("COCO", "ids anew in each split", coco("train/_annotations.coco.json")
     | coco("valid/_annotations.coco.json", categories=[{"id": 3, "name": "owl"}]),
     {"train/a.jpg": "fox", "valid/a.jpg": "owl"}, ["train/a.jpg", "valid/a.jpg"]),
    ("COCO", "a box over the edge", coco(annotations__bbox=[50, 6, 30, 30]), FOX),
    ("COCO", "a crowd", coco(annotations__iscrowd=1, annotations__segmentation={"counts": [1], "size": [48, 64]}),
     "a crowd"),
    ("COCO", "corners as bbox, no folder", coco(images__file_name="a.jpg", annotations__bbox=[40, 30, 60, 46]),
     {"x/a.jpg": "fox"}, ["x/a.jpg"]),
    ("COCO", "category -1 for unknown", coco(annotations__category_id=-1), "category_id that categories lists, not -1"),
    ("COCO", "year and ids of other types", coco(info={"year": "2023"}, images__id="7"), FOX),
    ("COCO", "names of Roboflow", coco(images__file_name=RF), {RF: "fox"}, [RF]),
    ("COCO", "the time of the export", coco(images__date_captured="2026-01-01T10:00:00+00:00"), {"a.jpg": ("fox", "")}),
    ("COCO", "zipped", {"annotations.json.zip": coco()["annotations.json"]},
     "annotations.json.zip holds .* Unzip it there"),
    ("COCO", "a repeated key", {"a.json": coco()["annotations.json"].replace('"id": 7', '"id": 7, "id": 8')},
     "twice in one"),
    ("COCO Camera Traps", "a location that is a number", camera_traps(images__location=4), FOX),
    ("COCO Camera Traps", "blank for empty", camera_traps(categories=[{"id": 1, "name": "Blank"}]), {"a.jpg": "empty"}),
    ("COCO Camera Traps", "NaN", {"m.json": camera_traps(images__location=9)["metadata.json"].replace("9,", "NaN,")},
     FOX),
    ("COCO Camera Traps", "bbox_relative", camera_traps(annotations__bbox_relative=[0.1, 0.1, 0.5, 0.5]), FOX),
    ("COCO Camera Traps", "the label of a sequence", camera_traps(annotations__sequence_level_annotation=True), FOX),
    ("COCO Camera Traps", "two species", camera_traps(annotations=[
        {"image_id": "a1", "category_id": id} for id in (0, 1)]),
     "several classes: empty, fox"),
    ("COCO Camera Traps", "a corrupt file", camera_traps(images__corrupt=True), "is marked as corrupt"),
    ("Pascal VOC", "xmin, xmax, ymin, ymax", voc(), FOX),
    ("Pascal VOC", "a filename that is another's", voc(filename="b.jpg"), FOX),
    ("Pascal VOC", "a filename without suffix", voc("0001.xml", filename="a.jpg"), FOX),
    ("Pascal VOC", "corners as 1e1", voc(box="<xmin>1e0</xmin><ymin>2.5</ymin><xmax>2e1</xmax><ymax>30</ymax>"), FOX),
    ("Pascal VOC", "size 0x0", voc(size="<width>0</width><height>0</height>"), FOX),
    ("Pascal VOC", "no object", voc(box=""), "no box"),
    ("Pascal VOC", "a DOCTYPE", voc(head='<!DOCTYPE a [<!ENTITY b "c">]>'), "has a DOCTYPE"),
    ("Label Studio", "an upload's prefix", task("/data/upload/2/1a2b3c4d-a.jpg"), FOX),
    ("Label Studio", "local files", task("/data/local-files/?d=me/x%20y/a.jpg"), {"x y/a.jpg": "fox"}, ["x y/a.jpg"]),
    ("Label Studio", "s3://", task("s3://bucket/cam/a.jpg"), FOX),
    ("Label Studio", "https:// with a query", task("https://example.org/a.jpg?x=1"), FOX),
    ("Label Studio", "cancelled", task(annotations__was_cancelled=True), "nobody has labeled"),
    ("Label Studio", "completions", {"export.json": json.dumps([
        {"data": {"image": "a.jpg"}, "completions": [{"result": [CHOICE]}, {"result": [], "skipped": True}]}])}, FOX),
    ("Label Studio", "several people", task(annotations=[
        {"created_at": f"2026-01-0{day}", "result": [CHOICE | {"value": {"choices": [name]}}]}
        for day, name in ((1, "owl"), (2, "fox"))]), FOX),
    ("Label Studio", "a turned box", task(results=[rectangle(rectanglelabels=["fox"])]), FOX),
    ("Label Studio", "a rectangle without label", task(results=[rectangle("rectangle")]), "expected the name of a"),
    ("Label Studio", "choices of a region", task(results=[rectangle("rectangle"), CHOICE | {"id": "r"}]), FOX),
    ("Label Studio", "JSON-MIN", {"m.json": '[{"image": "a.jpg", "choice": "fox", "annotation_id": 1}]'}, "JSON-MIN"),
    ("CVAT", "an image without children", cvat(""), "no box"),
    ("CVAT", "frames without suffix", cvat(name="a"), FOX),
    ("CVAT", "species as an attribute", cvat('<box label="animal" xtl="4" ytl="6" xbr="24" ybr="36">'
     '<attribute name="species">fox</attribute></box>'), FOX),
    ("CVAT", "points beyond the edge", cvat('<polygon label="fox" points="-5,2;70,2;70,60"/>'), FOX),
    ("CVAT", "width and height swapped", cvat(size=(48, 64)), "stated the other way round"),
    ("CVAT", "tracks of a video", {"annotations.xml": '<annotations><track id="0" label="fox"/></annotations>'},
     "has tracks"),
    ("CVAT", "a mask, subsets", cvat('<mask label="fox" left="1" top="2" width="9" height="8"/>',
     subset='subset="Train"'), FOX),
    ("Roboflow multi-class", "blanks after commas", csv("filename, fox, owl\na.jpg, 1, 0\n", "_classes.csv"), FOX),
    ("Roboflow multi-class", "columns in other order", csv("filename,fox,owl\na.jpg,1,0\n", "train/_classes.csv")
     | csv("filename,owl,fox\nb.jpg,0,1\n", "valid/_classes.csv"),
     {"train/a.jpg": "fox", "valid/b.jpg": "fox"}, ["train/a.jpg", "valid/b.jpg"]),
    ("Roboflow multi-class", "a row of zeros", csv("filename,fox,owl\na.jpg,0,0\n", "_classes.csv"),
     "gives it no class"),
    ("Roboflow multi-class", "several classes", csv("filename,fox,owl\na.jpg,1,1\n", "_classes.csv"),
     "have several classes"),
    ("YOLO", "a polygon", yolo("1 0.1 0.1 0.5 0.1 0.5 0.6"), TRAIN),
    ("YOLO", "a confidence", yolo("1 0.5 0.5 0.2 0.2 0.9"), TRAIN),
    ("YOLO", "an oriented box", yolo("1 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6"), TRAIN),
    ("YOLO", "a pose", yolo("1 0.5 0.5 0.2 0.2 0.4 0.4 2 0.6 0.6 2", NEW_POSE + "names: [owl, fox]\n"), TRAIN),
    ("YOLO", "boxes and polygons", yolo("1 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.5 0.1 0.5 0.6\n"), TRAIN),
    ("YOLO", "an empty label file", yolo(""), "no box"),
    ("YOLO", "no label file", yolo(file="", **{"train/labels/b.txt": "1 .5 .5 .2 .2"}), "no box",
     ["train/images/a.jpg", "train/images/b.jpg"]),
    ("YOLO", "../train/images", yolo(head="train: ../train/images\nnames: [owl, fox]\n"), TRAIN),
    ("YOLO", "val for valid", yolo(head="train: train/images\nval: ../valid/images\nnames: [owl, fox]\n",
     **{"valid/labels/a.txt": "0 .5 .5 .2 .2"}), TRAIN | {"valid/images/a.jpg": "owl"},
     ["train/images/a.jpg", "valid/images/a.jpg"]),
    ("YOLO", "a template beside it", yolo(**{"template.yaml": "path: /X\nnames: [class_1, class_2]\n"}), TRAIN),
    ("YOLO", "two yaml files",
     {"a.yaml": "names: [x, fox]\n", "b.yaml": "names: [y, fox]\n", "labels/a.txt": "1 .5 .5 .2 .2"},
     "all name classes", ["images/a.jpg"]),
    ("YOLO", "names by number", yolo(head="train: train/images\nnames: {0: owl, 1: fox}\n"), TRAIN),
    ("YOLO", "lists of folders and of images", yolo(head="train: [train/images]\nval: v.txt\nnames: [owl, fox]\n",
     **{"v.txt": "./valid/images/a.jpg\n", "valid/labels/a.txt": "0 .5 .5 .2 .2"}),
     TRAIN | {"valid/images/a.jpg": "owl"}, ["train/images/a.jpg", "valid/images/a.jpg"]),
    ("MegaDetector", "animl: 3.0, 0 is empty", detections(box(category="0"), info={"format_version": "3.0"},
     detection_categories={"0": "empty", "1": "animal"}), {"a.jpg": "empty"}),
    ("MegaDetector", "PyTorch-Wildlife: from 0, no version", detections(
     box(category="0") | {"max_detection_conf": ""}, info={}, detection_categories={"0": "animal"}),
     {"a.jpg": "animal"}),
    ("MegaDetector", "SpeciesNet: a box of unknown", detections(box(category="4", bbox=[0, 0, 1, 1],
     classifications=[["7", 0.9]]), detection_categories={"1": "animal", "4": "unknown"}), FOX),
    ("MegaDetector", "a failure", detections({"detections": None, "failure": "access"}), "was not processed: access"),
    ("MegaDetector", "no classifications", detections(box()), {"a.jpg": "animal"}),
    ("MegaDetector", "a root of another machine", detections({"file": "D:\\cards\\a.jpg"}), FOX),
    ("MegaDetector", "conf as 1", detections(box(conf=1)), {"a.jpg": "animal"}),
    ("MegaDetector", "a video", detections(images=[
        {"file": "a.mp4", "frame_rate": 30, "detections": []}, {"file": "a.jpg", "detections": []}]), "a video, not"),
    ("MegaDetector", "AddaxAI: species as categories", detections(
     box(category="3"), detection_categories={"3": "fox"}), FOX),
    ("MegaDetector", "a class that no table lists", detections(classification_categories={}),
     "classification_categories lists"),
    ("Camtrap DP", "a profile of GBIF", camtrap(
     package={"profile": "https://rs.gbif.org/camtrap-dp/1.0/profile.json"}), FOX),
    ("Camtrap DP", "version 2", camtrap(package={"profile": PROFILE.replace("1.0.2", "2.0")}),
     "Expected Camtrap DP 1.0"),
    ("Camtrap DP", "a list of paths", camtrap(paths={"media": ["media.csv"]}), FOX),
    ("Camtrap DP", "a resource three times", camtrap(package={"resources": [
        {"name": name, "path": f"{name}.csv"}
        for name in ("deployments", "media", "observations", "observations")]}), FOX),
    ("Camtrap DP", "a packed table", camtrap(paths={"media": "media.csv.gz"},
     **{"media.csv.gz": f"{MEDIA}m1,d1,2025-04-02T05:11:07Z,a.jpg,a.jpg\n"}), FOX),
    ("Camtrap DP", "an address", camtrap(paths={"media": "https://x.org/media.csv"}),
     "Expected .csv or .csv.gz files beside"),
    ("Camtrap DP", "parquet", camtrap(paths={"media": "media.parquet"}), "Expected .csv or .csv.gz files beside it"),
    ("Camtrap DP", "a blank for T", camtrap(media="m1,d1,2025-04-02 05:11:07Z,a.jpg,a.jpg"),
     {"a.jpg": ("fox", "2025-04-02T05:11:07+00:00")}),
    ("Camtrap DP", "1.0 for an integer", camtrap("o1,d1,1.0,,,animal,fox", media="1,d1,,a.jpg,a.jpg"), FOX),
    ("Camtrap DP", "no timestamp", camtrap(media="m1,d1,,a.jpg,a.jpg"), {"a.jpg": ("fox", "")}),
    ("Camtrap DP", "an unknown deployment", camtrap(**{"deployments.csv": "deploymentID,locationID\nd9,x\n"}), FOX),
    ("Camtrap DP", "no location", camtrap(**{"deployments.csv": "deploymentID,locationID\nd1,\n"}), FOX),
    ("Camtrap DP", "empty boxes", camtrap("o1,d1,m1,,,animal,fox,,,,", ",bboxX,bboxY,bboxWidth,bboxHeight"), FOX),
    ("Camtrap DP", "decimal commas", camtrap('o1,d1,m1,,,animal,fox,"0,1","0,1","0,5","0,5"',
     ",bboxX,bboxY,bboxWidth,bboxHeight"), FOX),
    ("Camtrap DP", "an event's observation", camtrap(f"o1,d1,,{EVENT},animal,fox"), FOX),
    ("Camtrap DP", "the set-up of a camera", camtrap("o1,d1,m1,,,human,,start", ",cameraSetupType"), "no box"),
    ("Camtrap DP", "the address of an image", camtrap(media="m1,d1,,https://x.org/1,a.jpg"), FOX),
    ("Table", "Timelapse: backslashes", csv(TIMELAPSE + "a.jpg,x\\y,2025-06-01 04:12:33,false,fox,1\n"),
     {"x/y/a.jpg": ("fox", "2025-06-01T04:12:33")}, ["x/y/a.jpg"]),
    ("Table", "Timelapse: 01-Jun-2025 after a blank",
     csv(TIMELAPSE + "a.jpg,, 21-Jun-2025 04:12:33,false,fox,1\n", "t.csv"),
     {"a.jpg": ("fox", "2025-06-21T04:12:33")}),
    ("Table", "Timelapse: two species", csv("".join([
     TIMELAPSE, *(f"a.jpg,,,false,{name},1\n" for name in ("fox", "owl"))]),
     "t.csv"), "several classes: fox, owl"),
    ("Table", "Wildlife Insights",
     csv(f"{INSIGHTS}1,d,i,a.jpg,gs://x/d/a.jpg,0,Vulpes,v,fox,2023-07-01 22:10:05\n", "i.csv"),
     {"a.jpg": ("fox", "2023-07-01T22:10:05")}),
    ("Table", "Wildlife Insights: is_blank", csv(f"{INSIGHTS}1,d,i,a.jpg,gs://x,1,,,fox,\n", "i.csv"),
     "no class in i.csv"),
    ("Table", "Wildlife Insights: No CV Result", csv(f"{INSIGHTS}1,d,i,a.jpg,gs://x,0,,,No CV Result,\n", "i.csv"),
     "no class"),
    ("Table", "iNaturalist: two columns of names", csv("filename,scientific_name,common_name\na.jpg,V,fox\n", "o.csv"),
     "could be scientific_name or common_name"),
    ("Table", "semicolons, BOM, CRLF", csv("\ufefffile;class\r\na.jpg;fox\r\n"), FOX),
    ("Table", "tabs", csv("file\tclass\na.jpg\tfox\n", "labels.tsv"), FOX),
    ("Table", "day or month first", csv("file,class,datetime\na.jpg,fox,03/04/2024 10:00:00\n"),
     "day/month or month/day"),
    ("Table", "accents in another form", csv(f"file,class\n{unicodedata.normalize('NFD', 'ä.jpg')},fox\n"),
     {"ä.jpg": "fox"}, ["ä.jpg"]),
    ("Table", "upper case", csv("file,class\nA.JPG,fox\n"), FOX),
    ("Table", "a path of another machine", csv("file,class\n/mnt/x/cam1/a.jpg,fox\n"), {"cam1/a.jpg": "fox"},
     ["cam1/a.jpg"]),
    ("Table", "a name of two files", csv("file,class\na.jpg,fox\nx/b.jpg,owl\n"), "several files end in 'a.jpg'",
     ["x/a.jpg", "y/a.jpg", "x/b.jpg"]),
    ("Table", "a path out of the folder", csv("file,class\n../a.jpg,fox\n../b.jpg,fox\nc.jpg,fox\n"),
     "the file is absent", ["c.jpg"]),
]  # fmt: skip


def write(root, files, images):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        if name.endswith(".zip"):
            with zipfile.ZipFile(root / name, "w") as archive:
                archive.writestr(name.removesuffix(".zip"), text)
        else:
            (root / name).write_bytes(content)
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(root / name)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant[0]}: {variant[1]}")
def test_a_deviation_is_read_or_refused_in_words(variant, tmp_path):
    _, _, files, expected, images = (*variant, None)[:5]
    of_train = any(name.startswith("train/labels") for name in files)
    write(tmp_path, files, images or (["train/images/a.jpg"] if of_train else ["a.jpg"]))
    try:
        catalog, boxes = read_catalog_and_boxes(manifest_of_folder(tmp_path))
    except ValueError as error:
        assert isinstance(expected, str) and re.search(expected, str(error)), error
        return
    problems = [*catalog["problem"], *boxes["problem"]]
    if isinstance(expected, str):
        assert any(re.search(expected, problem) for problem in problems), problems
        return
    assert not any(problems)
    found = dict(zip(catalog["image_id"], zip(catalog["class_name"], catalog["taken_at"], strict=True), strict=True))
    has_time = any(isinstance(row, tuple) for row in expected.values())
    assert {image: row if has_time else row[0] for image, row in found.items()} == expected


def test_the_page_counts_them():
    text = PAGE.read_text(encoding="utf-8").partition("## Deviations")[2]
    rows = re.findall(r"^\| ([\w -]+) \| (\d+) \| (\d+) \| 0 \|$", text, re.MULTILINE)
    counts = Counter((name, isinstance(expected, str)) for name, _, _, expected, *_ in VARIANTS)
    names = dict.fromkeys(name for name, *_ in VARIANTS)
    assert rows == [(name, str(counts[name, False]), str(counts[name, True])) for name in names]
