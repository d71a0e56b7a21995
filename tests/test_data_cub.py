"""The layout of CUB-200-2011: tables that are joined by number, and images that may be there only in part."""

import pytest
from scenes import CUB, draw_cub

from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import class_names_of, read_boxes, read_catalog
from marinecv.data.download.fetch import verify
from marinecv.data.find_data import find_data
from marinecv.data.images import ABSENT_FILE
from marinecv.data.manifests import Manifest, load_manifest, manifest_of_folder
from marinecv.data.readers.cub import UNNAMED, absent_classes, cub_images

REST = "2 1 2 3 4\n3 1 2 3 4\n4 1 2 3 4\n5 1 2 3 4\n"  # of the boxes


@pytest.fixture
def birds(tmp_path):
    return manifest_of_folder(draw_cub(tmp_path / "birds"))


def test_images_are_joined_with_class_split_size_and_box(birds):
    assert birds.layout == "cub"
    catalog = read_catalog(birds).set_index("image_id")
    assert catalog[["class_name", "split", "width", "height", "dominance", "problem", "group"]].T.to_dict("list") == {
        "images/001.Zebra_Finch/a.jpg": ["Zebra Finch", "train", 64, 48, 1.0, "", ""],
        "images/002.Auk/a.jpg": ["Auk", "train", 70, 30, 1.0, "", ""],
        "images/001.Zebra_Finch/b c.jpg": ["Zebra Finch", "test", 50, 60, 1.0, "", ""],
    }
    assert class_names_of(catalog.reset_index(), birds) == ("Zebra Finch", "Auk")  # in the order of their numbers
    boxes = read_boxes(birds)
    assert boxes[CORNERS].to_numpy().tolist() == [[4, 6, 34, 26], [0, 0, 10, 10], [40, 1, 70, 6]]
    assert boxes["clipped"].tolist() == [False, False, True]
    assert boxes["source"].tolist() == [f"bounding_boxes.txt:{line}" for line in (1, 2, 3)]


def test_a_label_is_the_tables_without_split_and_boxes_and_whatever_the_box(tmp_path):
    flat = CUB["bounding_boxes"].replace("1 4.0 6.0 30.0 20.0", "1 4.0 6.0 0 0")
    for boxes, count in ((flat, 3), (None, 0)):
        root = draw_cub(tmp_path / str(count), train_test_split=None, bounding_boxes=boxes)
        catalog = read_catalog(manifest_of_folder(root))
        assert set(catalog["problem"]) == set(catalog["split"]) == {""} and len(catalog) == 3
        assert len(read_boxes(manifest_of_folder(root))) == count


def test_classes_without_any_image_are_left_out_and_counted(birds):
    said = []
    assert absent_classes(birds).to_dict() == {"Owl": 2}
    assert cub_images(birds)["at_hand"].tolist() == [True, True, True, False, False]
    find_data(data_dir=birds.root, log=said.append)
    assert "1 of 3 classes of birds have no image here: the 2 images" in said[0]


def test_an_absent_image_and_one_that_no_table_names_are_rows_that_say_so(birds):
    (birds.root / "images" / "001.Zebra_Finch" / "a.jpg").rename(birds.root / "images" / "002.Auk" / "other.jpg")
    problems = read_catalog(birds).set_index("image_id")["problem"]
    assert problems["images/001.Zebra_Finch/a.jpg"] == ABSENT_FILE
    assert problems["images/002.Auk/other.jpg"] == UNNAMED
    assert (problems == "").sum() == 2
    for path in (birds.root / "images").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(ValueError, match="None of the 5 images that .*images.txt names"):
        read_catalog(birds)


def test_only_the_classes_that_a_manifest_names_are_read_under_its_names(birds, tmp_path):
    (birds.root / "images" / "001.Zebra_Finch" / "other.jpg").write_bytes(b"")
    (tmp_path / "auks.toml").write_text('name = "auks"\nlayout = "cub"\nfolder_classes = {"002.Auk" = "great auk"}\n')
    manifest = find_data(str(tmp_path / "auks.toml"), birds.root)
    assert manifest.class_names == ("great auk",)
    assert read_catalog(manifest)["class_name"].tolist() == read_boxes(manifest)["class_name"].tolist() == ["great auk"]
    assert absent_classes(manifest).empty
    unknown = Manifest(name="owls", layout="cub", root=birds.root, folder_classes={"004.Owl": "owl"})
    with pytest.raises(ValueError, match="class '004.Owl', which .*classes.txt does not name"):
        read_catalog(unknown)


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("classes", "1 001.Auk\n2 002.Auk\n3 003.Owl\n", '001.Auk and 002.Auk .* called "Auk".*folder_classes'),
        ("images", "1 ../../a.jpg\n", "Line 1 of .*images.txt is '../../a.jpg' .*Expected a file below images/"),
        ("images", "1 /etc/a.jpg\n", "'/etc/a.jpg' .*Expected a file below"),
        ("images", "1 a.jpg\n\n1 b.jpg\n", "Line 3 of .*images.txt .*number 1. Expected each number once"),
        ("images", "1 a.jpg\n2\n", "Line 2 of .*images.txt is '2'. Expected a number"),
        ("image_class_labels", "1 1\n2 1\n3 2\n", "differ in 2 numbers, the first 4"),
        ("image_class_labels", CUB["image_class_labels"] + "6 1\n", "differ in 1 numbers, the first 6"),
        ("image_class_labels", "1 1\n2 9\n3 2\n4 3\n5 3", "Line 2 of .* is '9' of number 2. Expected a class"),
        ("train_test_split", "1 1\n2 0\n3 yes\n4 1\n5 1", "'yes' of number 3. Expected 1 for train"),
        ("bounding_boxes", f"1 1 2 3\n{REST}", "Line 1 of .* '1 2 3' of number 1. Expected x, y"),
        ("bounding_boxes", f"\n1 1 2 nan 4\n{REST}", "Line 2 of .*Expected x, y"),
        ("bounding_boxes", f"{REST}1 1 2 x 4\n", "Line 5 of .* '1 2 x 4'"),
        ("bounding_boxes", f"{REST}1 1 2 3 4 5\n", "Line 5 of .* '1 2 3 4 5'"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(tmp_path, table, text, message):
    with pytest.raises(ValueError, match=message):
        read_catalog(manifest_of_folder(draw_cub(tmp_path, **{table: text})))


@pytest.mark.parametrize("packed", ["", "CUB_200_2011"])
def test_the_layout_is_found_with_images_alone_beside_the_tables(tmp_path, packed):
    draw_cub(tmp_path / "a" / packed)
    (tmp_path / "a" / "attributes.txt").write_text("1 big\n")
    assert manifest_of_folder(tmp_path / "a").root == tmp_path / "a" / packed


@pytest.mark.data
def test_twenty_species_are_as_they_were_measured(real_data):
    manifest = find_data("cub_x20", real_data / "cub_x20")
    verify(manifest)
    catalog, boxes = read_catalog(manifest), read_boxes(manifest)
    assert len(catalog) == len(boxes) == 1115 and set(catalog["problem"]) == {""}
    assert class_names_of(catalog, manifest) == load_manifest("cub_x20").class_names
    counts = catalog["class_name"].value_counts()
    assert (len(counts), counts.min(), counts.max()) == (20, 41, 60)
    assert (round(catalog["width"].mean()), round(catalog["height"].mean())) == (456, 387)
    assert set(boxes["problem"]) == {""} and boxes["clipped"].sum() == 5
