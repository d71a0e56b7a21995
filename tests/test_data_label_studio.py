"""Label Studio's JSON: which annotation counts, where its boxes are, how images are found, and what is refused."""

import json
import subprocess
from math import cos, radians, sin

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from marinecv.data.accounting import ANNOTATION, count_files, reading_lines
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.manifests import Manifest, manifest_of_folder
from marinecv.data.readers.label_studio import read_label_studio

WIDTH, HEIGHT = 80, 50


def draw(path, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path)


def choice(*names, question="sp", **facts):
    return {"type": "choices", "from_name": question, "to_name": "img", "value": {"choices": [*names]}, **facts}


def shape(label="boar", kind="rectangle", number="r", facts=(), **value):
    """An item of `result`: a rectangle of 20 by 10 pixels at (20, 10), unless `value` says otherwise."""
    value = {"x": 25, "y": 20, "width": 25, "height": 20, "rotation": 0} | value
    value |= {f"{kind}labels": [label]} if label else {}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {
        "type": kind + "labels" * bool(label),
        "from_name": "b",
        "id": number,
        **sizes,
        **dict(facts),
        "value": value,
    }


def done(*result, **facts):
    return {"was_cancelled": False, "created_at": "2026-01-02T10:00:00Z", "result": [*result], **facts}


def write(root, *tasks):
    """Write tasks that are lists of annotations, each of an image of its own: a.jpg, b.jpg..."""
    entries = []
    for number, annotations in enumerate(tasks):
        name = f"{chr(97 + number)}.jpg"
        draw(root / "images" / name)
        entries.append({"id": number, "data": {"image": name}, "annotations": annotations, "predictions": []})
    (root / "export.json").write_text(json.dumps(entries), encoding="utf-8-sig")


def read(root):
    manifest = manifest_of_folder(root)
    assert manifest.layout == "label_studio"
    catalog = read_catalog(manifest)
    assert count_files(manifest, catalog)[ANNOTATION] == 1
    return catalog, read_boxes(manifest), " ".join(reading_lines(manifest, catalog))


LATER = "2026-03-01T00:00:00Z"
CASES = [
    ([[done(choice("boar"))], [done(choice("fox"))]], ["boar", "fox"], ["", ""], ""),
    (
        [[done(choice("boar")), done(choice("fox"), created_at=LATER)]],
        ["fox"],
        [""],
        "of 1 of 1 tasks differ",
    ),
    ([[done(shape("fox")), done(shape("owl"), created_at=LATER, was_cancelled=True)]], ["fox"], [""], ""),
    ([[done(choice("boar"), was_cancelled=True)], [done(choice("fox"))]], ["", "fox"], ["nobody has", ""], ""),
    ([[], [done(), done(shape("owl"), skipped=True)]], ["", ""], ["nobody has labeled", "no box"], ""),
    ([[done(choice("fox", "owl"))], [done(choice("fox"))]], ["", "fox"], ["names several classes: fox, owl", ""], ""),
    (
        [[done(choice("blurred"), shape("fox"))], [done(choice("blurred"))]],
        ["fox", ""],
        ["", "no box"],
        "no classes here",
    ),
    ([[done(choice("fox"), shape("fox"))], [done(choice("empty"))]], ["fox", "empty"], ["", ""], ""),
    ([[done(choice("wet", question="sky"), choice("fox", question="Species"))]], ["fox"], [""], ""),
    ([[done(shape("animal"), choice("kudu", id="r"))]], ["kudu"], [""], "its own choice"),
    ([[done(shape("animal"), choice("kudu", id="r"), shape("owl", number="q"))]], ["animal"], [""], ""),
    ([[done(shape(""), choice("kudu", id="r"), shape("owl", number="q"))]], ["kudu"], [""], ""),
    ([[done({"type": "labels", "id": "r", "value": {"labels": ["fox"]}}, shape(""))]], ["fox"], [""], ""),
    ([[done(shape("fox"), {"type": "relation", "from_id": "r"})]], ["fox"], [""], ""),
]


@pytest.mark.parametrize(("tasks", "classes", "problems", "sentence"), CASES)
def test_what_counts_of_a_task(tmp_path, tasks, classes, problems, sentence):
    write(tmp_path, *tasks)
    catalog, _, said = read(tmp_path)
    assert catalog["class_name"].tolist() == classes and sentence in said
    for problem, part in zip(catalog["problem"], problems, strict=True):
        assert problem.startswith(part) and bool(problem) == bool(part)


