"""Files to pass on: what other programs demand of them, and nothing of this machine."""

import codecs
import importlib.util
import json
import re
import subprocess
import sys
import venv
import zipfile
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from marinecv.data.writers import shared_table, write_csv, xlsx
from marinecv.data.writers.camtrap_dp import FIELDS, PATTERNS, check_table, read_metadata, write_camtrap_dp
from marinecv.data.writers.megadetector import write_megadetector
from marinecv.data.writers.xlsx import check_xlsx, write_xlsx
from marinecv.files.csv_tables import read_table

NAMES = ("badger", "empty", "person", "Ünknown =1", "e", "f")
MODEL = "marinecv 0.1.0, run a-1, model 12345678"


@pytest.fixture
def table(tmp_path):
    """Of `predict`: images of two cameras, an unknown one, one without time, a failure that names its path."""
    rows = [
        ("cam1/a.JPG", "badger", "cam1", "2025-04-02T05:00:00", ""),
        ("cam1/b.JPG", "empty", "cam1", "2025-04-02T05:10:00+02:00", ""),
        ("cam2/=c.jpg", "unknown", "cam2", "2025-04-30T12:00:00", ""),
        ("cam2/d d.png", "person", "cam2", "", ""),
        ("cam2/e.jpg", "", "cam2", "2025-04-03T05:00:00", f"denied: '{tmp_path}/photos/cam2/e.jpg'"),
    ]
    table = pd.DataFrame(rows, columns=["path", "predicted_class", "camera", "taken_at", "problem"])
    table["path"] = [str(tmp_path / "photos" / name) for name in table["path"]]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(NAMES)), len(table))
    probabilities[1] = [0, 1, 0, 0, 0, 0]
    probabilities[4] = np.nan
    table["probability"] = probabilities.max(axis=1)
    return shared_table(
        table.assign(**{f"p_{name}": probabilities[:, k] for k, name in enumerate(NAMES)}), f"{tmp_path}/photos"
    )


@pytest.fixture
def metadata(camtrap_files):
    deployments, project = camtrap_files
    return read_metadata(deployments, "+02:00", project)


def test_no_file_to_pass_on_has_an_absolute_path_and_only_tables_for_people_a_byte_order_mark(
    table, metadata, tmp_path
):
    out = tmp_path / "out"
    out.mkdir()
    write_csv(out / "a.csv", table)
    write_megadetector(out / "a.json", table, NAMES, MODEL)
    write_camtrap_dp(out / "dp", table, metadata, MODEL)
    if importlib.util.find_spec("openpyxl"):
        write_xlsx(out / "a.xlsx", table)
        zipfile.ZipFile(out / "a.xlsx").extractall(out / "unzipped")
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) >= 6
    for path in files:
        content = path.read_bytes()
        assert str(tmp_path).encode() not in content
        assert b"46.2" not in content or path.parent.name == "dp"  # no place but in the standard made for it
        if path.suffix in (".csv", ".json"):
            assert content.startswith(codecs.BOM_UTF8) == (path.name == "a.csv") and b"\r" not in content
    back = read_table(out / "a.csv")
    assert back["file"].tolist() == table["file"].tolist() and back["problem"].iloc[-1] == "denied: 'cam2/e.jpg'"


