"""Broken and hostile tables: each ends as the right boxes, a row with its reason, or an error that names the row."""

import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from marinecv.choices import LABEL_RULES
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import class_names_of, read_boxes, read_catalog
from marinecv.data.images import ABSENT_FILE, FOLDER_LINK
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers.roboflow import NO_SPLIT, OTHER_SIZE, UNNAMED
from marinecv.data.readers.yolo import OUTSIDE

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"
ROWS = [HEADER, "a.jpg,64,48,eel,4,6,40,36", "b.jpg,64,48,ray,1,2,30,40"]
TEXT = "\n".join(ROWS) + "\n"
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café.jpg") for form in ("NFC", "NFD"))


def draw(path: Path, size=(64, 48), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path, **options)
    return path


def tank(folder: Path, *rows: str, header: str = HEADER, images=("a.jpg", "b.jpg")) -> Path:
    for name in images:
        draw(folder / name)
    (folder / "_annotations.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return folder


def catalog_of(folder: Path, **options) -> pd.DataFrame:
    return read_catalog(manifest_of_folder(folder), **options).set_index("image_id")


def boxes_of(folder: Path) -> pd.DataFrame:
    return read_boxes(manifest_of_folder(folder))


def problems_of(folder: Path, **options) -> dict[str, str]:
    return catalog_of(folder, **options)["problem"].to_dict()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_every_way_to_write_a_csv_gives_the_same_boxes(tmp_path, mark, line_end, encoding):
    tank(tmp_path)
    text = line_end.join(ROWS).replace(",", mark) + line_end
    (tmp_path / "_annotations.csv").write_bytes(text.encode(encoding))
    boxes = boxes_of(tmp_path)
    assert boxes[CORNERS].to_numpy().tolist() == [[4, 6, 40, 36], [1, 2, 30, 40]]
    assert boxes["class_name"].tolist() == ["eel", "ray"]
    assert boxes["source"].tolist() == ["_annotations.csv:2", "_annotations.csv:3"]


def test_commas_and_quotes_within_quotes_belong_to_the_name(tmp_path):
    tank(tmp_path, '"a, ""b"".jpg",64,48,"eel, gray",4,6,40,36', images=('a, "b".jpg',))
    assert catalog_of(tmp_path).loc['a, "b".jpg', ["class_name", "problem"]].tolist() == ["eel, gray", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT + 'c.jpg,64,48,"eel,4,6,40,36\nd.jpg,64,48,eel,4,6,40,36', "cannot be divided .* closing quote"),
        (TEXT + 'c.jpg,64,48,"eel"y,4,6,40,36', "csv:4 cannot be divided into cells"),
        (TEXT + f"{'c' * 200_000},64,48,eel,4,6,40,36", "csv:4 cannot be divided into cells: field larger"),
        (HEADER + ",class\na.jpg,64,48,eel,4,6,40,36,ray", "has the column class twice"),
        (TEXT.replace("a.jpg", "a\0.jpg"), "is not UTF-8: it holds NUL characters"),
    ],
    ids=["open quote", "stray quote", "long", "twice", "NUL"],
)
def test_a_table_that_cannot_be_divided_into_cells_is_an_error_that_names_the_row(tmp_path, text, message):
    tank(tmp_path)
    (tmp_path / "_annotations.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        catalog_of(tmp_path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a, b.jpg,64,48,eel,4,6,40,36", "has 1 cells more than the header; .*double quotes"),
        ("c.jpg;64;48;eel;4;6;40;36", "lacks its class"),
        (",64,48,eel,4,6,40,36", "lacks its filename"),
        ("a.jpg,64,48, ,4,6,40,36", "lacks its class"),
        ("a.jpg,64,48,eel,4", "lacks its ymin"),
        ('a.jpg,64,48,eel,"4,5",6,40,36', "xmin is '4,5', no number"),
        ("a.jpg,64,48,eel,4,6,NaN,36", "xmax is 'NaN', no number"),
        ("a.jpg,64,48,eel,4,6,inf,36", "xmax is 'inf', no number"),
        ("a.jpg,64,4a,eel,4,6,40,36", "height is '4a', no number"),
    ],
)
def test_a_bad_row_costs_one_row_which_is_quoted(tmp_path, row, reason):
    tank(tmp_path, *ROWS[1:], row)
    said = []
    catalog = read_catalog(manifest_of_folder(tmp_path), log=said.append).set_index("image_id")
    assert catalog.loc[["a.jpg", "b.jpg"], "class_name"].tolist() == ["eel", "ray"]
    text = re.escape(row.replace('"', ""))
    assert re.fullmatch(f"bad row '{text}': {reason}.*", boxes_of(tmp_path)["problem"].iloc[2])
    assert re.fullmatch(f"1 of 3 annotation rows cannot .*first, _annotations.csv:4: bad row '{text}': .*", said[0])


