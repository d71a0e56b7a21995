"""Camtrap DP: tables of media and observations, of an image or an event, in the forms that are met."""

import gzip
import json

import pytest
from PIL import Image

from marinecv.data.accounting import ANNOTATION, count_files, reading_lines
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.manifests import manifest_of_folder

PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.1/camtrap-dp-profile.json"
DEPLOYMENTS = "deploymentID,locationID,latitude\nd1,river,1\nd2,,2\n"
MEDIA = "mediaID,deploymentID,timestamp,filePath,fileName,fileMediatype\n"
OBSERVATIONS = (
    "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,cameraSetupType,"
    "scientificName,count,bboxX,bboxY,bboxWidth,bboxHeight\n"
)
IMAGE = "m1,d1,2025-04-02T05:11:07+02:00,media/a.jpg,a.jpg,image/jpeg\n"
OTHER = "m2,d2,2025-04-02T05:11:09+02:00,https://example.org/m/2,b.jpg,image/jpeg\n"


def observed(kind="animal", name="Meles meles", media="m1", event="e1,,", setup="", box=",,,", deployment="d1"):
    level = "media" if media else "event"
    return f"o,{deployment},{media},{event},{level},{kind},{setup},{name},1,{box}\n"


def write(root, observations, media=IMAGE + OTHER, deployments=DEPLOYMENTS, paths=None, profile=PROFILE, columns=MEDIA):
    for name in ("media/a.jpg", "media/b.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(root / name)
    tables = {"deployments": deployments, "media": columns + media, "observations": OBSERVATIONS + observations}
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text, encoding="utf-8-sig")
    paths = {name: f"{name}.csv" for name in tables} | (paths or {})
    resources = [{"name": name, "path": path} for name, path in paths.items()]
    (root / "datapackage.json").write_text(json.dumps({"profile": profile, "resources": resources}))
    return root


def row_of(root, name="media/a.jpg"):
    manifest = manifest_of_folder(root)
    assert manifest.layout == "camtrap_dp"
    return read_catalog(manifest).set_index("image_id").loc[name]


NO_EVENT = {"media": "", "name": "Vulpes vulpes"}


@pytest.mark.parametrize(
    ("observations", "class_name", "problem"),
    [
        ([observed()], "Meles meles", ""),
        ([observed(), observed()], "Meles meles", ""),
        ([observed("blank", "")], "empty", ""),
        ([observed("human", "")], "human", ""),
        ([observed("unclassified", "")], "", "no box"),
        ([observed("human", "", setup="calibration")], "", "no box"),
        ([], "", "no box"),
        ([observed(), observed(name="Vulpes vulpes")], "", "names several classes: Meles meles, Vulpes vulpes"),
        ([observed(box="0,0,0.5,0.5"), observed(name="Vulpes vulpes")], "Meles meles", "names several"),
        ([observed(box="0,0,0.5,0.5"), observed(name="Vulpes vulpes", box="0,0,0.2,0.2")], "Meles meles", ""),
        ([observed(name="", box="0,0,0.5,0.5"), observed()], "Meles meles", ""),
        ([observed("blank", ""), observed(box="0,0,0.5,0.5")], "empty", "is stated to be empty, and has boxes"),
        (
            [observed(box="0,0,0.5,"), observed(media="m2", name="Lutra lutra", box="0,0,1,1")],
            "",
            "no usable box: bad row",
        ),
        ([observed(event="e,2025-04-02T05:11:00+02:00,2025-04-02T03:11:07Z", **NO_EVENT)], "Vulpes vulpes", ""),
        ([observed(event="e,2025-04-02 05:11:00,2025-04-02 05:12:00", **NO_EVENT)], "Vulpes vulpes", ""),
        ([observed(event="e,2025-04-02T05:11:08+02:00,2025-04-02T05:12:00+02:00", **NO_EVENT)], "", "no box"),
        ([observed(event="e,,", **NO_EVENT)], "", "no box"),
        ([observed(event="e,2025-04-02T05:11:00Z,2025-04-02T05:12:00Z", deployment="d9", **NO_EVENT)], "", "no box"),
        (
            [observed(event="e,2025-04-02T05:11:00+02:00,2025-04-02T05:12:00+02:00", **NO_EVENT), observed()],
            "Meles meles",
            "",
        ),
    ],
)
def test_the_class_of_an_image(tmp_path, observations, class_name, problem):
    write(tmp_path, "".join(observations) + observed(name="Lutra lutra", media="m2", deployment="d2"))
    row, other = row_of(tmp_path), row_of(tmp_path, "media/b.jpg")
    assert (
        row["class_name"] == class_name and row["problem"].startswith(problem) and bool(row["problem"]) == bool(problem)
    )
    assert row[["camera", "group", "taken_at"]].tolist() == ["river", "river", "2025-04-02T05:11:07+02:00"]
    assert other[["class_name", "camera", "sequence", "problem"]].tolist() == ["Lutra lutra", "d2", "e1", ""]


