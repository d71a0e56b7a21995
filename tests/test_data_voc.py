"""Pascal VOC: which image and split an XML file is of, what its boxes are, and what is refused."""

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from marinecv.data.accounting import ANNOTATION, count_files
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers.voc import read_voc

FOX = [("red fox", (4, 6, 40, 36))]


def draw(path, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path)


def write(path, objects=FOX, filename="", size=(64, 48), order=("xmax", "xmin", "ymin", "ymax")):
    """Write an XML file with corners in another order than they are read."""
    tree = ElementTree.Element("annotation")
    ElementTree.SubElement(tree, "path").text = "C:\\Users\\ana\\wrong.jpg"
    if filename:
        ElementTree.SubElement(tree, "filename").text = filename
    sides = ElementTree.SubElement(tree, "size")
    for name, side in zip(("width", "height"), size, strict=True):
        ElementTree.SubElement(sides, name).text = str(side)
    for name, corners in objects:
        element = ElementTree.SubElement(tree, "object")
        part = ElementTree.SubElement(element, "part")  # of its own name and box, as a head
        ElementTree.SubElement(part, "name").text = "head"
        ElementTree.SubElement(element, "difficult").text = "1"
        ElementTree.SubElement(element, "name").text = name
        box = ElementTree.SubElement(element, "bndbox")
        texts = dict(zip(CORNERS, corners, strict=True))
        for corner in order:
            ElementTree.SubElement(box, corner).text = str(texts[corner])
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(tree).write(path, encoding="utf-8", xml_declaration=True)


def catalog_of(root):
    manifest = manifest_of_folder(root)
    assert manifest.layout == "voc"
    return read_catalog(manifest).set_index("image_id")


@pytest.mark.parametrize(
    ("xml", "filename", "image", "split"),
    [
        ("a.xml", "b.jpg", "a.jpg", ""),  # the stem goes before filename
        ("train/a.xml", "", "train/a.JPG", "train"),
        ("valid/Annotations/a.xml", "a", "valid/images/a.png", "validation"),
        ("Annotations/a.xml", "", "JPEGImages/a.jpg", ""),
        ("Annotations/Test/cam 1/a.xml", "", "JPEGImages/Test/cam 1/a.jpg", "test"),
        ("annotations/xmls/a.xml", "a.jpg", "images/a.jpg", ""),
        ("Annotations/a.xml", "", "JPEGImages/train/a.jpg", "train"),
        ("Annotations/000001.xml", "a.jpg", "JPEGImages/a.jpg", ""),
        ("Annotations/a_jpg.rf.01.xml", "", "images/a_jpg.rf.01.jpg", ""),
        ("Annotations/éa.xml", "", "images/e\u0301a.jpg", ""),
    ],
)
def test_an_xml_file_finds_its_image_and_split(tmp_path, xml, filename, image, split):
    draw(tmp_path / image)
    draw(tmp_path / image.rpartition("/")[0] / "b.jpg")
    write(tmp_path / xml, filename=filename)
    catalog = catalog_of(tmp_path)
    assert catalog.loc[image, ["class_name", "split", "problem"]].tolist() == ["red fox", split, ""]
    assert catalog["problem"].tolist().count("no annotation names it") == len(catalog) - 1 == 1
    assert count_files(manifest_of_folder(tmp_path), catalog)[ANNOTATION] == 1


def test_equal_stems_in_several_folders_are_told_apart(tmp_path):
    for place in ("north", "south"):
        draw(tmp_path / "JPEGImages" / place / "a.jpg")
        write(tmp_path / "Annotations" / place / "a.xml", [(place, (1, 2, 3, 4))])
    draw(tmp_path / "JPEGImages" / "east" / "a.jpg")
    write(tmp_path / "Annotations" / "a.xml", [("lost", (1, 2, 3, 4))])
    catalog = catalog_of(tmp_path)
    classes = {f"JPEGImages/{place}/a.jpg": place for place in ("north", "south")} | {"JPEGImages/east/a.jpg": ""}
    assert catalog["class_name"].drop("a").to_dict() == classes and "absent" in catalog["problem"]["a"]


@pytest.mark.parametrize(
    ("objects", "size", "problems"),
    [
        ([("fox", ("3.5", " 4 ", "1e1", "36"))], (64, 48), [""]),
        ([("fox", (4, 6, 40, 36))], (0, 0), [""]),
        ([("fox", (4, 6, 40, 36))], ("unknown", 48), [""]),
        ([], (64, 48), []),
        ([*FOX, *FOX[:0], ("fox", (9, 9, 5, 30))], (64, 48), ["", "no area"]),
        ([*FOX, ("fox", (4, 6, "nan", 36)), ("owl", (1, 2, 30, 40))], (64, 48), ["", "expected four numbers", ""]),
        ([*FOX, ("", (4, 6, 30, 36)), ("owl", (1, 2, 30, 40))], (64, 48), ["", "expected the name of a class", ""]),
    ],
)
def test_what_objects_say_is_a_box_or_a_problem(tmp_path, objects, size, problems):
    draw(tmp_path / "a.jpg")
    write(tmp_path / "a.xml", objects, size=size)
    manifest = manifest_of_folder(tmp_path)
    found = read_boxes(manifest)["problem"].tolist()
    assert len(found) == len(problems)
    assert all(part in problem and bool(part) == bool(problem) for part, problem in zip(problems, found, strict=True))
    assert read_catalog(manifest)["problem"].tolist() == ["" if objects else "no box"]


