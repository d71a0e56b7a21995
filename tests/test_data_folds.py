"""Folds: every usable image is validation once, classes are even, groups are whole."""

import pandas as pd
import pytest
from scenes import catalog_of_classes

from marinecv.data.splits.split_catalog import kfold


@pytest.mark.parametrize(("by", "k"), [("stratified", 2), ("stratified", 5), ("grouped", 5), ("grouped", 20)])
def test_each_usable_image_is_validation_exactly_once(by, k):
    catalog = catalog_of_classes(groups=20, eel=141, ray=60)
    catalog.loc[7, "problem"] = "no box"
    folds = kfold(catalog, k, seed=3, by=by)
    assert len(folds) == k
    in_validation = [image_id for fold in folds for image_id in fold["image_id"][fold["split"] == "validation"]]
    assert sorted(in_validation) == sorted(set(catalog["image_id"]) - {"007.jpg"})
    for fold in folds:
        assert sorted(fold["image_id"]) == sorted(catalog["image_id"])
        assert fold.set_index("image_id").loc["007.jpg", "split"] == "" and {*fold["split"]} == {
            "train",
            "validation",
            "",
        }
        assert by != "grouped" or (fold.query("split != ''").groupby("group")["split"].nunique() == 1).all()


@pytest.mark.parametrize("by", ["stratified", "grouped"])
def test_the_seed_decides_and_the_order_of_the_images_does_not(by):
    catalog = catalog_of_classes(groups=12, eel=40, ray=20)
    first, turned, other = kfold(catalog, 4, 0, by), kfold(catalog[::-1], 4, 0, by), kfold(catalog, 4, 1, by)
    for fold, same in zip(first, turned, strict=True):
        pd.testing.assert_frame_equal(fold, same)
    assert not any(fold.equals(another) for fold, another in zip(first, other, strict=True))


@pytest.mark.parametrize("k", [2, 3, 7])
def test_classes_and_folds_are_even_within_one(k):
    folds = kfold(catalog_of_classes(eel=101, ray=33, crab=2), k)
    in_validation = [fold[fold["split"] == "validation"]["class_name"].value_counts() for fold in folds]
    counts = pd.DataFrame(in_validation).fillna(0)
    assert ((counts.max() - counts.min()) <= 1).all()
    assert counts.sum(axis=1).max() - counts.sum(axis=1).min() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 3, "by": "color"}, "Expected by to be one of .*'stratified', 'grouped'.*color"),
        ({"k": 1}, "9 usable images for 1 folds"),
        ({"k": 10}, "9 usable images for 10 folds"),
        ({"k": 3, "by": "grouped"}, "there are 2 groups. .* at least 3"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kfold(catalog_of_classes(groups=2, eel=9), **options)
