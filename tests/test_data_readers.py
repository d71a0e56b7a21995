"""Roboflow's CSV, class folders and labels.csv: classes, groups, splits and problems of every image."""

from dataclasses import replace

import pytest
from PIL import Image

from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.formats import RAW
from marinecv.data.images import read_header
from marinecv.data.manifests import Manifest, manifest_of_folder
from marinecv.data.readers.folders import GROUP_NAME, PLACE_NAME
from marinecv.data.splits.split_catalog import folder_splits

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def draw(path, size=(64, 48), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path, **options)
    return path


def catalog_of(folder, **options):
    return read_catalog(manifest_of_folder(folder), **options).set_index("image_id")


def classes_of(folder, places, class_level=""):
    """Draw an image in each folder; return class and group by folder."""
    for place in places:
        draw(folder / place / "a.png", size=(2, 2))
    table = read_catalog(replace(manifest_of_folder(folder), class_level=class_level))
    return {row.image_id.removesuffix("/a.png"): (row.class_name, row.group) for row in table.itertuples()}


def test_roboflow_rows_become_boxes_and_images(roboflow_folder):
    manifest = manifest_of_folder(roboflow_folder)
    boxes, catalog = read_boxes(manifest), read_catalog(manifest)
    assert catalog["split"].value_counts().to_dict() == {"train": 6, "validation": 3, "test": 3}
    assert (catalog["class_name"] == catalog["image_id"].str.extract(r"/(\w+?)_")[0]).all()
    assert set(zip(catalog["height"], catalog["width"], strict=True)) == {(48, 64)}
    assert boxes["source"].iloc[0] == "test/_annotations.csv:2"
    assert boxes[["xmin", "ymin", "xmax", "ymax"]].iloc[0].tolist() == [4, 6, 40, 36]
    (roboflow_folder / "valid" / "_annotations.csv").unlink()
    with pytest.raises(ValueError, match="valid holds 3 images and no _annotations.csv"):
        catalog_of(roboflow_folder)


def test_odd_names_a_byte_order_mark_and_images_without_a_box_in_a_csv(tmp_path):
    folder, name = tmp_path / "récif nord" / "train", "poisson n° 1 海.jpg"
    cut = draw(folder / name).read_bytes()[:20]
    rows = [f"{file},64,48,crabe,1,2,30,40\n" for file in (name, "gone.jpg", "cut.jpg")]
    (folder / "_annotations.csv").write_text(HEADER + "".join(rows), encoding="utf-8-sig")
    (folder / "cut.jpg").write_bytes(cut)
    draw(folder / "no box.jpg")
    catalog = catalog_of(tmp_path / "récif nord")
    assert catalog["class_name"][f"train/{name}"] == "crabe" and catalog["problem"][f"train/{name}"] == ""
    problems = [catalog["problem"][f"train/{file}.jpg"] for file in ("cut", "gone", "no box")]
    assert problems[0].startswith("cannot be read: ") and "is absent" in problems[1] and problems[2] == "no box"


