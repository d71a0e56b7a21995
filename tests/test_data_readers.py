from dataclasses import replace

import pytest
from PIL import Image

from marinecv.data import images as room
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.formats import RAW, UNSUPPORTED_SUFFIXES
from marinecv.data.images import read_header
from marinecv.data.manifests import Manifest, manifest_of_folder
from marinecv.data.readers.folders import GROUP, PLACE
from marinecv.data.splits import folder_splits

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def draw(path, size=(64, 48), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path, **options)
    return path


def catalog_of(folder, **options):
    return read_catalog(manifest_of_folder(folder), **options).set_index("image_id")


def test_roboflow_rows_become_boxes_and_images(roboflow_folder):
    manifest = manifest_of_folder(roboflow_folder)
    boxes, catalog = read_boxes(manifest), read_catalog(manifest)
    assert catalog["split"].value_counts().to_dict() == {"train": 6, "validation": 3, "test": 3}
    assert (catalog["class_name"] == catalog["image_id"].str.extract(r"/(\w+?)_")[0]).all()
    assert set(zip(catalog["height"], catalog["width"], strict=True)) == {(48, 64)}
    assert boxes["source"].iloc[0] == "test/_annotations.csv:2"
    assert boxes[["xmin", "ymin", "xmax", "ymax"]].iloc[0].tolist() == [4, 6, 40, 36]


def test_unicode_spaces_and_a_byte_order_mark_are_no_trouble(tmp_path):
    folder = tmp_path / "récif nord" / "train"
    draw(folder / "poisson n° 1 海.jpg")
    (folder / "_annotations.csv").write_text(
        HEADER + "poisson n° 1 海.jpg,64,48,crabe,1,2,30,40\n", encoding="utf-8-sig"
    )
    catalog = catalog_of(tmp_path / "récif nord")
    assert catalog.loc["train/poisson n° 1 海.jpg", ["class_name", "problem"]].tolist() == ["crabe", ""]


