"""Every file of a data set is an image row, an annotation, or counted."""

import csv
import io
import os
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from marinecv.data.accounting import ANNOTATION, IMAGE, SYSTEM, count_files, reading_lines
from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers import reader_of
from marinecv.language import language

_file = io.BytesIO()
Image.new("RGB", (2, 3), (40, 90, 160)).save(_file, "PNG")
PIXEL = _file.getvalue()
NAMES = ("a.jpg", "b.JFIF", "c.tiff", "photo", "d.heic", "e.dat", "n.txt", "n.xml", "x.7", "Thumbs.db", "._a.jpg")
PLACES = ("{}", "{}/cam1", "{}/cam1/2021-05-03", "{}/@eaDir", "{}/.ipynb_checkpoints/deep", "{}/masks", "{}/images")
BESIDE = (".", "__MACOSX/cat", "extra", "extra/deep", "labels", "$RECYCLE.BIN", "notes")


def make_tree(root, rng):
    """Draw class folders, a labels.csv or Roboflow's CSV, with or without splits, among other files."""
    layout = rng.choice(["folders", "table", "roboflow"])
    splits = ["train/", "val/"] if rng.random() < 0.5 and layout != "table" else [""]
    classes = [f"{split}{name}" for split in splits for name in ("cat", "dog")]
    places = rng.choice([form.format(name) for name in classes for form in PLACES], 4)
    for place in dict.fromkeys([*places, *rng.choice(BESIDE, 2), *classes]):
        (root / place).mkdir(parents=True, exist_ok=True)
        for name in rng.choice(NAMES, rng.integers(1, 4), replace=False):
            (root / place / name).write_bytes(PIXEL if rng.random() < 0.8 else b"words")
    for split in splits:
        (root / split / "cat/sure.png").write_bytes(PIXEL)
        if layout == "roboflow":
            with open(root / split / "_annotations.csv", "w", newline="") as file:
                names = "filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"
                csv.writer(file).writerows([names, ("cat/sure.png", 2, 3, "cat", 0, 0, 2, 2)])
    if layout == "table":
        with open(root / "labels.csv", "w", newline="") as file:
            csv.writer(file).writerows([("file", "class"), ("cat/sure.png", "cat"), ("gone.jpg", "dog")])
    return layout


@pytest.mark.slow
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
        assert counts[SYSTEM] == sum(bool(re.search(r"/\.|@|\$|__MAC|Thumbs", file)) for file in files)
        assert counts[ANNOTATION] == sum(file.endswith(".csv") for file in files)
    assert min(layouts.values()) > 40


def draw(root, *names):
    """Write an image where a name ends in .png or .jpg, else text."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PIXEL if name.endswith(("png", "jpg")) else b"words")
    return manifest_of_folder(root)


CLASSES = ("cat/a.png", "dog/a.png")
OTHERS = tuple(f"cat/a.{letter}x" for letter in "abcdefghij")
ALL = ("train/cat/a.png", "val/cat/a.png", "old/eval/a.jpg", "old/b.jpg", "old/c.txt", "train/x.xml", "train/Thumbs.db")


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (CLASSES, ""),
        ((*CLASSES, "cat/a.xml", "dog/b.xml", "notes"), "not read: 2 .xml, 1 without a suffix"),
        ((*CLASSES, "dog/.DS_Store", "@eaDir/a.jpg"), "not read: 2 system files"),
        (ALL, "not read: folder old/ (2 images, 1 other), 1 .xml; 1 system file"),
        ((*CLASSES, *OTHERS), "not read: 1 .ax, 1 .bx, .* 1 .hx, 2 files in 2 other kinds and folders"),
    ],
)
def test_a_line_counts_what_is_not_read(tmp_path, files, line):
    manifest = draw(tmp_path, *files)
    lines = reading_lines(manifest, read_catalog(manifest))
    assert len(lines) == bool(line)
    assert re.fullmatch(line.replace("(", r"\(").replace(")", r"\)"), "".join(lines))


@pytest.mark.parametrize(
    ("places", "name"),
    [
        (("Felidae/Felis catus", "Felidae/Lynx lynx", "Canidae/Canis lupus"), "Canis lupus"),
        (("cat/north", "cat/west", "dog/north", "dog/west"), "north"),
    ],
)
def test_a_line_says_how_nested_folders_are_read_where_names_alone_decided(tmp_path, places, name):
    manifest = draw(tmp_path, *(f"{place}/a.png" for place in places))
    [line] = reading_lines(manifest, read_catalog(manifest))
    assert f", such as {name} (else: class_level=" in line
    with language("pseudo"):  # all words but the name
        assert re.sub("⟦.*?⟧", "", reading_lines(manifest, read_catalog(manifest))[0]) == name
    chosen = replace(manifest, class_level="first")
    assert reading_lines(chosen, read_catalog(chosen)) == []


def test_files_beside_a_lone_folder_of_an_archive_count_too(tmp_path):
    manifest = draw(tmp_path, "top/cat/a.png", "top/dog/a.png", "LICENSE")
    assert manifest.root == tmp_path / "top"
    assert reading_lines(manifest, read_catalog(manifest)) == ["not read: 1 without a suffix"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_folders_count_as_files_unless_they_are_class_folders(tmp_path):
    draw(tmp_path, "far/a.png", "data/train/cat/a.png")
    os.symlink(tmp_path / "far", tmp_path / "data/train/dog")
    os.symlink(tmp_path / "far", tmp_path / "data/elsewhere")
    manifest = manifest_of_folder(tmp_path / "data")
    catalog = read_catalog(manifest)
    assert catalog["class_name"].tolist() == ["cat", "dog"]
    assert reading_lines(manifest, catalog) == ["not read: 1 without a suffix"]
