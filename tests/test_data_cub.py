"""The layout of CUB-200-2011: tables that are joined by number, and images that may be there only in part."""

import shutil

import pytest
from PIL import Image

from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import class_names_of, read_boxes, read_catalog
from marinecv.data.download import verify
from marinecv.data.locate import locate
from marinecv.data.manifests import Manifest, load_manifest, manifest_of_folder
from marinecv.data.readers.cub import NO_FILE, UNNAMED, absent_classes, cub_images, read_numbered
from marinecv.data.splits import split_catalog

TABLES = {
    "images.txt": "1 001.Zebra_Finch/a.jpg\n2 001.Zebra_Finch/b c.jpg\n3 002.Auk/a.jpg\n"
    "4 003.Owl/a.jpg\n5 003.Owl/b.jpg\n",
    "classes.txt": "1 001.Zebra_Finch\n2 002.Auk\n3 003.Owl\n",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n4 3\n5 3\n",
    "train_test_split.txt": "5 1\n4 1\n3 1\n2 0\n1 1\n",
    "bounding_boxes.txt": "1 4.0 6.0 30.0 20.0\n2 0 0 10 10\n3 40.0 1.0 60.0 5.0\n4 0 0 1 1\n5 0 0 1 1\n",
}
REST = "2 1 2 3 4\n3 1 2 3 4\n4 1 2 3 4\n5 1 2 3 4\n"  # of the boxes
SIZES = {"001.Zebra_Finch/a.jpg": (64, 48), "001.Zebra_Finch/b c.jpg": (50, 60), "002.Auk/a.jpg": (70, 30)}


def draw_cub(root, **tables):
    """Three classes, the third without an image; the first sorts behind the second by name."""
    for name, text in {**TABLES, **{f"{key}.txt": text for key, text in tables.items()}}.items():
        root.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (root / name).write_text(text, encoding="utf-8")
    for name, size in SIZES.items():
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 120, 60)).save(root / "images" / name)
    return root


@pytest.fixture
def birds(tmp_path):
    return manifest_of_folder(draw_cub(tmp_path / "birds"))


def test_images_are_joined_with_class_split_and_size(birds):
    assert birds.layout == "cub"
    catalog = read_catalog(birds)
    assert catalog["image_id"].tolist() == [
        "images/001.Zebra_Finch/a.jpg",
        "images/002.Auk/a.jpg",
        "images/001.Zebra_Finch/b c.jpg",
    ]
    assert catalog["class_name"].tolist() == ["Zebra Finch", "Auk", "Zebra Finch"]
    assert catalog["split"].tolist() == ["train", "train", "test"]
    assert [*zip(catalog["width"], catalog["height"], strict=True)] == [(64, 48), (70, 30), (50, 60)]
    assert set(catalog["share"]) == {1.0} and set(catalog["problem"]) == {""} and set(catalog["group"]) == {""}


def test_classes_are_in_the_order_of_their_numbers(birds):
    assert class_names_of(read_catalog(birds), birds) == ("Zebra Finch", "Auk")


def test_boxes_become_corners_clipped_at_the_edge_with_their_line(birds):
    boxes = read_boxes(birds)
    assert boxes[CORNERS].to_numpy().tolist() == [[4, 6, 34, 26], [0, 0, 10, 10], [40, 1, 70, 6]]
    assert boxes["clipped"].tolist() == [False, False, True]
    assert boxes["source"].tolist() == [f"bounding_boxes.txt:{line}" for line in (1, 2, 3)]
    assert boxes["class_name"].tolist() == ["Zebra Finch", "Zebra Finch", "Auk"]


def test_a_label_is_the_tables_whatever_the_box(tmp_path):
    flat = TABLES["bounding_boxes.txt"].replace("1 4.0 6.0 30.0 20.0", "1 4.0 6.0 0 0")
    catalog = read_catalog(manifest_of_folder(draw_cub(tmp_path, bounding_boxes=flat)))
    assert catalog["problem"].tolist() == ["", "", ""]


def test_without_a_split_and_boxes_there_are_none(tmp_path):
    manifest = manifest_of_folder(draw_cub(tmp_path, train_test_split=None, bounding_boxes=None))
    assert set(read_catalog(manifest)["split"]) == {""} and read_boxes(manifest).empty


def test_the_published_split_has_validation_carved_from_train(tmp_path):
    images = [f"{number} 00{number % 2 + 1}.x/{number}.png" for number in range(40)]
    tables = {
        "images": images,
        "classes": ["1 001.x", "2 002.y"],
        "image_class_labels": [f"{number} {number % 2 + 1}" for number in range(40)],
        "train_test_split": [f"{number} {int(number < 30)}" for number in range(40)],
        "bounding_boxes": [f"{number} 0 0 1 1" for number in range(40)],
    }
    root = draw_cub(tmp_path, **{name: "\n".join(lines) for name, lines in tables.items()})
    shutil.rmtree(root / "images")
    for line in images:
        (root / "images" / line.split()[1]).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(root / "images" / line.split()[1])
    split = split_catalog(read_catalog(manifest_of_folder(root)))
    assert split["split"].value_counts().to_dict() == {"train": 26, "test": 10, "validation": 4}


def test_classes_without_any_image_are_left_out_and_counted(birds, capsys):
    assert absent_classes(birds).to_dict() == {"Owl": 2}
    assert cub_images(birds)["at_hand"].tolist() == [True, True, True, False, False]
    locate(data_dir=birds.root, say=print)
    assert "1 of 3 classes of birds have no image here: the 2 images that its tables name" in capsys.readouterr().out


