import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.metrics import f1_score, log_loss

from marinecv.evaluation.intervals import with_seeds
from marinecv.evaluation.learning_curve import curve_table, line_differences
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table

NAMES = ("eel", "crab", "ray")  # an order that sorting would break


def cell(true, predicted, line="a", labeled=1.0, images=100, seed=0, split="validation", names=NAMES):
    """Predictions of one cell: codes of the true classes and of those predicted, each with probability 0.8."""
    probabilities = np.full((len(true), len(names)), 0.2 / (len(names) - 1))
    probabilities[np.arange(len(true)), predicted] = 0.8
    ids = [f"{number:04}.jpg" for number in range(len(true))]
    about = pd.DataFrame({"recipe": line, "label_fraction": labeled, "images": images, "seed": seed}, range(len(true)))
    return about.join(make_table(ids, split, [names[i] for i in true], probabilities, names))


def guesses(true, accuracy, seed, num_classes=3):
    """True classes with some replaced by any other, equally often."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(true)) >= accuracy
    return np.where(wrong, (true + rng.integers(1, num_classes, len(true))) % num_classes, true)


TRUE = np.arange(90) % 3
CURVE = pd.concat(
    [
        cell(TRUE, guesses(TRUE, accuracy + 0.2 * labeled, seed), line, labeled, round(100 * labeled) + seed, seed)
        for line, accuracy in (("late", 0.4), ("early", 0.7))
        for labeled in (1.0, 0.1)
        for seed in (0, 1, 2)
    ],
    ignore_index=True,
)


def figures(table, line="a", labeled=1.0):
    return table[(table["recipe"] == line) & (table["label_fraction"] == labeled)].set_index("metric")


def test_every_line_share_and_metric_has_a_row():
    table = curve_table(CURVE, "validation")
    shuffled = pd.concat([part.sample(frac=1, random_state=1) for _, part in CURVE.groupby("recipe", sort=False)])
    pd.testing.assert_frame_equal(curve_table(shuffled, "validation"), table)
    assert table["recipe"].unique().tolist() == ["late", "early"]  # as they come
    assert not table.duplicated(["recipe", "label_fraction", "metric"]).any() and len(table) == 2 * 2 * 6
    assert (table["seeds"] == 3).all() and (table["n"] == 90).all()
    assert figures(table, "late", 0.1)["images"].unique() == [11]


def test_values_are_means_over_seeds_of_the_metrics_of_a_run():
    ours = figures(curve_table(CURVE, "validation"), "early", 0.1)
    cells = CURVE[(CURVE["recipe"] == "early") & (CURVE["label_fraction"] == 0.1)]
    runs = [classification_metrics(run.iloc[:, 4:]) for _, run in cells.groupby("seed")]
    for metric in ("accuracy", "macro_f1", "macro_precision", "macro_recall", "log_loss"):
        values = [run[metric]["value"] for run in runs]
        assert ours.loc[metric, "value"] == pytest.approx(np.mean(values))
        assert ours.loc[metric, ["lowest", "highest"]].tolist() == pytest.approx([min(values), max(values)])
        assert ours.loc[metric, "low"] < ours.loc[metric, "value"] < ours.loc[metric, "high"]


def test_equal_seeds_narrow_nothing():
    once = cell(TRUE, guesses(TRUE, 0.6, 4))
    thrice = pd.concat([once.assign(seed=seed) for seed in range(3)])
    bounds = ["value", "low", "high", "lowest", "highest"]
    one, three = (figures(curve_table(cells, "validation"))[bounds] for cells in (once, thrice))
    pd.testing.assert_frame_equal(one, three)


def test_batches_sorted_by_class_put_macro_f1_far_below_accuracy():
    names = [f"class {number:02}" for number in range(20)]
    true = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 25))
    cells = cell(true, guesses(true, 0.54, 1, 20), names=names)
    ours = figures(curve_table(cells, "validation"))["value"]
    assert ours[["accuracy", "macro_f1"]].tolist() == pytest.approx([0.54] * 2, abs=0.03)
    assert ours["batched_macro_f1"] < 0.25
    ordered = cells.sort_values(["true_class", "image_id"])
    batches = [ordered.iloc[start : start + 64] for start in range(0, 500, 64)]
    theirs = [f1_score(b["true_class"], b["predicted_class"], average="macro", zero_division=0) for b in batches]
    assert ours["batched_macro_f1"] == pytest.approx(np.mean(theirs))
    assert figures(curve_table(cells, "validation")).loc["batched_macro_f1", ["low", "high"]].isna().all()


def test_unlabeled_images_and_other_splits_are_not_scored():
    whole = cell(TRUE, guesses(TRUE, 0.6, 4))
    whole.loc[:9, "true_class"] = ""
    both = pd.concat([whole, cell(TRUE, TRUE, split="test")])
    pd.testing.assert_frame_equal(curve_table(both, "validation"), curve_table(whole.iloc[10:], "validation"))
    row = figures(curve_table(whole, "validation")).loc["log_loss"]
    probabilities = whole.iloc[10:][[f"p_{name}" for name in sorted(NAMES)]]
    assert (row["n"], row["value"]) == (80, pytest.approx(log_loss(whole["true_class"][10:], probabilities)))


def test_a_better_line_is_told_apart_and_an_equal_one_is_not():
    equal = CURVE[CURVE["recipe"] == "late"].assign(recipe="same")
    table = line_differences(pd.concat([CURVE, equal]), "late", "validation")
    assert table["recipe"].tolist() == ["early", "early", "same", "same"]
    assert table["note"].tolist() == ["better"] * 2 + ["not told apart"] * 2
    accuracy = curve_table(CURVE, "validation").query("metric == 'accuracy'")
    accuracy = accuracy.set_index(["recipe", "label_fraction"])["value"]
    gap = table.set_index(["recipe", "label_fraction"])["difference"]
    for labeled in (0.1, 1.0):
        assert gap["early", labeled] == pytest.approx(accuracy["early", labeled] - accuracy["late", labeled])
        assert gap["same", labeled] == 0
    assert line_differences(CURVE, "early", "validation")["note"].tolist() == ["worse", "worse"]


def test_groups_are_resampled_whole_as_of_a_run_and_of_few_there_is_no_interval():
    one = CURVE[:90]
    names = one["image_id"].tolist()
    groups = {name: place // 6 for place, name in enumerate(names)}
    expected = classification_metrics(one.iloc[:, 4:], groups=groups)
    table = figures(curve_table(one, "validation", groups=groups), "late")
    for metric in ("accuracy", "macro_f1", "log_loss"):
        row = table.loc[metric]
        assert row["value"] == pytest.approx(expected[metric]["value"])
        assert (row["low"], row["high"]) == pytest.approx((expected[metric]["low"], expected[metric]["high"]), abs=1e-9)
    few = {name: place % 5 for place, name in enumerate(names)}
    table = curve_table(CURVE, "validation", groups=few)
    assert table[["low", "high"]].isna().all(axis=None) and table["value"].notna().all()
    differences = line_differences(CURVE, "late", "validation", groups=few)
    assert differences["low"].isna().all() and set(differences["note"]) == {"not told apart"}


def test_a_difference_that_moves_from_seed_to_seed_or_is_of_two_seeds_is_not_told_apart():
    names = CURVE["recipe"] == "early"
    two = line_differences(CURVE[CURVE["seed"] < 2], "late", "validation")
    assert two[["low", "high"]].isna().all(axis=None) and set(two["note"]) == {"not told apart"}
    late = CURVE[~names & (CURVE["label_fraction"] == 1)]
    of_seeds = [late[late["seed"] == seed].assign(recipe="early") for seed in (0, 1, 2)]
    of_seeds[0] = of_seeds[0].assign(predicted_class=of_seeds[0]["true_class"])  # perfect in one of three
    found = line_differences(pd.concat([late, *of_seeds]), "late", "validation").iloc[0]
    assert found["note"] == "not told apart" and found["difference"] > 0.05 and found["low"] < 0
    gaps = np.array([0.1, 0.2, 0.3])
    low, high = with_seeds(0.2, 0.2, gaps)  # no other variance
    np.testing.assert_allclose((low, high), t.interval(0.95, 2, 0.2, gaps.std(ddof=1) / 3**0.5))
    assert (
        with_seeds(0.1, 0.5, np.full(3, 0.2)) == pytest.approx((0.1, 0.5))
        and np.isnan(with_seeds(0.1, 0.5, gaps[:1])).all()
    )


ONE_ROW = CURVE.index[(CURVE["seed"] == 2) & (CURVE["image_id"] == "0007.jpg")][:1]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (CURVE.drop(index=ONE_ROW), "late, 100% .*: 89 rows"),
        (pd.concat([CURVE, CURVE.iloc[:90]]), "late, 100% labeled, seed 0, .*: 180 rows"),
        (CURVE.assign(true_class=CURVE["true_class"].where(CURVE.index != 3, "ray")), "late, 100% labeled, seed 0"),
        (CURVE.assign(split="test"), "labeled image in split 'validation'.*'test'"),
    ],
    ids=["an image lacks", "a run twice", "another label", "an empty split"],
)
def test_runs_with_other_images_or_labels_are_named(cells, said):
    with pytest.raises(ValueError, match=said):
        curve_table(cells, "validation")
    with pytest.raises(ValueError, match="no line 'b'"):
        line_differences(CURVE, "b", "validation")
