"""A format is one module of `marinecv.data.readers`: nothing else has to know it."""

import ast
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

import marinecv as mcv
from marinecv.data import readers
from marinecv.data.accounting import reading_lines
from marinecv.data.attributes import read_attributes
from marinecv.data.layouts import find_layout
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers import all_readers, layout_names, reader_of

MARKS = '''
"""Read one file of boxes, corner and size, in JSON."""

import json

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.images import image_table
from marinecv.data.readers import Reader

TABLE = "marks.json"


def read_marks(manifest):
    table = json.loads((manifest.root / TABLE).read_text(encoding="utf-8"))
    names = {each["id"]: each["file_name"] for each in table["pictures"]}
    classes = {each["id"]: each["name"] for each in table["kinds"]}
    rows = []
    for number, each in enumerate(table["marks"]):
        x, y, width, height = each["bbox"]
        source = f"{TABLE}:{number}"
        name, class_name = names[each["image_id"]], classes[each["category_id"]]
        rows.append((name, class_name, x, y, x + width, y + height, source, ""))
    images = image_table(manifest.root, [(manifest.root / name, "") for name in sorted(names.values())])
    return images, pd.DataFrame(rows, columns=BOX_COLUMNS)


READER = Reader(
    detects=lambda root: (root / TABLE).is_file(),
    read=read_marks,
    holds=f"{TABLE} (marks)",
    class_from_boxes=True,
    class_order=lambda manifest: ["ray", "crab"],
    tables=lambda manifest: [manifest.root / TABLE],
    notes=lambda manifest: ["read as marks"],
)
'''


BOXES = (0, 7, [1, 2, 10, 20]), (0, 9, [0, 0, 5, 5]), (2, 9, [60, 0, 10, 48])


@pytest.fixture
def marks_folder(tmp_path, monkeypatch):
    """A folder in a format that a module beside the readers, planted for this test, reads."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "toy_marks.py").write_text(MARKS, encoding="utf-8")
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path / "more")])
    root = tmp_path / "tank" / "images of 2021"
    for name, color in (("a.jpg", "red"), ("b.jpg", "blue"), ("sub/c.jpg", "green")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), color).save(root / name)
    table = {
        "pictures": [{"id": number, "file_name": name} for number, name in enumerate(("a.jpg", "b.jpg", "sub/c.jpg"))],
        "kinds": [{"id": 7, "name": "crab"}, {"id": 9, "name": "ray"}],
        "marks": [{"image_id": i, "category_id": kind, "bbox": box} for i, kind, box in BOXES],
    }
    (root / "marks.json").write_text(json.dumps(table), encoding="utf-8")
    yield root.parent
    monkeypatch.delitem(sys.modules, "marinecv.data.readers.toy_marks", raising=False)


def test_a_new_format_is_one_module(marks_folder):
    manifest = manifest_of_folder(marks_folder)
    assert (manifest.layout, manifest.root) == ("toy_marks", marks_folder / "images of 2021")
    boxes, catalog = mcv.read_boxes(manifest), mcv.read_catalog(manifest)
    assert boxes["class_name"].tolist() == ["crab", "ray", "ray"] and boxes["ymax"].tolist() == [22, 5, 48]
    assert boxes["clipped"].tolist() == [False, False, True]
    assert catalog["class_name"].tolist() == ["crab", "", "ray"] and catalog["problem"].tolist() == ["", "no box", ""]
    assert mcv.class_names_of(catalog, manifest) == ("ray", "crab")
    assert reading_lines(manifest, catalog) == []  # all images and the table are accounted for
    said = []
    assert mcv.find_data(data_dir=marks_folder, log=said.append).layout == "toy_marks" and said == ["read as marks"]
    with pytest.raises(ValueError, match='has the layout "toy_marks". Expected "cub"'):
        read_attributes(manifest)


def test_messages_name_a_new_format(marks_folder, tmp_path):
    (tmp_path / "other").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "other" / "photo.jpg")
    with pytest.raises(ValueError, match=r"Looked for .*marks.json \(marks\), .*and folders of images named after"):
        find_layout(tmp_path / "other")
    with pytest.raises(ValueError, match="cub.*toy_marks.*yolo"):
        mcv.Manifest(name="tank", layout="tiles")


def test_readers_are_tried_in_an_order_and_class_folders_last(tmp_path):
    ranks = ["shards", "roboflow", "yolo", "cub", "table", "camtrap_dp", "coco", "megadetector", "folders"]
    assert [layout for layout in all_readers() if layout in ranks] == ranks and [*all_readers()][-1] == "folders"
    for name in ("_annotations.csv", "labels.csv"):
        (tmp_path / name).touch()
    assert find_layout(tmp_path) == (tmp_path, "roboflow")
    with pytest.raises(ValueError, match="layout='tiles'"):
        reader_of("tiles")


def test_no_other_module_names_a_layout():
    package = Path(mcv.__file__).parent
    for path in {*package.rglob("*.py")} - {*(package / "data" / "readers").glob("*.py")}:
        words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not words & ({*layout_names()} - {"folders", "table", "megadetector"}), (
            path
        )  # ordinary words, and a format of `predict`