def test_an_absent_image_and_one_that_no_table_names_are_rows_that_say_so(birds):
    (birds.root / "images" / "001.Zebra_Finch" / "a.jpg").rename(birds.root / "images" / "002.Auk" / "other.jpg")
    problems = read_catalog(birds).set_index("image_id")["problem"]
    assert problems["images/001.Zebra_Finch/a.jpg"] == NO_FILE
    assert problems["images/002.Auk/other.jpg"] == UNNAMED
    assert (problems == "").sum() == 2


def test_only_the_classes_that_a_manifest_names_are_read_under_its_names(birds, tmp_path):
    (birds.root / "images" / "001.Zebra_Finch" / "other.jpg").write_bytes(b"")
    (tmp_path / "auks.toml").write_text('name = "auks"\nlayout = "cub"\nfolder_classes = {"002.Auk" = "great auk"}\n')
    manifest = locate(str(tmp_path / "auks.toml"), birds.root)
    assert manifest.class_names == ("great auk",)
    assert read_catalog(manifest)["class_name"].tolist() == ["great auk"]
    assert read_boxes(manifest)["class_name"].tolist() == ["great auk"]
    assert absent_classes(manifest).empty


def test_a_class_that_the_tables_do_not_name_cannot_be_read(birds):
    manifest = Manifest(name="owls", layout="cub", root=birds.root, folder_classes={"004.Owl": "owl"})
    with pytest.raises(ValueError, match=r"reads the class '004.Owl', which .*classes.txt does not name"):
        read_catalog(manifest)


def test_two_classes_of_one_readable_name_are_refused(tmp_path):
    manifest = manifest_of_folder(draw_cub(tmp_path, classes="1 001.Auk\n2 002.Auk\n3 003.Owl\n"))
    with pytest.raises(ValueError, match='001.Auk and 002.Auk of .* would both be called "Auk".*folder_classes'):
        read_catalog(manifest)


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("images", "1 ../../a.jpg\n", "Line 1 of .*images.txt names '../../a.jpg'. Expected a file below images/"),
        ("images", "1 /etc/a.jpg\n", "names '/etc/a.jpg'. Expected a file below"),
        ("images", "1 a.jpg\n\n1 b.jpg\n", "Line 3 of .*images.txt gives 1 again"),
        ("images", "1 a.jpg\n2\n", "Line 2 of .*images.txt is '2'. Expected a number, a blank"),
        ("image_class_labels", "1 1\n2 1\n3 2\n", "lacks 2 images that images.txt names; the first is number 4"),
        ("image_class_labels", TABLES["image_class_labels.txt"] + "6 1\n", "names 1 images that images.txt lacks"),
        ("image_class_labels", "1 1\n2 9\n3 2\n4 3\n5 3", "Line 2 of .* gives '9' to image 2. Expected a class"),
        ("train_test_split", "1 1\n2 0\n3 yes\n4 1\n5 1", "gives 'yes' to image 3. Expected 1 for train or 0 for test"),
        ("train_test_split", "1 1\n", "train_test_split.txt lacks 4 images"),
        ("bounding_boxes", "1 1 2 3 4\n", "bounding_boxes.txt lacks 4 images"),
        ("bounding_boxes", f"1 1 2 3\n{REST}", "Line 1 of .* is '1 2 3' behind its number"),
        ("bounding_boxes", f"\n1 1 2 nan 4\n{REST}", "Line 2 of .*Expected x, y, width"),
        ("bounding_boxes", f"{REST}1 1 2 x 4\n", "Line 5 of .* is '1 2 x 4' behind its number"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_together_are_refused(tmp_path, table, text, message):
    with pytest.raises(ValueError, match=message):
        read_catalog(manifest_of_folder(draw_cub(tmp_path, **{table: text})))


def test_tables_without_one_of_their_images_are_refused(birds):
    shutil.rmtree(birds.root / "images")
    (birds.root / "images").mkdir()
    with pytest.raises(
        ValueError, match="None of the 5 images that .*images.txt names is below .*images. Expected them"
    ):
        read_catalog(birds)


def test_a_table_in_another_encoding_is_said(birds):
    (birds.root / "classes.txt").write_bytes("1 001.Pingüino\n".encode("latin-1"))
    with pytest.raises(ValueError, match="classes.txt is not UTF-8"):
        read_numbered(birds.root / "classes.txt")


@pytest.mark.parametrize("packed", ["", "CUB_200_2011"])
def test_the_layout_is_found_with_images_alone_beside_the_tables(tmp_path, packed):
    draw_cub(tmp_path / "a" / packed)
    (tmp_path / "a" / "attributes.txt").write_text("1 big\n")
    assert manifest_of_folder(tmp_path / "a").root == tmp_path / "a" / packed


@pytest.mark.data
def test_twenty_species_are_as_they_were_measured(real_data):
    manifest = locate("cub_x20", real_data / "cub_x20")
    verify(manifest)
    catalog, boxes = read_catalog(manifest), read_boxes(manifest)
    assert len(catalog) == len(boxes) == 1115 and set(catalog["problem"]) == {""}
    assert class_names_of(catalog, manifest) == load_manifest("cub_x20").class_names
    counts = catalog["class_name"].value_counts()
    assert (len(counts), counts.min(), counts.max()) == (20, 41, 60)
    assert (round(catalog["width"].mean()), round(catalog["height"].mean())) == (456, 387)
    assert (catalog["width"].median(), catalog["height"].median()) == (500, 375)
    assert set(boxes["problem"]) == {""} and boxes["clipped"].sum() == 5