LISTS = [
    ({"train": "a\n", "val": "b\n", "trainval": "a\nb\n", "test": "c\n"}, ["train", "validation", "test"]),
    ({"trainval": "a\nb\n", "test": "c\n"}, ["train", "train", "test"]),
    ({"train": "a\n", "fox_train": "b  1\n"}, ["train", "", ""]),
]


@pytest.mark.parametrize(("lists", "splits"), LISTS)
def test_lists_of_image_sets_are_the_splits(tmp_path, lists, splits):
    for name in "abc":
        draw(tmp_path / "JPEGImages" / f"{name}.jpg")
        write(tmp_path / "Annotations" / f"{name}.xml")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    for name, text in lists.items():
        (tmp_path / "ImageSets" / "Main" / f"{name}.txt").write_text(text)
    assert catalog_of(tmp_path).sort_index()["split"].tolist() == splits
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"(test|trainval).txt names 'a', as another list of ImageSets/Main does"):
        catalog_of(tmp_path)


def test_two_xml_files_of_one_image_and_a_broken_one_are_refused(tmp_path):
    draw(tmp_path / "a.jpg")
    write(tmp_path / "a.xml")
    write(tmp_path / "Annotations" / "a.xml")
    with pytest.raises(ValueError, match="a.xml and .*Annotations/a.xml are of one image"):
        catalog_of(tmp_path)
    (tmp_path / "a.xml").write_text("<annotation><object>")
    with pytest.raises(ValueError, match="a.xml is no XML that can be read"):
        catalog_of(tmp_path)


def test_stray_xml_files_leave_class_folders_and_masks_are_no_images(tmp_path):
    for name in ("eel", "ray"):
        draw(tmp_path / "folders" / name / "a.jpg")
        write(tmp_path / "folders" / name / "a.xml")
    assert manifest_of_folder(tmp_path / "folders").layout == "folders"
    draw(tmp_path / "voc" / "JPEGImages" / "a.jpg")
    draw(tmp_path / "voc" / "SegmentationClass" / "a.png")
    write(tmp_path / "voc" / "Annotations" / "a.xml")
    assert catalog_of(tmp_path / "voc")["problem"].to_dict() == {"JPEGImages/a.jpg": ""}


corner = some.floats(0, 63, width=32) | some.integers(0, 47)
NAMES = some.text(some.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    objects=some.lists(some.tuples(NAMES, some.tuples(corner, corner, corner, corner)), min_size=1, unique=True),
    order=some.permutations(CORNERS),
)
def test_what_an_xml_writer_wrote_is_read(tmp_path, objects, order):
    draw(tmp_path / "a.png")
    write(tmp_path / "a.xml", objects, order=order)
    manifest = manifest_of_folder(tmp_path)
    _, boxes = read_voc(manifest)
    found = boxes[boxes["problem"] == ""]
    assert found[CORNERS].to_numpy().tolist() == [[*map(float, corners)] for _, corners in objects][: len(found)]
    assert len(found) == len(objects)


DATUMARO = """
import sys, numpy as np, datumaro as dm
from datumaro.components.media import Image
items = []
marked = {"train": [(3, 4, 20, 10, 0), (1.5, 2.25, 30, 40, 1)], "val": [(0, 0, 64, 48, 1)]}
for i, (split, boxes) in enumerate(marked.items()):
    media = Image.from_numpy(np.full((48, 64, 3), i * 40, np.uint8))
    marks = [dm.Bbox(x, y, w, h, label=label) for x, y, w, h, label in boxes]
    items.append(dm.DatasetItem(id=f"site {i}/img_{i}", subset=split, media=media, annotations=marks))
dm.Dataset.from_iterable(items, categories=["red fox", "owl"]).export(sys.argv[1], sys.argv[2], save_media=True)
"""


@pytest.mark.slow
def test_what_datumaro_writes_as_voc_and_as_cvat_is_read(tmp_path, producer):
    python = producer("datumaro")
    for layout in ("voc", "cvat"):
        subprocess.run([python, "-c", DATUMARO, tmp_path / layout, layout], check=True, capture_output=True)
        manifest = manifest_of_folder(tmp_path / layout)
        boxes, catalog = read_boxes(manifest), read_catalog(manifest)
        assert manifest.layout == layout and catalog["split"].tolist() == ["train", "validation"]
        found = sorted(boxes[["class_name", *CORNERS]].to_numpy().tolist())
        assert found == [["owl", 0, 0, 64, 48], ["owl", 1.5, 2.25, 31.5, 42.25], ["red fox", 3, 4, 23, 14]]
