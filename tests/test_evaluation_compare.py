"""Two models on the same images, groups of related images, folds, and recipes over several seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_rel

from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.groups import common_groups, counts_by_group, group_numbers
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table, write_predictions
from marinecv.evaluation.seeds import compare_seeds, runs_by_recipe, seed_spread
from marinecv.runs import Run

IDS = pd.Series(["a", "b", "c", "d", "e"])


def table_of(right, split="validation"):
    """Predictions over crab and eel, right where `right` says so."""
    true, names = np.arange(len(right)) % 2, ("crab", "eel")
    predicted = np.where(right, true, 1 - true)
    ids = [f"{split}/{number}.jpg" for number in range(len(right))]
    return make_table(ids, split, [names[i] for i in true], np.eye(2)[predicted] * 0.8 + 0.1, names)


def runs(only_a, only_b, n):
    a, b = np.ones(n, bool), np.ones(n, bool)
    b[:only_a] = False
    a[only_a : only_a + only_b] = False
    return table_of(a), table_of(b)


def groups_of(table, size):
    return {id_: number // size for number, id_ in enumerate(table["image_id"])}


def compared(*pair, **options):
    return compare_runs(*pair, "validation", **options)


@pytest.mark.parametrize(
    ("apart", "values", "said"),
    [
        ((6, 4, 127), {"p": binomtest(6, 10).pvalue, "smallest_difference": 8 / 127}, "of 2 of 127 images; not"),
        ((2, 30, 127), {"distinguishable": True, "difference": -28 / 127}, "of 28 of 127 images; the second"),
        ((30, 2, 127), {"distinguishable": True}, "the first is better"),
        ((0, 0, 12), {"p": 1, "low": 0, "high": 0}, "difference of 0 of"),
        ((1, 0, 12), {"only_a": 1, "only_b": 0}, "difference of 1 of 12"),
        ((3, 0, 3), {"smallest_difference": 2, "n": 3}, "3 images cannot show any difference"),
    ],
)
def test_a_comparison_has_a_test_bounds_and_a_sentence(apart, values, said):
    a, b = runs(*apart)
    found = compared(a, b)
    assert {name: found[name] for name in values} == pytest.approx(values) and said in found["sentence"]
    assert found["low"] <= found["difference"] <= found["high"]
    assert compared(a, b.sample(frac=1, random_state=0)) == found == compared(a, b, groups=groups_of(a, 1))


def test_the_interval_is_that_of_resampled_images():
    a, b = runs(30, 10, 200)
    right_a, right_b = (t["true_class"].eq(t["predicted_class"]).to_numpy() for t in (a, b))
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, 200, 200) for _ in range(2000)]
    slow = np.quantile([right_a[d].mean() - right_b[d].mean() for d in draws], [0.025, 0.975])
    found = compared(a, b)
    assert [found["low"], found["high"]] == pytest.approx(slow, abs=0.01)


def test_a_lead_within_one_video_is_no_lead_and_few_groups_give_no_interval():
    a, b = runs(30, 2, 300)  # the first 30 images are frames of one video
    assert compared(a, b)["distinguishable"]
    found = compared(a, b, groups=groups_of(a, 30))
    assert found["groups"] == 10 and not found["distinguishable"] and found["low"] <= 0 < found["high"]
    assert abs(found["difference"]) < found["smallest_difference"] and "in 10 groups" in found["sentence"]
    few, six = (compared(a, b, groups={name: n % k for n, name in enumerate(a["image_id"])}) for k in (5, 6))
    assert np.isnan([few["low"], few["high"], few["smallest_difference"]]).all() and not few["distinguishable"]
    assert "5 groups of related images: no interval" in few["sentence"] and six["low"] > 0


def test_a_lead_in_every_group_is_a_lead():
    pair = [table_of(np.ones(300, bool)), table_of(np.arange(300) % 10 > 1)]
    for better, (a, b) in (("first", pair), ("second", pair[::-1])):
        found = compared(a, b, groups=groups_of(a, 10))
        assert found["distinguishable"] and abs(found["difference"]) >= found["smallest_difference"]
        assert f"the {better} is better" in found["sentence"]


def test_other_images_or_labels_or_an_empty_split_are_refused():
    a, b = runs(1, 1, 12)
    with pytest.raises(ValueError, match="differ in 2 images of split 'validation'.*12 and 10"):
        compared(a, b.iloc[2:])
    b.loc[3, "true_class"] = "crab"
    with pytest.raises(ValueError, match="1 of 12 images have another true class.*validation/3.jpg"):
        compared(a, b)
    with pytest.raises(ValueError, match="has a labeled image in split 'test'"):
        compare_runs(a, b, "test")


def test_images_of_a_group_get_one_number_and_those_without_get_their_own():
    numbers = group_numbers(IDS, {"a": "video", "c": "video", "b": "", "d": None, "x": "video"})
    assert numbers[0] == numbers[2] and len(set(numbers)) == 4 and set(numbers) == set(range(4))
    assert [group_numbers(IDS, groups) for groups in (None, {}, {"a": 1, "b": 2})] == [None] * 3
    with pytest.raises(ValueError, match="Expected groups by image_id.*the first entry is 0"):
        group_numbers(pd.Series(["a.jpg", "b.jpg"]), pd.Series(["reef", "reef"]))
    numbers, kinds = np.array([0, 0, 1, 1, 1]), np.array([2, 2, 0, 1, 0])
    assert counts_by_group(numbers, kinds, 3).tolist() == [[0, 0, 2], [2, 1, 0]]
    assert counts_by_group(numbers, kinds, 3, weights=np.arange(5.0)).tolist() == [[0, 0, 1], [6, 3, 0]]


def test_catalogs_group_images_only_where_all_of_them_do():
    grouped = pd.DataFrame({"image_id": IDS, "group": list("vvwwx")})
    assert common_groups([grouped, grouped], IDS[:3]) == {"a": "v", "b": "v", "c": "w"}
    assert common_groups([grouped, grouped.assign(group="")], IDS) is None
    assert common_groups([grouped], pd.Series(["a", "unknown"])) is None
    assert common_groups([grouped], IDS[[0, 2, 4]]) is None  # one image a group


@pytest.mark.parametrize("grouped", [True, False])
def test_the_metrics_of_all_folds_resample_the_groups_of_the_catalogs(tmp_path, grouped):
    table = table_of(np.arange(40) % 5 > 0)
    catalog = pd.DataFrame("", index=range(40), columns=CATALOG_COLUMNS).assign(
        image_id=table["image_id"], path="/x/a.jpg", split="train", width=8, height=8, dominance=1.0
    )
    if grouped:
        catalog["group"] = [str(number // 4) for number in range(40)]
    runs = []
    preprocessing = {"class_names": ["crab", "eel"], "image": {}, "demonstration": False}
    for fold, rows in (("1/2", table[:20]), ("2/2", table[20:])):
        run = Run.create(tmp_path / fold[0], {"name": "tank", "data": {"fold": fold}}, preprocessing, catalog)
        write_predictions(rows, run.path("predictions.csv"))
        runs.append(run)
    groups = dict(zip(catalog["image_id"], catalog["group"], strict=True)) if grouped else None
    assert fold_metrics(runs) == {"tank": classification_metrics(table, groups=groups)}
    assert ("groups" in fold_metrics(runs)["tank"]["accuracy"]) is grouped
    assert fold_metrics(runs[:1]) == {}  # a stopped cross-validation has no score yet


def tables(*shares, n=200):
    """Predictions by seed, each right on another fraction of the images."""
    return {seed: table_of(np.random.default_rng(seed).random(n) < share) for seed, share in enumerate(shares)}


def make_run(folder, **recipe):
    return Run.create(folder, recipe, {}, pd.DataFrame({"image_id": []}))


def test_runs_are_sorted_by_recipe_and_seed_and_a_repeated_seed_is_another_recipe(tmp_path):
    settings = ({"rate": 1, "seed": 0}, {"rate": 1, "seed": 0}, {"rate": 2, "seed": 1}, {"rate": 1, "seed": 1}, None)
    runs = [make_run(tmp_path / str(number), name="a", training=each) for number, each in enumerate(settings)]
    found = runs_by_recipe([*runs, make_run(tmp_path / "b", name="b", training={"rate": 1, "seed": 3})])
    assert list(found) == ["a", *(str(tmp_path / name) for name in "124"), "b"]
    assert [list(seeds) for seeds in found.values()] == [[0, 1], [0], [1], [0], [3]]
    assert found["a"][1][0].folder == tmp_path / "3"


def test_a_split_by_another_name_is_no_other_recipe(tmp_path):
    splits = ("grouped", "runs/a/split.csv", "birds-grouped-abde4423")
    runs = [
        make_run(tmp_path / str(seed), name="a", training={"seed": seed}, data={"split_by": split})
        for seed, split in enumerate(splits)
    ]
    assert [list(seeds) for seeds in runs_by_recipe(runs).values()] == [[0, 1, 2]]


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


def test_folds_that_chose_their_recipes_stand_together(tmp_path):
    runs = [
        make_run(tmp_path / place / fold[0], name="a", training={"seed": 0, "l2": number}, data={"fold": fold})
        for number, (place, fold) in enumerate((place, fold) for place in "xy" for fold in ("1/2", "2/2"))
    ]
    for run in runs:
        run.path("choice.csv").touch()
    assert [[*map(len, seeds.values())] for seeds in runs_by_recipe(runs).values()] == [[2], [2]]


def test_the_spread_of_seeds_is_a_mean_and_a_range_over_the_same_images():
    found = seed_spread({0: table_of(np.arange(10) < 6), 1: table_of(np.arange(10) < 9)}, "validation")
    assert (found["mean"], found["lowest"], found["highest"]) == pytest.approx((0.75, 0.6, 0.9))
    assert "mean 0.750, 0.600 to 0.900 over 2 seeds (n=10" in found["sentence"]


GOOD, POOR = (0.95, 0.9, 0.92), (0.6, 0.7, 0.65)


@pytest.mark.parametrize(
    ("a", "b", "distinguishable", "said"),
    [
        (GOOD, POOR, True, "the first is better in 3 of 3 seeds; distinguishable (95% over the same 200 images"),
        (POOR, GOOD, True, "the second is better in 3 of 3 seeds"),
        ((0.9, 0.5), (0.5, 0.8), False, "in 1 of 2 seeds; not distinguishable"),
        ((0.95, 0.95), (0.6, 0.6), False, "in 2 of 2 seeds; distinguishable on these seeds alone"),
        ((0.98, 0.56, 0.58), (0.5, 0.5, 0.5), False, "in 3 of 3 seeds; distinguishable on these seeds alone"),
    ],
)
def test_recipes_differ_where_images_seeds_and_every_sign_agree(a, b, distinguishable, said):
    a, b = tables(*a), tables(*b)
    found = compare_seeds(a, b, "validation")
    assert found["distinguishable"] is distinguishable and said in found["sentence"]
    assert (found["n"], found["seeds"]) == (200, len(a)) and found["lowest"] <= found["difference"] <= found["highest"]
    if len(a) < 3:
        assert (found["seeds_low"], found["seeds_high"]) == (None, None) and "fewer than 3 seeds" in found["sentence"]
    else:
        scores = [[(t["true_class"] == t["predicted_class"]).mean() for t in each.values()] for each in (a, b)]
        interval = ttest_rel(*scores).confidence_interval(0.95)
        assert (found["seeds_low"], found["seeds_high"]) == pytest.approx((interval.low, interval.high))


def test_equal_seeds_narrow_nothing_and_groups_widen_the_interval():
    a, b = table_of(np.arange(200) < 190), table_of(np.arange(200) < 183)
    once, often = (compare_seeds(dict.fromkeys(s, a), dict.fromkeys(s, b), "validation") for s in ([0, 1], range(9)))
    assert (once["low"], once["high"]) == pytest.approx((often["low"], often["high"]))
    a, right = tables(0.8, 0.8, 0.8), np.arange(200) >= 20
    b = {seed: table_of(right & (t["true_class"] == t["predicted_class"]).to_numpy()) for seed, t in a.items()}
    alone, grouped, few = (compare_seeds(a, b, "validation", groups=groups_of(a[0], size)) for size in (1, 20, 50))
    assert alone["distinguishable"] and not grouped["distinguishable"]
    assert np.isnan(few["low"]) and not few["distinguishable"] and "no interval" in few["sentence"]
    with pytest.raises(ValueError, match=r"The seeds \[0\] and \[1\] have none in common"):
        compare_seeds({0: table_of(np.ones(3, bool))}, {1: table_of(np.ones(3, bool))}, "validation")
