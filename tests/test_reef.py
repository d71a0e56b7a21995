"""The reef: whole or not at all, the same bytes twice, the right dominant classes, tight boxes."""

import hashlib
import json
import threading
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from marinecv.data import reef
from marinecv.data.reef_animals import ANIMALS, Sketch
from marinecv.data.reef_scene import SIZES_WH, draw_scene
from marinecv.hold import LOCK

SMALL = {"train": {"fish": 2, "shark": 1}, "valid": {"jellyfish": 1}, "test": {"puffin": 1}}


@pytest.fixture
def small_reef(monkeypatch):
    monkeypatch.setattr(reef, "COUNTS", SMALL)


def fingerprint(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def dominant(boxes):
    area = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    by_class = area.groupby(boxes["class"])
    return (by_class.sum() * by_class.size()).idxmax()


def test_the_counts_are_those_of_the_aquarium():
    assert [sum(counts.values()) for counts in reef.COUNTS.values()] == [447, 127, 63]
    assert all(set(counts) == set(ANIMALS) for counts in reef.COUNTS.values())


def test_each_split_has_its_images_and_a_table_of_their_boxes(small_reef, tmp_path):
    folder = reef.make_reef(tmp_path / "a" / "reef")
    for split, counts in SMALL.items():
        table = pd.read_csv(folder / split / "_annotations.csv")
        assert list(table) == ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
        assert table["filename"].nunique() == sum(counts.values()) == len(list((folder / split).glob("*.jpg")))
        found = [dominant(rows) for _, rows in table.groupby("filename")]
        assert sorted(found) == sorted(name for name, count in counts.items() for _ in range(count))
        for name, rows in table.groupby("filename"):
            with Image.open(folder / split / name) as image:
                assert (image.size == rows[["width", "height"]].to_numpy()).all()


def test_two_makings_give_the_same_bytes_and_another_seed_gives_others(small_reef, tmp_path):
    first, second, other = (
        reef.make_reef(tmp_path / name, seed) for name, seed in (("first", 0), ("second", 0), ("other", 1))
    )
    assert fingerprint(first) == fingerprint(second)
    images = [{h for path, h in fingerprint(folder).items() if path.endswith(".jpg")} for folder in (first, other)]
    assert not images[0] & images[1]


def test_a_second_call_draws_nothing(small_reef, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(reef, "progress_bar", lambda total, *_, **__: nullcontext(lambda n: drawn.append((n, total))))
    for _ in range(2):
        reef.make_reef(tmp_path / "reef")
    assert drawn == [(number, 5) for number in range(1, 6)]


def test_an_interrupted_making_leaves_no_picture(small_reef, tmp_path, monkeypatch):
    def stop(done):
        if done == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(reef, "progress_bar", lambda *_, **__: nullcontext(stop))
    with pytest.raises(KeyboardInterrupt):
        reef.make_reef(tmp_path / "reef")
    assert [path.name for path in tmp_path.rglob("*")] == [".reef.making", LOCK]


def test_who_asks_for_the_reef_while_it_is_drawn_waits_and_draws_nothing(small_reef, tmp_path, monkeypatch):
    folder, drawn, waits = tmp_path / "reef", [], threading.Event()
    other = threading.Thread(target=lambda: reef.make_reef(folder, say=lambda line: waits.set()))

    def start_the_other(done):
        drawn.append(done)
        if done == 1:
            other.start()
            assert waits.wait(30)

    monkeypatch.setattr(reef, "progress_bar", lambda *_, **__: nullcontext(start_the_other))
    assert reef.make_reef(folder) == folder
    other.join()
    assert drawn == [1, 2, 3, 4, 5]


def test_a_rename_that_fails_is_an_error(small_reef, tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError("no")

    monkeypatch.setattr(reef.os, "replace", refuse)
    with pytest.raises(PermissionError, match="no"):
        reef.make_reef(tmp_path / "reef")


def test_a_folder_with_something_else_is_left_alone(small_reef, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="files that are no reef.*Expected the reef.*Name another folder"):
        reef.make_reef(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_another_reef_is_left_alone(small_reef, tmp_path):
    reef.make_reef(tmp_path / "reef", seed=0)
    with pytest.raises(FileExistsError, match="another reef"):
        reef.make_reef(tmp_path / "reef", seed=1)
    assert json.loads((tmp_path / "reef" / "reef.json").read_text())["seed"] == 0


@pytest.mark.parametrize("class_name", ANIMALS)
def test_a_scene_is_dominated_by_its_class_and_its_boxes_lie_inside(class_name):
    for seed in range(4):
        image, boxes = draw_scene(np.random.default_rng(seed), class_name)
        table = pd.DataFrame(boxes, columns=["class", "xmin", "ymin", "xmax", "ymax"])
        assert image.mode == "RGB"
        assert image.size in SIZES_WH
        assert dominant(table) == class_name
        assert (table[["xmin", "ymin"]] >= 0).all(axis=None)
        assert (table["xmax"] <= image.width).all()
        assert (table["ymax"] <= image.height).all()
        assert ((table["xmax"] > table["xmin"]) & (table["ymax"] > table["ymin"])).all()


@pytest.mark.parametrize("class_name", ANIMALS)
def test_every_animal_fills_its_frame_and_stays_inside(class_name):
    sketch = Sketch(200)
    ANIMALS[class_name](sketch, np.random.default_rng(0))
    left, top, right, bottom = sketch.image.getbbox()
    assert max(right - left, bottom - top) > 140
    assert min(left, top) > 0
    assert max(right, bottom) < 200


@pytest.mark.slow
def test_the_whole_reef_has_the_labels_of_the_aquarium(tmp_path):
    folder = reef.make_reef(tmp_path / "reef")
    for split, counts in reef.COUNTS.items():
        table = pd.read_csv(folder / split / "_annotations.csv")
        found = pd.Series([dominant(rows) for _, rows in table.groupby("filename")]).value_counts().to_dict()
        assert found == counts