@pytest.mark.parametrize(
    ("item", "corners"),
    [
        (shape(), [20, 10, 40, 20]),
        (shape(rotation=90), [10, 10, 20, 30]),
        (shape(rotation=360 - 90), [20, -10, 30, 10]),
        (shape(kind="polygon", points=[[25, 20], [50, 30], [37.5, 60]]), [20, 10, 40, 30]),
        (shape(facts={"original_width": 8, "original_height": 5}.items()), [20, 10, 40, 20]),
    ],
)
def test_a_shape_becomes_a_box_in_pixels(tmp_path, item, corners):
    write(tmp_path, [done(item)])
    _, boxes = read_label_studio(manifest_of_folder(tmp_path))
    assert boxes[CORNERS].iloc[0].tolist() == pytest.approx(corners)


@pytest.mark.parametrize(
    "item",
    [
        shape(kind="ellipse"),
        shape(x=None),
        shape(width="wide"),
        shape(facts={"image_rotation": 90}.items()),
        shape(rotation=30, facts={"original_width": None}.items()),
        shape(label=""),
        {**shape(), "value": {**shape()["value"], "rectanglelabels": ["fox", "owl"]}},
    ],
)
def test_a_shape_without_a_box_or_with_several_classes_is_a_problem(tmp_path, item):
    write(tmp_path, [done({**item, "id": "q"}, shape("fox"))])
    assert read(tmp_path)[1]["problem"].str.contains("bad row .*expected").tolist() == [True, False]


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("/data/upload/2/1a2b3c4d-IMG_0099.JPG", "IMG_0099.JPG"),
        ("/data/upload/2/1a2b3c4d-IMG_0099.JPG", "images/1a2b3c4d-IMG_0099.JPG"),
        ("http://localhost:8080/data/local-files/?d=site%201%5Ccam%2B2/a.jpg", "photos/site 1/cam+2/a.jpg"),
        ("s3://bucket/site 1/a.jpg", "site 1/a.jpg"),
        ("gs://bucket/2021/a.jpg", "2021/a.jpg"),
        ("https://example.org/photos/9/a%20b.jpg?size=large#top", "9/a b.jpg"),
    ],
)
def test_an_image_is_found_by_the_end_of_its_reference(tmp_path, reference, image):
    draw(tmp_path / image)
    draw(tmp_path / "elsewhere" / "a.jpg")
    task = {"id": 1, "annotations": [done(shape("fox"))], "data": {"note": "at dawn", "picture": reference}}
    (tmp_path / "tasks.json").write_text(json.dumps([task]), encoding="utf-8")
    catalog = read(tmp_path)[0].set_index("image_id")
    assert catalog.loc[image, ["class_name", "problem"]].tolist() == ["fox", ""] and len(catalog) == 2


TASK = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [done(choice("fox"))]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image": "a.jpg", "id": 1, "annotation_id": 3, "sp": "fox"}], 'Entry 0 of .* JSON-MIN.*the format "JSON"'),
        ([TASK, {"data": "a.jpg"}], "Entry 1 of .* is no task"),
        ([{**TASK, "annotations": [3]}], "The annotations of tasks.json:0 are no list"),
        ([{**TASK, "annotations": [{"result": [3]}]}], "The annotations of tasks.json:0 are no list"),
        (
            [{**TASK, "annotations": [{"result": [choice() | {"value": {"choices": "fox"}}]}]}],
            "choices is 'fox', no list",
        ),
        ([{**TASK, "data": {"left": "a.jpg", "right": "b.jpg"}}], "tasks.json:0 name 2 images: left, right"),
        ([{**TASK, "data": {"text": "a fox"}}], "tasks.json:0 name 0 images: none"),
        (
            [{**TASK, "annotations": [done(choice("x", question="q"), choice("y", question="p"))]}],
            "questions p, q with",
        ),
        ([{**TASK, "data": {"image": "b.jpg"}}], "None of the 1 files that .*tasks.json names"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path, content, message):
    draw(tmp_path / "a.jpg")
    (tmp_path / "tasks.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_tasks_of_completions_are_read_and_an_image_within_the_json_is_none(tmp_path):
    write(tmp_path, [done(shape("fox"))], [done(shape("owl"))])
    tasks = json.loads((tmp_path / "export.json").read_text("utf-8-sig"))
    tasks[0]["completions"] = tasks[0].pop("annotations")
    tasks[1]["data"]["image"] = "data:image/png;base64,iVBORw0KGgo="
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    problems = read(tmp_path)[0].set_index("image_id")["problem"].to_dict()
    assert problems.pop("images/a.jpg") == "" and sorted(problems.values()) == [
        "names no file",
        "no annotation names it",
    ]


def test_an_object_that_holds_a_list_with_the_same_keys_is_none_of_label_studio(tmp_path):
    for name in ("eel", "ray"):
        draw(tmp_path / name / "a.jpg")
    (tmp_path / "resources.json").write_text(json.dumps({"resources": [{"data": {}, "annotations": []}]}))
    assert manifest_of_folder(tmp_path).layout == "folders"


percent = some.floats(0, 40, width=32)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(x=percent, y=percent, width=percent, height=percent, angle=some.integers(-360, 360))
def test_a_turned_box_encloses_its_corners(tmp_path, x, y, width, height, angle):
    write(tmp_path, [done(shape(x=x, y=y, width=width, height=height, rotation=angle))])
    _, boxes = read_label_studio(manifest_of_folder(tmp_path))
    w, h, turn = width * WIDTH / 100, height * HEIGHT / 100, radians(angle)
    points = np.array([(i * w, j * h) for i in (0, 1) for j in (0, 1)])
    points = points @ np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]]) + (x * WIDTH / 100, y * HEIGHT / 100)
    corners = [*points.min(axis=0), *points.max(axis=0)]
    np.testing.assert_allclose(boxes[CORNERS].iloc[0].to_numpy(float), corners, atol=1e-4)