def test_a_workbook_has_dates_text_and_no_formula(table, tmp_path, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    write_xlsx(tmp_path / "a.xlsx", table.assign(note=["=1+1", "\x07bell", "007", "-1", ""]))
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    rows = [dict(zip(next(sheet.values), row, strict=True)) for row in [*sheet.values][1:]]
    assert rows[0]["taken_at"] == datetime(2025, 4, 2, 5) and rows[3]["taken_at"] in (None, "")
    assert [row["utc_offset"] or "" for row in rows] == ["", "UTC+02:00", "", "", ""]
    assert [row["note"] or "" for row in rows] == ["'=1+1", "bell", "007", "'-1", ""]
    assert rows[0]["probability"] == table["probability"][0] and rows[4]["probability"] is None
    assert sheet.freeze_panes == "A2" and {cell.data_type for row in sheet for cell in row} <= {
        "s",
        "n",
        "d",
        "inlineStr",
    }
    with pytest.raises(ValueError, match="Excel ends at 1,048,576"):
        check_xlsx(xlsx.MAX_ROWS)
    monkeypatch.setattr(xlsx, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs openpyxl. Install it"):
        check_xlsx(1)


def test_megadetector_json_of_whole_images(table, tmp_path):
    sentences = write_megadetector(tmp_path / "a.json", table, NAMES, MODEL)
    assert sentences == ["a.json: the classes person are called person (class), as detections have those names."]
    found = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert found["info"]["format_version"] == "1.6" and "whole images" in found["info"]["classifier"]
    assert [*found["classification_categories"].values()][2:4] == ["person (class)", "Ünknown =1"]
    images = {image["file"]: image for image in found["images"]}
    assert images["cam2/e.jpg"] == {"file": "cam2/e.jpg", "detections": None, "failure": "denied: 'cam2/e.jpg'"}
    [detection] = images["cam1/b.JPG"]["detections"]
    assert detection["bbox"] == [0, 0, 1, 1] and detection["classifications"][0] == ["1", 1.0]
    assert isinstance(detection["conf"], float) and len(detection["classifications"]) == 5
    scores = [score for _, score in images["cam1/a.JPG"]["detections"][0]["classifications"]]
    assert scores == sorted(scores, reverse=True)
    assert "classifications" not in images["cam2/=c.jpg"]["detections"][0]  # unknown


def test_detections_of_a_detector_are_kept_and_get_classifications(table, tmp_path):
    first = {"category": "1", "conf": 0.931, "bbox": [0.1, 0.25, 0.3, 0.4], "classifications": [["9", 0.5]]}
    images = [
        {
            "file": "D:\\cards\\cam1\\a.JPG",
            "detections": [first, {"category": "2", "conf": 0.4, "bbox": [0, 0, 0.1, 0.1]}],
        },
        {"file": "/home/me/cam1/b.JPG", "detections": []},
        {"file": "/home/me/other.JPG", "detections": None, "failure": "unreadable"},
    ]
    content = {
        "info": {"format_version": "1.3", "detector": "md_v5a"},
        "detection_categories": {"1": "animal", "2": "person"},
    }
    (tmp_path / "md.json").write_text(json.dumps(content | {"images": images}))
    rows = table.iloc[[0, 1]].assign(detection=["md.json:images[0].detections[0]", ""])
    write_megadetector(tmp_path / "a.json", rows, NAMES, MODEL, tmp_path / "md.json")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["info"]["detector"] == "md_v5a" and found["detection_categories"] == {"1": "animal", "2": "person"}
    assert [image["file"] for image in found["images"]] == ["cam1/a.JPG", "cam1/b.JPG", "other.JPG"]
    kept, other = found["images"][0]["detections"]
    assert len(kept.pop("classifications")) == 5 and kept == {key: first[key] for key in ("category", "conf", "bbox")}
    assert other == images[0]["detections"][1] and found["images"][2]["failure"] == "unreadable"


def test_a_package_holds_what_can_be_placed_and_says_what_was_left_out(table, metadata, tmp_path):
    table = table.assign(event_id=["e1", "e1", "e2", "", "e3"])
    said = write_camtrap_dp(tmp_path / "dp", table, metadata, MODEL)
    assert said == ["dp: 1 of 5 rows left out: no time"]
    tables = {name: read_table(tmp_path / "dp" / f"{name}.csv") for name in ("deployments", "media", "observations")}
    assert [len(found.columns) for found in tables.values()] == [24, 11, 28]
    for name, found in tables.items():
        check_table(name, found, name)
    assert tables["deployments"]["deploymentEnd"].tolist() == ["2025-04-30T09:30:00+02:00", "2025-04-30T23:59:59+02:00"]
    assert tables["media"]["timestamp"].tolist()[:2] == ["2025-04-02T05:00:00+02:00", "2025-04-02T05:10:00+02:00"]
    seen = tables["observations"]
    level = seen["observationLevel"] == "media"
    assert seen["observationType"][level].tolist() == ["animal", "blank", "unknown", "unclassified"]
    assert seen["scientificName"][level].tolist() == ["Meles meles", "", "", ""] and seen["count"].eq("").all()
    assert set(zip(seen["mediaID"][~level], seen["eventID"][~level], strict=True)) == {("", "e1"), ("", "e2")}
    assert seen["eventEnd"].iloc[0] == "2025-04-02T05:10:00+02:00" and set(seen["mediaID"][level]) == {
        *tables["media"]["mediaID"]
    }
    package = json.loads((tmp_path / "dp" / "datapackage.json").read_text())
    assert package["project"]["observationLevel"] == ["media", "event"]
    assert package["taxonomic"] == [{"scientificName": "Meles meles"}] and package["spatial"]["type"] == "Polygon"
    assert package["temporal"] == {"start": "2025-04-01", "end": "2025-04-30"} and len(package["resources"]) == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("deployments.csv", "46.2044", "96.2", "has '96.2' as latitude. Expected number from -90 to 90"),
        ("deployments.csv", "46.2044", "", "has '' as latitude"),
        ("deployments.csv", "d2", "d1", "has 'd1' twice as deploymentID"),
        ("deployments.csv", "deploymentEnd", "end", "lacks the column 'deploymentEnd'"),
        ("deployments.csv", "2025-04-30T09:30:00", "30/04/2025", r"has '30/04/2025\+02:00' as deploymentEnd"),
        ("project.toml", "ridge-2025", "Ridge 2025", "'name' of .*project.toml is 'Ridge 2025'"),
        ("project.toml", "targeted", "random", "'samplingDesign' of .*project.toml is 'random'"),
        ("project.toml", 'scope = "media"', 'scope = "data"', "licenses of data and of media, or none"),
        ("project.toml", "filePublic", "public", "filePublic|public"),
    ],
)
def test_wrong_metadata_is_refused_before_anything_is_predicted(metadata, tmp_path, file, old, new, message):
    (tmp_path / file).write_text((tmp_path / file).read_text().replace(old, new, 1 if old != "d2" else -1))
    with pytest.raises(ValueError, match=message):
        read_metadata(tmp_path / "deployments.csv", "+02:00", tmp_path / "project.toml")


