"""Label fractions: nested, the same fraction of each class, drawn by the seed alone."""

import pandas as pd
import pytest
from scenes import catalog_of_classes

from marinecv.data.splits.label_fractions import keep_labels, keep_unlabeled, labeled_rows

SHARES = (0.001, 0.1, 0.25, 0.3, 0.5, 0.75, 0.999, 1.0)
TRAIN = {"eel": 37, "ray": 12, "crab": 1}
BROKEN = ["005.jpg", "040.jpg"]


@pytest.fixture(scope="module")
def catalog():
    """50 train images of which two cannot be used, and five of each class in validation and test."""
    train = catalog_of_classes(split="train", **TRAIN)
    train.loc[train["image_id"].isin(BROKEN), "problem"] = "truncated"
    others = [catalog_of_classes(split=split, **dict.fromkeys(TRAIN, 5)) for split in ("validation", "test")]
    others = [part.assign(image_id=f"{number}" + part["image_id"]) for number, part in enumerate(others)]
    return pd.concat([train, *others], ignore_index=True)


def ids(catalog, rows):
    return set(catalog["image_id"][rows])


@pytest.mark.parametrize("seed", range(3))
def test_fractions_are_nested_and_of_each_class_to_one_image(catalog, seed):
    labeled = [labeled_rows(catalog, fraction, seed) for fraction in SHARES]
    assert all((smaller <= larger).all() for smaller, larger in zip(labeled, labeled[1:], strict=False))
    usable = (catalog["split"] == "train") & (catalog["problem"] == "")
    assert labeled[-1].equals(usable)
    totals = catalog[usable]["class_name"].value_counts()
    for fraction, rows in zip(SHARES, labeled, strict=True):
        counts = catalog[rows]["class_name"].value_counts()
        assert set(counts.index) == set(TRAIN)
        for name, count in counts.items():
            assert abs(count - fraction * totals[name]) <= (0.5 if fraction * totals[name] >= 1 else 1)


def test_the_seed_decides_and_the_order_of_the_rows_does_not(catalog):
    one = labeled_rows(catalog, 0.3, seed=7)
    assert one.dtype == bool and one.index.equals(catalog.index)
    assert ids(catalog, one) != ids(catalog, labeled_rows(catalog, 0.3, seed=8))
    shuffled = catalog.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(labeled_rows(shuffled, 0.3, seed=7).sort_index(), one)
    renumbered = shuffled.reset_index(drop=True)
    assert ids(renumbered, labeled_rows(renumbered, 0.3, seed=7)) == ids(catalog, one)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.75])
def test_labeled_and_unlabeled_images_partition_train(catalog, fraction):
    before = catalog.copy()
    labeled, unlabeled = keep_labels(catalog, fraction, seed=2), keep_unlabeled(catalog, fraction, seed=2)
    pd.testing.assert_frame_equal(catalog, before)
    train = catalog["split"] == "train"
    for part in (labeled, unlabeled):  # nothing but the split of train images changes
        pd.testing.assert_frame_equal(part.drop(columns="split"), catalog.drop(columns="split"))
        assert part["split"][~train].equals(catalog["split"][~train]) and set(part["split"][train]) == {"train", ""}
    assert ((labeled["split"] == "train") ^ (unlabeled["split"] == "train"))[train].all()
    assert ids(catalog, labeled["split"] == "train") == ids(catalog, labeled_rows(catalog, fraction, seed=2))


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_a_fraction_out_of_range_is_refused(catalog, fraction):
    with pytest.raises(ValueError, match="above 0 and at most 1. Received: "):
        labeled_rows(catalog, fraction)


@pytest.mark.parametrize("fraction", [1.0, 0.999])
def test_without_an_unlabeled_image_there_is_an_error(catalog, fraction):
    with pytest.raises(ValueError, match="100% of the labels no train image is without one"):
        keep_unlabeled(catalog, fraction)
