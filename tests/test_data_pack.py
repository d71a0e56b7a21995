"""A pack: the files of a data set in few large ones, read as the folder they came from is."""

import errno
import json
import shutil
import zlib
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import COLOURS, draw_image

import marinecv as mcv
from marinecv.audit.copies import exact_copies
from marinecv.audit.links import find_links
from marinecv.data import pack as room
from marinecv.data import records
from marinecv.data.accounting import reading_lines
from marinecv.data.attributes import read_attributes
from marinecv.data.columns import read_columns, write_columns
from marinecv.data.images import open_image, read_header
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.materialise import materialise
from marinecv.data.pack import pack
from marinecv.data.records import byte_size, is_present, is_record, read_bytes, record_path
from marinecv.inputs.decode import read_decodable
from marinecv.inputs.rgb import open_rgb
from pipelines.cli import main

SMALL = 8_000  # bytes a shard, so that a tank fills several


def packed(manifest, folder, **options) -> mcv.Manifest:
    pack(
        manifest,
        folder,
        options.pop("decode", read_decodable),
        say=lambda line: None,
        **{"shard_bytes": SMALL, **options},
    )
    return manifest_of_folder(folder)


@pytest.fixture
def tank(roboflow_folder) -> mcv.Manifest:
    return manifest_of_folder(roboflow_folder)


@pytest.fixture
def by_class(tmp_path) -> mcv.Manifest:
    """Class folders with every kind of trouble, and names that a careless table would mistake."""
    for number in range(9):
        name = [*COLOURS, "NA"][number % 4]
        place = tmp_path / "shore" / name / ("camera,1" if number % 2 else "=2+2")
        place.mkdir(parents=True, exist_ok=True)
        draw_image([*COLOURS][number % 3], seed=number).save(place / f"{number:03d} é'\"#1+2.png")
    eel = tmp_path / "shore" / "eel"
    (eel / "text.jpg").write_text("Dear diary")
    draw_image("eel", seed=3).save(eel / "cut.jpg")
    (eel / "cut.jpg").write_bytes((eel / "cut.jpg").read_bytes()[:700])
    return manifest_of_folder(tmp_path / "shore")


def without_path(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="path")


def test_a_pack_reads_as_the_folder_it_was_made_of(tank, tmp_path):
    again = packed(tank, tmp_path / "pack")
    assert (again.layout, again.name) == ("packed", "tank")
    assert len(list((tmp_path / "pack").glob("*.tfrecord"))) > 2
    assert reading_lines(again, mcv.read_catalog(again)) == []  # every file of it is read
    for rule in ("dominant", "count", "union"):
        before, after = mcv.read_catalog(tank, rule, "empty"), mcv.read_catalog(again, rule, "empty")
        pd.testing.assert_frame_equal(without_path(after), without_path(before))
    pd.testing.assert_frame_equal(mcv.read_boxes(again), mcv.read_boxes(tank))
    assert mcv.class_names_of(after, again) == mcv.class_names_of(before, tank)


def test_records_are_the_files_byte_for_byte_and_any_tfrecord_reader_reads_them(tank, tmp_path):
    again = packed(tank, tmp_path / "pack")
    before, after = mcv.read_catalog(tank), mcv.read_catalog(again)
    for old, new in zip(before["path"], after["path"], strict=True):
        assert read_bytes(new) == Path(old).read_bytes() and byte_size(new) == byte_size(old)
    shards = sorted(str(path) for path in (tmp_path / "pack").glob("*.tfrecord"))
    found = {record.numpy() for record in tf.data.TFRecordDataset(shards)}
    assert found == {Path(path).read_bytes() for path in before["path"]}


def test_images_that_cannot_be_used_are_rows_with_their_reason_and_have_no_record(by_class, tmp_path):
    again = packed(by_class, tmp_path / "pack")
    before, after = mcv.read_catalog(by_class), mcv.read_catalog(again)
    _, looked_at = mcv.load_pixels(before, mcv.ImageSpec(height=20, width=30))  # which decodes, as packing does
    pd.testing.assert_frame_equal(without_path(after), without_path(looked_at))
    problems = after.set_index("image_id")["problem"]
    assert "truncated" in problems["eel/cut.jpg"] and "cannot be read" in problems["eel/text.jpg"]
    assert after["path"].map(is_record).eq(after["problem"] == "").all()
    assert set(after["group"]) == {"camera,1", "=2+2", "."} and "NA" in set(after["class_name"])


def test_every_room_opens_a_record_by_its_path(tank, tmp_path):
    before, after = mcv.read_catalog(tank), mcv.read_catalog(packed(tank, tmp_path / "pack"))
    old, new = before["path"].iloc[0], after["path"].iloc[0]
    assert is_present(new) and read_header(Path(new)) == (64, 48, "")
    with open_image(new) as image:
        assert image.size == (64, 48)
    assert open_rgb(new).tobytes() == open_rgb(old).tobytes()
    pd.testing.assert_frame_equal(exact_copies(after), exact_copies(before))
    links = [find_links(catalog, say=lambda line: None) for catalog in (before, after)]
    pd.testing.assert_frame_equal(*links)
    files = materialise(after, tmp_path / "links").rglob("*.jpg")
    assert {file.read_bytes() for file in files} == {Path(path).read_bytes() for path in before["path"]}


