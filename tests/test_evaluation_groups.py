"""Which images belong together, and the figures of folds over them."""

import numpy as np
import pandas as pd
import pytest
from test_evaluation_compare import table_of

from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.groups import common_groups, counts_by_group, group_numbers
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import write_predictions
from marinecv.runs import Run

IDS = pd.Series(["a", "b", "c", "d", "e"])


def test_images_of_a_group_get_one_number_and_those_without_get_their_own():
    numbers = group_numbers(IDS, {"a": "video", "c": "video", "b": "", "d": None, "x": "video"})
    assert numbers[0] == numbers[2] and len(set(numbers)) == 4 and set(numbers) == set(range(4))


@pytest.mark.parametrize("groups", [None, {}, {"a": 1, "b": 2}])
def test_groups_that_no_two_images_share_say_nothing(groups):
    assert group_numbers(IDS, groups) is None


def test_the_images_of_each_kind_are_counted_in_each_group():
    numbers, kinds = np.array([0, 0, 1, 1, 1]), np.array([2, 2, 0, 1, 0])
    assert counts_by_group(numbers, kinds, 3).tolist() == [[0, 0, 2], [2, 1, 0]]
    assert counts_by_group(numbers, kinds, 3, weights=np.arange(5.0)).tolist() == [[0, 0, 1], [6, 3, 0]]


def test_catalogs_group_images_only_where_all_of_them_do():
    grouped = pd.DataFrame({"image_id": IDS, "group": list("vvwwx")})
    assert common_groups([grouped, grouped], IDS[:3]) == {"a": "v", "b": "v", "c": "w"}
    assert common_groups([grouped, grouped.assign(group="")], IDS) is None
    assert common_groups([grouped], pd.Series(["a", "stranger"])) is None
    assert common_groups([grouped], IDS[[0, 2, 4]]) is None  # one image a group


@pytest.mark.parametrize("grouped", [True, False])
def test_the_figures_of_all_folds_resample_the_groups_of_the_catalogs(tmp_path, grouped):
    table = table_of(np.arange(40) % 5 > 0)
    catalog = pd.DataFrame("", index=range(40), columns=CATALOG_COLUMNS).assign(
        image_id=table["image_id"], path="/x/a.jpg", split="train", width=8, height=8, share=1.0
    )
    if grouped:
        catalog["group"] = [str(number // 4) for number in range(40)]
    runs = []
    for fold, rows in (("1/2", table[:20]), ("2/2", table[20:])):
        contract = {"class_names": ["crab", "eel"], "image": {}, "demonstration": False}
        run = Run.create(tmp_path / fold[0], {"name": "tank", "data": {"fold": fold}}, contract, catalog)
        write_predictions(rows, run.path("predictions.csv"))
        runs.append(run)
    groups = dict(zip(catalog["image_id"], catalog["group"], strict=True)) if grouped else None
    assert fold_metrics(runs) == {"tank": classification_metrics(table, groups=groups)}
    assert ("groups" in fold_metrics(runs)["tank"]["accuracy"]) is grouped


def test_groups_of_other_images_are_refused():
    with pytest.raises(ValueError, match="Expected groups by image_id.*the first entry is 0"):
        group_numbers(pd.Series(["a.jpg", "b.jpg"]), pd.Series(["reef", "reef"]))