CONVERT = """
import sys
from label_studio_sdk.converter import Converter
labels = "".join(f'<Label value="{name}"/>' for name in ("wild boar", "owl"))
boxes = f'<RectangleLabels name="b" toName="img">{labels}</RectangleLabels>'
converter = Converter(config=f'<View><Image name="img" value="$image"/>{boxes}</View>', project_dir=None)
tasks, out = sys.argv[1:]
converter.convert_to_voc(tasks, out + "/voc", is_dir=False)
converter.convert_to_coco(tasks, out + "/coco", output_image_dir=out + "/coco/images", is_dir=False)
yolo = {"output_image_dir": out + "/yolo/images", "output_label_dir": out + "/yolo/labels"}
converter.convert_to_yolo(tasks, out + "/yolo", **yolo, is_dir=False)
"""


@pytest.mark.slow
def test_the_converter_of_label_studio_gives_the_same_boxes(tmp_path, producer):
    python, tasks = producer("label-studio-sdk"), []
    for number in range(6):
        items = [shape(("owl", "wild boar")[k % 2], number=str(k), x=7.3 * k + number, y=3.1 * number) for k in (1, 2)]
        annotations = [done(*items, id=number, completed_by=1)]
        tasks.append(
            {"id": number, "data": {"image": f"/data/upload/1/0a0b0c0{number}-a.jpg"}, "annotations": annotations}
        )
        for folder in ("", "voc/images", "coco/images", "yolo/images"):
            draw(
                tmp_path / "out" / folder / f"0a0b0c0{number}-a.jpg" if folder else tmp_path / f"0a0b0c0{number}-a.jpg"
            )
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    words = [python, "-c", CONVERT, tmp_path / "tasks.json", tmp_path / "out"]
    subprocess.run(words, check=True, capture_output=True)

    def boxes_of(manifest):
        boxes = read_boxes(manifest)
        assert set(boxes["problem"]) == {""} and len(boxes) == 12
        boxes["image_id"] = boxes["image_id"].str.rpartition("/")[2]
        return boxes.sort_values(["image_id", "class_name"])[["image_id", "class_name", *CORNERS]].to_numpy()

    ours = boxes_of(Manifest(name="ls", layout="label_studio", root=tmp_path))
    # The converter cuts VOC's corners to whole pixels, and our reader of YOLO rounds them.
    for layout, tolerance in {"voc": 2, "coco": 1e-3, "yolo": 0.51}.items():
        names = ("owl", "wild boar") if layout == "yolo" else ()
        theirs = boxes_of(Manifest(name="ls", layout=layout, root=tmp_path / "out" / layout, class_names=names))
        assert (ours[:, :2] == theirs[:, :2]).all()
        np.testing.assert_allclose(ours[:, 2:].astype(float), theirs[:, 2:].astype(float), atol=tolerance)
