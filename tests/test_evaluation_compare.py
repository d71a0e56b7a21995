import numpy as np
import pytest
from scipy.stats import binomtest

from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.predictions import make_table


def table_of(right, split="validation"):
    """Predictions over crab and eel, right where `right` says so."""
    n = len(right)
    true = np.arange(n) % 2
    predicted = np.where(right, true, 1 - true)
    names = ("crab", "eel")
    ids = [f"{split}/{number}.jpg" for number in range(n)]
    return make_table(ids, [split] * n, [names[i] for i in true], np.eye(2)[predicted] * 0.8 + 0.1, names)


def runs(only_a, only_b, n):
    a, b = np.ones(n, bool), np.ones(n, bool)
    b[:only_a] = False
    a[only_a : only_a + only_b] = False
    return table_of(a), table_of(b)


def test_two_images_apart_are_not_distinguishable():
    found = compare_runs(*runs(6, 4, 127), "validation")
    assert (found["n"], found["only_a"], found["only_b"]) == (127, 6, 4)
    assert found["difference"] == 2 / 127
    assert found["p"] == pytest.approx(binomtest(6, 10).pvalue)
    assert found["low"] < 0 < found["high"]
    assert found["smallest_difference"] == 8 / 127
    assert found["sentence"] == (
        "2 images apart of 127; not distinguishable (McNemar p=0.75; on these images a difference under 0.063 cannot "
        "be told from chance)"
    )


def test_the_better_of_two_is_named():
    found = compare_runs(*runs(2, 30, 127), "validation")
    assert found["distinguishable"]
    assert found["high"] < 0
    assert found["sentence"].startswith("28 images apart of 127; the second is better")
    assert "the first is better" in compare_runs(*runs(30, 2, 127), "validation")["sentence"]


def test_of_few_groups_two_models_are_not_told_apart_and_there_is_no_interval():
    a, b = runs(30, 2, 127)
    found = compare_runs(a, b, "validation", groups={name: n % 5 for n, name in enumerate(a["image_id"])})
    assert np.isnan([found["low"], found["high"], found["smallest_difference"]]).all() and not found["distinguishable"]
    assert found["sentence"] == (
        "28 images apart of 127; not distinguishable (all 127 images come from 5 groups of related images: no interval)"
    )
    assert compare_runs(a, b, "validation", groups={name: n % 6 for n, name in enumerate(a["image_id"])})["low"] > 0


def test_the_order_of_rows_does_not_matter():
    a, b = runs(9, 2, 40)
    assert compare_runs(a, b.sample(frac=1, random_state=0), "validation") == compare_runs(a, b, "validation")


def test_the_interval_is_that_of_resampled_images():
    a, b = runs(30, 10, 200)
    right_a, right_b = (t["true_class"].eq(t["predicted_class"]).to_numpy() for t in (a, b))
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, 200, 200) for _ in range(2000)]
    slow = np.quantile([right_a[d].mean() - right_b[d].mean() for d in draws], [0.025, 0.975])
    found = compare_runs(a, b, "validation")
    assert [found["low"], found["high"]] == pytest.approx(slow, abs=0.01)


def test_equal_runs_differ_by_nothing():
    found = compare_runs(*runs(0, 0, 12), "validation")
    assert (found["p"], found["low"], found["high"]) == (1, 0, 0)
    assert found["sentence"].startswith("0 images apart")
    assert compare_runs(*runs(1, 0, 12), "validation")["sentence"].startswith("1 image apart")


def test_few_images_cannot_show_any_difference():
    found = compare_runs(*runs(3, 0, 3), "validation")
    assert found["smallest_difference"] > 1
    assert found["sentence"].endswith("(McNemar p=0.25; 3 images cannot show any difference)")


def groups_of(table, size):
    return {id_: number // size for number, id_ in enumerate(table["image_id"])}


def test_a_lead_within_one_video_is_no_lead():
    a, b = runs(30, 2, 300)  # the first 30 images are frames of one video
    assert compare_runs(a, b, "validation")["distinguishable"]
    found = compare_runs(a, b, "validation", groups=groups_of(a, 30))
    assert found["groups"] == 10 and not found["distinguishable"] and found["low"] <= 0 < found["high"]
    assert abs(found["difference"]) < found["smallest_difference"]
    assert "not distinguishable" in found["sentence"] and "on these images in 10 groups" in found["sentence"]


@pytest.mark.parametrize("swap", [False, True])
def test_a_lead_in_every_group_is_a_lead(swap):
    n = 300
    right_a, right_b = np.ones(n, bool), np.arange(n) % 10 > 1
    pair = (table_of(right_b), table_of(right_a)) if swap else (table_of(right_a), table_of(right_b))
    found = compare_runs(*pair, "validation", groups=groups_of(pair[0], 10))
    assert found["distinguishable"] and abs(found["difference"]) >= found["smallest_difference"]
    assert f"the {'second' if swap else 'first'} is better" in found["sentence"]


def test_groups_of_single_images_change_nothing():
    a, b = runs(9, 2, 40)
    assert compare_runs(a, b, "validation", groups=groups_of(a, 1)) == compare_runs(a, b, "validation")


def test_other_images_are_refused():
    a, b = runs(1, 1, 12)
    with pytest.raises(ValueError, match=r"differ in 2 images of split 'validation'.*12 here, 10 there"):
        compare_runs(a, b.iloc[2:], "validation")


def test_other_labels_are_refused():
    a, b = runs(1, 1, 12)
    b.loc[3, "true_class"] = "crab"
    with pytest.raises(ValueError, match=r"1 of 12 images have another true class.*validation/3.jpg"):
        compare_runs(a, b, "validation")


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="Neither table has a labelled image in split 'test'"):
        compare_runs(*runs(1, 1, 12), "test")
