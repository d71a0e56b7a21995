"""Simulated coverage of the intervals and false positives of the tests, on 1,000 sets each.

Sets are drawn from a population whose true metric is known. Of 95% intervals 930 to 970 of 1,000 should hold it: the
mean over several populations must be in that range, and each within 925 to 975. All simulations are seeded.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binom

from marinecv.evaluation import intervals
from marinecv.evaluation.cameras import camera_metrics
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.estimates import FEW_GROUPS, bootstrapped_fraction
from marinecv.evaluation.intervals import effective_number, expanded_interval, fraction_interval, resampled_sums, wilson
from marinecv.evaluation.metrics import averages, classification_metrics
from marinecv.evaluation.predictions import make_table
from marinecv.evaluation.published_comparison import next_seed_interval
from marinecv.evaluation.seeds import compare_seeds

SETS = 1000
AQUARIUM = (0.45, 0.05, 0.08, 0.12, 0.10, 0.08, 0.12)  # shares of seven classes; of 63 images the rarest has 3
EVEN = (0.25,) * 4


def uneven(rng, shape):
    """Sizes of groups: half of them below 8, a few above 30."""
    return np.ceil(rng.lognormal(2, 0.8, shape)).astype(int)


def moderate(rng, shape):
    return rng.integers(2, 21, shape)


def coverage_of(values, replicates, units, n, truth):
    """The share of sets whose interval holds the truth; replicates (resamples, sets)."""
    bounds = [fraction_interval(*each) for each in zip(values, replicates.T, units, n, strict=True)]
    return np.mean([low <= truth <= high for low, high in bounds])


@pytest.mark.parametrize("n", [20, 63, 127, 1000])
def test_wilsons_interval_holds_the_truth_in_93_to_97_of_100_sets(n):
    shares = np.linspace(0.5, 0.98, 25)  # a set's true share: those that classifiers have, each as often
    bounds = np.array([wilson(k, n) for k in range(n + 1)])
    k = np.random.default_rng(0).binomial(n, shares, (SETS // 25, 25))
    assert 0.93 <= np.mean((bounds[k, 0] <= shares) & (shares <= bounds[k, 1])) <= 0.97
    chances = binom.pmf(np.arange(n + 1)[:, None], n, shares)  # the same without chance
    exact = (chances * ((bounds[:, :1] <= shares) & (shares <= bounds[:, 1:]))).sum(axis=0)
    assert 0.94 <= exact.mean() <= 0.96 and exact.min() > 0.83  # at single shares it swings, as it must for counts


def image_sets(n, shares, right):
    """Images of sets: true and predicted class (sets, n); errors go to any other class. And the true confusions."""
    rng, kinds = np.random.default_rng(1), len(shares)
    true = rng.choice(kinds, (SETS, n), p=shares)
    others = (true + rng.integers(1, kinds, (SETS, n))) % kinds
    wrong = (1 - np.eye(kinds)) * (1 - right) / (kinds - 1)
    expected = np.array(shares)[:, None] * (right * np.eye(kinds) + wrong)
    return true, np.where(rng.random((SETS, n)) < right, true, others), expected


def totals(counts):
    return counts.diagonal(axis1=-2, axis2=-1), counts.sum(axis=-2), counts.sum(axis=-1)


def macro_coverage(sums, expected, sizes):
    """How often the intervals of balanced accuracy and macro-F1 hold the truth; sums (groups, sets, 3, classes)."""
    truth = {name: float(value) for name, value in averages(*totals(expected)).items()}
    found = {"balanced_accuracy": [], "macro_f1": []}
    for start in range(0, SETS, 50):
        part = sums[:, start : start + 50]
        drawn = resampled_sums(part.reshape(len(part), -1), seed=0).reshape(-1, *part.shape[1:])
        values, replicates = (averages(*np.moveaxis(each, -2, 0)) for each in (part.sum(axis=0), drawn))
        units = [effective_number(of_set) for of_set in sizes[:, start : start + 50].T]
        n = sizes[:, start : start + 50].sum(axis=0)
        for name, rates in found.items():
            rates.append(coverage_of(values[name], replicates[name], units, n, truth[name]))
    return {name: np.mean(rates) for name, rates in found.items()}


def in_bounds(rates):
    """93 to 97 of 100 on average, and nowhere far from it."""
    return 0.93 <= np.mean(rates) <= 0.97 and min(rates) >= 0.925 and max(rates) <= 0.975


@pytest.mark.slow
def test_the_bootstrap_over_images_holds_macro_figures():
    rates = {"balanced_accuracy": [], "macro_f1": []}
    for n, shares, right in ((63, AQUARIUM, 0.8), (127, AQUARIUM, 0.8), (100, EVEN, 0.8), (200, EVEN, 0.9)):
        true, predicted, expected = image_sets(n, shares, right)
        kinds = np.eye(len(shares))
        sums = np.stack([kinds[true] * (true == predicted)[..., None], kinds[predicted], kinds[true]], axis=-2)
        for name, rate in macro_coverage(sums.swapaxes(0, 1), expected, np.ones((n, SETS))).items():
            rates[name].append(rate)
    assert all(map(in_bounds, rates.values())), rates


def group_sets(groups, right, similarity, sizes):
    """Groups of sets: images and hits (groups, sets); of a group a share is right that varies from group to group."""
    rng = np.random.default_rng(2)
    images = sizes(rng, (groups, SETS))
    spread = (1 - similarity) / similarity
    return images, rng.binomial(images, rng.beta(right * spread, (1 - right) * spread, images.shape))


def accuracy_replicates(images, hits):
    drawn = resampled_sums(np.hstack([hits, images]), seed=0)
    return drawn[:, :SETS] / drawn[:, SETS:]


@pytest.mark.parametrize("groups", [20, 30, 60])
def test_the_bootstrap_over_groups_holds_the_truth_and_over_images_does_not(groups):
    over_groups, over_images = [], []
    for sizes in (moderate, uneven):
        for right, similarity in ((0.7, 0.3), (0.9, 0.1), (0.9, 0.3)):
            images, hits = group_sets(groups, right, similarity, sizes)
            n, k = images.sum(axis=0), hits.sum(axis=0)
            units = [effective_number(of_set) for of_set in images.T]
            over_groups.append(coverage_of(k / n, accuracy_replicates(images, hits), units, n, right))
            by_images = [wilson(int(hit), int(of_set)) for hit, of_set in zip(k, n, strict=True)]
            over_images.append(np.mean([low <= right <= high for low, high in by_images]))
    assert in_bounds(over_groups), over_groups
    assert max(over_images) < 0.85 and min(over_images) < 0.65, over_images


@pytest.mark.slow
@pytest.mark.parametrize("groups", [20, 30, 60])
def test_the_bootstrap_over_groups_holds_macro_figures(groups):
    rng, shares, right, kinds = np.random.default_rng(3), np.array([0.4, 0.3, 0.2, 0.1]), 0.75, 4
    images = moderate(rng, (groups, SETS))
    mix = rng.dirichlet(shares * 4, images.shape)  # a camera sees some animals more than others
    preferred = rng.dirichlet(np.ones(kinds), images.shape)[..., None, :] * (1 - np.eye(kinds))
    wrong = preferred / preferred.sum(axis=-1, keepdims=True)
    hit = rng.beta(right * 5, (1 - right) * 5, images.shape)[..., None, None]
    chances = (mix[..., None] * (hit * np.eye(kinds) + (1 - hit) * wrong)).reshape(*images.shape, -1)
    counts = rng.multinomial(images, chances / chances.sum(axis=-1, keepdims=True)).reshape(*images.shape, kinds, kinds)
    expected = shares[:, None] * (right * np.eye(kinds) + (1 - right) * (1 - np.eye(kinds)) / (kinds - 1))
    rates = macro_coverage(np.stack(totals(counts), axis=-2), expected, images)
    assert all(0.93 <= rate <= 0.97 for rate in rates.values()), rates


@pytest.mark.parametrize("groups", [8, 12])
def test_of_few_groups_the_interval_is_far_better_than_percentiles_and_the_words_say_that_it_may_not_do(groups):
    images, hits = group_sets(groups, 0.7, 0.3, uneven)
    n, values, replicates = images.sum(axis=0), hits.sum(axis=0) / images.sum(axis=0), accuracy_replicates(images, hits)
    units = [effective_number(of_set) for of_set in images.T]
    plain = [low <= 0.7 <= high for low, high in map(intervals.percentile_interval, replicates.T)]
    expanded = [low <= 0.7 <= high for low, high in map(expanded_interval, replicates.T, units)]
    assert np.mean(plain) < 0.89 and np.mean(expanded) > 0.93
    assert coverage_of(values, replicates, units, n, 0.7) > 0.93
    worse, hits = group_sets(groups, 0.9, 0.3, uneven)  # nearly all right, and groups that are alike within
    values, units = hits.sum(axis=0) / worse.sum(axis=0), [effective_number(of_set) for of_set in worse.T]
    assert coverage_of(values, accuracy_replicates(worse, hits), units, worse.sum(axis=0), 0.9) > 0.92
    figure = bootstrapped_fraction(values[0], replicates[:, 0], int(n[0]), images[:, 0])
    assert f"few groups ({groups}), the interval may be too narrow" in figure["method"]
    enough = bootstrapped_fraction(0.7, replicates[:, 0], FEW_GROUPS * 2, np.full(FEW_GROUPS, 2))
    assert "few" not in enough["method"]


def table_of(right):
    """Predictions over crab and eel, right where `right` says so."""
    true, ids = np.arange(len(right)) % 2, [f"{number}.jpg" for number in range(len(right))]
    sure = np.eye(2)[np.where(right, true, 1 - true)] * 0.8 + 0.1
    return make_table(ids, "test", [("crab", "eel")[kind] for kind in true], sure, ("crab", "eel"))


def test_a_set_that_is_scored_gets_the_bounds_that_were_simulated():
    images, hits = (counts[:, 0] for counts in group_sets(30, 0.8, 0.2, moderate))
    right = np.concatenate([np.arange(n) < k for n, k in zip(images, hits, strict=True)])
    table, group = table_of(right), np.repeat(np.arange(30), images)
    found = classification_metrics(table, groups=dict(zip(table["image_id"], group, strict=True)))["accuracy"]
    drawn = resampled_sums(np.column_stack([hits, images]), seed=0)
    bounds = fraction_interval(right.mean(), drawn[:, 0] / drawn[:, 1], effective_number(images), len(right))
    assert (found["low"], found["high"]) == pytest.approx(bounds, abs=1e-12) and found["groups"] == 30


p_value = cache(intervals.mcnemar)


@pytest.mark.parametrize("discordant", [1, 5, 6, 10, 25, 60])
def test_mcnemars_false_alarms_are_at_most_5_of_100_at_every_number_of_discordant_images(discordant):
    ahead = np.arange(discordant + 1)
    alarms = np.array([p_value(int(k), int(discordant - k)) < 0.05 for k in ahead])
    rate = binom.pmf(ahead, discordant, 0.5)[alarms].sum()
    assert rate <= 0.05
    assert rate == 0 if discordant < 6 else rate > 0.01  # exact, and so below 5 of 100, not at it


@pytest.mark.parametrize("groups", [20, 30, 60])
def test_two_equal_models_are_told_apart_over_groups_in_3_to_7_of_100_sets_and_far_too_often_over_images(groups):
    rng = np.random.default_rng(7)
    images = uneven(rng, (groups, SETS))
    apart = rng.dirichlet((1.0, 1.0, 4.0), images.shape)  # on some groups the one is better, on others the other
    only_a, only_b, _ = np.moveaxis(rng.multinomial(images, apart), -1, 0)
    drawn = resampled_sums(np.hstack([only_a - only_b, images]), seed=0)
    replicates = drawn[:, :SETS] / drawn[:, SETS:]
    low, high = np.array([*map(expanded_interval, replicates.T, map(effective_number, images.T))]).T
    over_groups = (low > 0) | (high < 0)
    over_images = [p_value(int(a), int(b)) < 0.05 for a, b in zip(only_a.sum(axis=0), only_b.sum(axis=0), strict=True)]
    assert 0.03 <= over_groups.mean() <= 0.07
    assert np.mean(over_images) > 0.15
    assert np.mean(over_groups & over_images) <= 0.07  # what `compare_runs` asks for


def test_the_comparison_of_a_set_gives_the_bounds_that_were_simulated():
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(24), uneven(rng, 24))
    a, b = ((rng.random(len(group)) < rng.beta(4, 1, 24)[group]).astype(float) for _ in range(2))
    first, second = table_of(a > 0), table_of(b > 0)
    found = compare_runs(first, second, "test", groups=dict(zip(first["image_id"], group, strict=True)))
    sums = np.array([np.bincount(group, a - b), np.bincount(group)]).T
    drawn = resampled_sums(sums, seed=0)
    bounds = expanded_interval(drawn[:, 0] / drawn[:, 1], effective_number(sums[:, 1]))
    assert (found["low"], found["high"]) == pytest.approx(bounds, abs=1e-12) and found["groups"] == 24


def seed_tables(rng, ease, seeds, moved):
    """Predictions by seed of a recipe whose accuracy moves from seed to seed; an image is as easy in each."""
    shares = np.clip(ease * 0.9 + rng.normal(0, moved, (seeds, 1)), 0, 1)
    images = pd.DataFrame({"image_id": map(str, range(len(ease))), "split": "test", "true_class": "crab"})
    return {
        seed: images.assign(predicted_class=np.where(right, "crab", "eel"))
        for seed, right in enumerate(rng.random((seeds, len(ease))) < shares)
    }


@pytest.mark.parametrize(
    ("seeds", "moved"),
    [(2, 0.1), pytest.param(3, 0.03, marks=pytest.mark.slow), (3, 0.1), pytest.param(5, 0.03, marks=pytest.mark.slow)],
)
def test_recipes_that_only_seeds_move_are_told_apart_in_at_most_7_of_100_sets_and_far_too_often_over_images(
    seeds, moved
):
    rng, sets, both, over_images = np.random.default_rng(9), 250, 0, 0
    for _ in range(sets):
        ease = rng.beta(4, 1, 150)  # both find the same images hard
        found = compare_seeds(*(seed_tables(rng, ease, seeds, moved) for _ in range(2)), "test")
        both += found["distinguishable"]
        over_images += found["low"] > 0 or found["high"] < 0
    assert both <= 0.07 * sets and (both == 0 or seeds > 2)
    assert over_images > 0.15 * sets or moved < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("n", [63, 127, 223])
def test_a_published_figure_of_one_more_seed_is_called_another_in_at_most_7_of_100_sets_and_near_5_where_seeds_differ(
    seeds, n
):
    """2,000 sets; seeds move an accuracy by 0, 0.02 or 0.05; images are of one difficulty, or easy and hard ones."""
    rng, sets, same, other = np.random.default_rng(11), 2000, [], []
    for moved in (0.0, 0.02, 0.05):
        for shape in ((4, 1), (0.15, 0.05)):  # of the images' probabilities, near 0.75
            ease = rng.beta(*shape, (sets, 2, 1, n)) * 0.95
            shares = np.clip(ease + rng.normal(0, moved, (sets, 1, seeds + 1, 1)), 0, 1)
            counts = (rng.random(shares.shape) < shares).sum(axis=-1)  # of two sets of images
            bounds = np.array([next_seed_interval(of_set, n) for of_set in counts[:, 0, :-1]])
            wider = np.array([next_seed_interval(of_set, n, same_images=False) for of_set in counts[:, 0, :-1]])
            same.append(np.mean((counts[:, 0, -1] < bounds[:, 0]) | (counts[:, 0, -1] > bounds[:, 1])))
            other.append(np.mean((counts[:, 1, -1] < wider[:, 0]) | (counts[:, 1, -1] > wider[:, 1])))
    assert 0.03 <= np.mean(same) <= 0.055 and max(same) <= 0.07, same
    assert 0.01 <= np.mean(other) <= 0.055 and max(other) <= 0.07, other


@pytest.mark.parametrize("cameras", [6, pytest.param(8, marks=pytest.mark.slow), 12, 20, 40])
@pytest.mark.parametrize("even", [True, False])
def test_the_interval_of_the_next_camera_holds_its_accuracy_in_93_to_97_5_of_100_worlds(cameras, even):
    """2,000 worlds; cameras have 5 to 500 images (uniform, or log-uniform) and differ by 0.2 to 1.2 on the logit."""
    rng, worlds = np.random.default_rng(10), 2000
    center, spread = logit(rng.uniform(0.55, 0.95, (worlds, 1))), rng.uniform(0.2, 1.2, (worlds, 1))
    truth = expit(center + spread * rng.normal(size=(worlds, cameras + 1)))
    images = rng.uniform(5, 500, truth.shape) if even else 5 * 100 ** rng.random(truth.shape)
    images = images.round().astype(int)
    tables = np.stack([images, rng.binomial(images, truth) / images], axis=2)[:, :-1]
    found = [camera_metrics(pd.DataFrame(table, columns=["n", "accuracy"])) for table in tables]
    low, high = (np.array([each[name] for each in found]) for name in ("next_low", "next_high"))
    assert 0.93 <= np.mean((low <= truth[:, -1]) & (truth[:, -1] <= high)) <= 0.975
    assert np.mean([each["high"] - each["low"] for each in found]) < np.mean(high - low)