def test_absent_unlabelled_and_unreadable_images_keep_their_rows(tmp_path):
    (tmp_path / "_annotations.csv").write_text(HEADER + "gone.jpg,64,48,eel,1,2,30,40\ncut.jpg,64,48,eel,1,2,30,40\n")
    draw(tmp_path / "no box.jpg")
    (tmp_path / "cut.jpg").write_bytes(draw(tmp_path / "no box.jpg").read_bytes()[:20])
    (tmp_path / "text.jpg").write_text("I am no picture")
    problems = catalog_of(tmp_path)["problem"].to_dict()
    assert problems["gone.jpg"] == "named in the CSV but the file is absent"
    assert problems["no box.jpg"] == "no box"
    assert problems["cut.jpg"].startswith("cannot be read: ") and problems["text.jpg"].startswith("cannot be read: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,class\na.jpg,eel\n", "lacks the column 'xmin', 'ymin', .*. Expected .*; found filename, class"),
        ("", "found nothing"),
        (HEADER + "a.jpg,64,48,,1,2,3,4\n", "1 of 1 .*_annotations.csv:2: bad row 'a.jpg,64,48,,1,2,3,4': lacks"),
        (HEADER + "a.jpg,64\n", "_annotations.csv:2: bad row 'a.jpg,64': lacks its class"),
        (HEADER + "\n../a.jpg,64,48,eel,1,2,3,4\n", "_annotations.csv:3 names '../a.jpg', outside the folder"),
        (
            HEADER + "a.jpg,64,48,eel,1,2,x,4\n",
            "_annotations.csv:2: .* 'a.jpg,64,48,eel,1,2,x,4': xmax is 'x', no number",
        ),
    ],
)
def test_a_bad_csv_names_the_line(tmp_path, text, message):
    (tmp_path / "_annotations.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        catalog_of(tmp_path)


def test_a_csv_of_a_header_alone_leaves_images_without_boxes(tmp_path):
    draw(tmp_path / "a.jpg")
    (tmp_path / "_annotations.csv").write_text(HEADER)
    assert catalog_of(tmp_path)["problem"].to_dict() == {"a.jpg": "no box"}


def test_a_csv_in_another_encoding_is_said(tmp_path):
    (tmp_path / "_annotations.csv").write_bytes((HEADER + "récif.jpg").encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8"):
        catalog_of(tmp_path)


def test_a_split_folder_with_images_and_no_csv_is_an_error(roboflow_folder):
    (roboflow_folder / "valid" / "_annotations.csv").unlink()
    with pytest.raises(ValueError, match="valid holds 3 images and no _annotations.csv"):
        catalog_of(roboflow_folder)


def test_class_folders_with_splits(tmp_path):
    for split in ("train", "val", "test"):
        draw(tmp_path / split / "red crab" / "a.png")
    (tmp_path / "images to predict").mkdir()
    catalog = catalog_of(tmp_path)
    assert catalog["split"].tolist() == ["train", "validation", "test"]
    assert (
        set(catalog["class_name"]) == {"red crab"} and set(catalog["group"]) == {""} and set(catalog["share"]) == {1.0}
    )


def test_sub_folders_of_a_class_are_groups(tmp_path):
    draw(tmp_path / "crab" / "camera 1" / "monday" / "a.jpg")
    draw(tmp_path / "crab" / "b.jpg")
    draw(tmp_path / "eel" / "camera 1" / "c.jpg")
    assert catalog_of(tmp_path)["group"].to_dict() == {
        "crab/b.jpg": ".",
        "crab/camera 1/monday/a.jpg": "camera 1/monday",
        "eel/camera 1/c.jpg": "camera 1",
    }


def classes_of(folder, places, class_level=""):
    """Class and group by the folder of each image."""
    for place in places:
        draw(folder / place / "a.png", size=(2, 2))
    table = read_catalog(replace(manifest_of_folder(folder), class_level=class_level))
    return {row.image_id.removesuffix("/a.png"): (row.class_name, row.group) for row in table.itertuples()}


SPECIES = ("Felidae/Felis catus", "Felidae/Lynx lynx", "Canidae/Canis lupus")
SITES = ("SITE01/CAM1/cat", "SITE01/CAM2/dog", "SITE02/CAM1/cat")


@pytest.mark.parametrize(
    ("places", "classes"),
    [
        (("cat/cam1/2021-05-03", "dog/cam1/2021-05-04"), {"cat": "cam1/2021-05-03", "dog": "cam1/2021-05-04"}),
        (("cat/north", "cat/west", "dog/north", "dog/west"), {"cat": "west", "dog": "west"}),
        (("cat/2021", "dog/b", "eel/100MEDIA"), {"cat": "2021", "dog": "b", "eel": "100MEDIA"}),
        (("cat/S1_C03", "dog/X-7"), {"cat": "S1_C03", "dog": "X-7"}),
        (("train/cat/images", "val/cat/images"), {"cat": ""}),
        (("cat/images", "cat/masks", "dog/images", "dog/masks"), {"cat": "", "dog": ""}),
        (("JPEGImages/cat", "JPEGImages/dog"), {"cat": "", "dog": ""}),
        (("0/x1", "1/x1"), {"0": "x1", "1": "x1"}),
        (SPECIES, {"Felis catus": "", "Lynx lynx": "", "Canis lupus": ""}),
        ([f"train/Carnivora/{place}" for place in SPECIES], {"Felis catus": "", "Lynx lynx": "", "Canis lupus": ""}),
        ([f"{place}/2021-05-03/dawn" for place in SPECIES], dict.fromkeys(("Felis catus", "Lynx lynx", "Canis lupus"),
                                                                          "2021-05-03/dawn")),
    ],
)  # fmt: skip
def test_folders_below_class_folders_are_groups_or_classes_by_their_names(tmp_path, places, classes):
    assert dict(classes_of(tmp_path, places).values()) == classes


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("cat", "dog/husky", "dog/beagle"), r"first \(cat: 1, dog: 2\) or --class-level leaf \(beagle: 1, cat: 1,"),
        (("cat/garden", "dog/park"), r"could be groups of images, or classes. .*leaf \(garden: 1, park: 1\)"),
        (("cat/a b", "cat/c d", "dog/a b", "dog/e f", "dog/g h"), "could be groups"),
        (SITES, r"SITE01/ of .* looks like a camera, a site or a date.*labels.csv.*leaf \(cat: 2, dog: 1\)"),
        (("SITE01/CAM2", "SITE02/CAM2"), "SITE01/ of .* looks like a camera"),
        (("SITE01/CAM2",), "CAM2/ of .* looks like a camera"),
        (("cat", "DCIM/100MEDIA"), "DCIM/ of .* looks like a camera"),
        (("2021-05-03", "2021-05-04"), "2021-05-03/ of .* looks like"),
        (("train/cat", "holdout/cat"), "could be a split, or a class like holdout/ beside it.*--class-level first"),
        (("train", "bus"), "train could be a split, or a class like bus/"),
        (("train/north", "bus/north", "car/west"), "train could be a split, or a class"),
    ],
)  # fmt: skip
def test_folders_of_two_readings_or_of_none_are_refused_with_what_each_would_give(tmp_path, places, message):
    with pytest.raises(ValueError, match=message):
        classes_of(tmp_path, places)