def test_missing_metadata_are_listed_with_templates_that_are_right_and_a_zone_is_an_offset(metadata, tmp_path):
    with pytest.raises(ValueError, match="needs deployments=, project= too; nothing is written") as refused:
        read_metadata(None, "Z", None)
    template = re.sub(r"^ {4}", "", str(refused.value), flags=re.MULTILINE)
    (tmp_path / "deployments.csv").write_text(template[template.index("deploymentID") : template.index("timezone=")])
    (tmp_path / "project.toml").write_text(template[template.index('name = "ridge') :])
    assert read_metadata(tmp_path / "deployments.csv", "Z", tmp_path / "project.toml").project.title == "Ridge 2025"
    with pytest.raises(ValueError, match="timezone is 'Europe/Berlin'. Expected an offset"):
        read_metadata(tmp_path / "deployments.csv", "Europe/Berlin", tmp_path / "project.toml")


def test_images_of_no_or_of_two_deployments_are_refused(table, metadata, tmp_path):
    with pytest.raises(
        ValueError, match="No image can be listed in .*dp. .*5 of 5 rows left out: no deployment of camera c9"
    ):
        write_camtrap_dp(tmp_path / "dp", table.assign(camera="c9", taken_at="2025-04-02T05:00:00"), metadata, MODEL)
    twice = metadata._replace(deployments=metadata.deployments.assign(cameraID="cam1"))
    with pytest.raises(ValueError, match="lies in the deployments d1 and d2"):
        write_camtrap_dp(tmp_path / "dp", table, twice, MODEL)
    assert not (tmp_path / "dp").exists()


