"""A stratified sample of a batch, and what its answers say of the batch: laws, formulas by hand, coverage."""

import numpy as np
import pandas as pd
import pytest

from marinecv.evaluation.checked_sample import (
    COUNT,
    ESTIMATE_COLUMNS,
    EXACT,
    MIN_CHECKED,
    POWERED,
    PRECISION,
    RECALL,
    STRATIFIED,
    accuracy,
    allocate,
    draw_sample,
    estimates,
)

NAMES = np.array(["deer", "empty", "fox"])
CONFUSION = {  # predicted as -> (images in the batch, checked of each true class)
    "deer": (400, {"deer": 45, "empty": 3, "fox": 2}),
    "empty": (500, {"deer": 6, "empty": 44}),
    "fox": (100, {"deer": 5, "empty": 1, "fox": 34}),
}


def batch_of(rng, n=1500, noise=0.2):
    """Predictions of a batch, whose confidence says something of being right, and the true classes."""
    true = rng.choice(NAMES, n, p=[0.3, 0.6, 0.1])
    right = rng.random(n) > noise
    predicted = np.where(right, true, rng.choice(NAMES, n))
    probability = np.clip(np.where(right, 0.9, 0.6) + rng.normal(0, 0.1, n), 0.4, 1)
    ids = [f"{number}.jpg" for number in range(n)]
    table = pd.DataFrame({"image_id": ids, "predicted_class": predicted, "probability": probability})
    return table.assign(camera=rng.choice(["a", "b"], n)), true


def answers_of(table, true):
    return pd.DataFrame({"image_id": table["image_id"], "class_name": true[table.index]})


@pytest.fixture
def by_hand():
    """The three classes of `CONFUSION`, all with one probability, so that it cannot correct the accuracy."""
    rows, answers = [], []
    for predicted, (size, counts) in CONFUSION.items():
        names = [f"{predicted}{number}" for number in range(size)]
        rows += [(name, predicted, 0.8) for name in names]
        answers += zip(names, [name for name, count in counts.items() for _ in range(count)], strict=False)
    table = pd.DataFrame(rows, columns=["image_id", "predicted_class", "probability"])
    return table, pd.DataFrame(answers, columns=["image_id", "class_name"])


def figure(table, quantity, name="", camera=""):
    rows = table.query("quantity == @quantity and class_name == @name and camera == @camera")
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_sample_has_the_minimum_of_each_stratum_and_more_where_the_variance_is():
    table, _ = batch_of(np.random.default_rng(0))
    sample = draw_sample(table, 60, seed=1)
    counts, sizes = sample["predicted_class"].value_counts(), table["predicted_class"].value_counts()
    assert len(sample) == 60 == sample["image_id"].nunique() and (counts >= MIN_CHECKED).all()
    assert counts["empty"] > counts["deer"] > counts["fox"] and (counts <= sizes).all()
    assert draw_sample(table, 60, seed=1).equals(sample)
    assert not draw_sample(table, 60, seed=2)["image_id"].equals(sample["image_id"])
    assert sorted(draw_sample(table, 5000)["image_id"]) == sorted(table["image_id"])  # fewer images than asked for


def test_the_allocation_is_neymans_beyond_the_minimum_and_never_more_than_there_are():
    sizes = np.array([1000, 1000, 4, 10])
    counts = allocate(sizes, sizes * np.array([0.4, 0.2, 0.2, 0.2]), 200)
    assert counts.sum() == 200 and counts[2] == 4 and counts[3] == 10
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.03)
    assert allocate(sizes, sizes, 12).tolist() == [4, 4, 2, 2]  # two thirds shared out, the others by size
    assert allocate(sizes, sizes, 9999).tolist() == sizes.tolist()


def test_every_beginning_of_a_sample_is_a_stratified_sample():
    table, _ = batch_of(np.random.default_rng(0))
    samples = [draw_sample(table, 120, seed) for seed in range(200)]
    strata = [sample["predicted_class"].tolist() for sample in samples]
    assert all(other == strata[0] for other in strata)  # their turns do not depend on what was drawn
    final = samples[0]["predicted_class"].value_counts() / 120
    for n in (30, 60, 90):
        first = samples[0]["predicted_class"][:n].value_counts()
        assert (abs(first - n * final) <= 1.5).all()
    drawn = np.mean([sample.index.isin(range(750))[:30].mean() for sample in samples])
    assert drawn == pytest.approx(0.5, abs=0.03)  # of its stratum each image is as likely among the first