def test_an_image_whose_rows_are_all_bad_says_so_with_the_first(tmp_path):
    tank(tmp_path, *ROWS[1:], "c.jpg,64,48,ray,1,2,x,40", "c.jpg,64,48,,1,2,3,40", images=("a.jpg", "b.jpg", "c.jpg"))
    for images_without_boxes in ("skip", "empty"):
        problems = problems_of(tmp_path, images_without_boxes=images_without_boxes)
        assert problems["a.jpg"] == problems["b.jpg"] == ""
        assert re.match("no usable box: bad row .*xmax is 'x'.*csv:4", problems["c.jpg"])


def test_rows_without_text_are_passed_over_and_headers_compared_without_case(tmp_path):
    tank(tmp_path, ",,,,,,,", *ROWS[1:], " ,,,,,,,", header=" Filename,Width,HEIGHT,class ,xmin,ymin,xmax,ymax")
    assert problems_of(tmp_path) == {"a.jpg": "", "b.jpg": ""}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_csv_in_utf16_is_refused(tmp_path, encoding):
    tank(tmp_path)
    (tmp_path / "_annotations.csv").write_bytes("\n".join(ROWS).encode(encoding))
    with pytest.raises(ValueError, match="_annotations.csv is not UTF-8: .* Save it as UTF-8"):
        catalog_of(tmp_path)


def test_an_image_of_another_size_than_the_csv_says_is_a_row_and_its_boxes_do_not_count(tmp_path):
    tank(tmp_path, "a.jpg,128,96,eel,4,6,40,36", "b.jpg,64,48,ray,1,2,30,40", "b.jpg,48,64,ray,1,2,30,40")
    problems = problems_of(tmp_path)
    assert "says 128x96, the file is 64x48" in problems["a.jpg"] and "says 48x64" in problems["b.jpg"]
    assert boxes_of(tmp_path)["problem"].tolist() == [OTHER_SIZE] * 3


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("said", [(64, 48), (48, 64)])
def test_boxes_of_a_turned_photo_serve_only_in_its_size_as_shown(tmp_path, orientation, said):
    exif = Image.Exif()
    exif[0x0112] = orientation
    draw(tmp_path / "a.jpg", exif=exif)
    tank(tmp_path, f"a.jpg,{said[0]},{said[1]},eel,4,6,40,44", images=())
    shown = (48, 64) if orientation in (6, 8) else (64, 48)
    assert (problems_of(tmp_path)["a.jpg"] == "") == (said == shown)


def test_without_sizes_in_the_csv_nothing_is_compared(tmp_path):
    tank(tmp_path, "a.jpg,eel,4,6,40,36", header="filename,class,xmin,ymin,xmax,ymax", images=("a.jpg",))
    draw(tmp_path / "b" / "b.jpg")
    tank(tmp_path / "b", "b.jpg,,,ray,1,2,30,40", images=("b.jpg",))
    assert problems_of(tmp_path) == {"a.jpg": "", "b/b.jpg": UNNAMED}
    assert problems_of(tmp_path / "b") == {"b.jpg": ""}


