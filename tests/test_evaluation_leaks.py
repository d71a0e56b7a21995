"""What a score is worth without relatives, and what a memory of thumbnails owes to them."""

import numpy as np
import pandas as pd
import pytest
from scenes import catalog_of_splits as catalog_of
from scenes import links_of
from test_audit_leak import diving

from marinecv.audit.leak import APART, AS_SPLIT, thumbnail_votes
from marinecv.data.groups import relatives_in_train
from marinecv.evaluation.leaks import (
    GROUPED,
    HONEST_COLUMNS,
    WITHOUT,
    honest_scores,
    honest_sentences,
    leak_index,
    read_honest_scores,
)
from marinecv.evaluation.predictions import make_table
from marinecv.tables import write_table


def predictions_of(splits, right):
    classes = ("eel", "ray")
    sure = [[0.1, 0.9] if name in right else [0.9, 0.1] for name in splits]
    return make_table(list(splits), list(splits.values()), ["ray"] * len(splits), np.array(sure), classes)


SPLITS = {"a": "train", **dict.fromkeys("bcd", "test"), "e": "validation"}
ALONE = pd.Series(list("abcde"), index=list("abcde"))


def scores_of(*links, folds=None, right="be"):
    return honest_scores(
        predictions_of(SPLITS, right), ALONE, relatives_in_train(catalog_of(SPLITS), links_of(*links)), folds
    )


def accuracies(table):
    assert list(table) == HONEST_COLUMNS
    return table[table["figure"] == "accuracy"].set_index(["images", "split"])


def test_each_split_is_scored_whole_and_without_images_that_have_a_relative_in_train():
    table = accuracies(scores_of(("a", "b", "near copy"), ("c", "d", "copy")))
    assert table["value"].to_dict() == {
        (AS_SPLIT, "validation"): 1.0,
        (WITHOUT, "validation"): 1.0,
        (AS_SPLIT, "test"): pytest.approx(1 / 3),
        (WITHOUT, "test"): 0.0,
    }
    assert table["n"].tolist() == [1, 1, 3, 2]
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_where_every_image_has_a_relative_nothing_is_left_to_score():
    table = scores_of(("a", "b", "copy"), ("a", "c", "copy"), ("d", "a", "neighbour"))
    left = accuracies(table).loc[(WITHOUT, "test")]
    assert left["n"] == 0 and np.isnan(left["value"]) and left["method"] == "no image is left"


def test_grouped_folds_are_scored_together():
    folds = predictions_of(dict.fromkeys("abcde", "validation"), "abc")
    table = accuracies(scores_of(folds=folds))
    assert table.loc[(GROUPED, "all"), "value"] == 0.6 and table.loc[(GROUPED, "all"), "n"] == 5


def test_the_words_say_how_many_have_a_relative_and_what_is_left():
    few, all_of_them, none = (
        honest_sentences(scores_of(*links))
        for links in ([("a", "b", "copy")], [("a", name, "copy") for name in "bcd"], [])
    )
    assert few[1].startswith("1 of the 3 test images have a copy") and "on the other 2 it is" in few[1]
    found = "was found to have a copy, near copy or neighbouring frame in train."
    assert few[0] == f"None of the 1 validation images {found}"
    assert "evaluate RUN --folds" in few[2]
    assert "no other image is left" in all_of_them[1]
    assert len(none) == 2
    folds = honest_sentences(scores_of(folds=predictions_of(dict.fromkeys("abcde", "validation"), "abc")))
    assert folds[-1].startswith("Cross-validated by groups of related images: ")


def test_scores_read_back_are_as_written_and_a_table_without_them_is_refused(tmp_path):
    scores = scores_of(("a", "b", "copy"))
    write_table(tmp_path / "scores.csv", scores)
    pd.testing.assert_frame_equal(read_honest_scores(tmp_path / "scores.csv"), scores, check_dtype=False)
    write_table(tmp_path / "scores.csv", scores.drop(columns="method"))
    with pytest.raises(ValueError, match="scores.csv lacks the column 'method'. Expected images, split"):
        read_honest_scores(tmp_path / "scores.csv")


def test_images_without_a_label_are_not_scored():
    predictions = predictions_of(SPLITS, "be").assign(true_class=["ray", "ray", "", "", "ray"])
    table = honest_scores(predictions, ALONE, relatives_in_train(catalog_of(SPLITS), links_of()))
    assert table.query("images == @AS_SPLIT and split == 'test'")["n"].tolist() == [1, 1]


def test_the_leak_is_what_a_memory_loses_where_relatives_are_apart():
    rows, thumbs = diving(dives=40)
    votes = thumbnail_votes(rows, thumbs)
    found = leak_index(votes)
    own = votes[votes["image_id"].isin(votes.loc[votes["vote"] == AS_SPLIT, "image_id"])]
    own = own.assign(right=own["true_class"] == own["predicted_class"]).groupby("vote")["right"].mean()
    assert found["difference"] == pytest.approx(own[AS_SPLIT] - own[APART])
    assert 0 < found["low"] < found["difference"] < found["high"] and found["n"] == 40
    scores = found["scores"].query("figure == 'accuracy'").set_index(["images", "split"])
    assert scores.loc[(AS_SPLIT, "test"), "value"] == 1.0
    assert scores.loc[("majority class", "test"), "value"] == 0.5
    assert scores.loc[(APART, "all"), ["n", "groups"]].tolist() == [120, 40]


def test_where_relatives_say_nothing_the_leak_may_be_nothing():
    rows, _ = diving(dives=40)
    found = leak_index(thumbnail_votes(rows, np.random.default_rng(0).normal(size=(120, 8))))
    assert found["low"] < 0 < found["high"]


def test_without_a_split_there_is_no_leak_to_speak_of():
    rows, thumbs = diving(splits=("", "", ""))
    found = leak_index(thumbnail_votes(rows, thumbs))
    assert found["n"] == 0 and np.isnan(found["difference"]) and np.isnan(found["low"])
    assert set(found["scores"]["images"]) == {APART, "majority class"}


def test_no_votes_make_no_leak():
    rows, thumbs = diving()
    found = leak_index(thumbnail_votes(rows.assign(group="one", split=""), thumbs))
    assert found["scores"].empty and list(found["scores"]) == HONEST_COLUMNS and found["n"] == 0