def environment(folder, *installs):
    """Make a virtual environment of its own with packages, or skip the test with the reason."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    for words in installs:
        done = subprocess.run([python, "-m", "pip", "install", "-q", *words], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{' '.join(words)} does not install: {done.stderr[-200:]}")
    return python


VALIDATE = """
import json, sys
from megadetector.postprocessing.validate_batch_results import validate_batch_results as validate
results = [validate(name)["validation_results"] for name in sys.argv[1:]]
print(json.dumps([{name: result[name] for name in ("errors", "warnings")} for result in results]))
"""


@pytest.mark.slow
@pytest.mark.network
def test_megadetectors_own_validator_takes_the_file(table, tmp_path):
    others = "numpy pillow tqdm jsonpickle opencv-python-headless matplotlib requests humanfriendly pandas pytest"
    python = environment(tmp_path / "env", ["--no-deps", "megadetector"], others.split())
    write_megadetector(tmp_path / "a.json", table, NAMES, MODEL)
    whole = (tmp_path / "a.json").read_text("utf-8")
    (tmp_path / "b.json").write_text(whole.replace('"conf": 1.0', '"conf": 1'), "utf-8")
    done = subprocess.run([python, "-c", VALIDATE, "a.json", "b.json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    right, wrong = json.loads(done.stdout.splitlines()[-1])
    assert right == {"errors": [], "warnings": []} and len(wrong["errors"]) == 1


FRICTIONLESS = """
import json, sys
from frictionless import Resource, Schema, validate
fields = json.load(open(sys.argv[1]))
for name, descriptor in fields.items():
    report = Resource(path=f"{name}.csv", schema=Schema.from_descriptor(descriptor)).validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "type", "note"])
"""


@pytest.mark.slow
@pytest.mark.network
def test_frictionless_takes_the_tables_by_our_list_of_the_standards_fields(table, metadata, tmp_path):
    python = environment(tmp_path / "env", ["frictionless"])
    write_camtrap_dp(tmp_path / "dp", table.assign(event_id=["e1", "e1", "e2", "", "e3"]), metadata, MODEL)
    schemas = {}
    for row in FIELDS.to_dict("records"):
        constraints = {"required": row["required"] == "1", "unique": row["kind"] == "unique"}
        constraints |= {bound: float(row[bound]) for bound in ("minimum", "maximum") if row[bound]}
        constraints |= {"enum": row["values"].split("|")} if row["values"] else {}
        constraints |= {"pattern": PATTERNS[row["kind"]]} if row["kind"] in ("path", "mediatype") else {}
        kind = row["kind"] if row["kind"] in ("integer", "number", "boolean", "datetime") else "string"
        field = {"name": row["field"], "type": kind, "constraints": constraints}
        field |= {"format": "%Y-%m-%dT%H:%M:%S%z"} if kind == "datetime" else {}
        schemas.setdefault(row["table"], {"fields": []})["fields"].append(field)
    (tmp_path / "dp" / "fields.json").write_text(json.dumps(schemas))
    done = subprocess.run(
        [python, "-c", FRICTIONLESS, "fields.json"], cwd=tmp_path / "dp", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.network
def test_our_list_of_the_standards_fields_is_that_of_another_implementation(tmp_path):
    """Of Camtrap DP 1.0.2 by trap-schema; its source is read, as it runs on Python 3.12 and later alone."""
    words = ["download", "--no-deps", "--python-version", "3.12", "--only-binary", ":all:", "trap-schema==0.2.2"]
    done = subprocess.run([sys.executable, "-m", "pip", *words], cwd=tmp_path, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"trap-schema cannot be downloaded: {done.stderr[-200:]}")
    [wheel] = tmp_path.glob("*.whl")
    source = zipfile.ZipFile(wheel).read("trap_schema/tables.py").decode()
    for table, fields in FIELDS.groupby("table"):
        body = source.partition(f"class {table.title()}Row(")[2].partition("\nclass ")[0]
        theirs = dict(re.findall(r"^    (\w+): (.+)$", body, re.MULTILINE)[-len(fields) :])
        assert [*theirs] == fields["field"].tolist()
        for field in fields.itertuples():
            type_of = theirs[field.field]
            assert ("None" not in type_of) == (field.required == "1"), field
            enum = "|".join(re.findall(r'"(\w+)"', type_of.partition("Literal[")[2].partition("]")[0]))
            assert enum == field.values, field
            bounds = [float((re.findall(rf"{word}=([-\w.]+)", type_of) or ["nan"])[0]) for word in ("ge", "le")]
            ours = [float(bound or "nan") for bound in (field.minimum, field.maximum)]
            np.testing.assert_equal(bounds, ours, err_msg=field.field)
