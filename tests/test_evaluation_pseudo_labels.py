"""Pseudo-labels are predicted classes of confident images without a label; the truth does not matter."""

import numpy as np
import pandas as pd
import pytest
from scenes import catalog_of_classes as catalog_of

from marinecv.evaluation.predictions import make_table
from marinecv.evaluation.pseudo_labels import COLUMNS, pseudo_labels, with_pseudo_labels

NAMES = ("crab", "eel", "ray")


@pytest.fixture
def catalog():
    """Eight images: two in train, one that cannot be used, one in validation; 4 to 7 have no label."""
    catalog = catalog_of(crab=3, eel=3, ray=2).assign(split=["train", "train", "", "validation", "", "", "", ""])
    catalog.loc[2, "problem"] = "truncated"
    return catalog


@pytest.fixture
def predictions(catalog):
    """Sure by 0.9, 0.85, 0.8 and so on, of crab, eel, ray, crab and so on."""
    sure = 0.9 - 0.05 * np.arange(len(catalog))
    probabilities = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(len(catalog)), np.arange(len(catalog)) % 3] = sure
    columns = [list(catalog[name]) for name in ("image_id", "split", "class_name")]
    return make_table(*columns, probabilities, NAMES)[catalog["problem"] == ""]  # of usable rows, as ever


@pytest.mark.parametrize(("at_least", "found"), [(0.0, [4, 5, 6, 7]), (0.63, [4, 5]), (0.95, [])])
def test_only_sure_images_without_a_label_get_one_and_it_is_the_predicted(catalog, predictions, at_least, found):
    table = pseudo_labels(predictions, at_least)
    assert list(table) == COLUMNS and table.index.equals(pd.RangeIndex(len(found)))
    assert list(table["image_id"]) == list(catalog["image_id"][found])
    assert list(table["class_name"]) == list(predictions["predicted_class"][found])
    assert (table["probability"] >= at_least).all()
    assert len(pseudo_labels(predictions, pseudo_labels(predictions, 0.0)["probability"][0])) == 1


def test_what_is_true_decides_the_column_right_alone(catalog, predictions):
    one = pseudo_labels(predictions, 0.0)
    assert one["right"].tolist() == [True, False, False, False]  # eel, ray, crab, eel for eel, eel, ray, ray
    liar = predictions.assign(true_class="ray")
    other = pseudo_labels(liar, 0.0)
    pd.testing.assert_frame_equal(other.drop(columns="right"), one.drop(columns="right"))
    assert other["right"].tolist() == [False, True, False, False]


def test_they_come_into_train_as_what_the_table_calls_them_and_no_other_row_changes(catalog, predictions):
    table = pseudo_labels(predictions, 0.63)
    is_labeled = catalog["image_id"].isin(table["image_id"])
    after = with_pseudo_labels(catalog, table)
    assert 0 < is_labeled.sum() < 8 and (after["split"][is_labeled] == "train").all()
    assert list(after["class_name"][is_labeled]) == list(table["class_name"])
    pd.testing.assert_frame_equal(after[~is_labeled], catalog[~is_labeled])
    untouched = ["split", "class_name"]
    pd.testing.assert_frame_equal(after.drop(columns=untouched), catalog.drop(columns=untouched))
