"""Label tables: which table and columns, dates, places and several rows of an image; and Roboflow's _classes.csv."""

import csv
import datetime
import sys
import zipfile

import pandas as pd
import pytest
from conftest import refused, shown
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

import marinecv as mcv
from marinecv.data.accounting import ANNOTATION, count_files, reading_lines
from marinecv.data.catalog import read_catalog
from marinecv.data.find_data import find_data
from marinecv.data.manifests import load_manifest, manifest_of_folder
from marinecv.data.names import normalize_name
from marinecv.data.readers import table as table_reader
from pipelines.options import in_flags


def draw(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40, 90, 160)).save(path)


def folder_of(root, text, name="data.csv", images=("a.jpg", "b.jpg")):
    for image in images:
        draw(root / image)
    (root / name).write_text(text, encoding="utf-8-sig", newline="")
    return root


def catalog_of(root, columns=None, layout="table"):
    manifest = find_data(data_dir=root, columns=columns, log=print)
    assert manifest.layout == layout
    catalog = read_catalog(manifest)
    assert count_files(manifest, catalog)[ANNOTATION] >= 1
    return catalog.set_index("image_id")


INSIGHTS = "project_id,deployment_id,image_id,filename,location,is_blank,genus,species,common_name,timestamp\n"
INSIGHTS += "1,River_2,9f,I.JPG,gs://x/I.JPG,0,Puma,concolor,Puma,2023-07-01 22:10:05\n"
INSIGHTS += "1,River_3,9e,I.JPG,gs://x/I.JPG,0,Lynx,rufus,,2023-07-01 22:10:05\n"
INSIGHTS += "1,River_3,9d,J.JPG,gs://x/J.JPG,1,Lynx,rufus,Bobcat,\n1,River_3,9c,K.JPG,gs://x/K.JPG,0,,,CV Needed,\n"
INSIGHTS += "1,River_3,9b,L.JPG,gs://x/L.JPG,1,,,Blank,\n"
TIMELAPSE = (
    "File,RelativePath,Date,Time,DeleteFlag,Species,Count\nI.JPG,Ridge\\Cam2, 01-Jun-2025,04:12:33,false,Lynx,1\n"
)
TIMELAPSE += "I.JPG,,02-Jun-2025,04:12:33,false,Fox,1\nJ.JPG,,,,false,,0\n"
KNOWN = {
    "plain": (
        "filepath;Label;Site\na.jpg;red fox;K 3\nb.jpg;owl;K 3\n",
        ("a.jpg", "b.jpg"),
        {"a.jpg": "red fox", "b.jpg": "owl"},
    ),
    "timelapse": (
        TIMELAPSE,
        ("Ridge/Cam2/I.JPG", "I.JPG", "J.JPG"),
        {"Ridge/Cam2/I.JPG": "Lynx", "I.JPG": "Fox", "J.JPG": ""},
    ),
    "insights": (
        INSIGHTS,
        ("River_2/I.JPG", "River_3/I.JPG", *(f"River_3/{name}.JPG" for name in "JKL")),
        {"River_2/I.JPG": "Puma", "River_3/I.JPG": "Lynx rufus", "River_3/L.JPG": "Blank"}
        | {f"River_3/{name}.JPG": "" for name in "JK"},
    ),
    "other machine": (
        "Image\tScientific name\nC:\\Users\\ana\\photos\\n\\a.jpg\tVulpes vulpes\nC:\\Users\\b.jpg\tBubo bubo\n",
        ("n/a.jpg", "s/a.jpg", "s/b.jpg"),
        {"n/a.jpg": "Vulpes vulpes", "s/b.jpg": "Bubo bubo", "s/a.jpg": ""},
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_tables_with_usual_names_of_columns_are_read(tmp_path, name):
    text, images, classes = KNOWN[name]
    catalog = catalog_of(folder_of(tmp_path, text, images=images))
    assert catalog["class_name"].to_dict() == classes
    unlabeled = set(catalog["problem"][catalog["class_name"] == ""])
    assert unlabeled <= {"no class in data.csv", "no annotation names it"} and set(catalog["problem"]) <= unlabeled | {
        ""
    }
    if name == "timelapse":
        assert catalog["group"]["Ridge/Cam2/I.JPG"] == "Ridge"
        assert catalog.loc[["Ridge/Cam2/I.JPG", "I.JPG"], "taken_at"].tolist() == [
            f"2025-06-0{n}T04:12:33" for n in (1, 2)
        ]
    if name == "insights":
        assert catalog["group"]["River_3/L.JPG"] == catalog["camera"]["River_3/L.JPG"] == "River_3"


def test_split_place_time_and_sequence_travel_into_the_catalog_and_the_columns_are_said(tmp_path):
    rows = ["a.jpg,fox,Training,K 3,C1,2024-11-03T18:22:40+02:00,s1", "b.jpg,owl,val,,,2024:11:03 18:22:40,s2"]
    header = "Image,Species,Subset,Station,Camera ID,DateTimeOriginal,seq_id"
    root = folder_of(tmp_path, "\n".join([header, *rows]))
    columns = ["class_name", "split", "group", "camera", "sequence", "taken_at"]
    assert catalog_of(root)[columns].T.to_dict("list") == {
        "a.jpg": ["fox", "train", "K 3/C1", "K 3/C1", "s1", "2024-11-03T18:22:40+02:00"],
        "b.jpg": ["owl", "validation", "s2", "", "s2", "2024-11-03T18:22:40"],
    }
    [line] = reading_lines(manifest_of_folder(root), read_catalog(manifest_of_folder(root)))
    assert line.startswith(
        "Columns of data.csv: file 'Image', class 'Species', split 'Subset', site 'Station', camera 'Camera ID'"
    )
    assert in_flags(line) == line  # a column called folder is not the flag of an argument


def test_a_column_that_is_named_for_one_thing_is_not_used_for_another(tmp_path):
    root = folder_of(tmp_path, "file,label,Station\na.jpg,fox,C1\nb.jpg,owl,C2\n")
    catalog = catalog_of(root, {"camera": "Station"})
    assert catalog["camera"].tolist() == ["C1", "C2"]


def test_days_and_times_of_day_in_the_cells_of_a_workbook_are_one_time(tmp_path):
    root, taken_at = folder_of(tmp_path, ""), datetime.datetime(2025, 6, 1, 4, 12, 33)
    (root / "data.csv").unlink()
    rows = {"file": ["a.jpg", "b.jpg"], "label": ["fox", "owl"], "Date": taken_at.date(), "Time": taken_at.time()}
    pd.DataFrame(rows).to_excel(root / "data.xlsx", index=False)
    assert catalog_of(root)["taken_at"].tolist() == ["2025-06-01T04:12:33"] * 2


DATES = {
    "03/11/2024 18:22\n13/11/2024 06:05:09": ["2024-11-03T18:22:00", "2024-11-13T06:05:09"],
    "11/3/2024 6:22 PM\n11/13/2024 12:05:09 am": ["2024-11-03T18:22:00", "2024-11-13T00:05:09"],
    "03.11.2024 18:22\n2024-11-13 06:05:09": None,
    "03-11-2024 18:22:00\n04-11-2024 06:05:09": None,
    "13/11/2024 18:22\n11/13/2024 18:22": None,
    "2024-11-03\n2024-11-03 25:00:00": ["", ""],
    "13/13/2024 18:22\n1/2/2024 1:02": None,
}


@pytest.mark.parametrize("texts", DATES)
def test_dates_are_iso_or_clear_over_the_whole_column(tmp_path, texts):
    rows = "".join(f"{name}.jpg,fox,{text}\n" for name, text in zip("ab", texts.splitlines(), strict=True))
    root = folder_of(tmp_path, "file,label,timestamp\n" + rows)
    if DATES[texts] is None:
        with pytest.raises(ValueError, match="could be day/month or month/day. Expected ISO dates"):
            catalog_of(root)
    else:
        assert catalog_of(root)["taken_at"].tolist() == DATES[texts]


def test_several_rows_of_an_image_are_one_if_they_agree(tmp_path):
    rows = "a.jpg,fox,1\na.jpg,fox,2\nb.jpg,fox,1\nb.jpg,owl,1\n"
    catalog = catalog_of(folder_of(tmp_path, "file,species,count\n" + rows))
    assert catalog["class_name"].tolist() == ["fox", ""]
    assert catalog["problem"].tolist() == ["", "names several classes: fox, owl"]


def test_bad_rows_are_problems_and_a_table_of_them_is_refused(tmp_path):
    root = folder_of(tmp_path, "file,species\na.jpg,fox\nb.jpg,red, fox\n,owl\nc.jpg,\nd.jpg,owl\n")
    problems = catalog_of(root)["problem"].to_dict()
    assert problems["b.jpg"].startswith("bad row 'b.jpg,red, fox': has 1 cells more")
    assert problems["c.jpg"] == "no class in data.csv" and "absent" in problems["d.jpg"] and problems["a.jpg"] == ""
    assert [text for text in problems.values() if "lacks its file" in text]
    with pytest.raises(ValueError, match="2 of 2 annotation rows cannot be read"):
        catalog_of(folder_of(tmp_path, "file,species\na.jpg,red, fox\nb.jpg,red, fox\n"))


ART = "Bild,Art,Fundort,species\na.jpg,Fuchs,Kopje,x\nb.jpg,Eule,Fluss,x\n"


@pytest.mark.parametrize(
    ("text", "columns", "classes"),
    [
        (ART, {"file": "bild", "class": "ART", "camera": "Fund ort"}, ["Fuchs", "Eule"]),
        ("file,label,species\na.jpg,1,fox\nb.jpg,2,owl\n", {"class": "species"}, ["fox", "owl"]),
        (INSIGHTS.replace("I.JPG,gs", "a.jpg,gs").split("1,River_3")[0], {"class": "species"}, ["concolor", ""]),
    ],
)
def test_columns_that_are_named_are_taken(tmp_path, text, columns, classes):
    root = folder_of(tmp_path, text)
    catalog = catalog_of(root, columns)
    assert catalog["class_name"].tolist() == classes
    assert catalog["group"].tolist() == (["Kopje", "Fluss"] if "camera" in columns else catalog["camera"].tolist())
    (root / "other.csv").write_text("x,y\n1,2\n")  # has not these columns
    (root / "set.toml").write_text(
        f'name = "set"\nlayout = "table"\nroot = "."\ncolumns = {{class = "{columns["class"]}"}}'
    )
    assert catalog_of(root, columns)["class_name"].tolist() == classes
    assert load_manifest(root / "set.toml").columns == {"class": columns["class"]}


@pytest.mark.parametrize(
    ("files", "columns", "message"),
    [
        (
            {"data.csv": ART},
            {"class": "Species name"},
            r"0 columns 'Species name'. Found in .*: Bild, Art, Fundort, species",
        ),
        ({"data.csv": ART}, {"class": "Art"}, r'0 columns of the file. Found in .*columns={"file": "Bild"}'),
        ({"data.csv": ART}, {"klass": "Art"}, 'Expected columns to be one of .*Did you mean "class"'),
        (
            {"a.csv": ART, "b.tsv": ART},
            {"class": "Art"},
            "has 2 tables .*: a.csv, b.tsv. Expected one. Call it labels.csv",
        ),
        ({"a.csv": "file,label\n", "b.csv": "path,species\n"}, None, "has 2 tables .*: a.csv, b.csv. Expected one"),
        ({"labels.csv": "file,class\n", "labels.tsv": "x"}, None, "has 2 tables .*: labels.csv, labels.tsv"),
        (
            {"a.csv": "path,label,species\n"},
            None,
            r'The column of the class could be label or species. .*columns={"class": "label"}',
        ),
        ({"a.csv": "image,path,label\n"}, None, "The column of the file could be image or path."),
        ({"a.csv": "file,File,label\n"}, None, "2 columns 'file'"),
        ({"labels.csv": ""}, None, "0 columns of the file. Found in .*: nothing"),
        ({"a.csv": "file,label\nz.jpg,fox\n"}, None, "None of the 1 files that .*a.csv names"),
        ({"a.csv": 'file,label\na.jpg,"fox\n'}, None, "Row a.csv:2 cannot be divided into cells"),
        ({"a.csv": "file,label,split\na.jpg,fox,north\n"}, None, 'a.csv:2: "north" is no split'),
        ({"notes.txt": ""}, {"class": "Art"}, "There is no .csv, .tsv or .xlsx in .* whose columns could be named"),
        ({"a.csv": "file,label,xmin,ymin,xmax,ymax\na.jpg,fox,1,2,3,4\n"}, None, "No known layout"),
    ],
)
def test_what_is_not_clear_is_an_error_that_says_how_to_choose(tmp_path, files, columns, message):
    draw(tmp_path / "a.jpg")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        catalog_of(tmp_path, columns)


def test_columns_of_what_is_no_table_are_an_error(tmp_path):
    for name in ("eel", "ray"):
        draw(tmp_path / name / "a.jpg")
    manifest = mcv.Manifest(name="set", layout="folders", root=tmp_path, columns={"class": "Art"})
    with pytest.raises(ValueError, match="name columns of a table, but .* is read as folders of images"):
        read_catalog(manifest)


def test_a_labels_csv_goes_before_other_tables_and_class_folders(tmp_path):
    draw(tmp_path / "eel" / "a.jpg")
    draw(tmp_path / "ray" / "b.jpg")
    (tmp_path / "other.csv").write_text("file,label\neel/a.jpg,x\n")
    (tmp_path / "labels.csv").write_text("file,class\neel/a.jpg,fox\nray/b.jpg,owl\n")
    assert catalog_of(tmp_path)["class_name"].tolist() == ["fox", "owl"]


cells = some.text(some.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=10).filter(str.strip)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    classes=some.lists(cells, min_size=1, max_size=3, unique_by=lambda text: normalize_name(text).casefold()),
    delimiter=some.sampled_from(",;\t"),
    quoting=some.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_csv_writes_is_read(tmp_path, classes, delimiter, quoting):
    names = [f'é, {number}; "x".jpg' for number in range(len(classes))]
    for name in names:
        draw(tmp_path / name)
    with open(tmp_path / "labels.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
        writer.writerows([("file", "class"), *zip(names, classes, strict=True)])
    catalog = catalog_of(tmp_path)
    found = catalog["class_name"][names].tolist()
    assert found == [normalize_name(text) for text in classes]


def write_xlsx(path, rows):
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl: pip install 'marinecv[tables]'")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("second").append(["file", "class"])
    book.save(path)


def test_the_first_sheet_of_an_xlsx_is_read_with_its_numbers_and_dates(tmp_path):
    moment = datetime.datetime(2024, 11, 3, 18, 22, 40)
    rows = [["file", "species", "DateTime"], ["a.jpg", 7, moment], [], ["b.jpg", "=1+1", None], ["gone.jpg", "owl"]]
    write_xlsx(folder_of(tmp_path, "", "notes.txt") / "data.xlsx", rows)
    catalog = catalog_of(tmp_path)
    assert catalog["class_name"].to_dict() == {"a.jpg": "7", "b.jpg": "", "gone.jpg": "owl"}
    assert catalog["taken_at"]["a.jpg"] == "2024-11-03T18:22:40" and "no class" in catalog["problem"]["b.jpg"]


def test_an_xlsx_that_is_none_or_is_too_large_unpacked_is_refused(tmp_path, monkeypatch):
    draw(tmp_path / "a.jpg")
    (tmp_path / "labels.xlsx").write_bytes(b"file,class")
    with pytest.raises(ValueError, match="labels.xlsx (is no XLSX that can be read|needs openpyxl)"):
        catalog_of(tmp_path)
    pytest.importorskip("openpyxl", reason="needs openpyxl: pip install 'marinecv[tables]'")
    write_xlsx(tmp_path / "labels.xlsx", [["file", "class"], ["a.jpg", "fox"]])
    monkeypatch.setattr(table_reader, "MAX_UNPACKED_BYTES", 100_000)
    assert catalog_of(tmp_path)["class_name"].tolist() == ["fox"]
    with zipfile.ZipFile(tmp_path / "labels.xlsx", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/bomb.xml", b" " * 10**6)
    with pytest.raises(ValueError, match="unpacked it has 1,0.* bytes, more than 100,000"):
        catalog_of(tmp_path)


def test_an_xlsx_without_openpyxl_says_what_to_install(tmp_path, monkeypatch):
    draw(tmp_path / "a.jpg")
    zipfile.ZipFile(tmp_path / "labels.xlsx", "w").close()
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ValueError, match=r"labels.xlsx needs openpyxl: pip install 'marinecv\[tables\]'"):
        catalog_of(tmp_path)


def test_columns_travel_from_the_command_line_and_errors_name_the_flag(tmp_path, capsys):
    root = folder_of(tmp_path / "set", ART)
    words = ["audit", "--data-dir", str(root), "--columns", "file=Bild", "class=Art"]
    assert "Eule" in shown(capsys, *words, "--output-dir", str(tmp_path / "out"))
    assert '--columns "file=Bild"' in refused(capsys, *words[:4], "class=Art")


JAY = "filename, jay, magpie, none\n"


@pytest.mark.parametrize(
    ("rows", "classes", "problems"),
    [
        ("a.jpg, 0, 1, 0\nb.jpg, 0, 0, 1\n", ["magpie", "none"], ["", ""]),
        ("a.jpg, 0, 1, 0\nb.jpg, 0, 0, 0\n", ["magpie", ""], ["", "_classes.csv gives it no class"]),
        ("a.jpg, 0, 1, 0\nb.jpg, 1, 1, 0\n", ["magpie", ""], ["", "names several classes: jay, magpie"]),
        ("a.jpg, 0, 1, 0\nb.jpg, 1, 2, 0\n", ["magpie", ""], ["", "bad row 'b.jpg, 1, 2, 0': expected 0 or 1"]),
        ("a.jpg, 0, 1, 0\nb.jpg, 1\n", ["magpie", ""], ["", "bad row"]),
        ("a.jpg, 0, 1, 0\nb.jpg, 1, 0, 0, 0\n", ["magpie", ""], ["", "bad row"]),
        ("a.jpg, 0, 1, 0\n", ["magpie", ""], ["", "no annotation names it"]),
    ],
)
def test_a_row_of_classes_csv_is_of_one_class_or_a_problem(tmp_path, rows, classes, problems):
    catalog = catalog_of(folder_of(tmp_path, JAY + rows, "_classes.csv"), layout="classes_csv")
    assert catalog["class_name"].tolist() == classes
    assert all(
        problem.startswith(part) and bool(problem) == bool(part)
        for problem, part in zip(catalog["problem"], problems, strict=True)
    )


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("images/a.jpg", "images/b.jpg"), ["", ""]),
        (("train/a.jpg", "test/b.jpg"), ["", ""]),
        (("reef/a.jpg", "wreck/b.jpg"), ["reef", "wreck"]),
    ],
)
def test_a_folder_of_all_images_or_of_a_split_is_no_group(tmp_path, names, groups):
    rows = "".join(f"{name},eel,{split}\n" for name, split in zip(names, ("train", "test"), strict=True))
    catalog = catalog_of(folder_of(tmp_path, f"file,class,split\n{rows}", images=names))
    assert catalog["group"].tolist() == groups


def test_classes_of_each_split_are_told_by_the_names_of_its_columns(tmp_path):
    names = [f"x_jpg.rf.{letter * 32}.jpg" for letter in "ab"]
    folder_of(tmp_path / "train", JAY + "".join(f"{name}, 1, 0, 0\n" for name in names), "_classes.csv", names)
    folder_of(tmp_path / "valid", "filename, magpie, jay\nc.jpg, 1, 0\n", "_classes.csv", ["c.jpg"])
    catalog = catalog_of(tmp_path, layout="classes_csv")
    columns = ["split", "class_name", "group"]
    expected = [["train", "jay", ""], ["train", "jay", ""], ["validation", "magpie", ""]]
    assert catalog[columns].to_numpy().tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (JAY + "a.jpg, 1, 1, 0\nb.jpg, 1, 1, 0\n", "2 of 2 rows of _classes.csv .* several classes"),
        ("name, jay\na.jpg, 1\n", "begins with 'name, jay'. Expected filename"),
        ("filename, jay, jay\na.jpg, 1, 0\n", "The classes of .*_classes.csv are .*there twice"),
    ],
)
def test_a_classes_csv_of_another_kind_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        catalog_of(folder_of(tmp_path, text, "_classes.csv"), layout="classes_csv")
