"""The part of validation that nothing is chosen by."""

import numpy as np
import pandas as pd
import pytest

from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.held import calibration_rows


def catalog(counts, groups=None, split="validation"):
    """So many usable images a class; with `groups` in as many groups of a class."""
    rows = []
    for name, count in counts.items():
        for number in range(count):
            group = f"{name}{number % groups}" if groups else ""
            rows.append([f"{name}/{number}.jpg", "", split, name, group, 64, 48, 1.0, ""])
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS)


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.5, 0.8])
def test_the_share_is_kept_to_an_image_in_all_and_of_each_class(share):
    rows = catalog({"crab": 31, "eel": 7, "ray": 22})
    held = calibration_rows(rows, share)
    assert abs(held.sum() - share * 60) < 1
    for _, of_class in held.groupby(rows["class_name"]):
        assert abs(of_class.sum() - share * len(of_class)) <= 1


def test_a_third_of_sixty_is_twenty():
    assert calibration_rows(catalog(dict.fromkeys("abcdefg", 8) | {"h": 4}), 1 / 3).sum() == 20


def test_no_share_holds_none():
    assert not calibration_rows(catalog({"crab": 9}), 0.0).any()
    assert not calibration_rows(catalog({"crab": 9}, split="test"), 0.5).any()


def test_only_usable_images_of_validation_are_held():
    rows = pd.concat([catalog({"crab": 9}), catalog({"eel": 9}, split="train")], ignore_index=True)
    rows.loc[:2, "problem"] = "no box"
    held = calibration_rows(rows, 0.99)
    assert list(held.index) == list(rows.index)
    assert set(rows.index[held]) < set(range(3, 9))


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    rows = catalog({"crab": 30, "eel": 30})
    mixed = rows.sample(frac=1, random_state=1)
    assert set(rows["image_id"][calibration_rows(rows, 0.4, 7)]) == set(
        mixed["image_id"][calibration_rows(mixed, 0.4, 7)]
    )
    assert not calibration_rows(rows, 0.4, 7).equals(calibration_rows(rows, 0.4, 8))


def test_groups_are_held_whole():
    rows = catalog({"crab": 30, "eel": 30}, groups=6)
    held = calibration_rows(rows, 1 / 3)
    assert held.sum() == 20
    assert set(held.groupby(rows["group"]).mean()) == {0.0, 1.0}


def test_groups_of_one_image_each_are_no_groups():
    rows = catalog({"crab": 9, "eel": 9}, groups=9)
    assert calibration_rows(rows, 1 / 3).equals(calibration_rows(rows.assign(group=""), 1 / 3))


def test_rows_without_groups_beside_some_with_are_dealt_one_by_one():
    rows = catalog({"crab": 9, "eel": 9}, groups=2)
    rows.loc[0, "group"] = ""
    assert calibration_rows(rows, 1 / 3).sum() == 6
    assert np.ptp(calibration_rows(rows, 1 / 3).groupby(rows["group"]).mean()) > 0
