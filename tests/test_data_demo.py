"""Demo images: whole or not at all, the same bytes twice, the right dominant classes, boxes inside the image."""

import json
import threading
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from marinecv.data.demo import dataset
from marinecv.data.demo.scenes import SIZES_WH, SPECIES, draw_scene
from marinecv.data.labels import dominant_class
from marinecv.files.lock import LOCK

SMALL = {"train": {"fish": 2, "shark": 1}, "valid": {"jellyfish": 1}, "test": {"puffin": 1}}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(dataset, "COUNTS", SMALL)


def watch(monkeypatch, show):
    monkeypatch.setattr(dataset, "progress_bar", lambda *_, **__: nullcontext(show))


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_labels(folder, counts_of_split):
    for split, counts in counts_of_split.items():
        table = pd.read_csv(folder / split / "_annotations.csv")
        assert dominant_class(table)["class_name"].value_counts().to_dict() == counts
        assert {*table["filename"]} == {path.name for path in (folder / split).glob("*.jpg")}
        for row in table.itertuples():
            with Image.open(folder / split / row.filename) as image:
                assert image.size == (row.width, row.height)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(small, tmp_path):
    seeds = {"first": 0, "second": 0, "other": 1}
    first, second, other = (dataset.write_demo_images(tmp_path / name, seed) for name, seed in seeds.items())
    assert_labels(first, SMALL)
    assert bytes_of(first) == bytes_of(second)
    assert not {*bytes_of(first).values()} & {*bytes_of(other).values()}


def test_an_interrupted_drawing_leaves_no_image(small, tmp_path, monkeypatch):
    def stop(done):
        if done == 4:
            raise KeyboardInterrupt

    watch(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        dataset.write_demo_images(tmp_path / "reef")
    assert [path.name for path in tmp_path.rglob("*")] == [".reef.making", LOCK]


def test_who_asks_for_the_reef_while_it_is_drawn_waits_and_draws_nothing(small, tmp_path, monkeypatch):
    folder, drawn, waits = tmp_path / "reef", [], threading.Event()
    other = threading.Thread(target=lambda: dataset.write_demo_images(folder, log=lambda line: waits.set()))

    def start_the_other(done):
        drawn.append(done)
        if done == 1:
            other.start()
            assert waits.wait(30)

    watch(monkeypatch, start_the_other)
    assert dataset.write_demo_images(folder) == folder
    other.join()
    dataset.write_demo_images(folder)  # nor does a later call draw
    assert drawn == [1, 2, 3, 4, 5]


def test_other_files_and_images_of_another_seed_are_left_alone(small, tmp_path):
    folder = dataset.write_demo_images(tmp_path / "reef")
    with pytest.raises(FileExistsError, match='holds {.*"seed": 0'):
        dataset.write_demo_images(folder, seed=1)
    assert json.loads((folder / "reef.json").read_text())["seed"] == 0
    with pytest.raises(FileExistsError, match="other files"):
        dataset.write_demo_images(tmp_path)


@pytest.mark.parametrize("class_name", SPECIES)
def test_a_scene_is_dominated_by_its_class_and_its_boxes_lie_inside(class_name):
    for seed in range(8):
        image, boxes = draw_scene(np.random.default_rng(seed), class_name)
        table = pd.DataFrame(boxes, columns=["class", "xmin", "ymin", "xmax", "ymax"]).assign(filename="a")
        assert image.mode == "RGB" and image.size in SIZES_WH
        assert dominant_class(table)["class_name"].tolist() == [class_name]
        assert table[["xmin", "ymin"]].min().min() >= 0
        assert (table[["xmax", "ymax"]].to_numpy() <= image.size).all()


@pytest.mark.slow
def test_all_demo_images_have_the_labels_of_the_aquarium(tmp_path):
    assert [sum(counts.values()) for counts in dataset.COUNTS.values()] == [447, 127, 63]
    assert_labels(dataset.write_demo_images(tmp_path / "reef"), dataset.COUNTS)