def test_values_are_those_of_cochran_and_olofsson_by_hand(by_hand):
    table = estimates(*by_hand)
    assert [*table] == ESTIMATE_COLUMNS
    assert figure(table, "accuracy")["value"] == pytest.approx((400 * 0.9 + 500 * 0.88 + 100 * 0.85) / 1000)
    assert figure(table, PRECISION, "fox")["value"] == 34 / 40
    fox = 400 * 2 / 50 + 100 * 34 / 40
    deer = 400 * 45 / 50 + 500 * 6 / 50 + 100 * 5 / 40
    assert figure(table, COUNT, "fox")["value"] == pytest.approx(fox)
    assert figure(table, COUNT, "deer")["value"] == pytest.approx(deer)
    assert figure(table, RECALL, "fox")["value"] == pytest.approx(85 / fox)
    assert figure(table, RECALL, "deer")["value"] == pytest.approx(360 / deer)
    assert figure(table, COUNT, "fox")["n_checked"] == 42 and figure(table, RECALL, "fox")["n_checked"] == 40
    assert figure(table, PRECISION, "fox")["N"] == 100
    counts = table[table["quantity"] == COUNT]
    assert counts["value"].sum() == pytest.approx(1000)


def test_widths_are_about_those_of_the_variance_formulas_by_hand(by_hand):
    table = estimates(*by_hand)
    strata = [(400, 50, 45 / 50), (500, 50, 44 / 50), (100, 40, 34 / 40)]
    variance = sum((N / 1000) ** 2 * (1 - n / N) * p * (1 - p) / (n - 1) for N, n, p in strata)
    wide = figure(table, "accuracy")
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.96 * variance**0.5, rel=0.08)
    strata = [(400, 50, 45 / 50), (500, 50, 6 / 50), (100, 40, 5 / 40)]
    variance = sum(N**2 * (1 - n / N) * p * (1 - p) / (n - 1) for N, n, p in strata)
    wide = figure(table, COUNT, "deer")
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.96 * variance**0.5, rel=0.1)
    # Olofsson et al. (2014), recall of deer: without the correction for a finite batch
    found, own, recall = 360 + 60 + 12.5, 400, 360 / (360 + 60 + 12.5)
    missed = 500**2 * 0.12 * 0.88 / 49 + 100**2 * 0.125 * 0.875 / 39
    variance = (own**2 * (1 - recall) ** 2 * 0.9 * 0.1 / 49 + recall**2 * missed) / found**2
    wide = figure(table, RECALL, "deer")
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.96 * variance**0.5, rel=0.15)


def test_a_batch_that_is_checked_whole_gives_exact_values_without_width():
    table, true = batch_of(np.random.default_rng(3), n=200)
    true[5] = "wolf"  # once, and unknown to the model: exact nevertheless
    found = estimates(table, answers_of(table, true))
    assert (found["low"] == found["value"]).all() or found["value"].isna().any()
    for name in (*NAMES, "wolf"):
        count = figure(found, COUNT, name)
        assert count["value"] == count["low"] == count["high"] == (true == name).sum() and count["method"] == EXACT
    right = (table["predicted_class"] == true).mean()
    assert figure(found, "accuracy")[["value", "low", "high"]].tolist() == pytest.approx([right] * 3)
    a = (table["camera"] == "a").to_numpy()
    assert figure(found, COUNT, "deer", "a")["value"] == (true[a] == "deer").sum()
    assert figure(found, RECALL, "wolf")["value"] == 0
    assert figure(found, PRECISION, "wolf")["method"] == "cannot be estimated: never predicted"


