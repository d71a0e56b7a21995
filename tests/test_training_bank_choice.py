"""`--bank auto`: a bank where it saves time and fits the disk, and a sentence that says why or why not."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from marinecv.console import quiet
from marinecv.inputs.spec import Augmentation
from marinecv.recipes.aquarium import BEST, PRETRAINED
from marinecv.recipes.birds import SIMPLE
from marinecv.training import bank_choice, estimate
from marinecv.training.bank_choice import choose_bank
from marinecv.workflows.prepare import with_feature_cache
from pipelines.commands.finetune import bank

RECIPE = PRETRAINED["aquarium_mobilenet_p2"]  # 25 epochs, continuous moves
IMAGES = {"train": 447, "validation": 127}


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """20 ms forward, of which the learning fifth, and 7,500 numbers at the cut, on a disk with 100 GB free."""
    monkeypatch.setattr(estimate, "_measure", lambda *args: (0.016, 0.004, 7_500))
    monkeypatch.setattr(bank_choice, "_free_bytes", lambda: 100 * 10**9)


@pytest.mark.parametrize(
    ("changes", "views", "said"),
    [
        ({}, 8, r"computed once, for 8 drawn views \(111 MB\): about 3 min instead of 6 min"),
        ({"augmentation": Augmentation(flip=0.5)}, 2, r"each image and its mirror image \(31 MB\)"),
        ({"augmentation": None}, 1, r"each image \(17 MB\)"),
        ({"bank": 1}, 8, r"for 8 drawn views"),  # what a recipe has by itself is no reason
        ({"augmentation": SIMPLE}, 8, r"for each image and 8 drawn variants"),
        ({"epochs": 4}, 0, "would save little in 4 epochs"),
    ],
)
def test_the_choice_goes_by_epochs_and_augmentation(changes, views, said):

    found, reason = choose_bank(RECIPE.with_training(**changes), IMAGES, 7)
    assert found == views and re.search(said, reason)


def test_rows_that_share_a_bank_share_its_price():
    short = RECIPE.with_training(epochs=6)
    assert choose_bank(short, IMAGES, 7)[0] == 0 and choose_bank(short, IMAGES, 7, rows=3)[0] == 6
    rows = {name: replace(short, name=name) for name in ("p8", "p4", "p2")}
    catalog = pd.DataFrame({"split": ["train"] * 447 + ["validation"] * 127, "problem": "", "class_name": "eel"})
    assert {row.training.bank for row in with_feature_cache(rows, catalog, ("eel",), quiet).values()} == {6}


def test_a_bank_that_would_fill_the_disk_is_not_made(monkeypatch):
    monkeypatch.setattr(bank_choice, "_free_bytes", lambda: 10**8)
    assert choose_bank(RECIPE, IMAGES, 7) == (0, "to keep what the frozen layers give would take 0.1 GB of 0.1")


@pytest.mark.parametrize("recipe", [BEST, RECIPE.with_model(trainable_layers=None)], ids=["cnn", "all learn"])
def test_where_nothing_is_frozen_there_is_nothing_to_keep(recipe):
    assert choose_bank(recipe, IMAGES, 7) == (0, "")


def test_the_flag_takes_a_number_of_views_too(capsys):
    catalog = pd.DataFrame({"split": ["train", "validation"], "problem": "", "class_name": "eel"})
    found = with_feature_cache({"row": replace(RECIPE, name="row")}, catalog, ("eel",), print)
    assert found["row"].training.bank == 8
    assert "row: the frozen layers are computed once" in capsys.readouterr().out
    assert [bank(text) for text in ("auto", "off", "3")] == ["auto", 0, 3]


def test_the_room_is_that_of_the_store_or_of_what_lies_above_it(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("MARINECV_HOME", str(tmp_path / "not" / "there" / "yet"))
    assert bank_choice._free_bytes() > 0
