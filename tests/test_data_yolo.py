import re

import pytest
from PIL import Image

from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.data_yaml import read_names
from marinecv.data.manifests import Manifest, manifest_of_folder
from marinecv.data.yolo import annotation_files, read_yolo

FISH, SHARK = "0 0.5703125 0.900390625 0.23307291666666666 0.1083984375", "4 0.58203125 0.2958984375 0 0"
NAMES = "names: ['fish', 'jellyfish', 'penguin', 'puffin', 'shark']\n"


def make(root, lines, images="train/images", labels="train/labels", names=NAMES):
    (root / images).mkdir(parents=True)
    (root / labels).mkdir(parents=True)
    Image.new("RGB", (768, 1024)).save(root / images / "a.jpg")
    (root / labels / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if names:
        (root / "data.yaml").write_text(names, encoding="utf-8")
    return manifest_of_folder(root)


@pytest.mark.parametrize("order", [("train/images", "train/labels"), ("images/train", "labels/train")])
def test_fractions_become_the_pixels_of_roboflows_csv(tmp_path, order):
    boxes = read_boxes(make(tmp_path, [FISH, "", SHARK], *order))
    assert boxes[CORNERS].to_numpy().tolist() == [[349, 867, 528, 978], [447, 303, 447, 303]]
    assert boxes["class_name"].tolist() == ["fish", "shark"]
    assert boxes["problem"].tolist() == ["", "no area"]
    assert boxes["source"].tolist() == [f"{order[1]}/a.txt:1", f"{order[1]}/a.txt:3"]


def test_corners_are_clipped_to_the_image(tmp_path):
    boxes = read_boxes(make(tmp_path, ["0 0.05 0.99 0.2 0.1"]))
    assert boxes[CORNERS].to_numpy().tolist() == [[0, 963, 115, 1024]]


def test_without_split_folders_the_split_is_open(tmp_path):
    assert read_catalog(make(tmp_path, [FISH], "images", "labels"))["split"].tolist() == [""]


def test_lone_images_and_lone_label_files_keep_their_rows(tmp_path):
    manifest = make(tmp_path, [FISH])
    (tmp_path / "train/labels/ghost.txt").write_text(FISH)
    Image.new("RGB", (8, 6)).save(tmp_path / "train/images/bare.png")
    problems = read_catalog(manifest).set_index("image_id")["problem"].to_dict()
    assert problems["train/images/bare.png"] == "no box" and problems["train/images/a.jpg"] == ""
    assert "absent" in problems["train/images/ghost.jpg"]
    assert read_boxes(manifest)["problem"].tolist() == ["", "the size of its image is unknown"]


@pytest.mark.parametrize("order", [("train/images", "train/labels"), ("images/train", "labels/train")])
def test_images_in_sub_folders_are_read_with_the_labels_of_theirs(tmp_path, order):
    manifest = make(tmp_path, [FISH], *order)
    images, labels = (tmp_path / place / "camera 1" for place in order)
    images.mkdir()
    labels.mkdir()
    Image.new("RGB", (768, 1024)).save(images / "a.jpg")
    Image.new("RGB", (768, 1024)).save(images / "bare.jpg")
    (labels / "a.txt").write_text("4 .5 .5 .2 .2")
    catalog = read_catalog(manifest).set_index("image_id")
    assert catalog[["split", "class_name", "problem"]].T.to_dict("list") == {
        f"{order[0]}/a.jpg": ["train", "fish", ""],
        f"{order[0]}/camera 1/a.jpg": ["train", "shark", ""],
        f"{order[0]}/camera 1/bare.jpg": ["train", "", "no box"],
    }


def test_images_beside_the_split_folders_are_rows_of_no_split(tmp_path):
    manifest = make(tmp_path, [FISH], "images/train", "labels/train")
    Image.new("RGB", (768, 1024)).save(tmp_path / "images" / "b.jpg")
    (tmp_path / "labels" / "b.txt").write_text(FISH)
    catalog = read_catalog(manifest)
    assert catalog["image_id"].tolist() == ["images/train/a.jpg", "images/b.jpg"]
    assert catalog["split"].tolist() == ["train", ""] and len(read_boxes(manifest)) == 2


def test_labelimgs_classes_and_hidden_files_are_no_label_files(tmp_path):
    manifest = make(tmp_path, [FISH])
    labels = tmp_path / "train/labels"
    (labels / ".ipynb_checkpoints").mkdir()
    for name in ("classes.txt", "._a.txt", ".ipynb_checkpoints/a-checkpoint.txt"):
        (labels / name).write_text("fish\nshark\n")
    assert read_catalog(manifest)["image_id"].tolist() == ["train/images/a.jpg"]


def test_a_raw_file_beside_its_photo_is_a_row_and_does_not_take_its_labels(tmp_path):
    manifest = make(tmp_path, [FISH])
    for name in ("a.cr2", "a.heic", "b.dng"):
        (tmp_path / "train/images" / name).write_bytes(b"raw")
    (tmp_path / "train/labels/b.txt").write_text(FISH)
    problems = read_catalog(manifest).set_index("image_id")["problem"].to_dict()
    assert problems.pop("train/images/a.jpg") == ""
    assert problems == {
        f"train/images/{name}": f"unsupported format {name[1:]}; convert it to JPEG or PNG"
        for name in ("a.cr2", "a.heic", "b.dng")
    }
    assert read_boxes(manifest)["image_id"].tolist() == ["train/images/a.jpg", "train/images/b.dng"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("9 .5 .5 .1 .1", "expected a class from 0 to 4"),
        ("-1 .5 .5 .1 .1", "expected a class from 0 to 4"),
        ("1.5 .5 .5 .1 .1", "expected a class from 0 to 4"),
        ("0 .5 .5 .1", "expected five numbers"),
        ("0", "expected five numbers"),
        ("0 .5 .5 .1 .1 7", "expected five numbers"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "expected five numbers"),
        ("0 .5 .5 nan .1", "expected five numbers"),
        ("fish .5 .5 .1 .1", "expected numbers"),
        ("0 30 20 20 10", "are no fractions of the image .* perhaps pixels: divide"),
    ],
)
def test_a_bad_line_costs_one_row_which_is_quoted(tmp_path, line, reason):
    manifest, said = make(tmp_path, [FISH, FISH, line]), []
    (tmp_path / "train/labels/b.txt").write_text(line)
    Image.new("RGB", (768, 1024)).save(tmp_path / "train/images/b.jpg")
    catalog = read_catalog(manifest, log=said.append).set_index("image_id")
    assert catalog["class_name"].tolist() == ["fish", ""]
    assert re.fullmatch(
        rf"no usable box: bad row '{line}': .*{reason}.* \(train/labels/b.txt:1\)", catalog["problem"].iloc[1]
    )
    assert re.match(
        rf"2 of 4 annotation rows cannot be read; the first, train/labels/a.txt:3: bad row '{line}'", said[0]
    )


