"""Sorting into class folders leaves the originals alone, and is undone exactly."""

import os
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

import marinecv as mcv
from marinecv.files.csv_tables import read_table
from marinecv.workflows import sort_into as sorting
from marinecv.workflows.outputs import common_folder
from marinecv.workflows.sort_into import sort_into


@pytest.fixture
def table(tmp_path):
    """Three images, two of one name and class, and one that could not be read."""
    rows = [("one/a.jpg", "fox"), ("two/A.jpg", "fox"), ("two/b.jpg", "a/b"), ("two/c.jpg", "")]
    for name, _ in rows:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(name.encode())
    paths = [str(tmp_path / "photos" / name) for name, _ in rows]
    return pd.DataFrame({"path": paths, "predicted_class": [name for _, name in rows]})


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("links", [True, False])
def test_files_are_linked_else_copied_under_their_names_and_undone(table, tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    before, lines, out = tree(tmp_path / "photos"), [], tmp_path / "by_class"
    sort_into(out, table, lines.append)
    made = {name: content for name, content in tree(out).items() if name != "undo.csv"}
    assert made == {"fox/a.jpg": b"one/a.jpg", "fox/A_2.jpg": b"two/A.jpg", "a_b/b.jpg": b"two/b.jpg"}
    assert os.path.samefile(out / "fox" / "a.jpg", table["path"][0]) == links
    assert ("hard links" in lines[0]) == links and ("3 copies" in lines[0]) != links
    mcv.undo_sort(out / "undo.csv", log=lines.append)
    assert not out.exists() and tree(tmp_path / "photos") == before and "3 links and copies removed" in lines[-1]


def test_what_a_person_changed_or_added_stays(table, tmp_path):
    lines, out = [], tmp_path / "by_class"
    sort_into(out, table, lines.append)
    (out / "fox" / "a.jpg").unlink()
    (out / "fox" / "a.jpg").write_bytes(b"another")
    (out / "mine.txt").write_text("mine")
    (out / "fox" / "A_2.jpg").unlink()
    mcv.undo_sort(out / "undo.csv", log=lines.append)
    assert tree(out) == {"fox/a.jpg": b"another", "mine.txt": b"mine"} and not (out / "a_b").exists()
    assert "1 that were changed stay, such as fox/a.jpg" in lines[-1]


def test_a_stopped_sorting_goes_on_and_nothing_else_is_written_into(table, tmp_path, monkeypatch):
    out, whole = tmp_path / "by_class", sorting.link_or_copy

    def stopped(source, made):
        if made.name == "A_2.jpg":
            raise KeyboardInterrupt
        return whole(source, made)

    monkeypatch.setattr(sorting, "link_or_copy", stopped)
    with pytest.raises(KeyboardInterrupt):
        sort_into(out, table, print)
    monkeypatch.undo()
    sort_into(out, table, print)
    assert len(tree(out)) == 4
    with pytest.raises(ValueError, match="holds other images sorted before"):
        sort_into(out, table.iloc[:1], print)
    with pytest.raises(ValueError, match="photos exists. Expected a new folder"):
        sort_into(tmp_path / "photos", table, print)


def test_an_undo_file_removes_nothing_outside_its_folder(table, tmp_path):
    sort_into(tmp_path / "by_class", table, print)
    text = (tmp_path / "by_class" / "undo.csv").read_text().replace("fox/a.jpg", "../photos/one/a.jpg", 1)
    (tmp_path / "by_class" / "undo.csv").write_text(text)
    with pytest.raises(ValueError, match="names files outside its folder"):
        mcv.undo_sort(tmp_path / "by_class" / "undo.csv")
    assert Path(table["path"][0]).exists() and len(read_table(tmp_path / "by_class" / "undo.csv")) == 3


def test_a_file_that_is_in_the_way_is_never_replaced(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        sorting.link_or_copy(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").read_text() == "b.jpg"


def test_images_of_several_drives_have_no_common_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "commonpath", Mock(side_effect=ValueError("Paths don't have the same drive")))
    with pytest.raises(ValueError, match="same drive: .*Expected images of one drive"):
        common_folder([tmp_path])
