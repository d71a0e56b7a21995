"""A pack: the files of a data set in few large ones, read as the folder they came from is."""

import errno
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import COLORS, draw_image

import marinecv as mcv
from marinecv.audit.near_duplicates import exact_copies
from marinecv.audit.pairs import find_pairs
from marinecv.data.accounting import reading_lines
from marinecv.data.attributes import read_attributes
from marinecv.data.images import open_image, read_header
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.materialize import materialize
from marinecv.data.readers.shards import read_columns, write_columns
from marinecv.data.shards import records
from marinecv.data.shards import write as room
from marinecv.data.shards.records import file_state, is_present, is_record, read_bytes
from marinecv.data.shards.write import pack
from marinecv.inputs.decode import read_decodable
from marinecv.inputs.to_rgb import open_rgb
from pipelines.cli import main

SMALL = 8_000  # bytes a shard, so that a tank fills several


def packed(manifest, folder, shard_bytes=SMALL, log=None) -> mcv.Manifest:
    pack(manifest, folder, read_decodable, shard_bytes=shard_bytes, log=log)
    return manifest_of_folder(folder)


@pytest.fixture
def tank(roboflow_folder) -> mcv.Manifest:
    return manifest_of_folder(roboflow_folder)


@pytest.fixture
def by_class(tmp_path) -> mcv.Manifest:
    """Class folders with every kind of trouble, and names that a careless table would mistake."""
    for number in range(9):
        name = [*COLORS, "NA"][number % 4]
        place = tmp_path / "shore" / name / ("camera,1" if number % 2 else "=2+2")
        place.mkdir(parents=True, exist_ok=True)
        draw_image([*COLORS][number % 3], seed=number).save(place / f"{number:03d} é'\"#1+2.png")
    eel = tmp_path / "shore" / "eel"
    (eel / "text.jpg").write_text("Dear diary")
    draw_image("eel", seed=3).save(eel / "cut.jpg")
    (eel / "cut.jpg").write_bytes((eel / "cut.jpg").read_bytes()[:700])
    return manifest_of_folder(tmp_path / "shore")


def without_path(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="path")