def test_where_most_lines_are_bad_one_error_quotes_the_first(tmp_path):
    message = "2 of 3 annotation rows cannot be read. The first, train/labels/a.txt:1, is a bad row '0 30 20 20 10': "
    with pytest.raises(ValueError, match=message + "these numbers are no fractions of the image .* perhaps pixels"):
        read_yolo(make(tmp_path, ["0 30 20 20 10", "0 31 20 20 10", FISH]))


@pytest.mark.parametrize(
    "line",
    [
        "4 0.25 0.5 0.3 0.6 0.9",
        "4.0 0.25 0.5 0.3 0.6",
        "4 0.1 0.2 0.4 0.2 0.4 0.8 0.1 0.8",
        "4 0.1 0.5 0.25 0.8 0.4 0.4 0.3 0.2",
    ],
)
def test_a_confidence_is_passed_over_and_a_polygon_gives_its_bounding_box(tmp_path, line):
    boxes = read_boxes(make(tmp_path, [line]))
    assert boxes[CORNERS].to_numpy().tolist() == [[77, 205, 307, 819]] and boxes["class_name"].tolist() == ["shark"]


def test_the_key_points_of_a_pose_are_no_polygon(tmp_path):
    boxes = read_boxes(make(tmp_path, ["4 .5 .5 .5 .5 0.9 0.9"], names=NAMES + "kpt_shape: [1, 2]\n"))
    assert boxes[CORNERS].to_numpy().tolist() == [[192, 256, 576, 768]]


def test_images_without_a_labels_folder_are_an_error(tmp_path):
    manifest = make(tmp_path, [FISH])
    (tmp_path / "valid/images").mkdir(parents=True)
    with pytest.raises(ValueError, match="valid/images has no labels folder"):
        read_yolo(manifest)


def test_two_images_of_one_stem_are_an_error_and_none_is_dropped(tmp_path):
    manifest = make(tmp_path, [FISH])
    image = next((tmp_path / "train/images").iterdir())
    image.with_suffix(".png").write_bytes(image.read_bytes())
    with pytest.raises(ValueError, match="share one label file"):
        read_yolo(manifest)


def test_names_come_from_data_yaml_else_from_the_manifest(tmp_path):
    manifest = make(tmp_path, [FISH], names="")
    with pytest.raises(ValueError, match="has no data.yaml"):
        read_yolo(manifest)
    named = Manifest(name="tank", layout="yolo", root=tmp_path, class_names=("crab",))
    assert read_yolo(named)[1]["class_name"].tolist() == ["crab"]


@pytest.mark.parametrize(
    "text",
    [
        "nc: 2\nnames: ['sea horse', 'eel']  # two\npath: .",
        "names: [sea horse, eel]",
        'names: ["sea horse",\n  "eel"]\nnc: 2',
        "names:\n  - sea horse\n  - eel\nnc: 2",
        "names:\n- 'sea horse'\n- eel\nnc: 2",
        "names:\n  1: eel\n  0: sea horse\nnc: 2",
        "names: {0: 'sea horse', 1: eel}",
    ],
)
def test_every_common_form_of_names_is_read(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    assert read_names(tmp_path / "data.yaml") == ("sea horse", "eel")


def test_quotes_and_accents_in_names(tmp_path):
    (tmp_path / "data.yaml").write_text("names: ['lion''s mane', \"étoile, rouge\"]", encoding="utf-8")
    assert read_names(tmp_path / "data.yaml") == ("lion's mane", "étoile, rouge")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names:\n- Anna's hummingbird\n- crab\n- lion's mane\nnc: 3", ("Anna's hummingbird", "crab", "lion's mane")),
        ("names: [Anna's hummingbird, lion's mane]", ("Anna's hummingbird", "lion's mane")),
        ("names:\n  0: rat, water\n  1: ray [small]\n  2: crab", ("rat, water", "ray [small]", "crab")),
    ],
)
def test_a_mark_within_a_name_divides_nothing(tmp_path, text, names):
    (tmp_path / "data.yaml").write_text(text)
    assert read_names(tmp_path / "data.yaml") == names


@pytest.mark.parametrize("text", ["nc: 2", "names: []", "names:\n  1: eel\n  2: crab"])
def test_names_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match="does not name its classes"):
        read_names(tmp_path / "data.yaml")


def test_annotation_files_are_the_labels_and_the_yaml(tmp_path):
    manifest = make(tmp_path, [FISH])
    (tmp_path / "train/labels/classes.txt").write_text("fish")
    assert annotation_files(manifest) == [tmp_path / "data.yaml", tmp_path / "train/labels/a.txt"]
