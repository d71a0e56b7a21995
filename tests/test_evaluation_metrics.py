import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from marinecv.evaluation.estimates import MIN_GROUPS, interval_text
from marinecv.evaluation.metrics import (
    class_scores,
    classification_metrics,
    confused_pairs,
    confusion,
    image_losses,
    per_class_metrics,
    worst_losses,
)
from marinecv.evaluation.predictions import make_table, probabilities_of_table

EXACT = 1e-15


def random_table(num_classes=7, n=200, absent=(), seed=0):
    """Predictions that are right more often than not; classes in `absent` are neither true nor predicted."""
    rng = np.random.default_rng(seed)
    present = np.setdiff1d(np.arange(num_classes), absent)
    true = rng.choice(present, n)
    probabilities = rng.dirichlet(np.full(num_classes, 0.3), n)
    probabilities[np.arange(n), true] += 0.1
    probabilities[:, list(absent)] = 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    names = [f"class {number}" for number in reversed(range(num_classes))]  # an order that sorting would break
    return make_table([f"{number}.jpg" for number in range(n)], "test", [names[i] for i in true], probabilities, names)


def figures_of(scores):
    return {name: figure for name, figure in scores.items() if isinstance(figure, dict)}


@pytest.mark.parametrize("absent", [(), (2,)])
def test_figures_equal_sklearns(absent):
    table = random_table(absent=absent)
    true, predicted = table["true_class"], table["predicted_class"]
    ours = {name: figure["value"] for name, figure in figures_of(classification_metrics(table)).items()}
    assert ours["accuracy"] == sk.accuracy_score(true, predicted)
    assert ours["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(true, predicted), abs=EXACT)
    for average in ("macro", "weighted"):
        theirs = sk.precision_recall_fscore_support(true, predicted, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), theirs, strict=False):
            assert ours[f"{average}_{name}"] == pytest.approx(value, abs=EXACT)
    names = list(confusion(table).index)
    probabilities = probabilities_of_table(table)
    indices = true.map(names.index)
    assert ours["top3_accuracy"] == sk.top_k_accuracy_score(indices, probabilities, k=3, labels=range(len(names)))


@pytest.mark.filterwarnings("ignore:The y_(prob|pred) values do not sum to one")  # float32 sums differ from 1 by 1e-7
def test_log_loss_equals_sklearns_even_for_a_certain_error():
    table = random_table()
    table.loc[0, table.columns[4:]] = np.float32(0)
    names = list(confusion(table).index)
    indices = table["true_class"].map(names.index)
    theirs = sk.log_loss(indices, probabilities_of_table(table), labels=range(len(names)))
    assert classification_metrics(table)["log_loss"]["value"] == pytest.approx(theirs, rel=EXACT)
    assert image_losses(table).max() == pytest.approx(-np.log(np.finfo(float).eps))


@pytest.mark.parametrize("absent", [(), (2,)])
def test_class_figures_equal_sklearns(absent):
    table = random_table(absent=absent)
    ours = per_class_metrics(table)
    names = list(ours["class_name"])
    true, predicted = table["true_class"], table["predicted_class"]
    theirs = sk.precision_recall_fscore_support(true, predicted, labels=names, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), theirs, strict=True):
        assert ours[name].to_numpy() == pytest.approx(values, abs=EXACT)
    for name, row in zip(names, ours.itertuples(), strict=True):  # specificity is the recall of "not this class"
        assert row.specificity == pytest.approx(sk.recall_score(true != name, predicted != name), abs=EXACT)
        assert row.specificity_low <= row.specificity <= row.specificity_high
    assert (ours["recall_low"][2], ours["recall_high"][2]) == (0, 1) or not absent
    assert confusion(table).shape == (7, 7)
    scores = class_scores(table)
    for name, row in zip(names, ours.itertuples(), strict=True):
        assert scores[f"precision[{name}]"]["value"] == row.precision and scores[f"f1[{name}]"]["low"] is None
        assert scores[f"support[{name}]"]["value"] == scores[f"recall[{name}]"]["n"] == row.support


def test_intervals_hold_their_value_and_narrow_with_n():
    few, many = (classification_metrics(random_table(n=n)) for n in (50, 2000))
    for name in (name for name in few if name not in ("n", "unlabeled")):
        for scores in (few, many):
            assert scores[name]["low"] < scores[name]["value"] < scores[name]["high"]
        assert few[name]["high"] - few[name]["low"] > many[name]["high"] - many[name]["low"]
        assert few[name]["n"] == 50


def test_unlabeled_images_are_counted_and_not_scored():
    table = random_table(n=20)
    table.loc[:4, "true_class"] = ""
    scores = classification_metrics(table)
    assert (scores["n"], scores["unlabeled"], scores["accuracy"]["n"]) == (15, 5, 15)
    assert confusion(table).to_numpy().sum() == 15
    with pytest.raises(ValueError, match="None of the 20 rows has a true class"):
        classification_metrics(table.assign(true_class=""))


