"""Which train images have a label: nested shares, of each class the same, drawn by the seed alone."""

import pandas as pd
import pytest
from test_data_splits import catalog_of

from marinecv.data.labelled import keep_labels, keep_unlabelled, labelled_share

SHARES = (0.001, 0.1, 0.25, 0.3, 0.5, 0.75, 0.999, 1.0)
TRAIN = {"eel": 37, "ray": 12, "crab": 1}
BROKEN = ["005.jpg", "040.jpg"]


@pytest.fixture(scope="module")
def catalog():
    """50 train images of which two cannot be used, and five of each class in validation and test."""
    train = catalog_of(split="train", **TRAIN)
    train.loc[train["image_id"].isin(BROKEN), "problem"] = "truncated"
    judged = [catalog_of(split=split, **dict.fromkeys(TRAIN, 5)) for split in ("validation", "test")]
    judged = [part.assign(image_id=f"{number}" + part["image_id"]) for number, part in enumerate(judged)]
    return pd.concat([train, *judged], ignore_index=True)


def ids(catalog, rows):
    return set(catalog["image_id"][rows])


@pytest.mark.parametrize("seed", range(5))
def test_what_is_labelled_at_a_share_is_labelled_at_every_larger_one(catalog, seed):
    found = [ids(catalog, labelled_share(catalog, share, seed)) for share in SHARES]
    assert all(smaller <= larger for smaller, larger in zip(found, found[1:], strict=False))
    assert found[-1] == ids(catalog, (catalog["split"] == "train") & (catalog["problem"] == ""))


@pytest.mark.parametrize("share", SHARES)
def test_each_class_has_its_share_to_one_image_and_one_at_least(catalog, share):
    counts = catalog[labelled_share(catalog, share)]["class_name"].value_counts()
    usable = catalog[(catalog["split"] == "train") & (catalog["problem"] == "")]["class_name"].value_counts()
    assert set(counts.index) == set(TRAIN)
    for name, count in counts.items():
        assert count >= 1 and abs(count - share * usable[name]) <= (0.5 if share * usable[name] >= 1 else 1)


def test_the_seed_decides_and_the_order_of_the_rows_does_not(catalog):
    one = labelled_share(catalog, 0.3, seed=7)
    assert one.dtype == bool and one.index.equals(catalog.index)
    pd.testing.assert_series_equal(one, labelled_share(catalog, 0.3, seed=7))
    assert ids(catalog, one) != ids(catalog, labelled_share(catalog, 0.3, seed=8))
    shuffled = catalog.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(labelled_share(shuffled, 0.3, seed=7).sort_index(), one)
    counted_anew = shuffled.reset_index(drop=True)
    assert ids(counted_anew, labelled_share(counted_anew, 0.3, seed=7)) == ids(catalog, one)


@pytest.mark.parametrize("share", SHARES)
def test_an_image_that_cannot_be_used_and_one_outside_train_is_never_labelled(catalog, share):
    labelled = labelled_share(catalog, share)
    assert not ids(catalog, labelled) & set(BROKEN) and set(catalog["split"][labelled]) == {"train"}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_the_labelled_and_the_unlabelled_are_together_train_and_share_nothing(catalog, share):
    labelled, unlabelled = keep_labels(catalog, share, seed=2), keep_unlabelled(catalog, share, seed=2)
    for part in (labelled, unlabelled):  # every row in its place, and nothing but the split of train is another
        pd.testing.assert_frame_equal(part.drop(columns="split"), catalog.drop(columns="split"))
        judged = catalog["split"] != "train"
        assert part["split"][judged].equals(catalog["split"][judged]) and set(part["split"][~judged]) == {"train", ""}
    here, there = (ids(part, part["split"] == "train") for part in (labelled, unlabelled))
    assert here.isdisjoint(there) and here | there == ids(catalog, catalog["split"] == "train")
    assert here == ids(catalog, labelled_share(catalog, share, seed=2))


def test_to_ask_for_labels_changes_nothing_in_the_catalog_that_was_given(catalog):
    before = catalog.copy()
    keep_labels(catalog, 0.1), keep_unlabelled(catalog, 0.1)
    pd.testing.assert_frame_equal(catalog, before)


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(catalog, share):
    with pytest.raises(ValueError, match="share of labelled images above 0 and at most 1. Received: "):
        labelled_share(catalog, share)


@pytest.mark.parametrize("share", [1.0, 0.999])
def test_with_all_labels_nothing_is_left_but_images_that_cannot_be_used(catalog, share):
    with pytest.raises(ValueError, match="With 100% of the labels no train image is without one. Expected a smaller"):
        keep_unlabelled(catalog, share)
