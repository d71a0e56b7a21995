"""Calibration rows: the part of validation that no choice of a training depends on."""

import numpy as np
import pandas as pd
import pytest

from marinecv.data.splits.calibration import calibration_mask


def catalog(counts, groups=None, split="validation"):
    """So many usable images a class; with `groups` in as many groups of a class."""
    rows = [
        [f"{name}/{number}.jpg", split, name, f"{name}{number % groups}" if groups else "", ""]
        for name, count in counts.items()
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=["image_id", "split", "class_name", "group", "problem"])


@pytest.mark.parametrize("fraction", [0.1, 1 / 3, 0.5, 0.8])
def test_the_fraction_is_met_to_one_image_in_all_and_of_each_class(fraction):
    rows = catalog({"crab": 31, "eel": 7, "ray": 22})
    mask = calibration_mask(rows, fraction)
    assert abs(mask.sum() - fraction * 60) < 1
    for _, of_class in mask.groupby(rows["class_name"]):
        assert abs(of_class.sum() - fraction * len(of_class)) <= 1


def test_only_usable_images_of_validation_are_held_out_and_none_without_a_fraction():
    rows = pd.concat([catalog({"crab": 9}), catalog({"eel": 9}, split="train")], ignore_index=True)
    rows.loc[:2, "problem"] = "no box"
    mask = calibration_mask(rows, 0.99)
    assert list(mask.index) == list(rows.index)
    assert set(rows.index[mask]) < set(range(3, 9))
    assert not calibration_mask(rows, 0.0).any()


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    rows = catalog({"crab": 30, "eel": 30})
    mask, mixed = calibration_mask(rows, 0.4, 7), calibration_mask(rows.sample(frac=1, random_state=1), 0.4, 7)
    assert mixed.sort_index().equals(mask) and not mask.equals(calibration_mask(rows, 0.4, 8))


def test_groups_are_held_out_whole_unless_they_have_one_image_each_or_some_rows_have_none():
    rows = catalog({"crab": 30, "eel": 30}, groups=6)
    mask = calibration_mask(rows, 1 / 3)
    assert mask.sum() == 20 and set(mask.groupby(rows["group"]).mean()) == {0.0, 1.0}
    single = catalog({"crab": 9, "eel": 9}, groups=9)
    assert calibration_mask(single, 1 / 3).equals(calibration_mask(single.assign(group=""), 1 / 3))
    partly = catalog({"crab": 9, "eel": 9}, groups=2)
    partly.loc[0, "group"] = ""
    mask = calibration_mask(partly, 1 / 3)
    assert mask.sum() == 6 and np.ptp(mask.groupby(partly["group"]).mean()) > 0