@pytest.mark.parametrize("kind", ["tank", "by_class"])
def test_the_lines_of_the_page_read_a_pack_without_marinecv(kind, tmp_path, request):
    manifest = request.getfixturevalue(kind)
    again = packed(manifest, tmp_path / "pack")
    text = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(import json, numpy .*?)```", text, re.DOTALL)
    names = {}
    exec(code.replace("/drive/photos", str(tmp_path / "pack")), names)
    found = [(name.decode(), data) for data, name in names["images"].as_numpy_iterator()]
    catalog, column = mcv.read_catalog(again), names["column"]
    good = catalog[catalog["problem"] == ""]
    assert len(good) >= 9 and "marinecv" not in code
    assert dict(found) == {row.image_id: read_bytes(row.path) for row in good.itertuples()} and len(found) == len(good)
    index, boxes = names["index"], names["boxes"]
    written = read_columns(tmp_path / "pack" / "index.npz")
    assert all(
        column(index, name).tolist() == written[name].tolist() for name in ("image_id", "split", "width", "problem")
    )
    if kind == "tank":
        written = mcv.read_boxes(manifest)
        pairs = zip(column(boxes, "image_id"), column(boxes, "class_name"), column(boxes, "xmin"), strict=True)
        expected = zip(written["image_id"], written["class_name"], written["xmin"], strict=True)
        assert [(a, b, float(c)) for a, b, c in pairs] == [(a, b, float(c)) for a, b, c in expected]
    else:
        assert set(column(index, "class_name")[index["shard"] >= 0]) == {*COLORS, "NA"}


def test_a_pack_reads_as_the_folder_it_was_made_of(tank, tmp_path):
    again = packed(tank, tmp_path / "pack")
    assert (again.layout, again.name) == ("shards", "tank")
    assert reading_lines(again, mcv.read_catalog(again)) == []  # every file of it is read
    for rule in ("dominant", "count"):
        before, after = mcv.read_catalog(tank, rule, "empty"), mcv.read_catalog(again, rule, "empty")
        pd.testing.assert_frame_equal(without_path(after), without_path(before))
    pd.testing.assert_frame_equal(mcv.read_boxes(again), mcv.read_boxes(tank))
    assert mcv.class_names_of(after, again) == mcv.class_names_of(before, tank)
    for old, new in zip(before["path"], after["path"], strict=True):
        assert read_bytes(new) == Path(old).read_bytes() and file_state(new)[0] == file_state(old)[0]
    shards = sorted(str(path) for path in (tmp_path / "pack").glob("*.tfrecord"))
    found = {record.numpy() for record in tf.data.TFRecordDataset(shards)}  # which any reader of TFRecord reads
    assert len(shards) > 2 and found == {Path(path).read_bytes() for path in before["path"]}


def test_images_that_cannot_be_used_are_rows_with_their_reason_and_have_no_record(by_class, tmp_path):
    again = packed(by_class, tmp_path / "pack")
    before, after = mcv.read_catalog(by_class), mcv.read_catalog(again)
    _, reviewed = mcv.load_pixels(before, mcv.ImageSpec(height=20, width=30))  # which decodes, as packing does
    pd.testing.assert_frame_equal(without_path(after), without_path(reviewed))
    problems = after.set_index("image_id")["problem"]
    assert "truncated" in problems["eel/cut.jpg"] and "cannot be read" in problems["eel/text.jpg"]
    assert after["path"].map(is_record).eq(after["problem"] == "").all()
    assert set(after["group"]) == {"camera,1", "=2+2", "."} and "NA" in set(after["class_name"])


def test_a_record_is_opened_by_its_path_wherever_a_file_is(tank, tmp_path):
    before, after = mcv.read_catalog(tank), mcv.read_catalog(packed(tank, tmp_path / "pack"))
    old, new = before["path"].iloc[0], after["path"].iloc[0]
    assert is_present(new) and read_header(Path(new)) == (64, 48, "")
    with open_image(new) as image:
        assert image.size == (64, 48)
    assert open_rgb(new).tobytes() == open_rgb(old).tobytes()
    pd.testing.assert_frame_equal(exact_copies(after), exact_copies(before))
    pairs = [find_pairs(catalog, log=lambda line: None) for catalog in (before, after)]
    pd.testing.assert_frame_equal(*pairs)
    files = materialize(after, tmp_path / "links").rglob("*.jpg")
    assert {file.read_bytes() for file in files} == {Path(path).read_bytes() for path in before["path"]}


def test_the_facts_of_a_manifest_survive(tank, tmp_path):
    facts = {"name": "reef-9", "title": "Reef", "class_names": ("ray", "eel", "crab"), "license": "CC0"}
    facts |= {"citation": "Me, 2024", "homepage": "https://example.org", "demonstration": True}
    again = packed(mcv.Manifest(**facts, layout="roboflow", root=tank.root), tmp_path / "pack")
    assert {name: getattr(again, name) for name in facts} == facts
    twice = packed(again, tmp_path / "pack of the pack")
    pd.testing.assert_frame_equal(without_path(mcv.read_catalog(twice)), without_path(mcv.read_catalog(again)))


def test_a_pack_of_numbered_classes_keeps_their_order_and_has_no_attributes(tmp_path):
    birds, names = tmp_path / "birds", ("001.Wren", "002.Auk")
    for number, folder in enumerate(names, start=1):
        (birds / "images" / folder).mkdir(parents=True)
        draw_image("crab", seed=number).save(birds / "images" / folder / "a.jpg")
    (birds / "images.txt").write_text("".join(f"{n} {name}/a.jpg\n" for n, name in enumerate(names, start=1)))
    (birds / "classes.txt").write_text("1 001.Wren\n2 002.Auk\n")
    (birds / "image_class_labels.txt").write_text("1 1\n2 2\n")
    again = packed(manifest_of_folder(birds), tmp_path / "pack")
    assert mcv.class_names_of(mcv.read_catalog(again), again) == ("Wren", "Auk")
    with pytest.raises(ValueError, match="a pack keeps none"):
        read_attributes(again)


@pytest.mark.parametrize("stop", (0, 2, 5))
def test_a_killed_pack_goes_on(stop, tank, tmp_path, monkeypatch):
    whole, folder, written = packed(tank, tmp_path / "whole"), tmp_path / "pack", []

    def write(path, table):
        if len(written) == stop:
            raise KeyboardInterrupt
        write_columns(path, table)
        written.append(path.with_suffix(".tfrecord"))

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(room.shards, "write_columns", write)
        packed(tank, folder)
    with pytest.raises(ValueError, match="is not complete"):
        manifest_of_folder(folder)
    kept = {path: path.stat().st_mtime_ns for path in written if path.is_file()}
    again = packed(tank, folder)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    pd.testing.assert_frame_equal(without_path(mcv.read_catalog(again)), without_path(mcv.read_catalog(whole)))
    assert contents(folder) == contents(whole.root)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_complete_pack_is_left_alone_and_no_other_is_overwritten(tank, by_class, tmp_path):
    said, folder = [], tmp_path / "pack"
    packed(tank, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("[!.]*")}  # not .lock
    (folder / "packing.json").write_text("{}")  # as where it was killed at the very end
    packed(tank, folder, log=said.append)
    assert said == [f"{folder} is packed already."]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(ValueError, match="of other images or labels"):
        packed(by_class, folder)
    table = tank.root / "train" / "_annotations.csv"
    table.write_text(table.read_text().replace("crab,4", "eel,4"))
    with pytest.raises(ValueError, match="of other images or labels"):
        packed(tank, folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes is not empty"):
        packed(tank, tmp_path / "notes")


def test_a_disk_without_room_or_that_does_not_write_is_said(tank, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1))
        with pytest.raises(ValueError, match="The pack takes .* bytes and 1 are free"):
            packed(tank, tmp_path / "pack")
    full = Mock(side_effect=tf.errors.ResourceExhaustedError(None, None, "No space left on device"))
    monkeypatch.setattr(tf.io, "TFRecordWriter", full)
    with pytest.raises(ValueError, match=r"images-00000.tfrecord cannot be written: No space left on device"):
        packed(tank, tmp_path / "pack")
    assert not list((tmp_path / "pack").glob("*.tfrecord"))


def test_a_shard_that_is_not_what_was_written_is_found_before_the_pack_is_complete(tank, tmp_path, monkeypatch):
    real = room._write_shard

    def write(folder, number, *args):
        real(folder, number, *args)
        flip(folder / f"images-{number:05d}.tfrecord", 40)

    monkeypatch.setattr(room, "_write_shard", write)
    with pytest.raises(ValueError, match="is not what was written to it, from byte 12 on"):
        packed(tank, tmp_path / "pack")
    assert not (tmp_path / "pack" / "pack.json").exists()


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_damaged_record_says_which_shard_and_how_to_mend(tank, tmp_path, monkeypatch):
    catalog = mcv.read_catalog(packed(tank, tmp_path / "pack", shard_bytes=2**20))
    flip(tmp_path / "pack" / "images-00000.tfrecord", 100)
    with pytest.raises(ValueError, match=r"images-00000.tfrecord is damaged at byte 12.*data pack"):
        list(map(read_bytes, catalog["path"]))
    with pytest.raises(ValueError, match="is damaged at byte 12"):  # not one image fewer
        mcv.load_pixels(catalog, mcv.ImageSpec(height=20, width=30))
    with monkeypatch.context() as patch:
        patch.setattr(records, "open", Mock(side_effect=OSError(errno.EIO, "Input/output error")), raising=False)
        with pytest.raises(ValueError, match="images-00000.tfrecord cannot be read: Input/output error"):
            read_bytes(catalog["path"].iloc[0])
    shutil.rmtree(tmp_path / "pack")
    with pytest.raises(ValueError, match="images-00000.tfrecord cannot be read: No such file"):
        read_bytes(catalog["path"].iloc[0])
    with pytest.raises(OSError, match="No such file"):
        read_bytes(tmp_path / "gone.jpg")


def test_a_pack_that_lacks_a_part_is_refused(tank, tmp_path):
    again = packed(tank, tmp_path / "pack")
    shard, index = tmp_path / "pack" / "images-00001.tfrecord", tmp_path / "pack" / "index.npz"
    content = shard.read_bytes()
    for left in (content[:-1], b""):
        shard.write_bytes(left)
        with pytest.raises(ValueError, match=f"00001.tfrecord holds {len(left):,} bytes. Expected {len(content):,}"):
            mcv.read_catalog(again)
    shard.write_bytes(content)
    flip(index, 200)
    with pytest.raises(ValueError, match="index.npz is not the table that pack.json names"):
        mcv.read_catalog(again)


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ("version", 9, "is of version 9"),
        ("name", "../elsewhere", "'../elsewhere'"),
        ("class_names", ["a", "a"], "'a' is empty or there twice"),
        ("license", 3, "is 3. Expected `str`"),
    ],
)
def test_a_pack_json_that_says_what_cannot_be_is_refused(entry, value, said, tank, tmp_path):
    packed(tank, tmp_path / "pack")
    about = tmp_path / "pack" / "pack.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {entry: value}))
    with pytest.raises(ValueError, match=said):
        manifest_of_folder(tmp_path / "pack")


def test_tables_of_columns_come_back_as_they_were(tmp_path):
    words = ["", "NA", "=1+1", "é\n\0\r\"'", "😀", "007", "[1]"]
    table = pd.DataFrame({"text": pd.Series(words, dtype=str), "number": range(7), "real": np.linspace(0, 1, 7) / 3})
    table = table.assign(flag=[True, False] * 3 + [True])
    write_columns(tmp_path / "table.npz", table)
    pd.testing.assert_frame_equal(read_columns(tmp_path / "table.npz"), table)
    write_columns(tmp_path / "table.npz", table.iloc[:0])
    assert read_columns(tmp_path / "table.npz").columns.tolist() == table.columns.tolist()
    with pytest.raises(FileNotFoundError):
        read_columns(tmp_path / "none.npz")
    (tmp_path / "table.npz").write_bytes(b"PK\3\4 no table")
    with pytest.raises(ValueError, match="table.npz cannot be read: .* Expected a table of a pack"):
        read_columns(tmp_path / "table.npz")


def test_data_pack_says_what_it_did_and_what_has_no_record(by_class, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "pack", "--data-dir", str(by_class.root)]) == 0
    shown = capsys.readouterr().out
    assert "9 images packed" in shown and "1 without a record: cannot be read" in shown
    assert main(["data", "pack", "--data-dir", str(by_class.root)]) == 0
    assert "is packed already" in capsys.readouterr().out


@pytest.mark.slow
def test_training_from_a_pack_gives_the_very_same_predictions(tank, tmp_path, capsys):
    packed(tank, tmp_path / "pack")
    shutil.copytree(tank.root / "train", tmp_path / "elsewhere" / "test")  # whose images were all trained on
    said = []
    for name, place in (("folder", tank.root), ("packed", tmp_path / "pack")):
        run = str(tmp_path / name)
        words = ["--data-dir", str(place), "--epochs", "2", "--image-size", "32", "--output-dir", run]
        assert main(["pretrain", *words]) == 0
        capsys.readouterr()
        assert main(["evaluate", run, "--data-dir", str(tmp_path / "elsewhere"), "--split", "test"]) == 0
        said.append(capsys.readouterr().out.replace(run, "RUN"))
    for table in ("predictions.csv", "split.csv", "related.csv", "leakage.csv"):
        assert (tmp_path / "packed" / table).read_bytes() == (tmp_path / "folder" / table).read_bytes()
    assert "test images have a copy" in said[0] and said[1] == said[0]