@pytest.mark.parametrize(
    ("places", "level", "classes"),
    [
        (("cat", "dog/husky"), "first", [("cat", "."), ("dog", "husky")]),
        (("cat", "dog/husky"), "leaf", [("cat", ""), ("husky", "")]),
        (SITES, "leaf", [("cat", "SITE01/CAM1"), ("dog", "SITE01/CAM2"), ("cat", "SITE02/CAM1")]),
        (SITES, "first", [("SITE01", "CAM1/cat"), ("SITE01", "CAM2/dog"), ("SITE02", "CAM1/cat")]),
        (("bus", "train"), "first", [("bus", ""), ("train", "")]),
        (("holdout/cat", "train/cat"), "first", [("holdout", "cat"), ("train", "cat")]),
        (("holdout/cat", "train/cat"), "leaf", [("cat", "")]),
    ],
)
def test_the_class_level_decides_where_names_do_not(tmp_path, places, level, classes):
    assert list(classes_of(tmp_path, places, level).values()) == classes


@pytest.mark.parametrize("deeper", ["", "/a", "/cam2"])
def test_a_class_called_train_beside_others_is_a_class(tmp_path, deeper):
    classes = classes_of(tmp_path, [f"{name}{deeper}" for name in ("bus", "car", "train")])
    assert [name for name, _ in classes.values()] == ["bus", "car", "train"]


def test_folders_beside_a_split_that_hold_no_folders_are_not_read(tmp_path):
    assert dict(classes_of(tmp_path, ["train/cat", "train/dog", "extra", "more"]).values()) == {"cat": "", "dog": ""}


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("train2017", "val2017", "validation"),
        ("training_set", "test_set", "test"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("train_images", "validation images", "validation"),
        ("Train", "eval", "validation"),
        ("images/train", "images/dev", "validation"),
        ("train/images", "val/images", "validation"),
    ],
)
def test_folders_named_after_splits_are_splits(tmp_path, train, other, split):
    for place in (train, other):
        for name in ("sea", "wood"):
            draw(tmp_path / place / name / "a.png", size=(2, 2))
    table = catalog_of(tmp_path).reset_index()
    assert set(zip(table["split"], table["class_name"], strict=True)) == {
        (each, name) for each in ("train", split) for name in ("sea", "wood")
    }


@pytest.mark.parametrize("name", ["1" * 5000 + "!", "cam" + "1" * 5000 + "!", "a1_" * 2000 + "!", "2021" * 2000])
def test_no_name_of_a_folder_takes_long_to_judge(name):
    assert not PLACE.fullmatch(name) and bool(GROUP.fullmatch(name)) == name.isdigit()
    assert folder_splits([name, "train " * 1000 + "!"]) == {}


def test_a_test_folder_in_one_of_its_own_name_is_no_class(tmp_path):
    for place in ("abc_train/abc_train/A", "abc_train/abc_train/B", "abc_test/abc_test"):
        draw(tmp_path / place / "a.png", size=(2, 2))
    assert catalog_of(tmp_path)["class_name"].tolist() == ["A", "B", ""]


def test_only_the_folders_that_a_manifest_names_are_read_under_its_names(tmp_path):
    for place in ("train/gatto", "train/cane", "val/gatto", "val/ragno/garden"):
        draw(tmp_path / place / "a.jpg")
    animals = {"gatto": "cat", "ragno": "spider"}
    catalog = read_catalog(Manifest(name="animals", layout="folders", root=tmp_path, folder_classes=animals))
    assert catalog[["image_id", "class_name"]].to_numpy().tolist() == [
        ["train/gatto/a.jpg", "cat"],
        ["val/gatto/a.jpg", "cat"],
        ["val/ragno/garden/a.jpg", "spider"],
    ]


