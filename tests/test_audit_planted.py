"""A made data set with every defect planted: each is found, the right images are named, and a clean set has none."""

import io
from collections import defaultdict
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from pages import assert_self_contained, open_in_browser, untranslated
from PIL import Image, ImageFilter
from scenes import CHANGES, draw_scene, save

import marinecv as mcv
from marinecv.audit.findings import BAD_ROWS, SERIOUS, WHY_AND_TODO
from marinecv.audit.label_findings import label_error_findings
from marinecv.audit.run_audit import list_findings
from marinecv.data.boxes import bad_row
from marinecv.data.readers.folders import NO_FOLDER
from marinecv.evaluation.label_errors import NEAREST_COLUMNS
from marinecv.files.csv_tables import read_table
from marinecv.language import language
from marinecv.report.audit_page import write_audit_report
from pipelines.cli import main

CLASSES = ("crab", "eel", "ray")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"
FOLDERS = {"train": 20, "valid": 4, "test": 4}


class Tank:
    """Roboflow's CSV layout, filled image by image; an image has two boxes of its class unless others are given."""

    def __init__(self, root: Path):
        self.root, self.rows = root, defaultdict(lambda: [HEADER])

    def add(self, image_id: str, picture: Image.Image, class_name: str, boxes: tuple = ()) -> str:
        save(picture, self.root / image_id)
        self.label(image_id, picture.size, class_name, boxes)
        return image_id

    def label(self, image_id: str, size: tuple[int, int], class_name: str, boxes: tuple = ()):
        folder, name = image_id.split("/")
        w, h = size
        own = ((class_name, 4, 4, w // 2, h // 2), (class_name, w // 2, h // 2, w - 4, h - 4))
        self.rows[folder] += [",".join(map(str, (name, w, h, *box))) for box in boxes or own]

    def close(self) -> Path:
        for folder, rows in self.rows.items():
            (self.root / folder / "_annotations.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return self.root


def draw_clean(root: Path) -> Tank:
    """3 classes, 20 + 4 + 4 images each: as many places; no number in a name."""
    tank, seed = Tank(root), 0
    for folder, count in FOLDERS.items():
        for class_name, number in product(CLASSES, range(count)):
            seed += 1
            tank.add(f"{folder}/{class_name}_{LETTERS[number]}.jpg", draw_scene(seed, seed), class_name)
    return tank


def plant(tank: Tank) -> dict[str, set]:
    """Add every defect; return what each finding must name: images, or pairs of them."""
    root, expected, seed = tank.root, defaultdict(set), iter(range(500, 900))

    def scene(**options):
        number = next(seed)
        return draw_scene(number, number, **options)

    # A video: 8 places of 8 frames; of each the first and the fifth are judged.
    for place, frame in product(range(8), range(8)):
        folder = "train" if frame % 4 else ("valid", "test")[place % 2]
        name = f"{folder}/dive_{100 * place + frame:04d}.jpg"
        tank.add(name, draw_scene(300 + place, 3000 + 10 * place + frame), CLASSES[place % 3])
        if folder != "train":
            expected["neighboring frames across splits"].add(name)

    (root / "train" / "text.jpg").write_text("no image")
    tank.label("train/text.jpg", (160, 120), "eel")
    whole = io.BytesIO()
    scene().save(whole, "JPEG", quality=92)
    (root / "train" / "short.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    tank.label("train/short.jpg", (160, 120), "crab")
    expected["files that cannot be read"] = {"train/text.jpg", "train/short.jpg"}

    originals = iter(f"train/{class_name}_{letter}.jpg" for class_name in CLASSES for letter in LETTERS[:20])
    original = next(originals)
    (root / "test" / "same.jpg").write_bytes((root / original).read_bytes())
    tank.label("test/same.jpg", (160, 120), "crab")
    expected["copies across splits"].add((original, "test/same.jpg"))
    for number, (name, change) in enumerate(CHANGES.items()):
        original, folder = next(originals), ("test", "valid")[number % 2]
        copy = tank.add(f"{folder}/{name}.jpg", change(Image.open(root / original)), original[6:].partition("_")[0])
        expected["copies across splits"].add((original, copy))
    original = next(originals)
    copy = tank.add("train/within.jpg", CHANGES["re_encoded"](Image.open(root / original)), "crab")
    expected["copies within a split"].add((original, copy))
    copy = tank.add("train/other.jpg", CHANGES["resized"](Image.open(root / "train" / "ray_a.jpg")), "eel")
    expected["one picture under two labels"].add(("train/ray_a.jpg", copy))

    dark = tank.add("train/dark.jpg", scene().point(lambda level: level * 0.06), "crab")
    bright = tank.add("train/bright.jpg", scene().point(lambda level: 255 - (255 - level) * 0.1), "crab")
    fog = tank.add("train/fog.jpg", scene().point(lambda level: 120 + level * 0.03), "crab")
    expected["dark, bright or flat images"] = {dark, bright, fog}
    blurred = tank.add("train/blurred.jpg", scene().filter(ImageFilter.GaussianBlur(6)), "crab")
    expected["blurred images"] = {blurred}
    sizes = {"tiny": (40, 30), "strip": (480, 100), "huge": (900, 700)}
    added = {tank.add(f"train/{name}.jpg", scene(size_wh=size), "crab") for name, size in sizes.items()}
    expected["images of an odd size"] = added

    for letter in LETTERS[:3]:
        tank.add(f"train/squid_{letter}.jpg", scene(), "squid")
    expected["classes with few train images"] = {"train/squid_a.jpg"}
    expected["uneven classes"] = set()
    whales = {tank.add(f"test/whale_{letter}.jpg", scene(), "whale") for letter in LETTERS[:2]}
    expected["classes that train lacks"] = whales

    save(scene(), root / "train" / "boxless.jpg")
    expected["images without a box"] = {"train/boxless.jpg"}
    box = ("eel", 10, 10, 60, 60)
    odd = {
        "flat": (box, ("eel", 70, 70, 70, 90)),
        "twice": (box, box),
        "edge": (box, ("eel", 100, 60, 200, 110)),
        "speck": (box, ("eel", 80, 80, 82, 84)),
        "whole": (("eel", 0, 0, 160, 120),),
    }
    expected["odd boxes"] = {tank.add(f"train/{name}.jpg", scene(), "eel", boxes) for name, boxes in odd.items()}
    draw = (("eel", 10, 10, 50, 50), ("ray", 60, 10, 99, 50))
    expected["low-margin dominant class"] = {tank.add("train/draw.jpg", scene(), "eel", draw)}
    # Two rays of 20x20: score 1600, area 800; one eel of 30x30: both 900.
    flips = (("ray", 4, 4, 24, 24), ("ray", 30, 4, 50, 24), ("eel", 60, 60, 90, 90))
    expected["labels that another rule changes"] = {tank.add("train/flips.jpg", scene(), "ray", flips)}
    return expected


@pytest.fixture(scope="module", autouse=True)
def no_weights(tmp_path_factory):
    """What is found must not depend on the weights that lie on a machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The folder of an audit of the planted tank, what it must have found, and its exit code with --strict."""
    root = tmp_path_factory.mktemp("planted")
    tank = draw_clean(root / "tank")
    expected = plant(tank)
    words = ["audit", "--data-dir", str(tank.close()), "--output-dir", str(root / "out"), "--strict"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARINECV_HOME", str(root / "home"))
        return root / "out", expected, main(words)


def named(folder: Path, finding: str) -> set:
    """The images or pairs that a finding's cases name."""
    cases = read_table(folder / "cases.csv").query("finding == @finding")
    pairs = [tuple(sorted(filter(None, pair))) for pair in zip(cases["image_id"], cases["other"], strict=True)]
    return {pair if len(pair) > 1 else pair[0] for pair in pairs}


def test_every_planted_defect_is_found_and_the_right_images_are_named(planted):
    folder, expected, code = planted
    found = read_table(folder / "findings.csv").set_index("finding")
    assert set(found.index) == {*expected, "train-test leakage"}
    for finding, right in expected.items():
        names = named(folder, finding)
        if finding == "neighboring frames across splits":  # beside each its neighbor in train
            names = {image for pair in names for image in pair if not image.startswith("train/")}
        assert names == {tuple(sorted(pair)) if isinstance(pair, tuple) else pair for pair in right}, finding
    assert set(found.index[found["serious"] == "yes"]) == {*SERIOUS} - {BAD_ROWS}
    pairs = read_table(folder / "cases.csv").query("other != ''")
    assert len(pairs) and not pairs.duplicated(["image_id", "other"]).any()  # a pair stands under one finding
    assert code == 1 and found["serious"].is_monotonic_decreasing  # yes before no
    assert all(found[text].str.endswith(".").all() for text in ("what", "why", "todo"))
    assert "8 of 24 validation images and 8 of 28 test" in found.loc["neighboring frames across splits", "what"]
    assert "10 pairs of copies (1 exact, 9 near)" in found.loc["copies across splits", "what"]


def test_the_page_opens_in_a_browser_and_shows_findings_and_pairs(planted, tmp_path):
    folder, expected, _ = planted
    page = folder / "report.html"
    opened, complaints = open_in_browser(page, tmp_path)
    assert not complaints
    assert_self_contained(page.read_text(encoding="utf-8"))
    for finding in expected:
        assert f"<h3>{finding[0].upper()}{finding[1:]}" in opened
    assert opened.index("<h3>Train-test leakage") < opened.index("Copies within a split")
    section = opened.partition("<h3>Copies across splits")[2].partition("<h3>")[0]
    across = expected["copies across splits"]
    shown = [pair for pair in across if all(f'alt="{image}, ' in section for image in pair)]
    assert len(shown) == 8 == len(across) - 2
    for pair in shown:
        in_order = sorted(pair, key=lambda name: "train" not in name)
        first, second = (section.index(f'alt="{image}, ') for image in in_order)
        assert second - first > 0 and section.count("<img", first, second) == 1  # side by side
    assert "validation: crab" in opened and "8 more are in cases.csv." in opened
    assert str(folder.parent) not in opened
    assert opened.count("<img") == opened.count('alt="') and 'alt=""' not in opened
    names = {path.stem for path in folder.glob("*.csv")}
    assert {"pairs", "crossing", "quality", "findings", "cases", "leak", "votes", "label_flips"} <= names


@pytest.mark.slow
def test_every_text_of_an_audit_page_can_be_translated(planted, tmp_path, monkeypatch, missing):
    folder, _, _ = planted
    monkeypatch.setenv("MARINECV_HOME", str(folder.parent / "home"))
    audit = mcv.audit(folder.parent / "tank", lang="pseudo", log=None)
    catalog, boxes = audit.catalog.assign(taken_at=""), audit.boxes  # with the kinds of findings that were not planted
    catalog.loc[catalog["image_id"] == "train/fog.jpg", "problem"] = NO_FOLDER
    catalog.loc[0, "taken_at"] = "2000-01-01T00:00:00"
    boxes.loc[0, "problem"] = bad_row("a,b", "its class is missing")
    errors = dict.fromkeys(NEAREST_COLUMNS, catalog["image_id"][1])
    errors |= {"image_id": catalog["image_id"][0], "given_class": "eel", "suggested_class": "ray", "probability": 0.9}
    tables = audit.tables | {"label_errors": pd.DataFrame([errors])}
    for name in ("pseudo", "es"):
        with language(name):
            found = list_findings(catalog, boxes, tables, audit.leak)
            found += label_error_findings(tables["label_errors"], len(catalog))
            given = (catalog, boxes, tables, found, audit.leak, audit.reviewed)
            (tmp_path / name).mkdir()
            page = write_audit_report(tmp_path / name, "tank", *given).read_text(encoding="utf-8")
        if name == "pseudo":
            assert {finding.name for finding in found} == set(WHY_AND_TODO)
            data = {*catalog["image_id"], *boxes["source"], *boxes["class_name"], "tank", "a,b", catalog["taken_at"][0]}
            assert not untranslated(page, data)
    assert missing == {"a,b'", "image file is truncated", "{} bytes not processed)"}  # a row, and words of Pillow
    assert "Fuga de datos" in page and "Divida con" in page and "similitud 0," in page


def test_a_clean_set_has_no_finding_and_passes_strict(tmp_path, capsys):
    folder = draw_clean(tmp_path / "tank").close()
    assert main(["audit", "--data-dir", str(folder), "--output-dir", str(tmp_path / "out"), "--strict"]) == 0
    assert read_table(tmp_path / "out" / "findings.csv").empty
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "84 files" in page and "neighboring frames: none found" in page and "near-duplicates by hashes and" in page
    printed = capsys.readouterr().out
    assert "serious: nothing" in printed and "worth a look: nothing" in printed


def test_the_findings_of_a_set_without_splits_are_those_of_a_random_split(tmp_path, capsys):
    for place, frame in product(range(12), range(8)):
        picture = draw_scene(300 + place, 3000 + 10 * place + frame)
        save(picture, tmp_path / "tank" / CLASSES[place % 3] / f"dive_{100 * place + frame:04d}.jpg")
    folder = tmp_path / "out"
    assert main(["audit", str(tmp_path / "tank"), "--output-dir", str(folder), "--strict"]) == 0
    found = read_table(folder / "findings.csv").set_index("finding")
    for name in ("neighboring frames across splits", "train-test leakage"):
        assert found.loc[name, "what"].startswith("Under a random split, ")
        assert 'split_by="grouped"' in found.loc[name, "todo"]
    assert "--split-by grouped" in capsys.readouterr().out and not (found["serious"] == "yes").any()
    assert "neighboring frames: by number" in (folder / "report.html").read_text(encoding="utf-8")
    main(["audit", "--data-dir", str(tmp_path / "tank"), "--output-dir", f"{folder}2", "--frame-order", "none"])
    assert "neighboring frames" not in capsys.readouterr().out.rpartition("Median noise")[2]
    assert "not searched for" in (tmp_path / "out2" / "report.html").read_text(encoding="utf-8")
