"""The linear probe: what it reads from a code, what it does not, and where there is nothing to read."""

import numpy as np
import pandas as pd
import pytest
from test_evaluation_latent import NAMES, make_codes, make_rows

from marinecv.evaluation import probe
from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.latent import MEASURE_COLUMNS, nearest_images, neighbour_measures
from marinecv.evaluation.probe import linear_probe

ROWS = make_rows(120)
CODES = make_codes(ROWS, apart=1.5)


@pytest.fixture(autouse=True)
def few_strengths(monkeypatch):
    monkeypatch.setattr(probe, "STRENGTHS", (1e-2, 1.0))


def test_classes_that_lie_apart_are_named_rightly_split_by_split():
    found = linear_probe(ROWS, make_codes(ROWS))
    assert list(found.columns) == MEASURE_COLUMNS and found["split"].tolist() == ["validation", "test"]
    assert set(found["of"]) == {"code"} and set(found["measure"]) == {"probe"}
    assert (found["value"] == 1).all() and found["n"].tolist() == [30, 30]
    np.testing.assert_allclose(found[["low", "high"]], [wilson(30, 30)] * 2)
    first = ROWS[ROWS["split"] == "train"]["class_name"].mode()[0]
    assert found["chance"].tolist() == [
        (ROWS["class_name"][ROWS["split"] == split] == first).mean() for split in ("validation", "test")
    ]


def test_it_reads_a_direction_that_no_distance_shows():
    rng = np.random.default_rng(0)
    told = np.eye(3)[pd.factorize(ROWS["class_name"])[0]] + 0.1 * rng.normal(size=(120, 3))
    codes = np.hstack([told, 500 * rng.normal(size=(120, 3))])
    assert (linear_probe(ROWS, codes)["value"] > 0.9).all()
    assert (neighbour_measures(ROWS, nearest_images(ROWS, codes))["value"] < 0.6).all()


def test_of_classes_that_the_code_does_not_tell_it_is_as_good_as_chance():
    rows = make_rows(900)
    found = linear_probe(rows, np.random.default_rng(1).random((900, 5)))
    assert (found["low"] < found["chance"]).all() and (found["chance"] < found["high"]).all()


def test_the_order_of_the_images_changes_nothing():
    order = np.random.default_rng(1).permutation(len(ROWS))
    pd.testing.assert_frame_equal(linear_probe(ROWS.iloc[order], CODES[order], 3), linear_probe(ROWS, CODES, 3))


def test_it_learns_of_train_alone():
    validation = (ROWS["split"] == "validation").to_numpy()
    codes = np.where(validation[:, np.newaxis], 1e6, CODES)
    pd.testing.assert_series_equal(linear_probe(ROWS, codes).loc[1], linear_probe(ROWS, CODES).loc[1])
    pd.testing.assert_frame_equal(
        linear_probe(ROWS[~validation], CODES[~validation]), linear_probe(ROWS, CODES).iloc[1:].reset_index(drop=True)
    )


def test_a_long_code_is_read_by_its_components(monkeypatch):
    codes = np.tile(make_codes(ROWS), 60) + np.random.default_rng(0).normal(size=(120, 360))
    for components in (probe.COMPONENTS, 5):
        monkeypatch.setattr(probe, "COMPONENTS", components)
        assert (linear_probe(ROWS, codes)["value"] == 1).all()


def test_a_class_of_few_images_in_train_is_not_learned_and_counts_as_wrong():
    rare = ROWS.assign(class_name=np.where(ROWS["class_name"] == "ray", "crab", ROWS["class_name"]))
    train = np.flatnonzero(ROWS["split"] == "train")[: probe.FOLDS - 1]
    test = np.flatnonzero(ROWS["split"] == "test")[:3]
    rare.iloc[[*train, *test], rare.columns.get_loc("class_name")] = "whale"
    codes = make_codes(rare)
    found = linear_probe(rare, codes).set_index("split")["value"]
    assert found["validation"] == 1 and found["test"] == pytest.approx(27 / 30)


@pytest.mark.parametrize(
    "rows",
    [
        make_rows(40, splits=("validation", "test")),
        make_rows(40, splits=("train",)),
        make_rows(40, classes=("crab",)),
        make_rows(40, classes=[f"c{number}" for number in range(20)]),
    ],
    ids=["no train", "train alone", "one class", "classes of two images"],
)
def test_where_there_is_nothing_to_learn_or_to_judge_there_is_no_row(rows):
    found = linear_probe(rows, np.ones((40, 2)))
    assert found.empty and list(found.columns) == MEASURE_COLUMNS


def test_a_fit_that_is_stopped_early_is_still_judged(monkeypatch):
    monkeypatch.setattr(probe, "ITERATIONS", 2)
    assert (linear_probe(ROWS, CODES)["value"] > 1 / len(NAMES)).all()


def test_of_few_groups_there_is_no_interval():
    found = linear_probe(ROWS, CODES, groups={name: place % 4 for place, name in enumerate(ROWS["image_id"])})
    assert found[["low", "high"]].isna().all(axis=None)
    assert found["value"].tolist() == linear_probe(ROWS, CODES)["value"].tolist()
