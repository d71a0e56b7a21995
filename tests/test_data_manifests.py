"""Manifests: bundled and users' TOML, layouts found in folders and archives."""

import re
import shutil
from pathlib import Path

import pytest

from marinecv.data import manifests
from marinecv.data.cache_dir import cache_path
from marinecv.data.layouts import find_layout
from marinecv.data.manifests import list_manifests, load_manifest, manifest_folder, manifest_of_folder

MINIMAL = 'name = "tank"\nlayout = "roboflow"\n'


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_bundled_manifests_are_complete_and_name_no_path_of_this_machine():
    for manifest in list_manifests():
        text = manifest.toml.read_text(encoding="utf-8")
        assert manifest.title and manifest.name == manifest.toml.stem
        assert manifest.license or not manifest.url  # nothing of unknown license is downloaded
        assert manifest.demonstration or len({manifest.url, *manifest.mirrors} - {""}) > 1
        assert str(Path.home()) + "/" not in text and not re.search(r"(?<![\w:/.])/\w|\b[A-Za-z]:\\", text)
        assert manifest.root is None


def test_aquarium_lists_a_hash_for_every_image():
    aquarium = load_manifest("aquarium")
    lines = (aquarium.toml.parent / aquarium.hashes).read_text(encoding="utf-8").splitlines()
    assert len(set(lines)) == sum(aquarium.expected["images"].values()) == 638
    assert all(len(line.split("  ")[0]) == 64 for line in lines)


def test_manifests_are_looked_for_beside_a_clone_and_inside_a_wheel(tmp_path, monkeypatch):
    package = tmp_path / "marinecv"
    shutil.copytree(manifest_folder(), package / "data_manifests")
    write(tmp_path / "data_manifests" / "tank.toml")
    assert manifest_folder(package) == package / "data_manifests"  # the one beside is of another package
    with monkeypatch.context() as patch:
        patch.setattr(manifests, "manifest_folder", lambda: manifest_folder(package))
        assert load_manifest("aquarium").toml.is_relative_to(package)
    write(tmp_path / "setup.cfg")
    assert manifest_folder(package) == tmp_path / "data_manifests"


def test_a_users_toml_states_a_root_relative_to_itself_and_its_classes(tmp_path):
    manifest = load_manifest(write(tmp_path / "tank.toml", MINIMAL + 'root = "images"\nclass_names = ["b", "a"]'))
    assert manifest.root == tmp_path / "images" and manifest.class_names == ("b", "a")
    folders = MINIMAL + 'folder_classes = {granchio = "crab", anguilla = "eel"}\n'
    assert load_manifest(write(tmp_path / "tank.toml", folders)).class_names == ("crab", "eel")
    stated = load_manifest(write(tmp_path / "tank.toml", 'class_names = ["eel", "crab"]\n' + folders))
    assert stated.class_names == ("eel", "crab") and stated.folder_classes == {"granchio": "crab", "anguilla": "eel"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no manifest at .*tank.toml"),
        ("name = ", "tank.toml cannot be read: Invalid value"),
        (MINIMAL + "color = 1", "has no argument .color."),
        ('name = "tank"', "missing 1 required keyword-only argument: 'layout'"),
        (MINIMAL + 'folder_classes = ["crab"]', "folder_classes is .* Expected `object`"),
        (MINIMAL + "folder_classes = {crab = 1}", "'crab' of folder_classes is 1. Expected `str`"),
        (MINIMAL + 'folder_classes = {granchio = "crab", gambero = "crab"}', "'crab' is empty or there twice"),
        (MINIMAL + 'class_level = "last"', "class_level"),
        (MINIMAL + 'folder = "tank"', "unknown key 'folder'"),
        (MINIMAL + 'archive_subdir = "../tank"', "'archive_subdir' .* is '../tank'"),
        ('name = "tank"\nlayout = "tiles"', "one of .*'cub', .*'folders'.*layout='tiles'"),
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
        (["labels.csv", "a.jpg"], "table"),
        (["train/_classes.csv", "valid/_classes.csv", "train/a.jpg"], "classes_csv"),
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


def test_what_cannot_be_found_is_said_with_what_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match='no data set "aquarum". Did you mean "aquarium".*reef'):
        load_manifest("aquarum")
    with pytest.raises(ValueError, match="is no folder and no .zip, .tgz or .tar: it does not exist"):
        manifest_of_folder(tmp_path / "nowhere")
    for number in range(8):
        write(tmp_path / f"note_{number}.txt")
    with pytest.raises(ValueError, match="There is no image file in"):
        manifest_of_folder(tmp_path)
    write(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match=r"Looked for pack.json .*, _annotations.csv.*YOLO.*note_0.txt.* and 1 more"):
        manifest_of_folder(tmp_path)
    for split in ("val", "valid"):
        write(tmp_path / split / "crab" / "a.jpg")
    with pytest.raises(ValueError, match="Both val/ and valid/ of .* the validation split"):
        manifest_of_folder(tmp_path)


@pytest.mark.parametrize("place", ["images", "Images/", "JPEGImages", "labels", "train", "train/Images"])
def test_a_folder_of_images_alone_is_no_class(tmp_path, place):
    write(tmp_path / place / "a.jpg")
    write(tmp_path / "README.txt")
    with pytest.raises(ValueError, match="No known layout"):
        manifest_of_folder(tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_unpacked_into_the_store_once(roboflow_folder, tmp_path, kind):
    archive = shutil.make_archive(str(tmp_path / "my tank"), kind, roboflow_folder.parent, roboflow_folder.name)
    manifest = manifest_of_folder(archive)
    assert (manifest.name, manifest.layout) == ("my tank", "roboflow")
    assert manifest.root.is_relative_to(cache_path("unpacked"))
    (manifest.root / "mark").touch()
    assert (manifest_of_folder(archive).root / "mark").exists()
