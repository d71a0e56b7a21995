"""Every file of a data set is an image row, an annotation, or counted."""

import csv
import io
import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from marinecv.data.accounting import ANNOTATION, IMAGE, SYSTEM, count_files, reading_lines
from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers import reader_of


def pixel(format="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (2, 3), (40, 90, 160)).save(file, format)
    return file.getvalue()


PIXEL = pixel()
NAMES = (
    "a.jpg",
    "b.JFIF",
    "c.tiff",
    "photo",
    "d.heic",
    "e.dat",
    "n.txt",
    "n.xml",
    "x.7",
    "Thumbs.db",
    "._a.jpg",
    ".DS_Store",
)
PLACES = ("{}", "{}/cam1", "{}/cam1/2021-05-03", "{}/@eaDir", "{}/.ipynb_checkpoints/deep", "{}/masks", "{}/images")
BESIDE = (".", "__MACOSX/cat", "extra", "extra/deep", "labels", "$RECYCLE.BIN", "notes")


def make_tree(root, rng):
    """Draw class folders, a labels.csv or Roboflow's CSV, with or without splits, among other files."""
    layout = rng.choice(["folders", "labels_csv", "roboflow"])
    splits = ["train/", "val/"] if rng.random() < 0.5 and layout != "labels_csv" else [""]
    places = [f"{split}{form.format(name)}" for split in splits for name in ("cat", "dog") for form in PLACES]
    places = [
        *rng.choice(places, 4),
        *rng.choice(BESIDE, 2),
        *(f"{split}{name}" for split in splits for name in ("cat", "dog")),
    ]
    for place in dict.fromkeys(places):
        (root / place).mkdir(parents=True, exist_ok=True)
        for name in rng.choice(NAMES, rng.integers(1, 4), replace=False):
            (root / place / name).write_bytes(PIXEL if rng.random() < 0.8 else b"words")
    for split in splits:
        (root / split / "cat/sure.png").write_bytes(PIXEL)
        if layout == "roboflow":
            with open(root / split / "_annotations.csv", "w", newline="") as file:
                names = "filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"
                csv.writer(file).writerows([names, ("cat/sure.png", 2, 3, "cat", 0, 0, 2, 2)])
    if layout == "labels_csv":
        with open(root / "labels.csv", "w", newline="") as file:
            csv.writer(file).writerows([("file", "class"), ("cat/sure.png", "cat"), ("gone.jpg", "dog")])
    return layout


def test_image_rows_annotations_and_counted_files_are_all_files_of_200_trees(tmp_path):
    rng, layouts = np.random.default_rng(0), Counter()
    for number in range(200):
        root = tmp_path / str(number)
        layout = make_tree(root, rng)
        manifest = manifest_of_folder(root)
        if layout != "folders":
            assert manifest.layout == layout
        images, _ = reader_of(manifest.layout).read(replace(manifest, class_level="first"))
        counts, layouts = count_files(manifest, images), layouts + Counter([manifest.layout])
        files = [os.path.join(here, name) for here, _, names in os.walk(root) for name in names]
        rows = [path for path in images["path"] if os.path.lexists(path)]
        assert counts.total() == len(files) and counts[IMAGE] == len(rows) == len(set(rows))
        assert counts[SYSTEM] == sum(
            any(word in file for word in ("/.", "@", "$", "__MAC", "Thumbs")) for file in files
        )
        assert counts[ANNOTATION] == sum(file.endswith(".csv") for file in files)
    assert min(layouts.values()) > 40


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"cat/a.png": 1, "dog/a.png": 1}, ""),
        (
            {"cat/a.png": 1, "dog/a.png": 1, "cat/a.xml": 0, "dog/b.xml": 0, "notes": 0},
            "not read: 2 .xml, 1 without a suffix",
        ),
        ({"cat/a.png": 1, "dog/.DS_Store": 0, "@eaDir/a.jpg": 1}, "not read: 2 system files"),
        (
            {
                "train/cat/a.png": 1,
                "val/cat/a.png": 1,
                "old/eval/a.jpg": 1,
                "old/b": 1,
                "old/c.txt": 0,
                "train/x.xml": 0,
                "train/Thumbs.db": 0,
            },
            "not read: folder old/ (2 images, 1 other), 1 .xml; 1 system file",
        ),
        (
            {"cat/a.png": 1, **{f"cat/a.{letter}x": 0 for letter in "abcdefghij"}},
            "not read: 1 .ax, 1 .bx, 1 .cx, 1 .dx, 1 .ex, 1 .fx, 1 .gx, 1 .hx, 2 files in 2 other kinds and folders",
        ),
    ],
)
def test_what_is_not_read_is_said_in_a_line(tmp_path, files, line):
    for name, is_image in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PIXEL if is_image else b"words")
    manifest = manifest_of_folder(tmp_path)
    assert reading_lines(manifest, read_catalog(manifest)) == [line] * bool(line)


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        (
            ("Felidae/Felis catus", "Felidae/Lynx lynx", "Canidae/Canis lupus"),
            "the last folders of a taxonomy, such as Canis",
        ),
        (("cat/north", "cat/west", "dog/north", "dog/west"), "are groups of images, such as north"),
    ],
)
def test_how_nested_folders_are_read_is_said_where_names_alone_decided(tmp_path, places, sentence):
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.png").write_bytes(PIXEL)
    manifest = manifest_of_folder(tmp_path)
    [line] = reading_lines(manifest, read_catalog(manifest))
    assert sentence in line and "--class-level" in line
    chosen = replace(manifest, class_level="first")
    assert reading_lines(chosen, read_catalog(chosen)) == []


def test_files_beside_a_lone_folder_of_an_archive_count_too(tmp_path):
    for name in ("top/cat/a.png", "top/dog/a.png", "LICENSE"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PIXEL if name.endswith("png") else b"words")
    manifest = manifest_of_folder(tmp_path)
    assert manifest.root == tmp_path / "top"
    assert reading_lines(manifest, read_catalog(manifest)) == ["not read: 1 without a suffix"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_folders_count_as_files_unless_they_are_class_folders(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.png").write_bytes(PIXEL)
    (tmp_path / "data/train/cat").mkdir(parents=True)
    (tmp_path / "data/train/cat/a.png").write_bytes(PIXEL)
    os.symlink(tmp_path / "far", tmp_path / "data/train/dog")
    os.symlink(tmp_path / "far", tmp_path / "data/elsewhere")
    manifest = manifest_of_folder(tmp_path / "data")
    catalog = read_catalog(manifest)
    assert catalog["class_name"].tolist() == ["cat", "dog"]
    assert reading_lines(manifest, catalog) == ["not read: 1 without a suffix"]