def test_the_facts_of_a_manifest_survive(tank, tmp_path):
    facts = {"name": "reef-9", "title": "Reef", "class_names": ("ray", "eel", "crab"), "licence": "CC0"}
    facts |= {"citation": "Me, 2024", "homepage": "https://example.org", "demonstration": True}
    stated = mcv.Manifest(**facts, layout="roboflow", root=tank.root)
    again = packed(stated, tmp_path / "pack")
    assert {name: getattr(again, name) for name in facts} == facts
    assert mcv.class_names_of(mcv.read_catalog(again), again) == ("ray", "eel", "crab")
    twice = packed(again, tmp_path / "pack of the pack")
    pd.testing.assert_frame_equal(without_path(mcv.read_catalog(twice)), without_path(mcv.read_catalog(stated)))


def test_a_pack_of_numbered_classes_keeps_their_order_and_has_no_attributes(tmp_path):
    birds = tmp_path / "birds"
    lines = {"images.txt": "", "classes.txt": "1 001.Wren\n2 002.Auk\n", "image_class_labels.txt": ""}
    for number, folder in ((1, "001.Wren"), (2, "002.Auk")):
        (birds / "images" / folder).mkdir(parents=True)
        draw_image("crab", seed=number).save(birds / "images" / folder / "a.jpg")
        lines["images.txt"] += f"{number} {folder}/a.jpg\n"
        lines["image_class_labels.txt"] += f"{number} {number}\n"
    for name, text in lines.items():
        (birds / name).write_text(text)
    again = packed(manifest_of_folder(birds), tmp_path / "pack")
    assert mcv.class_names_of(mcv.read_catalog(again), again) == ("Wren", "Auk")
    with pytest.raises(ValueError, match="a pack keeps none. Name the folder"):
        read_attributes(again)


@pytest.mark.parametrize("stop", range(6))
def test_a_killed_pack_goes_on(stop, tank, tmp_path, monkeypatch):
    whole, folder, left = packed(tank, tmp_path / "whole"), tmp_path / "pack", [stop]
    real, written = room.write_columns, []

    class Killed(BaseException):
        pass

    def write(path, table):
        if not left[0]:
            raise Killed
        left[0] -= 1
        written.append(path.name)
        real(path, table)

    with monkeypatch.context() as patched:
        patched.setattr(room, "write_columns", write)
        with pytest.raises(Killed):
            packed(tank, folder)
    with pytest.raises(ValueError, match="is not complete: it was stopped. Give the `data pack` command"):
        manifest_of_folder(folder)
    done = set(written)
    kept = {
        path.name: path.stat().st_mtime_ns
        for path in folder.glob("*.tfrecord")
        if path.with_suffix(".npz").name in done
    }
    again = packed(tank, folder)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tfrecord")}.items()
    pd.testing.assert_frame_equal(without_path(mcv.read_catalog(again)), without_path(mcv.read_catalog(whole)))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in whole.root.iterdir()
    }


def test_a_complete_pack_is_left_alone_and_no_other_is_overwritten(tank, by_class, tmp_path):
    said, folder = [], tmp_path / "pack"
    packed(tank, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "packing.json").write_text("{}")  # as where it was killed at the very end
    pack(tank, folder, read_decodable, shard_bytes=SMALL, say=said.append)
    assert said == [f"{folder} is packed already."]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(ValueError, match="holds a pack of other images or labels.*nothing is overwritten"):
        packed(by_class, folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes is not empty"):
        packed(tank, tmp_path / "notes")


def test_changed_labels_are_another_pack(tank, tmp_path):
    packed(tank, tmp_path / "pack")
    table = tank.root / "train" / "_annotations.csv"
    table.write_text(table.read_text().replace("crab,4", "eel,4"))
    with pytest.raises(ValueError, match="of other images or labels"):
        packed(tank, tmp_path / "pack")


def test_a_disk_without_room_is_said_before_anything_is_written(tank, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1))
    with pytest.raises(ValueError, match="The pack takes .* bytes and 1 are free"):
        packed(tank, tmp_path / "pack")
    assert not list((tmp_path / "pack").glob("*.tfrecord"))


def test_a_shard_that_cannot_be_written_is_said(tank, tmp_path, monkeypatch):
    class Full(tf.io.TFRecordWriter):
        def write(self, record):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io, "TFRecordWriter", Full)
    with pytest.raises(
        ValueError, match=r"images-00000.tfrecord cannot be written: No space left on device. Make room"
    ):
        packed(tank, tmp_path / "pack")


