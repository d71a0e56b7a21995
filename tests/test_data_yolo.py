"""The YOLO layout: label files become boxes in pixels, data.yaml names classes and splits."""

import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.data_yaml import MAX_ALIASES, read_names
from marinecv.data.find_data import find_data
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.names import normalize_name
from marinecv.data.readers.yolo import OUTSIDE, annotation_files, read_yolo

FISH, SHARK = "0 0.5703125 0.900390625 0.23307291666666666 0.1083984375", "4 0.58203125 0.2958984375 0 0"
NAMES = "names: ['fish', 'jellyfish', 'penguin', 'puffin', 'shark']\n"
ORDERS = pytest.mark.parametrize("order", [("train/images", "train/labels"), ("images/train", "labels/train")])


def make(root, lines, images="train/images", labels="train/labels", names=NAMES):
    (root / images).mkdir(parents=True)
    (root / labels).mkdir(parents=True)
    Image.new("RGB", (768, 1024)).save(root / images / "a.jpg")
    (root / labels / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if names:
        (root / "data.yaml").write_text(names, encoding="utf-8")
    return manifest_of_folder(root)


def facts_of(manifest):
    """Split, class and problem by image."""
    catalog = read_catalog(manifest).set_index("image_id")
    return {image_id: tuple(row) for image_id, row in catalog[["split", "class_name", "problem"]].T.items()}


def assert_refused(message, manifest):
    with pytest.raises(ValueError, match=message):
        read_yolo(manifest)


@ORDERS
def test_fractions_become_the_pixels_of_roboflows_csv(tmp_path, order):
    boxes = read_boxes(make(tmp_path, [FISH, "", SHARK, "0 0.05 0.99 0.2 0.1"], *order))
    corners = [[349, 867, 528, 978], [447, 303, 447, 303], [0, 963, 115, 1024]]  # the last is clipped
    assert boxes[CORNERS].to_numpy().tolist() == corners
    assert boxes["class_name"].tolist() == ["fish", "shark", "fish"]
    assert boxes["problem"].tolist() == ["", "no area", ""]
    assert boxes["source"].tolist() == [f"{order[1]}/a.txt:{line}" for line in (1, 3, 4)]


def test_images_and_label_files_without_the_other_keep_their_rows(tmp_path):
    manifest = make(tmp_path, [FISH], "images", "labels")
    (tmp_path / "labels/ghost.txt").write_text(FISH)
    Image.new("RGB", (8, 6)).save(tmp_path / "images/bare.png")
    facts = facts_of(manifest)
    assert facts["images/bare.png"] == ("", "", "no box") and facts["images/a.jpg"] == ("", "fish", "")
    assert "absent" in facts["images/ghost.jpg"][2]
    assert read_boxes(manifest)["problem"].tolist() == ["", "the size of its image is unknown"]


def test_rows_have_one_order_in_every_process(tmp_path):  # else a pack is taken for one of other images
    manifest = make(tmp_path, [FISH], "images", "labels")
    for number in range(20, 60):
        (tmp_path / f"labels/{number}.txt").write_text(FISH)
    images, _ = read_yolo(manifest)
    assert images["image_id"].tolist() == ["images/a.jpg", *(f"images/{number}.jpg" for number in range(20, 60))]


@ORDERS
def test_images_in_sub_folders_are_read_with_the_labels_of_theirs(tmp_path, order):
    manifest = make(tmp_path, [FISH], *order)
    make(tmp_path, ["4 .5 .5 .2 .2"], *(f"{place}/camera 1" for place in order))
    Image.new("RGB", (8, 6)).save(tmp_path / order[0] / "camera 1/bare.jpg")
    assert facts_of(manifest) == {
        f"{order[0]}/a.jpg": ("train", "fish", ""),
        f"{order[0]}/camera 1/a.jpg": ("train", "shark", ""),
        f"{order[0]}/camera 1/bare.jpg": ("train", "", "no box"),
    }


def test_a_raw_file_beside_its_photo_is_a_row_and_does_not_take_its_labels(tmp_path):
    manifest = make(tmp_path, [FISH])
    for name in ("a.cr2", "b.dng"):
        (tmp_path / "train/images" / name).write_bytes(b"raw")
    (tmp_path / "train/labels/b.txt").write_text(FISH)
    problems = {image.rpartition("/")[2]: problem for image, (*_, problem) in facts_of(manifest).items()}
    assert problems.pop("a.jpg") == "" and problems.keys() == {"a.cr2", "b.dng"}
    assert all("unsupported format" in problem for problem in problems.values())
    assert read_boxes(manifest)["image_id"].tolist() == ["train/images/a.jpg", "train/images/b.dng"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("9 .5 .5 .1 .1", "a class from 0 to 4"),
        ("1.5 .5 .5 .1 .1", "a class from 0 to 4"),
        ("0 .5 .5 .1", "five numbers"),
        ("0 .5 .5 .1 .1 7", "five numbers"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "five numbers"),
        ("0 .5 .5 nan .1", "five numbers"),
        ("fish .5 .5 .1 .1", "five numbers"),
        ("0 30 20 20 10", "fractions of the image .* pixels, divide"),
    ],
)
def test_a_bad_line_costs_one_row_which_is_quoted(tmp_path, line, reason):
    manifest, said = make(tmp_path, [FISH, FISH, line]), []
    (tmp_path / "train/labels/b.txt").write_text(line)
    Image.new("RGB", (768, 1024)).save(tmp_path / "train/images/b.jpg")
    catalog = read_catalog(manifest, log=said.append)
    assert catalog["class_name"].tolist() == ["fish", ""]
    assert re.search(rf"bad row '{line}': .*{reason}.* \(train/labels/b.txt:1\)", catalog["problem"].iloc[1])
    assert re.match(rf"2 of 4 annotation rows .*, train/labels/a.txt:3: bad row '{line}'", said[0])


