"""Folds: every usable image is validation once, classes are even, groups are whole."""

import pandas as pd
import pytest
from test_data_splits import catalog_of

from marinecv.data.splits import kfold


def counts_of(folds):
    """Validation images by fold and class."""
    held = [fold[fold["split"] == "validation"]["class_name"].value_counts() for fold in folds]
    return pd.DataFrame(held).fillna(0)


@pytest.mark.parametrize(("by", "k"), [("stratified", 2), ("stratified", 5), ("grouped", 5), ("grouped", 20)])
def test_each_usable_image_is_validation_exactly_once(by, k):
    catalog = catalog_of(groups=20, eel=141, ray=60)
    catalog.loc[7, "problem"] = "no box"
    folds = kfold(catalog, k, seed=3, by=by)
    assert len(folds) == k
    held = [image_id for fold in folds for image_id in fold["image_id"][fold["split"] == "validation"]]
    assert sorted(held) == sorted(set(catalog["image_id"]) - {"007.jpg"})
    for fold in folds:
        assert sorted(fold["image_id"]) == sorted(catalog["image_id"])
        assert fold.set_index("image_id").loc["007.jpg", "split"] == ""
        assert set(fold["split"]) == {"train", "validation", ""}


def test_the_seed_decides():
    catalog = catalog_of(eel=40, ray=20)
    first, same, other = (kfold(catalog, 4, seed) for seed in (0, 0, 1))
    assert all(a.equals(b) for a, b in zip(first, same, strict=True))
    assert not any(a.equals(b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("by", ["stratified", "grouped"])
def test_the_order_of_the_images_does_not(by):
    catalog = catalog_of(groups=12, eel=40, ray=20)
    for one, other in zip(kfold(catalog, 4, by=by), kfold(catalog[::-1], 4, by=by), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_classes_and_folds_are_even_within_one(k):
    counts = counts_of(kfold(catalog_of(eel=101, ray=33, crab=2), k))
    assert ((counts.max() - counts.min()) <= 1).all()
    assert counts.sum(axis=1).max() - counts.sum(axis=1).min() <= 1


def test_groups_are_never_cut():
    for fold in kfold(catalog_of(groups=11, eel=90, ray=40), 4, by="grouped"):
        assert (fold.groupby("group")["split"].nunique() == 1).all() and set(fold["split"]) == {"train", "validation"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 3, "by": "colour"}, "Expected by to be one of .*'stratified', 'grouped'.*colour"),
        ({"k": 1}, "9 usable images for 1 folds. Expected 2 folds at least"),
        ({"k": 10}, "9 usable images for 10 folds"),
        ({"k": 3, "by": "grouped"}, "9 of 9 images have a group, and there are 2 groups. .* at least 3"),
    ],
)
def test_folds_that_cannot_be_made_are_said(options, message):
    with pytest.raises(ValueError, match=message):
        kfold(catalog_of(groups=2, eel=9), **options)