def test_a_shard_that_is_not_what_was_written_is_found_before_the_pack_is_complete(tank, tmp_path, monkeypatch):
    real = room._write_shard

    def write(folder, number, *rest):
        real(folder, number, *rest)
        flip(folder / f"images-{number:05d}.tfrecord", 40)

    monkeypatch.setattr(room, "_write_shard", write)
    with pytest.raises(ValueError, match="images-00000.tfrecord is not what was written to it, from byte 12 on"):
        packed(tank, tmp_path / "pack")
    assert not (tmp_path / "pack" / "pack.json").exists()


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_damaged_record_says_which_shard_and_how_to_mend(tank, tmp_path, monkeypatch):
    catalog = mcv.read_catalog(packed(tank, tmp_path / "pack", shard_bytes=2**20))
    flip(tmp_path / "pack" / "images-00000.tfrecord", 100)
    said = r"The shard .*images-00000.tfrecord is damaged at byte 12. Bring it back.*data pack"
    with pytest.raises(ValueError, match=said):
        for path in catalog["path"]:
            read_bytes(path)
    with pytest.raises(ValueError, match=said):  # not one image fewer
        mcv.load_pixels(catalog, mcv.ImageSpec(height=20, width=30))
    with monkeypatch.context() as patch:
        patch.setattr(records, "open", Mock(side_effect=OSError(errno.EIO, "Input/output error")), raising=False)
        with pytest.raises(ValueError, match="images-00000.tfrecord cannot be read: Input/output error"):
            read_bytes(catalog["path"].iloc[0])
    shutil.rmtree(tmp_path / "pack")
    with pytest.raises(ValueError, match="images-00000.tfrecord cannot be read: No such file"):
        read_bytes(catalog["path"].iloc[0])


def test_a_pack_that_lacks_a_part_is_refused(tank, tmp_path):
    again = packed(tank, tmp_path / "pack")
    shard, index = tmp_path / "pack" / "images-00001.tfrecord", tmp_path / "pack" / "index.npz"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(
        ValueError, match=rf"images-00001.tfrecord holds {len(content) - 1:,} bytes. Expected {len(content):,}"
    ):
        mcv.read_catalog(again)
    shard.unlink()
    with pytest.raises(ValueError, match="images-00001.tfrecord is absent"):
        mcv.read_catalog(again)
    shard.write_bytes(content)
    flip(index, 200)
    with pytest.raises(ValueError, match="index.npz is not the table that pack.json names"):
        mcv.read_catalog(again)


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ("version", 9, "is of version 9. Expected 2"),
        ("name", "../elsewhere", r"gives is '../elsewhere'. Expected that of a file"),
        ("class_names", ["a", "a"], "'a' is empty or there twice"),
        ("licence", 3, "'licence' of .* is 3. Expected `str`"),
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


def test_a_table_of_columns_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_columns(tmp_path / "table.npz")
    (tmp_path / "table.npz").write_bytes(b"PK\3\4 no table")
    with pytest.raises(ValueError, match="table.npz cannot be read: .* Expected a table of a pack"):
        read_columns(tmp_path / "table.npz")


def test_the_path_of_a_record_leads_to_its_bytes_alone(tmp_path):
    shard = tmp_path / "images-00000.tfrecord"
    shard.write_bytes(b"0123456789")
    assert read_bytes(record_path(shard, 3, 4, zlib.crc32(b"3456"))) == b"3456"
    assert read_bytes(str(shard)) == b"0123456789" and not is_record(shard)
    assert not is_present(record_path(tmp_path / "gone.tfrecord", 3, 4, 0))


def test_data_pack_says_what_it_did_and_what_has_no_record(by_class, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "pack", "--data-dir", str(by_class.root)]) == 0
    shown = capsys.readouterr().out
    assert "9 images packed" in shown
    assert "train on them with --data-dir" in shown and "1 without a record: cannot be read" in shown
    assert main(["data", "pack", "--data-dir", str(by_class.root)]) == 0
    assert "is packed already" in capsys.readouterr().out


def test_training_from_a_pack_gives_the_very_same_predictions(tank, tmp_path, capsys):
    packed(tank, tmp_path / "pack")
    for name, place in (("folder", tank.root), ("packed", tmp_path / "pack")):
        words = ["--data-dir", str(place), "--epochs", "2", "--image-size", "32", "--output-dir", str(tmp_path / name)]
        assert main(["pretrain", *words]) == 0
    for table in ("predictions.csv", "split.csv", "relatives.csv", "honest.csv"):
        assert (tmp_path / "packed" / table).read_bytes() == (tmp_path / "folder" / table).read_bytes()
    page = (tmp_path / "packed" / "report.html").read_text()
    assert page.count("<img") == (tmp_path / "folder" / "report.html").read_text().count("<img")
    shutil.copytree(tank.root / "train", tmp_path / "elsewhere" / "test")  # whose images were all trained on
    said = []
    for name in ("folder", "packed"):
        capsys.readouterr()
        assert main(["evaluate", str(tmp_path / name), "--data-dir", str(tmp_path / "elsewhere"), "--on", "test"]) == 0
        said.append(capsys.readouterr().out)
    assert "test images have a copy" in said[0]
    assert said[1] == said[0].replace(str(tmp_path / "folder"), str(tmp_path / "packed"))
