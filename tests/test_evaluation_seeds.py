"""Recipes over several seeds: the spread of one, and two of them seed by seed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from test_evaluation_compare import table_of

from marinecv.evaluation.seeds import compare_seeds, runs_by_recipe, seed_spread
from marinecv.runs import Run


def tables(*shares, n=200):
    """Predictions by seed, each right on another share of the images."""
    return {seed: table_of(np.random.default_rng(seed).random(n) < share) for seed, share in enumerate(shares)}


def make_run(folder, **recipe):
    return Run.create(folder, recipe, {}, pd.DataFrame({"image_id": []}))


def test_runs_of_one_recipe_are_told_apart_by_their_seed(tmp_path):
    runs = [make_run(tmp_path / f"a{seed}", name="a", training={"rate": 1, "seed": seed}) for seed in (3, 0)]
    runs.append(make_run(tmp_path / "b", name="b", training={"rate": 1, "seed": 3}))
    found = runs_by_recipe(runs)
    assert {name: list(seeds) for name, seeds in found.items()} == {"a": [3, 0], "b": [3]}
    assert [run.folder for run in found["a"][0]] == [tmp_path / "a0"]


def test_folds_of_one_recipe_seed_and_folder_stand_together(tmp_path):
    places = [("x", 0, "1/2"), ("x", 0, "2/2"), ("y", 0, "1/2"), ("y", 0, "2/2"), ("z", 1, "1/2"), ("z", 1, "1/3")]
    runs = [
        make_run(tmp_path / place / str(number), name="a", training={"seed": seed}, data={"fold": fold})
        for number, (place, seed, fold) in enumerate(places)
    ]
    found = runs_by_recipe(runs)
    assert list(found) == ["a", str(tmp_path / "y" / "2"), str(tmp_path / "z" / "5")]
    numbers = [{seed: [run.folder.name for run in same] for seed, same in seeds.items()} for seeds in found.values()]
    assert numbers == [{0: ["0", "1"], 1: ["4"]}, {0: ["2", "3"]}, {1: ["5"]}]


def test_a_run_that_repeats_a_seed_or_has_other_settings_stands_by_itself(tmp_path):
    settings = ({"rate": 1, "seed": 0}, {"rate": 1, "seed": 0}, {"rate": 2, "seed": 1}, {"rate": 1, "seed": 1}, None)
    runs = [make_run(tmp_path / str(number), name="a", training=each) for number, each in enumerate(settings)]
    found = runs_by_recipe(runs)
    assert list(found) == ["a", *(str(tmp_path / name) for name in "124")]
    assert [list(seeds) for seeds in found.values()] == [[0, 1], [0], [1], [0]]


def test_the_spread_of_seeds_is_a_mean_and_a_range_over_the_same_images():
    found = seed_spread({0: table_of(np.arange(10) < 6), 1: table_of(np.arange(10) < 9)}, "validation")
    assert (found["mean"], found["lowest"], found["highest"]) == pytest.approx((0.75, 0.6, 0.9))
    assert found["sentence"] == "mean 0.750, 0.600 to 0.900 over 2 seeds (n=10, the same images)"


def test_of_few_groups_a_lead_has_no_interval():
    a, b = tables(0.95, 0.9, 0.92), tables(0.6, 0.7, 0.65)
    groups = {name: n % 3 for n, name in enumerate(a[0]["image_id"])}
    found = compare_seeds(a, b, "validation", groups=groups)
    assert np.isnan(found["low"]) and not found["distinguishable"]
    assert "not distinguishable (over the same 200 images, of few groups, no interval" in found["sentence"]


def test_a_lead_in_every_seed_is_told_with_its_range_and_the_images_are_counted_once():
    found = compare_seeds(tables(0.95, 0.9, 0.92), tables(0.6, 0.7, 0.65), "validation")
    assert (found["n"], found["seeds"], found["ahead"], found["distinguishable"]) == (200, 3, 3, True)
    assert found["lowest"] <= found["difference"] <= found["highest"] and found["low"] > 0
    assert "the first is better in 3 of 3 seeds; distinguishable (95% over the same 200 images" in found["sentence"]
    turned = compare_seeds(tables(0.6, 0.7, 0.65), tables(0.95, 0.9, 0.92), "validation")
    assert turned["difference"] == pytest.approx(-found["difference"]) and turned["distinguishable"]
    assert "the second is better in 3 of 3 seeds" in turned["sentence"]


def test_seeds_that_disagree_tell_nothing():
    a, b = tables(0.9, 0.5), tables(0.5, 0.8)
    found = compare_seeds(a, b, "validation")
    assert not found["distinguishable"] and found["lowest"] < 0 < found["highest"]
    assert "in 1 of 2 seeds; not distinguishable" in found["sentence"]


def test_two_seeds_tell_of_no_others():
    found = compare_seeds(tables(0.95, 0.95), tables(0.6, 0.6), "validation")
    assert found["low"] > 0 and not found["distinguishable"]
    assert (found["seeds_low"], found["seeds_high"]) == (None, None)
    assert "in 2 of 2 seeds; distinguishable on these seeds alone" in found["sentence"]
    assert "of other seeds fewer than 3 say nothing" in found["sentence"]


def test_gaps_that_hang_on_the_seed_are_bounded_over_seeds():
    a, b = tables(0.98, 0.56, 0.58), tables(0.5, 0.5, 0.5)
    found = compare_seeds(a, b, "validation")
    assert found["ahead"] == 3 and found["low"] > 0 > found["seeds_low"] and not found["distinguishable"]
    assert "distinguishable on these seeds alone" in found["sentence"]
    scores = [[(t["true_class"] == t["predicted_class"]).mean() for t in each.values()] for each in (a, b)]
    interval = ttest_rel(*scores).confidence_interval(0.95)
    assert (found["seeds_low"], found["seeds_high"]) == pytest.approx((interval.low, interval.high))


def test_seeds_repeat_no_evidence():
    a, b = table_of(np.arange(200) < 190), table_of(np.arange(200) < 183)
    once, often = (compare_seeds(dict.fromkeys(s, a), dict.fromkeys(s, b), "validation") for s in ([0, 1], range(9)))
    assert (once["low"], once["high"]) == pytest.approx((often["low"], often["high"]))


def test_groups_widen_what_seeds_cannot():
    a, b = tables(0.8, 0.8, 0.8), tables(0.8, 0.8, 0.8)
    right = np.arange(200) >= 20
    b = {seed: table_of(right & (t["true_class"] == t["predicted_class"]).to_numpy()) for seed, t in b.items()}
    groups = {id_: number // 20 for number, id_ in enumerate(a[0]["image_id"])}
    alone, grouped = (compare_seeds(a, b, "validation", groups=each) for each in (None, groups))
    assert alone["distinguishable"] and not grouped["distinguishable"]


def test_recipes_without_a_common_seed_are_refused():
    with pytest.raises(ValueError, match=r"The seeds \[0\] and \[1\] have none in common"):
        compare_seeds({0: table_of(np.ones(3, bool))}, {1: table_of(np.ones(3, bool))}, "validation")
