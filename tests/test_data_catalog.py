"""The catalog: classes, problems, limits and class folders, whatever the layout."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image
from scenes import catalog_of_classes

from marinecv.data.catalog import (
    CATALOG_COLUMNS,
    check_trainable,
    class_names_of,
    limit_catalog,
    read_boxes,
    read_catalog,
    usable,
)
from marinecv.data.find_data import find_data
from marinecv.data.manifests import Manifest, load_manifest, manifest_of_folder
from marinecv.data.materialize import materialize
from marinecv.data.user_tables import PLACE_COLUMNS


@pytest.fixture
def tank(roboflow_folder) -> Manifest:
    return manifest_of_folder(roboflow_folder)


def rows_of(split="train", problem="", **classes):
    return catalog_of_classes(split=split, **classes).assign(problem=problem)


def test_catalog_is_sorted_by_split_then_image(tank):
    catalog = read_catalog(tank)
    assert list(catalog.columns) == CATALOG_COLUMNS + PLACE_COLUMNS
    assert catalog["split"].drop_duplicates().tolist() == ["train", "validation", "test"]
    assert all(rows["image_id"].is_monotonic_increasing for _, rows in catalog.groupby("split"))
    assert catalog["dominance"].between(0.5, 1).all() and len(usable(catalog)) == 12


def test_images_without_a_box_are_skipped_or_of_class_empty_unless_their_boxes_are_unusable(tank):
    table = tank.root / "train" / "_annotations.csv"
    rows = [line for line in table.read_text().splitlines(True) if not line.startswith("crab_train_0")]
    table.write_text("".join(rows))
    skipped, empty = (read_catalog(tank, images_without_boxes=choice) for choice in ("skip", "empty"))
    assert skipped.loc[0, ["image_id", "class_name", "problem"]].tolist() == ["train/crab_train_0.jpg", "", "no box"]
    assert empty.loc[0, ["class_name", "problem", "dominance"]].tolist() == ["empty", "", 1.0]
    assert class_names_of(empty, tank) == ("crab", "eel", "empty", "ray")
    named = replace(tank, class_names=("ray", "eel", "crab"))
    assert class_names_of(empty, named) == ("ray", "eel", "crab", "empty")
    assert class_names_of(skipped, named) == ("ray", "eel", "crab")
    table.write_text("".join([*rows, "crab_train_0.jpg,64,48,crab,9,9,9,20\n"]))
    assert "no area (train/_annotations.csv:10)" in read_catalog(tank, images_without_boxes="empty")["problem"].iloc[0]
    with pytest.raises(ValueError, match="1 of .* boxes have no area"):
        read_boxes(tank, flat_boxes="error")


def test_wrong_arguments_and_classes_that_the_manifest_does_not_name_are_refused(tank):
    with pytest.raises(ValueError, match=r"one of \('skip', 'empty'\). Received: images_without_boxes='drop'"):
        read_catalog(tank, images_without_boxes="drop")
    with pytest.raises(ValueError, match="of located files that .* Received: 'tank'"):
        read_catalog(replace(tank, root=None))
    narrow = replace(tank, class_names=("crab", "ray"))
    with pytest.raises(ValueError, match='the first is test/_annotations.csv:3, "eel". Expected one of crab, ray'):
        read_catalog(narrow)
    with pytest.raises(ValueError, match='the first is train/eel_train_1.jpg, "eel"'):
        class_names_of(read_catalog(tank), narrow)


@pytest.mark.parametrize(
    ("catalog", "message"),
    [
        (rows_of("test", eel=2), "train split has no usable image; .*'test': 2"),
        (rows_of(problem="no box", eel=2), "2 images have a problem, the first: no box"),
        (rows_of(eel=3), 'All 3 images to train on are of one class, "eel".* Check the labels'),
        (rows_of(eel=3).assign(class_name=""), 'one class, "".* Call the column of classes class_name'),
        (pd.concat([rows_of(eel=3), rows_of("test", ray=1)]), 'one class, "eel".* split_by="stratified"'),
    ],
)
def test_an_empty_train_split_and_a_single_class_are_refused(catalog, message):
    check_trainable(rows_of(eel=1, ray=1))
    with pytest.raises(ValueError, match=message):
        check_trainable(catalog)


def test_a_limit_keeps_proportions_and_one_of_each_class():
    catalog = pd.concat([rows_of(eel=70, ray=25, crab=5), rows_of("test", eel=3), rows_of(problem="no box", eel=9)])
    few = limit_catalog(catalog, 10, seed=1)
    assert few[few["split"] == "train"]["class_name"].value_counts().to_dict() == {"eel": 7, "ray": 2, "crab": 1}
    assert (few["split"] == "test").sum() == 3 and (few["problem"] == "").all()
    assert few.equals(limit_catalog(catalog, 10, seed=1)) and not few.equals(limit_catalog(catalog, 10, seed=2))
    assert len(limit_catalog(catalog, 1000, seed=0)) == 103
    assert limit_catalog(catalog.iloc[:0], 5, seed=0).empty
    with pytest.raises(ValueError, match="Expected limit .* at least 1. Received: limit=0"):
        limit_catalog(catalog, 0, seed=0)


def test_a_limit_below_the_number_of_classes_keeps_the_same_classes_in_every_split():
    parts = [rows_of(eel=4, ray=3, crab=2), rows_of("test", crab=4, ray=3, eel=2), rows_of("validation", crab=3)]
    few = limit_catalog(pd.concat(parts), 2, seed=0)
    names = few.groupby("split")["class_name"].agg(lambda names: " ".join(sorted(names)))
    assert names.to_dict() == {"train": "crab eel", "test": "crab eel", "validation": "crab crab"}


def test_class_folders_of_links_leave_the_originals(tank, tmp_path):
    catalog = read_catalog(tank)
    folder = materialize(catalog, tmp_path / "by class")
    pairs = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    expected = catalog["split"] + "/" + catalog["class_name"] + "/" + catalog["image_id"].str.split("/").str[1]
    assert pairs == sorted(expected) and all(Path(path).is_file() for path in catalog["path"])
    again = read_catalog(manifest_of_folder(folder))
    assert again["class_name"].value_counts().to_dict() == catalog["class_name"].value_counts().to_dict()
    with pytest.raises(ValueError, match="is not empty"):
        materialize(catalog, folder)


def test_names_that_collide_and_odd_class_names_stay_apart_and_inside(tank, tmp_path):
    catalog = read_catalog(tank).iloc[:6].assign(split="train")
    same = catalog.assign(class_name="../eel/ray", path=catalog["path"].iloc[0])
    folder = materialize(same, tmp_path / "same")
    assert len(list(folder.rglob("*.jpg"))) == 6 == len(list((folder / "train" / "_eel_ray").iterdir()))
    classes = ["eel", "Eel", "EEL", "a/b", "a_b", "c"]
    folder = materialize(catalog.assign(class_name=classes), tmp_path / "case")
    homes = {path.name: path.parent.name for path in folder.rglob("*.jpg")}
    names = catalog["path"].map(lambda path: Path(path).name)
    assert names.map(homes).tolist() == ["eel_3", "Eel_2", "EEL", "a_b", "a_b_2", "c"]


def test_where_links_fail_the_file_is_copied(tank, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("another file system")

    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr("os.symlink", refuse)
    folder = materialize(read_catalog(tank), tmp_path / "copies")
    assert all(path.stat().st_nlink == 1 and not path.is_symlink() for path in folder.rglob("*.jpg"))
    monkeypatch.setattr("shutil.copy2", refuse)
    with pytest.raises(OSError, match="another file system"):
        materialize(read_catalog(tank), tmp_path / "nothing")


def labeled(layout: str, root: Path, classes: list[str]) -> Manifest:
    """A data set of a layout whose images 0.jpg, 1.jpg... are of these classes, with the names as they are."""
    images = [f"{name if layout == 'folders' else 'images'}/{number}.jpg" for number, name in enumerate(classes)]
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(root / image)
    names = list(dict.fromkeys(classes))
    if layout == "table":
        pd.DataFrame({"file": images, "class": classes}).to_csv(root / "labels.csv", index=False)
    if layout == "roboflow":
        table = pd.DataFrame({"filename": images, "class": classes}).assign(xmin=4, ymin=6, xmax=40, ymax=36)
        table.to_csv(root / "_annotations.csv", index=False)
    if layout == "cub":
        tables = {"images": [image.removeprefix("images/") for image in images], "classes": names}
        tables["image_class_labels"] = [names.index(name) + 1 for name in classes]
        for table, lines in tables.items():
            text = "".join(f"{number} {line}\n" for number, line in enumerate(lines, start=1))
            (root / f"{table}.txt").write_text(text, encoding="utf-8")
    if layout == "yolo":
        (root / "data.yaml").write_text(yaml.safe_dump({"names": names}), encoding="utf-8")
        (root / "labels").mkdir()
        for number, name in enumerate(classes):
            (root / "labels" / f"{number}.txt").write_text(f"{names.index(name)} .5 .5 .2 .2\n")
    return manifest_of_folder(root)


ODD = ["caf\u00e9  noir", "cafe\u0301 noir", " caf\u00e9 noir", "caf\u00e9\u00a0noir ", "NA", "001", "yes"]


@pytest.mark.parametrize("layout", ["folders", "table", "roboflow", "yolo", "cub"])
def test_class_names_are_compared_in_one_form_and_stay_text(tmp_path, layout):
    manifest = labeled(layout, tmp_path, ODD)
    if layout in ("yolo", "cub"):  # two numbers cannot be one class
        with pytest.raises(ValueError, match="caf\u00e9 noir"):
            read_catalog(manifest)
        return
    catalog = read_catalog(manifest)
    assert manifest.layout == layout and set(catalog["problem"]) == {""}
    assert catalog["class_name"].value_counts().to_dict() == {"caf\u00e9 noir": 4, "NA": 1, "001": 1, "yes": 1}


def test_groups_are_compared_in_one_form(tmp_path):
    for place in ("eel/cam\u00e9ra 1", "eel/came\u0301ra  1", "ray/cam\u00e9ra 1"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (64, 48)).save(tmp_path / place / "a.jpg")
    assert read_catalog(manifest_of_folder(tmp_path))["group"].tolist() == ["cam\u00e9ra 1"] * 3


@pytest.mark.parametrize("layout", ["folders", "table", "roboflow", "yolo", "cub"])
def test_names_that_differ_in_case_alone_are_refused_unless_they_are_to_be_merged(tmp_path, layout):
    manifest = labeled(layout, tmp_path, ["Cat", "cat", "cat", "dog", "Dog", "owl"])
    for read in (read_catalog, read_boxes):
        with pytest.raises(ValueError, match=r'"cat" \(2 images\) and "Cat" \(1\), "Dog" .* "dog" .*merge_case=True'):
            read(manifest)
    merged = find_data(data_dir=tmp_path, merge_case=True)
    catalog = read_catalog(merged)
    assert catalog["class_name"].value_counts().to_dict() == {"cat": 3, "Dog": 2, "owl": 1}
    assert set(class_names_of(catalog, merged)) == {"cat", "Dog", "owl"}
    assert set(read_boxes(merged)["class_name"]) in (set(), {"cat", "Dog", "owl"})


def test_the_class_names_of_a_manifest_are_the_spelling_that_merges(tmp_path):
    labeled("table", tmp_path / "images", ["Cat", "cat", "cat", "DOG"])
    text = 'name = "pets"\nlayout = "table"\nroot = "images"\nmerge_case = true\n'
    (tmp_path / "pets.toml").write_text(text + 'class_names = ["Cat", "dog ", "cat"]')
    manifest = load_manifest(tmp_path / "pets.toml")
    assert manifest.class_names == ("Cat", "dog")
    catalog = read_catalog(manifest)
    assert catalog["class_name"].tolist() == ["Cat", "Cat", "Cat", "dog"]
    assert class_names_of(catalog, manifest) == ("Cat", "dog")
    with pytest.raises(ValueError, match='"Cat" .1 images. and "cat" .2., "dog" .0 images. and "DOG" .1.'):
        read_catalog(replace(manifest, merge_case=False))


def test_empty_images_are_no_second_spelling_of_a_class(tmp_path):
    manifest = labeled("roboflow", tmp_path, ["Empty", "eel"])
    Image.new("RGB", (64, 48)).save(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match='"Empty" .* and "empty"'):
        read_catalog(manifest, images_without_boxes="empty")