def test_where_most_lines_are_bad_one_error_quotes_the_first(tmp_path):
    message = "2 of 3 annotation rows cannot be read; the first, train/labels/a.txt:1: bad row '0 30 20 20 10': "
    assert_refused(message, make(tmp_path, ["0 30 20 20 10", "0 31 20 20 10", FISH]))


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("4 0.25 0.5 0.3 0.6 0.9", ""),  # a confidence
        ("4.0 0.25 0.5 0.3 0.6", ""),
        ("4 0.1 0.2 0.4 0.2 0.4 0.8 0.1 0.8", ""),  # polygons
        ("4 0.1 0.5 0.25 0.8 0.4 0.4 0.3 0.2", ""),
        ("4 0.25 0.5 0.3 0.6 0.9 0.9", "kpt_shape: [1, 2]\n"),  # a key point of a pose
    ],
)
def test_confidence_and_key_points_are_ignored_and_a_polygon_gives_its_bounding_box(tmp_path, line, more):
    boxes = read_boxes(make(tmp_path, [line], names=NAMES + more))
    assert boxes[CORNERS].to_numpy().tolist() == [[77, 205, 307, 819]] and boxes["class_name"].tolist() == ["shark"]


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    manifest = make(tmp_path, [FISH])
    (tmp_path / "train/labels/a.TXT").write_text(FISH)
    assert_refused("a.TXT and .*a.txt are of one image", manifest)
    (tmp_path / "train/labels/a.TXT").unlink()
    (tmp_path / "valid/images").mkdir(parents=True)
    assert_refused("valid/images has no labels folder", manifest)
    (tmp_path / "train/images/a.png").write_bytes(b"")
    assert_refused("share one label file", manifest)


def test_without_data_yaml_classes_are_those_of_the_manifest(tmp_path):
    manifest = make(tmp_path, [FISH], names="")
    assert_refused("has no data.yaml", manifest)
    assert read_yolo(replace(manifest, class_names=("crab",)))[1]["class_name"].tolist() == ["crab"]


