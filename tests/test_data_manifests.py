import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from marinecv.data import manifests
from marinecv.data.layouts import find_layout
from marinecv.data.manifests import (
    Manifest,
    list_manifests,
    load_manifest,
    manifest_at,
    manifest_folder,
    manifest_of_folder,
)
from marinecv.data.store import store_home, store_path

MINIMAL = 'name = "tank"\nlayout = "roboflow"\n'


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_bundled_manifests_are_complete_and_name_no_place_of_this_machine():
    for manifest in list_manifests():
        text = manifest.toml.read_text(encoding="utf-8")
        assert manifest.title and manifest.name == manifest.toml.stem
        assert manifest.licence or not manifest.url  # what nobody may be allowed to use is not fetched by itself
        assert str(Path.home()) + "/" not in text and not re.search(r"(?<![\w:/.])/\w|\b[A-Za-z]:\\", text)
        assert manifest.root is None


def test_aquarium_lists_a_hash_for_every_image():
    aquarium = load_manifest("aquarium")
    lines = (aquarium.toml.parent / aquarium.hashes).read_text(encoding="utf-8").splitlines()
    assert len(set(lines)) == sum(aquarium.expected["images"].values()) == 638
    assert all(len(line.split("  ")[0]) == 64 for line in lines)


def test_manifests_are_looked_for_beside_a_clone_then_inside_a_wheel(tmp_path):
    package = tmp_path / "marinecv"
    inside, beside = package / "data_manifests", tmp_path / "data_manifests"
    write(inside / "tank.toml")
    write(beside / "tank.toml")
    assert manifest_folder(package) == inside  # a folder of that name in site-packages is a stranger's
    write(tmp_path / "setup.cfg")
    assert manifest_folder(package) == beside


def test_a_wheel_finds_its_manifests_inside(tmp_path, monkeypatch):
    shutil.copytree(manifest_folder(), tmp_path / "marinecv" / "data_manifests")
    monkeypatch.setattr(manifests, "manifest_folder", lambda: manifest_folder(tmp_path / "marinecv"))
    assert load_manifest("aquarium").toml.is_relative_to(tmp_path)


def test_unknown_name_lists_the_known_and_guesses():
    with pytest.raises(ValueError, match='There is no data set "aquarum". Did you mean "aquarium".*reef'):
        load_manifest("aquarum")


def test_a_users_toml_states_a_root_relative_to_itself(tmp_path):
    manifest = load_manifest(write(tmp_path / "tank.toml", MINIMAL + 'root = "images"\nclass_names = ["b", "a"]'))
    assert manifest.root == tmp_path / "images" and manifest.class_names == ("b", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no manifest at .*tank.toml"),
        ("name = ", "tank.toml cannot be read: Invalid value"),
        (MINIMAL + "colour = 1", "has no argument .colour.. Expected some of"),
        ('name = "tank"', "missing 1 required keyword-only argument: 'layout'"),
        (MINIMAL + 'folder_classes = ["crab"]', "folder_classes is .* Expected `object`"),
        (MINIMAL + "folder_classes = {crab = 1}", "'crab' of folder_classes is 1. Expected `str`"),
        (MINIMAL + 'folder_classes = {granchio = "crab", gambero = "crab"}', "'crab' is empty or there twice"),
        (MINIMAL + 'class_level = "last"', "Expected class_level to be one of"),
        (MINIMAL + 'folder = "tank"', "unknown key 'folder'"),
        (
            'name = "tank"\nlayout = "tiles"',
            "Expected layout to be one of .'cub', 'folders'.*Received: layout='tiles'",
        ),
    ],
)
def test_a_bad_toml_says_what_is_wrong(tmp_path, text, message):
    if text is not None:
        write(tmp_path / "tank.toml", text)
    with pytest.raises(ValueError, match=message):
        load_manifest(tmp_path / "tank.toml")


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["_annotations.csv", "a.jpg"], "roboflow"),
        (["train/_annotations.csv", "valid/_annotations.csv"], "roboflow"),
        (["data.yaml", "train/images/a.jpg", "train/labels/a.txt"], "yolo"),
        (["data.yaml", "images/train/a.jpg", "labels/train/a.txt"], "yolo"),
        (["labels.csv", "a.jpg"], "labels_csv"),
        (["images.txt", "classes.txt", "image_class_labels.txt", "images/1.auk/a.jpg"], "cub"),
        (["train/crab/a.jpg", "val/crab/b.jpg"], "folders"),
        (["crab/a.jpg", "eel/deep/b.PNG"], "folders"),
    ],
)
@pytest.mark.parametrize("packed", ["", "an archive's folder"])
def test_every_layout_is_told_from_its_files(tmp_path, files, layout, packed):
    root = tmp_path / packed
    for name in files:
        write(root / name)
    if packed:
        write(tmp_path / "README.txt")
    assert find_layout(tmp_path) == (root, layout)