def test_a_class_without_its_column_of_probabilities_is_refused():
    table = random_table()
    for wrong in (table.assign(true_class=table["true_class"].str.upper()), table[table.columns[:4]]):
        for score in (classification_metrics, per_class_metrics, confusion, worst_losses):
            with pytest.raises(ValueError, match="a column p_<class> for every class"):
                score(wrong)


def test_other_classes_than_expected_are_refused():
    table = random_table(num_classes=2)
    assert classification_metrics(table, ["class 1", "class 0"])["n"] == 200
    with pytest.raises(ValueError, match=r"Expected the classes \('class 0', 'class 1'\)"):
        classification_metrics(table, ["class 0", "class 1"])


def test_confused_pairs_come_most_frequent_first():
    probabilities = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.9, 0.05], [0.9, 0.05, 0.05]]
    table = make_table("abcd", "test", ["eel", "crab", "crab", "crab"], probabilities, ("crab", "eel", "ray"))
    pairs = confused_pairs(table)
    assert pairs.to_numpy().tolist() == [["crab", "eel", 2, ["b", "c"]], ["eel", "crab", 1, ["a"]]]
    assert len(confused_pairs(table, k=1)) == 1 and confused_pairs(table.iloc[3:]).empty


def test_worst_losses_come_worst_first():
    table = random_table(n=30)
    worst = worst_losses(table, k=5)
    assert worst["loss"].tolist() == sorted(image_losses(table), reverse=True)[:5]
    assert (worst["p_true"] <= worst["p_predicted"]).all()


def test_groups_change_intervals_and_no_value():
    table = random_table()
    scores, grouped = (
        figures_of(classification_metrics(table, groups=groups))
        for groups in (None, {id_: number // 8 for number, id_ in enumerate(table["image_id"])})
    )
    assert list(grouped) == list(scores)
    for name, figure in grouped.items():
        assert figure["value"] == pytest.approx(scores[name]["value"], abs=EXACT) and figure["n"] == 200
        assert figure["groups"] == 25 and "over groups of related images" in figure["method"]
        assert figure["low"] < figure["value"] < figure["high"]
    assert "groups" not in scores["accuracy"] and scores["accuracy"]["method"] == "Wilson"
    for alone in ({}, {"0.jpg": "a", "1.jpg": ""}, pd.Series({"0.jpg": 1, "1.jpg": 2})):
        assert figures_of(classification_metrics(table, groups=alone)) == scores
    video = pd.Series("video", index=table["image_id"][:50])  # the others are groups of their own
    assert classification_metrics(table, groups=video)["accuracy"]["groups"] == 151
    assert classification_metrics(table, seed=4)["macro_f1"] != scores["macro_f1"]


def test_twenty_copies_of_each_image_are_worth_no_more_than_one():
    table = random_table(n=60)
    copies = pd.concat([table.assign(image_id=table["image_id"] + f" {copy}") for copy in range(20)])
    alone = classification_metrics(table)
    blind = classification_metrics(copies)
    grouped = classification_metrics(copies, groups={id_: id_.split()[0] for id_ in copies["image_id"]})
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "top3_accuracy"):
        width, of_blind, of_told = (each[name]["high"] - each[name]["low"] for each in (alone, blind, grouped))
        assert of_told == pytest.approx(width, rel=0.15) and of_blind < 0.3 * width


@pytest.mark.parametrize("count", [*range(1, MIN_GROUPS), MIN_GROUPS, 19])
def test_of_few_groups_the_method_warns_and_of_fewer_than_six_there_is_only_an_interval_by_image(count):
    table = random_table(n=57)
    scores = classification_metrics(table, groups={id_: number % count for number, id_ in enumerate(table["image_id"])})
    by_image = figures_of(classification_metrics(table))
    for name, figure in figures_of(scores).items():
        if count >= MIN_GROUPS:
            assert f"few groups ({count}), the interval may be too narrow" in figure["method"]
            assert figure["low"] <= figure["value"] <= figure["high"]
            continue
        assert figure["low"] is figure["high"] is None and figure["groups"] == count
        assert (figure["value"], figure["n"]) == (by_image[name]["value"], by_image[name]["n"])
        bounds = {bound: by_image[name][bound] for bound in ("low", "high")}
        assert figure["by_image"] == {**bounds, "method": "by image, assumes independent images"}
        groups = "1 group" if count == 1 else f"{count} groups"
        assert interval_text(figure) == f"from {groups} of related images: no interval"
    assert json.loads(json.dumps(scores)) == scores  # no NaN