odd_words = some.sampled_from(
    ["NA", "001", "yes", "1.0", "null", "~", "0x1F", "1e3", "Shark #1", "a: b", "- a", "étoile", "lion's mane", "a, b"]
)
class_lists = some.lists(
    some.text(min_size=1, max_size=90) | odd_words, min_size=1, max_size=6, unique_by=normalize_name
).filter(lambda names: all(map(normalize_name, names)) and "\0" not in "".join(names))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=class_lists, unicode=some.booleans(), flow=some.sampled_from([True, False, None]), as_dict=some.booleans())
def test_names_that_yaml_dumps_are_read_as_they_were(tmp_path, names, unicode, flow, as_dict):
    data = {"nc": len(names), "names": dict(reversed([*enumerate(names)])) if as_dict else names, "train": "images"}
    style = {"allow_unicode": unicode, "default_flow_style": flow, "width": 20, "sort_keys": False}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(data, **style), encoding="utf-8")
    assert read_names(tmp_path / "data.yaml") == tuple(map(normalize_name, names))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nc: 2\nnames: ['sea horse', 'eel']  # two\npath: .", ("sea horse", "eel")),
        ("names: [Anna's hummingbird, étoile]", ("Anna's hummingbird", "étoile")),
        ("names:\n  0: rat, water\n  1: ray [small]", ("rat, water", "ray [small]")),
        ("common: &c\n  - eel\n  - ray\nnames: *c", ("eel", "ray")),
        ("base: &b {0: eel, 1: crab}\nnames:\n  <<: *b\n  1: ray", ("eel", "ray")),
        ("names: [yes, 001, NA, 1.0, 2020-01-01]", ("yes", "001", "NA", "1.0", "2020-01-01")),
        ("names:\n- e\u0301toile  de   mer\n- '  eel '", ("étoile de mer", "eel")),
    ],
)
def test_anchors_merges_and_plain_words(tmp_path, text, names):
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    assert read_names(tmp_path / "data.yaml") == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nc: 2", "does not name its classes"),
        ("names:\n  1: eel\n  2: crab", "does not name its classes"),
        ("names: {0: eel, 00: crab}", "does not name its classes"),
        ("names: [eel, [crab]]", "does not name its classes"),
        ("- eel", "holds no named entries"),
        ("names: [eel, ray]\nnc: 3", "nc: '3' and names 2 classes"),
        ("names: [eel, ' eel']", "'eel' is empty or there twice"),
        ('names: [eel, "\\ud800"]', "does not name its classes"),
        ("nc: 2\nnames: {0: eel, 0: crab}", "data.yaml:2 .*the key '0' is there twice"),
        ("? [eel]\n: 3\nnames: [eel]", "data.yaml:1 .* no text"),
        ("names: [eel]\nnc: 1\nnames: [ray]", "data.yaml:3 .* 'names' is there twice"),
        ("nc: 2\nnames: [eel, ray", "data.yaml:2 .*expected ',' or ']'"),
        ("nc: 1\nnames: [\x07]", "data.yaml:2 .*special characters"),
        ("names: !!python/object/apply:os.getcwd []", "data.yaml:1 .* constructor"),
        (f"a: &a eel\nnames: [{'*a,' * (MAX_ALIASES + 1)}]", "data.yaml:2 .* 30 aliases"),
        ("names: " + "[" * 2000, "recursion"),
    ],
)
def test_a_yaml_that_does_not_name_the_classes_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_names(tmp_path / "data.yaml")


def draw_yolo(root, images, labels=None, names="names: [eel, ray]\n", yaml_name="data.yaml"):
    """Draw images with a label file each, an eel or a ray in turn, beside them or where `labels` says."""
    for number, image in enumerate(images):
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(root / image)
        label = (root / (labels(image) if labels else image)).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{number % 2} .5 .5 .2 .2\n")
    (root / yaml_name).write_text(names)
    return manifest_of_folder(root)


def in_labels(image):
    return image.replace("images", "labels").replace("Images", "Labels").replace("IMAGES", "Labels")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (["train/Images/a.jpg", "train/Images/b.jpg"], in_labels),
        (["IMAGES/train/a.jpg", "IMAGES/train/b.jpg"], in_labels),
        (["train/images/a.jpg", "train/images/b.jpg"], None),
        (["train/a.jpg", "train/camera/b.jpg"], None),
        (["images/train/a.jpg", "images/train/b.jpg"], None),
    ],
)
def test_labels_are_found_in_any_case_and_beside_the_images(tmp_path, images, labels):
    manifest = draw_yolo(tmp_path, images, labels)
    for label in tmp_path.rglob("a.txt"):
        label.rename(label.with_suffix(".TXT"))
    assert facts_of(manifest) == {images[0]: ("train", "eel", ""), images[1]: ("train", "ray", "")}
    assert len(annotation_files(manifest)) == 3


def test_labels_of_a_flat_folder_are_found_beside_the_images_and_other_text_is_no_label(tmp_path):
    manifest = draw_yolo(tmp_path, ["a.jpg", "b.jpg"], yaml_name="fish.yaml")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    for name in ("readme.txt", "classes.txt", "._a.txt", ".ipynb_checkpoints/a.txt"):
        (tmp_path / name).write_text("some text")
    (tmp_path / "other.yaml").write_text("columns:\n  names: 3\n")
    assert facts_of(manifest) == {"a.jpg": ("", "eel", ""), "b.jpg": ("", "ray", "")}
    assert [path.name for path in annotation_files(manifest)] == ["a.txt", "b.txt", "fish.yaml"]


def test_linked_folders_of_images_and_labels_are_followed(tmp_path):
    draw_yolo(tmp_path / "set", ["images/a.jpg"], in_labels)
    (tmp_path / "links/train").mkdir(parents=True)
    for name in ("images", "labels"):
        (tmp_path / "links/train" / name).symlink_to(tmp_path / "set" / name)
    (tmp_path / "links/data.yaml").write_text("names: [eel, ray]\ntrain: ../train/images\n")
    assert facts_of(manifest_of_folder(tmp_path / "links")) == {"train/images/a.jpg": ("train", "eel", "")}


