"""CVAT for images 1.1: tags, boxes and other shapes, the attribute species, subsets, and tracks, which are refused."""

from xml.sax.saxutils import quoteattr

import pytest
from PIL import Image

from marinecv.data.accounting import reading_lines
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.manifests import manifest_of_folder

BOX = '<box label="{label}" occluded="0" xtl="10.5" ytl="6" xbr="40.5" ybr="16" z_order="0"{more}</box>'
FOX, OWL = (BOX.format(label=label, more=">") for label in ("fox", "owl"))
SPECIES = '><attribute name="Species">{}</attribute>'


def draw(path, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path)


def write(path, images, extra=""):
    """Write `annotations.xml` of {name: children} or {(name, subset): children}."""
    texts = []
    for number, (name, children) in enumerate(images.items()):
        name, subset = name if isinstance(name, tuple) else (name, "")
        words = f"id=\"{number}\" name={quoteattr(name)} width='64' height='48'"
        texts.append(f"<image {words}{f' subset={quoteattr(subset)}' * bool(subset)}>{children}</image>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotations><version>1.1</version><meta/>{''.join(texts)}{extra}</annotations>", "utf-8")


def read(root):
    manifest = manifest_of_folder(root)
    assert manifest.layout == "cvat"
    catalog = read_catalog(manifest)
    return catalog.set_index("image_id"), read_boxes(manifest), " ".join(reading_lines(manifest, catalog))


@pytest.mark.parametrize(
    ("shape", "corners"),
    [
        (FOX, [10.5, 6, 40.5, 16]),
        (BOX.format(label="fox", more=' rotation="90">'), [20.5, 0, 30.5, 26]),
        (BOX.format(label="fox", more=' rotation="180.0">'), [10.5, 6, 40.5, 16]),
        ('<polygon label="fox" points="3.5,4;20,9.25;1,30" occluded="0"/>', [1, 4, 20, 30]),
        ('<mask label="fox" rle="3, 4" left="3" top="5" width="10" height="20"/>', [3, 5, 13, 25]),
        ('<box label="fox" xtl="-3" ytl="6" xbr="70" ybr="16"/>', [0, 6, 64, 16]),
    ],
)
def test_the_bounding_box_of_a_shape(tmp_path, shape, corners):
    draw(tmp_path / "images" / "a.jpg")
    write(tmp_path / "annotations.xml", {"a.jpg": shape})
    catalog, boxes, _ = read(tmp_path)
    assert boxes[CORNERS].iloc[0].tolist() == pytest.approx(corners) and catalog["class_name"].tolist() == ["fox"]


@pytest.mark.parametrize(
    "shape",
    [
        '<points label="fox" points="3,4"/>',
        '<polygon label="fox" points="3,4;5"/>',
        '<mask label="fox" left="3" top="x" width="1" height="2"/>',
        '<box label="" xtl="1" ytl="6" xbr="7" ybr="16"/>',
        BOX.format(label="fox", more=' rotation="east">'),
    ],
)
def test_a_shape_without_a_box_is_a_problem(tmp_path, shape):
    draw(tmp_path / "a.jpg")
    write(tmp_path / "annotations.xml", {"a.jpg": FOX + shape})
    assert read(tmp_path)[1]["problem"].str.contains("bad row .*expected").tolist() == [False, True]


KUDU, NO_SPECIES = BOX.format(label="animal", more=SPECIES.format(" kudu ")), BOX.format(label="animal", more=">")
TAG = '<tag label="{}" source="manual"></tag>'


@pytest.mark.parametrize(
    ("children", "classes", "sentence"),
    [
        (
            [KUDU, FOX.replace(">", SPECIES.format("red fox"), 1)],
            ["kudu", "red fox"],
            "the attribute 'species' (2 of 2)",
        ),
        ([KUDU, NO_SPECIES], ["animal", "animal"], "labels, as some boxes lack the attribute 'species' (1 of 2)"),
        ([KUDU, BOX.format(label="owl", more=SPECIES.format(""))], ["animal", "owl"], "(1 of 2)"),
        ([TAG.format("fox"), TAG.format("owl")], ["fox", "owl"], ""),
        ([TAG.format("fox"), OWL], ["fox", "owl"], ""),
        ([TAG.format("fox") + FOX + OWL, OWL], ["fox", "owl"], ""),
        ([TAG.format("night") + FOX, TAG.format("night")], ["fox", ""], "Tags are no classes here"),
        ([TAG.format("night") + TAG.format("fox") + FOX, OWL], ["fox", "owl"], "Tags are no classes here"),
        ([TAG.format("fox") + TAG.format("owl"), OWL], ["", "owl"], ""),
        ([TAG.format("fox") + TAG.format("fox"), OWL], ["fox", "owl"], ""),
    ],
)
def test_what_gives_the_class_is_decided_for_the_file_and_said(tmp_path, children, classes, sentence):
    for name in "ab":
        draw(tmp_path / "images" / f"{name}.jpg")
    write(tmp_path / "annotations.xml", {f"{name}.jpg": each for name, each in zip("ab", children, strict=True)})
    catalog, _, said = read(tmp_path)
    assert catalog["class_name"].tolist() == classes and sentence in said and bool(sentence) == bool(said)
    assert catalog["problem"].tolist() == [
        "" if name else "no box" if "night" in each else "names several classes: fox, owl"
        for name, each in zip(classes, children, strict=True)
    ]


@pytest.mark.parametrize(
    ("named", "image", "split"),
    [
        (("siteA/0001.JPG", "train"), "images/siteA/0001.JPG", "train"),
        (("siteA/0001", "Validation"), "images/siteA/0001.png", "validation"),  # a frame of a video
        (("a.jpg", "Test"), "images/Test/a.jpg", "test"),
        (("a.jpg", "north"), "north/a.jpg", ""),
        ("C:\\data\\cam 2\\é.jpg", "cam 2/e\u0301.jpg", ""),
    ],
)
def test_an_image_is_found_by_subset_and_name(tmp_path, named, image, split):
    for path in (image, "other/a.jpg", "other/0001.png"):
        draw(tmp_path / path)
    write(tmp_path / "annotations.xml", {named: FOX})
    catalog, _, said = read(tmp_path)
    assert catalog.loc[image, ["class_name", "split", "problem"]].tolist() == ["fox", split, ""]
    assert set(catalog["problem"].drop(image)) == {"no annotation names it"}
    assert ("Subsets that are no split: north." in said) == ("north" in named)


def test_several_files_are_splits_by_their_names_and_tracks_are_refused(tmp_path):
    for name in ("train", "val"):
        draw(tmp_path / "images" / f"{name}.jpg")
        write(tmp_path / f"{name}.xml", {f"{name}.jpg": FOX})
    catalog, boxes, _ = read(tmp_path)
    assert catalog["split"].tolist() == ["train", "validation"] and boxes["source"].iloc[0] == "train.xml:image 0"
    write(tmp_path / "val.xml", {}, extra='<track id="0" label="fox"><box frame="0"/></track>')
    with pytest.raises(ValueError, match="val.xml has tracks, of a video"):
        read(tmp_path)