def test_negative_and_reversed_corners_are_clipped_or_said(tmp_path):
    corners = ["-9,-9,20,20", "-30,-30,-5,-5", "40,36,4,6", "1e3,1,2e3,9", "0,0,640,480"]
    tank(tmp_path, *(f"a.jpg,64,48,eel,{corner}" for corner in corners), images=("a.jpg",))
    boxes = boxes_of(tmp_path)
    assert boxes["problem"].tolist() == ["", "outside the image", "no area", "outside the image", ""]
    assert boxes.loc[boxes["clipped"], CORNERS].to_numpy().tolist() == [[0, 0, 20, 20], [0, 0, 64, 48]]


@pytest.mark.parametrize("rule", LABEL_RULES)
def test_ten_thousand_boxes_in_one_image_are_counted(tmp_path, rule):
    corners = np.random.default_rng(0).integers((0, 0, 30, 30), (30, 30, 48, 48), (10_000, 4))
    names = ("ray", "eel", "eel")
    rows = [f"a.jpg,64,48,{names[n % 3]},{','.join(map(str, box))}" for n, box in enumerate(corners)]
    tank(tmp_path, *rows, images=("a.jpg",))
    assert len(boxes_of(tmp_path)) == 10_000
    row = catalog_of(tmp_path, label_rule=rule).loc["a.jpg"]
    assert (row["class_name"], row["problem"]) == ("eel", "") and 0.4 < row["dominance"] < 0.85


def test_one_name_in_two_splits_is_two_images(tmp_path):
    tank(tmp_path / "train", "a.jpg,64,48,eel,4,6,40,36", images=("a.jpg",))
    tank(tmp_path / "test", "a.jpg,64,48,ray,1,2,30,40", images=("a.jpg",))
    catalog = catalog_of(tmp_path)
    assert catalog["class_name"].to_dict() == {"train/a.jpg": "eel", "test/a.jpg": "ray"}
    assert class_names_of(catalog.reset_index(), manifest_of_folder(tmp_path)) == ("eel", "ray")  # ray in test alone


@pytest.mark.parametrize("name", ["c" * 300 + ".jpg", "d/" * 3000 + "a.jpg", "海" * 90 + ".jpg", "x.jpg\n", "."])
def test_a_name_that_no_file_can_have_is_an_absent_one(tmp_path, name):
    tank(tmp_path, ROWS[1], f'"{name}",64,48,eel,4,6,40,36')
    problem = ABSENT_FILE if len(name) < 80 else "cannot be read: File name too long"
    assert problems_of(tmp_path) == {str(Path(name)): problem, "a.jpg": "", "b.jpg": "no box"}


@pytest.mark.parametrize(
    ("on_disk", "in_csv"),
    [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED), (f"sub/{DECOMPOSED}", f"sub\\{COMPOSED}"), ("a.jpg", "./a.jpg")],
)
def test_a_name_written_by_another_system_finds_its_file(tmp_path, on_disk, in_csv):
    tank(tmp_path / "boxes", f"{in_csv},64,48,eel,4,6,40,36", images=(on_disk,))
    draw(tmp_path / "labels" / on_disk)
    (tmp_path / "labels" / "labels.csv").write_text(f"file,class\n{in_csv},eel\n", encoding="utf-8")
    for folder in ("boxes", "labels"):
        assert catalog_of(tmp_path / folder)[["class_name", "problem"]].T.to_dict("list") == {on_disk: ["eel", ""]}


@pytest.mark.skipif(os.name == "nt", reason="a backslash is no letter there")
def test_an_exact_name_goes_before_one_that_fits_and_two_that_fit_are_none(tmp_path):
    tank(tmp_path, "sub\\a.jpg,64,48,eel,4,6,40,36", images=("sub\\a.jpg", "sub/a.jpg"))
    assert catalog_of(tmp_path)["problem"].to_dict() == {"sub\\a.jpg": "", "sub/a.jpg": UNNAMED}
    two = tmp_path / "two"
    names = (f"{DECOMPOSED}/a.jpg", f"{COMPOSED}/a.jpg", "b.jpg")
    tank(two, f"{COMPOSED}\\a.jpg,64,48,eel,4,6,40,36", ROWS[2], images=names)
    assert sum(problem == ABSENT_FILE for problem in problems_of(two).values()) == 1