def test_an_image_without_a_time_does_not_disturb_the_events_of_others(tmp_path):
    later = OTHER.replace("d2", "d1").replace("https://example.org/m/2", "media/b.jpg")
    media = later + "m3,d1,,media/c.jpg,c.jpg,image/jpeg\n" + IMAGE
    write(tmp_path, observed(event="e,2025-04-02T05:11:00+02:00,2025-04-02T05:11:08+02:00", **NO_EVENT), media)
    assert row_of(tmp_path)["class_name"] == "Vulpes vulpes"
    assert row_of(tmp_path, "media/b.jpg")[["class_name", "problem"]].tolist() == ["", "no box"]


def test_lists_of_paths_packed_tables_whole_numbers_and_what_is_said(tmp_path):
    write(
        tmp_path,
        observed(media="1", box="0.25;0,5;0.25;0.5".replace(";", "\t")).replace(",", "\t").replace("0\t5", "0,5")
        + observed(media="9").replace(",", "\t"),
        "1.0,d1,,media/a.jpg,,\n2,d7,12/05/2025 10:00,media/v.mp4,,video/mp4\n",
        paths={"deployments": ["deployments.csv"], "media": ["media.csv.gz"], "observations": ["o1.csv", "o2.csv"]},
        profile="https://rs.gbif.org/sandbox/data-packages/camtrap-dp/1.0/profile/camtrap-dp-profile.json",
    )
    (tmp_path / "media.csv.gz").write_bytes(gzip.compress((tmp_path / "media.csv").read_bytes()))
    header, *rows = (tmp_path / "observations.csv").read_text("utf-8-sig").splitlines()
    for number, row in enumerate(rows, start=1):
        (tmp_path / f"o{number}.csv").write_text("\r\n".join([header.replace(",", "\t"), row]))
    for name in ("media", "observations"):
        (tmp_path / f"{name}.csv").unlink()
    manifest = manifest_of_folder(tmp_path)
    boxes, catalog = read_boxes(manifest), read_catalog(manifest)
    assert boxes[CORNERS].to_numpy().tolist() == [[16, 24, 32, 48]] and boxes["source"].tolist() == ["o1.csv:2"]
    assert count_files(manifest, catalog)[ANNOTATION] == 5
    [line] = reading_lines(manifest, catalog)
    for said in ("1 dates are not read", "1 of 2 observations are of no image", "1 deployments of the media are not"):
        assert said in line
    assert "a video" in row_of(tmp_path, "media/v.mp4")["problem"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"paths": {"media": "https://example.org/media.csv"}},
            "The media of .* are in 'https://example.org/media.csv'",
        ),
        ({"paths": {"media": "../media.csv"}}, r"are in '../media.csv'. Expected .csv or .csv.gz files"),
        ({"paths": {"media": "media.parquet"}}, "are in 'media.parquet'"),
        ({"paths": {"media": None}}, "are in ''"),
        ({"paths": {"media": "gone.csv"}}, "gone.csv, the media of .*, is no file"),
        ({"paths": {"media": []}}, "has no resource media"),
        ({"paths": {"media": "broken.csv.gz"}}, "broken.csv.gz is not UTF-8: Compressed file ended"),
        ({"profile": PROFILE.replace("1.0.1", "0.1.6")}, "is of the profile .*0.1.6.*Expected Camtrap DP 1.0"),
        ({"media": IMAGE + IMAGE}, "repeat a mediaID"),
        ({"media": 'm1,d1,"media'}, "Row media.csv:2 cannot be divided into cells"),
        ({"media": "m1,d1,,a,b,c,d\n"}, "Row media.csv:2 has 1 cells more than the header"),
        ({"columns": "mediaID,file\n"}, "media.csv lacks the column 'deploymentID'"),
        ({"media": "m1,d1,,media/z.jpg,,\n"}, "None of the 1 files that .*media.csv names is there"),
    ],
)
def test_a_package_that_is_not_whole_is_an_error_that_says_how_to_correct_it(tmp_path, changes, message):
    write(tmp_path, observed(), **changes)
    (tmp_path / "broken.csv.gz").write_bytes(gzip.compress(b"mediaID,deploymentID")[:-9])
    with pytest.raises(ValueError, match=message):
        row_of(tmp_path)


def test_a_table_is_unpacked_only_so_far(tmp_path, monkeypatch):
    write(tmp_path, observed(), paths={"media": "media.csv.gz"})
    (tmp_path / "media.csv.gz").write_bytes(gzip.compress((tmp_path / "media.csv").read_bytes()))
    monkeypatch.setattr("marinecv.data.user_csv.MAX_UNPACKED_BYTES", 60)
    with pytest.raises(ValueError, match="media.csv.gz is not UTF-8: unpacked it has more than 60 bytes"):
        row_of(tmp_path)