def test_a_folder_that_a_manifest_names_must_be_there(tmp_path):
    draw(tmp_path / "cat" / "a.jpg")
    manifest = Manifest(name="animals", layout="folders", root=tmp_path, folder_classes={"gatto": "cat"})
    with pytest.raises(ValueError, match='lacks the class folder gatto, which .*"animals" names. .*found cat'):
        read_catalog(manifest)


def test_images_in_no_class_folder_keep_a_row_that_says_so(tmp_path):
    for place in ("", "train", "train/eel", "test/eel"):
        draw(tmp_path / place / "a.jpg")
    catalog = catalog_of(tmp_path)
    assert catalog["problem"].to_dict() == {
        "train/a.jpg": "lies in no class folder",
        "train/eel/a.jpg": "",
        "test/eel/a.jpg": "",
        "a.jpg": "lies in no class folder",
    }
    assert set(catalog["group"]) == {""} and catalog["split"].tolist() == ["train", "train", "test", ""]


def test_images_beside_class_folders_without_splits_keep_a_row_too(tmp_path):
    for place in ("", "crab", "eel/camera 1"):
        draw(tmp_path / place / "a.jpg")
    catalog = catalog_of(tmp_path)
    assert catalog["problem"].to_dict() == {
        "a.jpg": "lies in no class folder",
        "crab/a.jpg": "",
        "eel/camera 1/a.jpg": "",
    }
    assert catalog["group"].tolist() == ["", ".", "camera 1"]


@pytest.mark.parametrize("suffix", UNSUPPORTED_SUFFIXES)
@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("_annotations.csv", HEADER + "eel/a.jpg,64,48,eel,1,2,30,40\n"),
        ("labels.csv", "file,class\neel/a.jpg,eel\n"),
        ("notes.txt", "class folders"),
    ],
)
def test_an_image_of_an_unsupported_format_is_a_row_that_says_how_to_mend_it(tmp_path, table, text, suffix):
    draw(tmp_path / "eel" / "a.jpg")
    draw(tmp_path / "crab" / "c.jpg")
    (tmp_path / table).write_text(text)
    # Of a raw photograph Pillow would read the thumbnail.
    raw = tmp_path / f"b{suffix.upper()}"
    raw.write_bytes(draw(tmp_path / "b.tif").read_bytes() if suffix in RAW else b"")
    assert catalog_of(tmp_path).loc[raw.name, "problem"] == f"unsupported format {suffix}; convert it to JPEG or PNG"