LABELS = "file,class,split\n"


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("_annotations", "filename,class\na.jpg,eel\n", "lacks the column 'xmin', 'ymin', .* found filename, class"),
        ("_annotations", "", "found nothing"),
        ("_annotations", HEADER + "a.jpg,64,48,,1,2,3,4\n", ":2: bad row 'a.jpg,64,48,,1,2,3,4': lacks"),
        ("_annotations", HEADER + "a.jpg,64\n", "_annotations.csv:2: bad row 'a.jpg,64': lacks its class"),
        ("_annotations", HEADER + "\n../a.jpg,64,48,eel,1,2,3,4\n", "_annotations.csv:3 names '../a.jpg', outside"),
        ("_annotations", HEADER + "a.jpg,64,48,eel,1,2,x,4\n", "_annotations.csv:2: .*: xmax is 'x', no number"),
        ("_annotations", HEADER + "récif.jpg", "is not UTF-8"),
        ("labels", LABELS + "a.jpg,eel,\n,eel,\na.png,eel,\n", "labels.csv:3 names no file"),
        ("labels", LABELS + "a.jpg,eel,\na.jpg,crab,\n", "labels.csv:3 names a.jpg again"),
        ("labels", LABELS + "a.jpg,eel,train\nb.jpg,eel,holdout\n", 'labels.csv:3: "holdout" is no split'),
    ],
)
def test_a_bad_csv_names_the_line(tmp_path, table, text, message):
    (tmp_path / f"{table}.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        catalog_of(tmp_path)


SPECIES = ("Felidae/Felis catus", "Felidae/Lynx lynx", "Canidae/Canis lupus")
NO_GROUPS = {"Felis catus": "", "Lynx lynx": "", "Canis lupus": ""}
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
        (("train/cat", "train/dog", "extra", "more"), {"cat": "", "dog": ""}),
        (("bus", "car", "train"), {"bus": "", "car": "", "train": ""}),
        (("bus/cam2", "car/cam2", "train/cam2"), {"bus": "cam2", "car": "cam2", "train": "cam2"}),
        (("a_train/a_train/A", "a_train/a_train/B", "a_test/a_test"), {"A": "", "B": "", "": ""}),
        (SPECIES, NO_GROUPS),
        ([f"train/Carnivora/{place}" for place in SPECIES], NO_GROUPS),
        ([f"{place}/2021-05-03/dawn" for place in SPECIES], dict.fromkeys(NO_GROUPS, "2021-05-03/dawn")),
    ],
)
def test_folders_below_class_folders_are_groups_or_classes_by_their_names(tmp_path, places, classes):
    assert dict(classes_of(tmp_path, places).values()) == classes


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("cat", "dog/husky", "dog/beagle"), r'"first" \(cat: 1, dog: 2\) or class_level="leaf" \(beagle: 1, cat: 1,'),
        (("cat/garden", "dog/park"), r'could be groups .*"leaf" \(garden: 1, park: 1\)'),
        (("cat/a b", "cat/c d", "dog/a b", "dog/e f", "dog/g h"), "could be groups"),
        (SITES, r'SITE01/ of .* looks like a camera.*labels.csv.*"leaf" \(cat: 2, dog: 1\)'),
        (("SITE01/CAM2", "SITE02/CAM2"), "SITE01/ of .* looks like a camera"),
        (("SITE01/CAM2",), "CAM2/ of .* looks like a camera"),
        (("cat", "DCIM/100MEDIA"), "DCIM/ of .* looks like a camera"),
        (("2021-05-03", "2021-05-04"), "2021-05-03/ of .* looks like"),
        (("train/cat", "holdout/cat"), 'could be a split, or a class like holdout/.*class_level="first"'),
        (("train", "bus"), "train could be a split, or a class like bus/"),
        (("train/north", "bus/north", "car/west"), "train could be a split, or a class"),
    ],
)
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


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("images/train", "images/dev", "validation"),
        ("train/images", "val/images", "validation"),
    ],
)
def test_folders_named_after_splits_are_splits(tmp_path, train, other, split):
    for place in (train, other):
        for name in ("sea", "wood"):
            draw(tmp_path / place / name / "a.png", size=(2, 2))
    table = catalog_of(tmp_path)
    assert set(zip(table["split"], table["class_name"], strict=True)) == {
        (each, name) for each in ("train", split) for name in ("sea", "wood")
    }


@pytest.mark.parametrize("name", ["1" * 5000 + "!", "cam" + "1" * 5000 + "!", "a1_" * 2000 + "!", "2021" * 2000])
def test_patterns_of_folder_names_take_no_exponential_time(name):
    assert not PLACE_NAME.fullmatch(name) and bool(GROUP_NAME.fullmatch(name)) == name.isdigit()
    assert folder_splits([name, "train " * 1000 + "!"]) == {}


def test_only_the_folders_that_a_manifest_names_are_read_under_its_names(tmp_path):
    for place in ("train/gatto", "train/cane", "val/gatto", "val/ragno/garden"):
        draw(tmp_path / place / "a.jpg")
    chosen = {"gatto": "cat", "ragno": "ant"}
    manifest = Manifest(name="animals", layout="folders", root=tmp_path, folder_classes=chosen)
    assert read_catalog(manifest).set_index("image_id")["class_name"].to_dict() == {
        "train/gatto/a.jpg": "cat",
        "val/gatto/a.jpg": "cat",
        "val/ragno/garden/a.jpg": "ant",
    }
    with pytest.raises(ValueError, match='lacks the class folder topo, which .*"animals" names. .*found cane'):
        read_catalog(replace(manifest, folder_classes={"gatto": "cat", "topo": "mouse"}))


@pytest.mark.parametrize(
    ("places", "rows"),
    [
        (["", "train", "train/eel", "test/eel"], {"train": "train", "train/eel": "train", "test/eel": "test", "": ""}),
        (["", "crab", "eel/camera 1"], {"": "", "crab": "", "eel/camera 1": ""}),
    ],
)
def test_images_in_no_class_folder_keep_a_row_that_says_so(tmp_path, places, rows):
    for place in places:
        draw(tmp_path / place / "a.jpg")
    catalog = catalog_of(tmp_path)
    assert catalog["split"].to_dict() == {f"{place}/a.jpg".lstrip("/"): split for place, split in rows.items()}
    loose = catalog["problem"] == "lies in no class folder"
    assert (loose == (catalog["class_name"] == "")).all() and 0 < loose.sum() < len(catalog)


