"""What to look at next: the random part is random and whole, the rest is ranked, and nothing is lost."""

import numpy as np

from marinecv.review.order import RANDOM_FRACTION, informative, review_order


def order_of(n=200, seed=0, **options):
    rng = np.random.default_rng(1)
    scores = {"uncertain": rng.random(n), "diverse": np.where(np.arange(n) < 30, -np.arange(n), -np.inf)}
    return review_order(options.pop("units", np.arange(n)), scores, rng.random((n, 2)), seed=seed, **options)


def test_every_image_stands_there_once_and_every_fifth_is_random():
    table = order_of()
    assert sorted(table["row"]) == list(range(200))
    assert (np.flatnonzero(table["drawn"] == "random") == np.arange(0, 200, 5)).all()
    assert (table["drawn"] == "random").sum() == RANDOM_FRACTION * 200


def test_what_is_random_depends_on_the_seed_and_not_on_the_scores():
    same, other = order_of(), order_of(seed=1)
    rng = np.random.default_rng(5)
    rescored = review_order(np.arange(200), {"uncertain": rng.random(200)}, rng.random((200, 2)))
    random = [table.query("drawn == 'random'")["row"].tolist() for table in (same, other, rescored)]
    assert random[0] == random[2] != random[1]


def test_each_image_is_random_equally_often():
    counts = np.zeros(40)
    for seed in range(300):
        table = review_order(np.arange(40), {"a": np.arange(40.0)}, np.zeros((40, 1)), seed=seed)
        counts[table.query("drawn == 'random'")["row"]] += 1
    assert abs(counts - 300 * RANDOM_FRACTION).max() < 4.5 * np.sqrt(300 * 0.2 * 0.8)


def test_units_stay_together_and_only_eligible_ones_are_random():
    units, eligible = np.arange(100) // 4, np.arange(100) >= 50
    table = order_of(100, units=units, may_be_random=eligible)
    assert (table["unit"].diff() != 0).sum() == 25
    assert (table.groupby("unit")["drawn"].nunique() == 1).all()
    random = table.query("drawn == 'random'")
    assert len(random) == 20 and (random["row"] >= 52).all()  # unit 12 has images that may not


def test_the_largest_scores_come_in_the_first_batch():
    scores = {"uncertain": np.arange(500.0)}
    table = review_order(np.arange(500), scores, np.zeros((500, 1)))
    first = table.iloc[:50].query("drawn == 'uncertain'")["row"]
    left = np.setdiff1d(np.arange(500), table.query("drawn == 'random'")["row"])
    assert {*first} == {*left[-40:]}


def test_informative_takes_one_of_each_cluster_before_a_second_and_avoids_what_is_known_or_certain():
    rng = np.random.default_rng(0)
    centers = 100 * np.eye(6, 8)
    images = np.repeat(centers, 10, axis=0) + rng.normal(size=(60, 8))
    known = centers[:1] + rng.normal(size=(6, 8))
    probabilities = np.full((60, 2), 0.5)
    probabilities[50:] = 0.99, 0.01  # the last cluster is certain
    scores = informative(probabilities, images, known)
    order = np.argsort(-scores)
    assert sorted(order[:4] // 10) == [1, 2, 3, 4] and sorted(order[50:]) == list(range(50, 60))
    assert np.isfinite(scores).all() and len({*scores[:50]}) == 50
