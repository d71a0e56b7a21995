"""The nearest thumbnail votes: once across the splits as they are, once with relatives kept apart."""

import numpy as np
import pandas as pd

from marinecv.audit import leak
from marinecv.audit.leak import APART, AS_SPLIT, thumbnail_votes
from marinecv.audit.thumbs import tiny
from marinecv.data.catalog import CATALOG_COLUMNS

COLUMNS = ["vote", "image_id", "split", "group", "true_class", "predicted_class"]


def diving(dives=20, frames=3, splits=("train", "train", "test")):
    """Dives of three alike frames each, two of them train; the class goes by the dive and cannot be seen."""
    rows = [
        (f"{dive}_{frame}", "x.jpg", splits[frame], ("eel", "ray")[dive % 2], f"dive {dive}", 9, 9, 1.0, "")
        for dive in range(dives)
        for frame in range(frames)
    ]
    places = np.repeat(100 * np.random.default_rng(0).normal(size=(dives, 8)), frames, axis=0)
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS), places + np.random.default_rng(1).normal(size=places.shape)


def right(votes, vote):
    part = votes[votes["vote"] == vote]
    return (part["true_class"] == part["predicted_class"]).mean()


def test_a_memory_names_what_has_a_relative_in_train_and_little_else():
    rows, thumbs = diving()
    votes = thumbnail_votes(rows, thumbs)
    assert list(votes) == COLUMNS
    assert right(votes, AS_SPLIT) == 1.0
    assert right(votes, APART) < 0.8
    counts = votes["vote"].value_counts()
    assert counts[AS_SPLIT] == 20 and counts[APART] == 60  # test images; every image once


def test_what_load_thumbs_returns_votes_by_little_thumbnails():
    rows, _ = diving()
    thumbs = np.random.default_rng(0).integers(0, 256, (len(rows), 128, 128, 3), dtype=np.uint8)
    pd.testing.assert_frame_equal(thumbnail_votes(rows, thumbs), thumbnail_votes(rows, tiny(thumbs)))


def test_of_its_own_group_no_image_learns():
    rows, thumbs = diving(dives=2)
    votes = thumbnail_votes(rows, thumbs)
    assert right(votes, APART) == 0.0  # two dives of two classes: what is left is the other


def test_without_splits_nothing_is_voted_as_split():
    rows, thumbs = diving(splits=("", "", ""))
    assert set(thumbnail_votes(rows, thumbs)["vote"]) == {APART}
    assert set(thumbnail_votes(rows.assign(split="train"), thumbs)["vote"]) == {APART}


def test_of_one_group_nothing_is_voted_apart():
    rows, thumbs = diving()
    assert set(thumbnail_votes(rows.assign(group="one"), thumbs)["vote"]) == {AS_SPLIT}
    empty = thumbnail_votes(rows.assign(group="one", split=""), thumbs)
    assert empty.empty and list(empty) == COLUMNS


def test_of_many_images_some_are_judged_and_the_seed_says_which(monkeypatch):
    monkeypatch.setattr(leak, "MOST", 5)
    rows, thumbs = diving()
    votes = thumbnail_votes(rows, thumbs, seed=3)
    assert (votes["vote"] == AS_SPLIT).sum() == 5
    pd.testing.assert_frame_equal(votes, thumbnail_votes(rows, thumbs, seed=3))