@pytest.mark.parametrize("suffix", [".heic", ".cr2", ".psd"])
def test_an_image_of_an_unsupported_format_is_a_row_that_says_how_to_fix_it(tmp_path, suffix):
    draw(tmp_path / "eel" / "a.jpg")
    (tmp_path / "labels.csv").write_text("file,class\neel/a.jpg,eel\n")
    # Of a raw photograph Pillow would read the thumbnail.
    raw = tmp_path / f"b{suffix.upper()}"
    raw.write_bytes(draw(tmp_path / "b.tif").read_bytes() if suffix in RAW else b"")
    assert catalog_of(tmp_path).loc[raw.name, "problem"] == f"unsupported format {suffix}; convert it to JPEG or PNG"


def test_labels_csv_names_classes_splits_and_groups_and_says_what_it_does_not_name(tmp_path):
    for place in ("", "camera 1", "camera 1/monday", "camera 2"):
        draw(tmp_path / place / "a.jpg")
    rows = "a.jpg,eel,train\ncamera 1/monday/a.jpg,crab, VAL \ncamera 2/a.jpg,eel,\ngone.jpg,crab,test\n"
    (tmp_path / "labels.csv").write_text("file,class,Split\n" + rows)
    catalog = catalog_of(tmp_path)
    assert catalog[["class_name", "split", "group"]].T.to_dict("list") == {
        "a.jpg": ["eel", "train", ""],
        "camera 1/monday/a.jpg": ["crab", "validation", "camera 1"],
        "camera 2/a.jpg": ["eel", "", "camera 2"],
        "camera 1/a.jpg": ["", "", "camera 1"],
        "gone.jpg": ["crab", "test", ""],
    }
    problems = catalog["problem"][catalog["problem"] != ""].to_dict()
    assert problems.keys() == {"camera 1/a.jpg", "gone.jpg"} and problems["camera 1/a.jpg"] == "no annotation names it"
    (tmp_path / "labels.csv").write_text("file,class,split\na.jpg,eel,val\ncamera 2/a.jpg,eel,eval\n")
    assert catalog_of(tmp_path)["split"]["camera 2/a.jpg"] == "test"  # as a folder eval/ beside val/ is


@pytest.mark.parametrize("said", ["img_{}.jpg", "IMG_{}", " sub\\IMG_{}.JPG "])
def test_labels_csv_finds_files_in_other_case_and_without_suffix(tmp_path, said):
    for number in range(3):
        draw(tmp_path / ("sub" if "sub" in said else "") / f"IMG_{number}.JPG")
    rows = "".join(f"{said.format(number)},{'eel' if number else 'crab'}\n" for number in range(4))
    (tmp_path / "labels.csv").write_text("file,class\n" + rows)
    catalog = catalog_of(tmp_path)
    assert (catalog["problem"] != "").sum() == 1
    assert catalog[catalog["problem"] == ""]["class_name"].tolist() == ["crab", "eel", "eel"]


def test_a_file_that_two_fit_or_that_another_row_names_is_not_taken(tmp_path):
    for name in ("a.jpg", "a.png", "B.jpg"):
        draw(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,class\na,eel\nb.jpg,eel\nB.jpg,crab\n")
    catalog = catalog_of(tmp_path)
    assert catalog["class_name"].to_dict() == {"B.jpg": "crab", "a": "eel", "a.jpg": "", "a.png": "", "b.jpg": "eel"}
    assert (catalog["problem"] == "").sum() == 1


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("labels.csv", "file,class\nphoto_7.png,eel\n"),
        ("_annotations.csv", HEADER + "photo_7.png,64,48,eel,1,2,30,40\n"),
    ],
)
def test_a_table_that_names_no_file_that_is_there_is_an_error_of_names(tmp_path, table, text):
    for name in ("picture.jpg", "photo_7.jpg"):
        draw(tmp_path / name)
    (tmp_path / table).write_text(text)
    with pytest.raises(ValueError, match=f"1 files that .*{table} names .*'photo_7.png', .*'photo_7.jpg'"):
        catalog_of(tmp_path)


def test_a_bad_row_of_labels_csv_costs_its_image(tmp_path):
    for name in "abc":
        draw(tmp_path / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,eel\nb.jpg,eel\nc.jpg,\nd.jpg,gray, eel\n")
    problems = catalog_of(tmp_path)["problem"].to_dict()
    assert problems.pop("c.jpg").startswith("bad row 'c.jpg,': lacks its class")
    assert problems.pop("d.jpg").startswith("bad row 'd.jpg,gray, eel': has 1 cells more")
    assert problems == {"a.jpg": "", "b.jpg": ""}


@pytest.mark.parametrize(
    ("name", "turn", "size"), [("a.jpg", 6, (48, 64)), ("a.jpg", 3, (64, 48)), ("a.png", 6, (48, 64))]
)
def test_size_is_as_displayed_after_exif_orientation(tmp_path, name, turn, size):
    exif = Image.Exif()
    exif[0x0112] = turn
    assert read_header(draw(tmp_path / name, exif=exif)) == (*size, "")