def test_an_unknown_layout_says_what_was_looked_for_and_found(tmp_path):
    for number in range(8):
        write(tmp_path / f"note_{number}.txt")
    with pytest.raises(ValueError, match="There is no image file in .* Expected some that end in .jpg"):
        manifest_of_folder(tmp_path)
    write(tmp_path / "photo.jpg")
    with pytest.raises(
        ValueError, match=r"Looked for pack.json .*, _annotations.csv.*YOLO.*Found note_0.txt.* and 1 more"
    ):
        manifest_of_folder(tmp_path)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["train2017/a.jpg", "val2017/b.jpg", "annotations/instances_train2017.json"], "COCO"),
        (["train/a.jpg", "train/_annotations.coco.json"], "COCO"),
        (["JPEGImages/a.jpg", "Annotations/a.xml", "SegmentationClass/a.png"], "Pascal VOC"),
        (["train/a.jpg", "train/a.xml"], "Pascal VOC"),
        (["train/a.jpg", "train/a.json"], None),
    ],
)
def test_coco_and_pascal_voc_are_named_in_the_refusal(tmp_path, files, kind):
    for name in files:
        coco = json.dumps({"info": {}, "images": [], "annotations": []})
        write(tmp_path / name, "<annotation></annotation>" if name.endswith("xml") else coco if kind else "{}")
    with pytest.raises(ValueError, match="No known layout") as error:
        manifest_of_folder(tmp_path)
    assert (f"this looks like {kind} (" in str(error.value)) == bool(kind)


@pytest.mark.parametrize(
    "place", ["images", "Images/", "JPEGImages", "labels", "train", "train/Images", "training_set"]
)
def test_a_folder_of_images_alone_is_no_class(tmp_path, place):
    write(tmp_path / place / "a.jpg")
    write(tmp_path / "README.txt")
    with pytest.raises(ValueError, match="No known layout.*which images/, labels/ and train/ are not"):
        manifest_of_folder(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path):
    for split in ("val", "valid"):
        write(tmp_path / split / "crab" / "a.jpg")
    with pytest.raises(ValueError, match="Both val/ and valid/ of .* stand for the validation split"):
        manifest_of_folder(tmp_path)


def test_class_names_are_those_of_the_folders_that_are_read_unless_stated(tmp_path):
    folders = MINIMAL + 'folder_classes = {granchio = "crab", anguilla = "eel"}\n'
    manifest = load_manifest(write(tmp_path / "tank.toml", folders))
    assert manifest.folder_classes == {"granchio": "crab", "anguilla": "eel"}
    assert manifest.class_names == ("crab", "eel")
    stated = load_manifest(write(tmp_path / "tank.toml", 'class_names = ["eel", "crab"]\n' + folders))
    assert stated.class_names == ("eel", "crab")


def test_no_such_place_is_said(tmp_path):
    with pytest.raises(ValueError, match="is no folder and no .zip"):
        manifest_of_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_unpacked_into_the_store_once(roboflow_folder, tmp_path, kind):
    archive = shutil.make_archive(str(tmp_path / "my tank"), kind, roboflow_folder.parent, roboflow_folder.name)
    manifest = manifest_of_folder(archive)
    assert (manifest.name, manifest.layout) == ("my tank", "roboflow")
    assert manifest.root.is_relative_to(store_path("unpacked"))
    (manifest.root / "mark").touch()
    assert (manifest_of_folder(archive).root / "mark").exists()


def test_a_place_gives_root_and_layout_and_leaves_the_facts(roboflow_folder):
    facts = Manifest(name="tank", layout="yolo", class_names=("eel",), licence="CC0")
    found = manifest_at(facts, roboflow_folder)
    assert (found.root, found.layout, found.name, found.licence) == (roboflow_folder, "roboflow", "tank", "CC0")


@pytest.mark.parametrize(
    ("platform", "variable", "tail"),
    [
        ("linux", "XDG_CACHE_HOME", "marinecv"),
        ("win32", "LOCALAPPDATA", "marinecv"),
        ("darwin", None, "Caches/marinecv"),
    ],
)
def test_the_store_is_the_users_cache_folder(monkeypatch, tmp_path, platform, variable, tail):
    monkeypatch.delenv("MARINECV_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    assert store_home().is_relative_to(tmp_path) and store_home().as_posix().endswith(tail)
    assert store_path("data", "reef") == store_home() / "data" / "reef"