def test_two_spellings_of_one_file_or_one_file_of_two_tables_are_an_error(tmp_path):
    draw(tmp_path / "labels" / COMPOSED)
    labels = f"file,class\n{COMPOSED},eel\n{DECOMPOSED},ray\n"
    (tmp_path / "labels" / "labels.csv").write_text(labels, encoding="utf-8")
    with pytest.raises(ValueError, match="labels.csv:3 names .* again"):
        catalog_of(tmp_path / "labels")
    tank(tmp_path / "two" / "train", "a.jpg,64,48,eel,4,6,40,36")
    tank(tmp_path / "two", "train/a.jpg,64,48,ray,4,6,40,36", images=())
    with pytest.raises(ValueError, match="train/_annotations.csv names .*a.jpg, as .*_annotations.csv does"):
        catalog_of(tmp_path / "two")


def test_images_where_no_split_or_table_looks_are_rows_with_a_reason(tmp_path):
    tank(tmp_path / "train", "a.jpg,64,48,eel,4,6,40,36", "deep/c.jpg,64,48,eel,4,6,40,36")
    for place in ("train/deep/c.jpg", "train/deep/d.jpg", "e.jpg"):
        draw(tmp_path / place)
    (tmp_path / "train" / "up").symlink_to(tmp_path)
    for images_without_boxes, b in (("skip", "no box"), ("empty", "")):
        expected = {"train/a.jpg": "", "train/b.jpg": b, "train/deep/c.jpg": "", "train/deep/d.jpg": UNNAMED}
        expected |= {"train/up": FOLDER_LINK, "e.jpg": NO_SPLIT}
        assert problems_of(tmp_path, images_without_boxes=images_without_boxes) == expected


def yolo(root: Path) -> Path:
    draw(root / "train" / "images" / "a.jpg")
    (root / "train" / "labels").mkdir()
    (root / "train" / "labels" / "a.txt").write_text("0 .5 .5 .2 .2\n")
    (root / "data.yaml").write_text("names: [eel, ray]\n")
    return root


def test_yolo_images_outside_its_image_folders_are_rows_with_a_reason(tmp_path):
    yolo(tmp_path)
    places = ("b.jpg", "train/c.jpg", "train/labels/d.jpg", "train/more/e.jpg")
    for place in places:
        draw(tmp_path / place)
    catalog = catalog_of(tmp_path)
    assert catalog["problem"].to_dict() == {"train/images/a.jpg": ""} | dict.fromkeys(places, OUTSIDE)
    assert catalog["split"].tolist() == ["train"] * 4 + [""]


@pytest.mark.skipif(os.name == "nt", reason="there every name is text")
def test_a_yolo_name_that_is_not_utf8_is_a_row_and_its_boxes_do_not_count(tmp_path):
    yolo(tmp_path)
    for place in (b"train/images/r\xe9cif.jpg", b"train/labels/r\xe9cif.txt"):
        source = next((tmp_path / "train" / place.split(b"/")[1].decode()).glob("a.*"))
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + place)).write_bytes(source.read_bytes())
    assert problems_of(tmp_path)["train/images/r\\xe9cif.jpg"] == "its name is not UTF-8; rename it"
    problems = {"train/labels/a.txt:1": "", "train/labels/r\\xe9cif.txt:1": "the size of its image is unknown"}
    assert boxes_of(tmp_path).set_index("source")["problem"].to_dict() == problems


@pytest.mark.parametrize("kind", ["latin-1", "dangling link", "looping link", "linked folder"])
def test_labels_that_cannot_be_read_are_named(tmp_path, kind):
    label = yolo(tmp_path) / "train" / "labels" / "a.txt"
    label.unlink()
    if kind == "latin-1":
        label.write_bytes("0 .5 .5 .2 .2 café".encode("latin-1"))
    elif kind == "linked folder":
        label.with_name("camera").symlink_to(tmp_path)
    else:
        label.symlink_to(label if kind == "looping link" else tmp_path / "gone.txt")
    reason = "labels/camera is a link" if kind == "linked folder" else "a.txt cannot be read: .* Expected text in UTF-8"
    with pytest.raises(ValueError, match=reason):
        catalog_of(tmp_path)