def test_a_folder_of_phone_pictures_alone_is_a_layout_whose_rows_say_why(tmp_path):
    for name in ("crab", "eel"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    catalog = catalog_of(tmp_path)
    assert catalog["class_name"].tolist() == ["crab", "eel"]
    assert catalog["problem"].str.startswith("unsupported format HEIF").all()


def test_sub_folders_beside_labels_csv_are_groups(tmp_path):
    for place in ("", "camera 1", "camera 1/monday", "camera 2"):
        draw(tmp_path / place / "a.jpg")
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,eel\ncamera 1/monday/a.jpg,crab\n")
    assert catalog_of(tmp_path)["group"].to_dict() == {
        "a.jpg": "",
        "camera 1/a.jpg": "camera 1",
        "camera 1/monday/a.jpg": "camera 1",
        "camera 2/a.jpg": "camera 2",
    }


def test_labels_csv_names_classes_and_says_what_it_does_not_name(tmp_path):
    draw(tmp_path / "deep" / "a.jpg")
    draw(tmp_path / "b.jpg")
    (tmp_path / "labels.csv").write_text("file,class\ndeep/a.jpg,eel\ngone.jpg,crab\n")
    catalog = catalog_of(tmp_path)
    assert catalog["problem"].to_dict() == {
        "deep/a.jpg": "",
        "b.jpg": "no class in labels.csv",
        "gone.jpg": "named in the CSV but the file is absent",
    }
    assert catalog.loc["deep/a.jpg", "class_name"] == "eel"


@pytest.mark.parametrize("said", ["img_{}.jpg", "IMG_{}", " sub\\IMG_{}.JPG "])
def test_labels_csv_finds_files_in_other_case_and_without_suffix(tmp_path, said):
    place = "sub" if "sub" in said else ""
    for number in range(3):
        draw(tmp_path / place / f"IMG_{number}.JPG")
    rows = "".join(f"{said.format(number)},{'eel' if number else 'crab'}\n" for number in range(4))
    (tmp_path / "labels.csv").write_text("file,class\n" + rows)
    catalog = catalog_of(tmp_path)
    assert sorted(catalog["problem"]) == ["", "", "", "named in the CSV but the file is absent"]
    assert catalog[catalog["problem"] == ""]["class_name"].tolist() == ["crab", "eel", "eel"]


def test_a_file_that_two_fit_or_that_another_row_names_is_not_taken(tmp_path):
    for name in ("a.jpg", "a.png", "B.jpg"):
        draw(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,class\na,eel\nb.jpg,eel\nB.jpg,crab\n")
    catalog = catalog_of(tmp_path)
    assert catalog["class_name"].to_dict() == {"B.jpg": "crab", "a": "eel", "a.jpg": "", "a.png": "", "b.jpg": "eel"}
    assert (catalog["problem"] == "").sum() == 1


@pytest.mark.parametrize(("table", "header", "row"), [
    ("labels.csv", "file,class\n", "photo_7.png,eel\n"),
    ("_annotations.csv", HEADER, "photo_7.png,64,48,eel,1,2,30,40\n"),
])  # fmt: skip
def test_a_table_that_names_no_file_that_is_there_is_an_error_of_names(tmp_path, table, header, row):
    for name in ("picture.jpg", "photo_7.jpg"):
        draw(tmp_path / name)
    (tmp_path / table).write_text(header + row)
    with pytest.raises(
        ValueError, match=f"the 1 files that .*{table} names .*'photo_7.png', the nearest file 'photo_7.jpg'"
    ):
        catalog_of(tmp_path)


def test_the_split_column_of_labels_csv_is_the_published_split(tmp_path):
    for name in "abcd":
        draw(tmp_path / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text(
        "file,class,Split\na.jpg,eel,train\nb.jpg,eel, VAL \nc.jpg,eel,\nd.jpg,eel,test\n"
    )
    assert catalog_of(tmp_path)["split"].to_dict() == {
        "a.jpg": "train",
        "b.jpg": "validation",
        "c.jpg": "",
        "d.jpg": "test",
    }
    (tmp_path / "labels.csv").write_text("file,class,split\na.jpg,eel,train\nb.jpg,eel,holdout\n")
    with pytest.raises(ValueError, match='Row labels.csv:3: "holdout" is no split. Expected one of train'):
        catalog_of(tmp_path)
    (tmp_path / "labels.csv").write_text("file,class,split\na.jpg,eel,train\nb.jpg,eel,val\nc.jpg,eel,eval\n")
    assert catalog_of(tmp_path)["split"]["c.jpg"] == "test"  # as a folder eval/ beside val/ is


def test_a_bad_row_of_labels_csv_costs_its_image(tmp_path):
    for name in "abc":
        draw(tmp_path / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,eel\nb.jpg,eel\nc.jpg,\nd.jpg,grey, eel\n")
    problems = catalog_of(tmp_path)["problem"].to_dict()
    assert problems.pop("c.jpg") == "bad row 'c.jpg,': lacks its class, expected file,class"
    assert problems.pop("d.jpg").startswith("bad row 'd.jpg,grey, eel': has 1 cells more than the header")
    assert problems == {"a.jpg": "", "b.jpg": ""}
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,eel\nb.jpg,eel\n,eel\n")
    with pytest.raises(ValueError, match="Row labels.csv:4 names no file"):
        catalog_of(tmp_path)


def test_labels_csv_naming_an_image_twice_is_an_error(tmp_path):
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,eel\na.jpg,crab\n")
    with pytest.raises(ValueError, match="labels.csv:3 names a.jpg again"):
        catalog_of(tmp_path)


def test_size_is_as_displayed_after_exif_orientation(tmp_path):
    turned, upright = Image.Exif(), Image.Exif()
    turned[0x0112], upright[0x0112] = 6, 3
    assert read_header(draw(tmp_path / "turned.jpg", exif=turned)) == (48, 64, "")
    assert read_header(draw(tmp_path / "upright.jpg", exif=upright)) == (64, 48, "")
    assert read_header(draw(tmp_path / "turned.png", exif=turned)) == (48, 64, "")
    assert read_header(draw(tmp_path / "plain.png")) == (64, 48, "")


def test_a_decompression_bomb_is_a_problem_not_a_crash(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MAX_PIXELS", 100)
    assert read_header(draw(tmp_path / "a.jpg")) == (0, 0, "cannot be read: 64x48 pixels are more than 100")
