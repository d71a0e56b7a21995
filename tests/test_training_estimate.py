"""How long a training takes, and `cache_features="auto"`: a feature cache where it saves time and fits the disk."""

import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from marinecv.console import silent
from marinecv.data.cache_dir import cache_path
from marinecv.inputs.spec import Augmentation
from marinecv.recipes.aquarium import BEST, PRETRAINED
from marinecv.recipes.birds import SIMPLE
from marinecv.training import estimate
from marinecv.training.estimate import choose_cache, estimate_seconds
from marinecv.workflows.prepare import with_feature_cache
from pipelines.commands.finetune import cache_features

RECIPE = PRETRAINED["aquarium_mobilenet_p2"]  # 25 epochs, continuous augmentation
IMAGES = {"train": 447, "validation": 127}

CNN = replace(BEST, image=replace(BEST.image, height=16, width=24))
BACKBONE = replace(RECIPE, image=replace(BEST.image, height=32, width=32)).with_model(weights="none", alpha=0.25)


@pytest.fixture
def measured(monkeypatch):
    """16 ms for the feature extractor, 4 ms for the rest, 7,500 numbers between them, 100 GB free."""
    monkeypatch.setattr(estimate, "measure", lambda *args: (0.016, 0.004, 7_500))
    monkeypatch.setattr(estimate, "_free_bytes", lambda: 100 * 10**9)


@pytest.mark.parametrize("recipe", [CNN, BACKBONE], ids=["cnn", "backbone"])
def test_the_estimate_grows_with_epochs_and_images(recipe):
    recipe = recipe.with_training(cache_features=0)
    one = estimate_seconds(recipe.with_training(epochs=1), 100, 20, 3)
    assert 0 < one < 600
    assert estimate_seconds(recipe.with_training(epochs=3), 100, 20, 3) == pytest.approx(3 * one)
    assert estimate_seconds(recipe.with_training(epochs=1), 1000, 200, 3) == pytest.approx(10 * one)
    assert estimate_seconds(recipe.with_training(epochs=1), 100, 0, 3) < one


def test_the_first_batch_which_takes_longer_is_not_measured(monkeypatch):
    now = 0.0

    def slow_at_first(extractor, views):
        seconds = iter([80.0, 2.0])

        def extract(images):
            nonlocal now
            now += next(seconds)
            return [extractor(images)]

        return extract

    monkeypatch.setattr(estimate, "run_extractor", slow_at_first)
    monkeypatch.setattr(estimate, "time", SimpleNamespace(perf_counter=lambda: now))
    assert estimate._time_batch(BACKBONE.model, BACKBONE.image, 4, 3)[:2] == (0.5, 0.0)


def test_what_was_measured_today_is_not_measured_again(monkeypatch):
    def estimated():
        estimate.measure.cache_clear()
        return estimate_seconds(CNN, 100, 20, 3)

    one = estimated()
    [kept] = cache_path("timings").iterdir()
    monkeypatch.setattr(estimate, "_time_batch", lambda *args: (0.0, 0.0, 0))
    assert estimated() == one
    for spoil in (lambda: os.utime(kept, (1, 1)), lambda: kept.write_text("[1, 2"), lambda: kept.write_text("[1, 2]")):
        kept.write_text("[1, 2, 3]")
        spoil()
        assert estimated() == 0
    estimate.measure.cache_clear()


@pytest.mark.parametrize(
    ("changes", "views", "reason"),
    [
        ({}, 8, r"for 8 drawn views \(111 MB\): about 3 min instead of 6 min"),
        ({"augmentation": Augmentation(flip=0.5)}, 2, r"each image and its mirror image \(31 MB\)"),
        ({"augmentation": None}, 1, r"each image \(17 MB\)"),
        ({"cache_features": 1}, 8, r"for 8 drawn views"),  # the cache of the recipe itself does not count
        ({"augmentation": SIMPLE}, 8, r"for each image and 8 drawn variants"),
        ({"epochs": 4}, 0, "would save little in 4 epochs"),
        ({"augmentation": Augmentation(erasing=0.5, contrast=0.1)}, 8, "for 8 drawn views"),
        ({"augmentation": Augmentation(mixup=0.2)}, 0, "mix the pixels of two images, so no cache can hold"),
        ({"augmentation": Augmentation(cutmix=1.0)}, 0, "mix the pixels of two images, so no cache can hold"),
    ],
)
def test_the_choice_goes_by_epochs_and_augmentation(changes, views, reason, measured):
    chosen, sentence = choose_cache(RECIPE.with_training(**changes), IMAGES, 7)
    assert chosen == views and re.search(reason, sentence)


def test_recipes_that_share_a_cache_share_its_cost(measured, capsys):
    short = RECIPE.with_training(epochs=6)
    assert choose_cache(short, IMAGES, 7)[0] == 0 and choose_cache(short, IMAGES, 7, rows=3)[0] == 6
    rows = {name: replace(short, name=name) for name in ("p8", "p4", "p2")}
    catalog = pd.DataFrame({"split": ["train"] * 447 + ["validation"] * 127, "problem": "", "class_name": "eel"})
    assert {row.training.cache_features for row in with_feature_cache(rows, catalog, ("eel",), silent).values()} == {6}


def test_no_cache_is_made_that_would_fill_the_disk_or_where_nothing_is_frozen(monkeypatch, measured):
    monkeypatch.setattr(estimate, "_free_bytes", lambda: 10**8)
    count, sentence = choose_cache(RECIPE, IMAGES, 7)
    assert count == 0 and "0.1 GB of 0.1" in sentence
    for recipe in (BEST, RECIPE.with_model(trainable_layers=None)):
        assert choose_cache(recipe, IMAGES, 7) == (0, "")


def test_the_flag_takes_a_number_of_views_too():
    assert [cache_features(text) for text in ("auto", "off", "0", "3")] == ["auto", 0, 0, 3]


def test_free_space_is_that_of_the_store_or_of_the_folder_above_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MARINECV_HOME", str(tmp_path / "not" / "there" / "yet"))
    assert estimate._free_bytes() > 0