def test_one_fully_checked_class_is_exact_and_few_checked_images_are_no_estimate():
    table, true = batch_of(np.random.default_rng(4))
    table.loc[table.index[:4], "predicted_class"], table.loc[table.index[4:44], "predicted_class"] = "owl", "bat"
    is_checked = table[:4].index.union(table[4:13].index).union(table[100:160].index)
    found = estimates(table, answers_of(table.loc[is_checked], true))
    assert figure(found, PRECISION, "owl")[["value", "low", "high", "n_checked"]].tolist() == [0, 0, 0, 4]
    bat = figure(found, PRECISION, "bat")
    assert np.isnan(bat[["value", "low", "high"]].astype(float)).all()
    assert bat["method"] == "cannot be estimated: 9 checked, fewer than 10" and bat["n_checked"] == 9
    assert np.isnan(figure(found, COUNT, "owl")["value"])
    assert figure(found, COUNT, "empty")["method"] == STRATIFIED


def test_a_class_that_the_model_does_not_know_is_wrong_and_has_a_count(by_hand):
    table, answers = by_hand
    before = accuracy(table, answers)["value"]
    is_deer = (answers["class_name"] == "deer") & answers["image_id"].str.startswith("deer")
    answers.loc[is_deer[is_deer].index[:20], "class_name"] = "wolf"
    found = estimates(table, answers)
    assert figure(found, COUNT, "wolf")["value"] == pytest.approx(400 * 20 / 50)
    assert figure(found, "accuracy")["value"] == pytest.approx(before - 0.4 * 20 / 50)


def test_the_probability_narrows_the_accuracy_where_it_knows_and_else_changes_nothing(by_hand):
    table, true = batch_of(np.random.default_rng(5))
    answers = answers_of(draw_sample(table, 150), true)
    powered, plain = accuracy(table, answers), accuracy(table.assign(probability=0.8), answers)
    assert powered["high"] - powered["low"] < 0.9 * (plain["high"] - plain["low"]) and powered["method"] == POWERED
    counts = table["predicted_class"].value_counts()
    of_stratum = answers.merge(table, on="image_id").eval("class_name == predicted_class")
    rates = of_stratum.groupby(answers.merge(table, on="image_id")["predicted_class"]).mean()
    assert plain["value"] == pytest.approx((counts * rates).sum() / len(table))


def test_without_an_answer_nothing_is_estimated():
    table, true = batch_of(np.random.default_rng(6), n=50)
    found = estimates(table, answers_of(table[:0], true))
    assert found["value"].isna().all() and found["method"].str.startswith("cannot be estimated").all()


@pytest.mark.parametrize("ids", [["1.jpg", "1.jpg"], ["none.jpg", "1.jpg"]])
def test_answers_of_other_images_and_double_ones_are_refused(ids):
    table, _ = batch_of(np.random.default_rng(7), n=50)
    with pytest.raises(ValueError, match="Expected one answer an image, of images that were predicted. Received: "):
        estimates(table, pd.DataFrame({"image_id": ids, "class_name": "fox"}))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.2, 0.06])
def test_intervals_hold_the_truth_about_as_often_as_they_say(noise):
    rng, covered = np.random.default_rng(8), {}
    for seed in range(150):
        table, true = batch_of(rng, n=900, noise=noise)
        found = estimates(table, answers_of(draw_sample(table, 100, seed), true))
        truths = {"accuracy": [(table["predicted_class"] == true).mean()]}
        truths[COUNT] = [(true == name).sum() for name in NAMES]
        hits = [((table["predicted_class"] == name) & (true == name)).sum() for name in NAMES]
        truths[RECALL] = np.divide(hits, truths[COUNT])
        truths[PRECISION] = np.divide(hits, [(table["predicted_class"] == name).sum() for name in NAMES])
        for quantity, values in truths.items():
            rows = found[(found["quantity"] == quantity) & (found["camera"] == "")]
            covered.setdefault(quantity, []).extend((rows["low"] <= values) & (values <= rows["high"]))
    most = dict.fromkeys(covered, 0.99) | {
        COUNT: 0.98
    }  # with all of the prior in both parts 0.989 where errors are few
    outside = {
        quantity: np.mean(hits) for quantity, hits in covered.items() if not 0.9 <= np.mean(hits) <= most[quantity]
    }
    assert not outside