def test_labels_are_matched_in_any_spelling_of_an_accent_and_those_of_no_image_are_an_error(tmp_path):
    manifest = draw_yolo(tmp_path / "a", ["images/caf\u00e9.jpg"], lambda image: "labels/cafe\u0301.jpg")
    assert facts_of(manifest) == {"images/caf\u00e9.jpg": ("", "eel", "")}
    manifest = draw_yolo(tmp_path / "b", ["images/IMG_0001.jpg"], lambda image: "labels/0001.txt")
    assert_refused("None of the 1 files that labels/ names .*0001.txt', .*'IMG_0001", manifest)


def test_several_yaml_files_that_name_classes_are_refused(tmp_path):
    manifest = draw_yolo(tmp_path, ["images/a.jpg"], in_labels, yaml_name="a.yaml")
    (tmp_path / "b.yml").write_text("names: [crab]")
    assert_refused("a.yaml, b.yml of .* all name classes", manifest)
    for name in ("data.yaml", "data.yml"):
        (tmp_path / name).write_text("names: [crab]")
    assert_refused("data.yaml, data.yml of .* all name classes", manifest)


@pytest.mark.parametrize(
    "text",
    [
        "train: images/one\nval: images/two",
        "path: .\ntrain: ./images/one/\nval: [images/two]\ntest: null",
        "path: ../datasets/fish\ntrain: images/one\nvalid: images/two\ntest:",
        "train: ../images/one\nval: ../images/two",
        "train: /content/fish/images/one\nval: C:\\data\\fish\\images\\two",
        "train: [one.txt]\nval: two.txt",
        "path: images\ntrain: ../one.txt\nval: two",
    ],
)
def test_the_split_that_data_yaml_names_is_the_published_one(tmp_path, text):
    images = ["images/one/a.jpg", "images/one/b.jpg", "images/two/c.jpg", "images/two/d.jpg"]
    (tmp_path / "one.txt").write_text("./images/one/a.jpg\n\n/content/fish/images/one/b.jpg\n")
    (tmp_path / "two.txt").write_text("images/two/c.jpg\nimages\\two\\d.jpg\n")
    manifest = draw_yolo(tmp_path, images, in_labels, f"names: [eel, ray]\n{text}\n")
    assert [facts_of(manifest)[image][0] for image in images] == ["train"] * 2 + ["validation"] * 2
    lists = {tmp_path / name for name in ("one.txt", "two.txt") if name in text}
    assert lists == {path for path in annotation_files(manifest) if path.parent == tmp_path} - {tmp_path / "data.yaml"}


def test_images_that_no_published_split_names_are_in_that_of_their_folder_or_in_none(tmp_path):
    images = ["images/a.jpg", "images/b.jpg", "images/test/c.jpg", "more/d.jpg", "e.jpg"]
    (tmp_path / "train.txt").write_text("images/a.jpg\nmore/d.jpg\nimages/gone.jpg\n")
    names = "names: [eel, ray]\ntrain: train.txt\nval: ../valid/images\n"
    facts, said = facts_of(draw_yolo(tmp_path, images, in_labels, names)), []
    assert "the file is absent" in facts.pop("images/gone.jpg")[2]
    assert facts == {
        "images/a.jpg": ("train", "eel", ""),
        "more/d.jpg": ("train", "ray", ""),
        "images/test/c.jpg": ("test", "eel", ""),
        "images/b.jpg": ("", "ray", ""),
        "e.jpg": ("", "", OUTSIDE),
    }
    find_data(data_dir=tmp_path, log=said.append)
    assert said == ["data.yaml names val: ../valid/images, which is not there"]
    with pytest.warns(UserWarning, match=said[0]):
        find_data(data_dir=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/other", "train: 'images/other', which is not in .*: nothing outside"),
        ("train: ../../etc", "train: '../../etc', which is not in "),
        ("train: images/one\nval: images/one", "images/one/a.jpg into train and validation"),
        ("train: {one: two}", "train: {'one': 'two'}, which is not in"),
        ("train: images/one\nval: ..", "val: '..', which is not in"),
        ("train: one.txt", "1 files that .*one.txt names .* 'A.png', .*'a.jpg'"),
        ("train: out.txt", "1 files that .*out.txt names .* '/etc/hostname'"),
    ],
)
def test_a_published_split_that_cannot_be_followed_is_refused(tmp_path, text, message):
    (tmp_path / "one.txt").write_text("A.png\n")
    (tmp_path / "out.txt").write_text("\n/etc/hostname\n..\n")
    assert_refused(message, draw_yolo(tmp_path, ["images/one/a.jpg"], in_labels, f"names: [eel, ray]\n{text}\n"))
