"""The leakage check: scores without related images, and what the nearest-neighbor baseline owes to leakage."""

import numpy as np
import pandas as pd
import pytest
from scenes import catalog_of_splits as catalog_of
from scenes import diving, pairs_of

from marinecv.audit.leakage_findings import AS_SPLIT, RELATED_APART, nearest_neighbor_baseline
from marinecv.data.groups import related_in_train
from marinecv.evaluation import leakage
from marinecv.evaluation.predictions import make_table
from marinecv.files.csv_tables import write_table

SPLITS = {"a": "train", **dict.fromkeys("bcd", "test"), "e": "validation"}
ALONE = pd.Series(list("abcde"), index=list("abcde"))


def predictions_of(splits, right):
    sure = [[0.1, 0.9] if name in right else [0.9, 0.1] for name in splits]
    return make_table(list(splits), list(splits.values()), ["ray"] * len(splits), np.array(sure), ("eel", "ray"))


FOLDS = predictions_of(dict.fromkeys("abcde", "validation"), "abc")


def scores_of(*pairs, folds=None, labels=("ray",) * 5):
    predictions = predictions_of(SPLITS, "be").assign(true_class=labels)
    return leakage.leakage_scores(predictions, ALONE, related_in_train(catalog_of(SPLITS), pairs_of(*pairs)), folds)


def accuracies(table):
    assert list(table) == leakage.LEAKAGE_COLUMNS
    return table[table["metric"] == "accuracy"].set_index(["subset", "split"])


def test_each_split_is_scored_whole_and_without_images_related_to_train():
    table = accuracies(scores_of(("a", "b", "near copy"), ("c", "d", "copy")))
    rows = [(AS_SPLIT, "validation"), (leakage.WITHOUT, "validation"), (AS_SPLIT, "test"), (leakage.WITHOUT, "test")]
    assert list(table.index) == rows and table["n"].tolist() == [1, 1, 3, 2]
    assert table["value"].tolist() == pytest.approx([1, 1, 1 / 3, 0])
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    left = accuracies(scores_of(*((name, "a", "copy") for name in "bcd"))).loc[(leakage.WITHOUT, "test")]
    assert left["n"] == 0 and np.isnan(left["value"]) and left["method"] == "no image is left"
    folds = accuracies(scores_of(folds=FOLDS)).loc[(leakage.GROUPED, "all")]
    assert (folds["value"], folds["n"]) == (0.6, 5)
    unlabeled = scores_of(labels=["ray", "ray", "", "", "ray"])
    assert unlabeled.query("subset == @AS_SPLIT and split == 'test'")["n"].tolist() == [1, 1]


def test_the_sentences_say_how_many_images_are_related_and_the_accuracy_on_the_others():
    few, every = scores_of(("a", "b", "copy")), scores_of(*(("a", name, "copy") for name in "bcd"))
    few, every, none, folds = map(leakage.leakage_sentences, (few, every, scores_of(), scores_of(folds=FOLDS)))
    assert "none of the 1 validation images has a copy, near-duplicate" in few[0]
    assert "1 of the 3 test images have a copy" in few[1] and "on the other 2" in few[1] and "folds=5" in few[2]
    assert "no other image is left" in every[1] and len(none) == 2
    assert folds[-1].startswith("Cross-validated by groups of related images: ")


def test_scores_read_back_are_as_written_and_a_table_without_them_is_refused(tmp_path):
    scores = scores_of(("a", "b", "copy"))
    write_table(tmp_path / "scores.csv", scores)
    pd.testing.assert_frame_equal(leakage.read_leakage_scores(tmp_path / "scores.csv"), scores, check_dtype=False)
    write_table(tmp_path / "scores.csv", scores.drop(columns="method"))
    with pytest.raises(ValueError, match="scores.csv lacks the column 'method'"):
        leakage.read_leakage_scores(tmp_path / "scores.csv")


def test_the_leak_index_is_what_the_baseline_loses_where_related_images_are_apart():
    rows, thumbs = diving(dives=40)
    votes = nearest_neighbor_baseline(rows, thumbs)
    found = leakage.leakage_index(votes)
    own = votes[votes["image_id"].isin(votes.loc[votes["protocol"] == AS_SPLIT, "image_id"])]
    own = own.assign(right=own["true_class"] == own["predicted_class"]).groupby("protocol")["right"].mean()
    assert found["difference"] == pytest.approx(own[AS_SPLIT] - own[RELATED_APART])
    assert 0 < found["low"] < found["difference"] < found["high"] and found["n"] == 40
    scores = found["scores"].query("metric == 'accuracy'").set_index(["subset", "split"])
    assert scores.loc[(AS_SPLIT, "test"), "value"] == 1.0
    assert scores.loc[("majority class", "test"), "value"] == 0.5
    assert scores.loc[(RELATED_APART, "all"), ["n", "groups"]].tolist() == [120, 40]
    found = leakage.leakage_index(nearest_neighbor_baseline(rows, np.random.default_rng(0).normal(size=(120, 8))))
    assert found["low"] < 0 < found["high"]


def test_without_a_split_or_votes_there_is_no_leak_index():
    rows, thumbs = diving(splits=("", "", ""))
    found = leakage.leakage_index(nearest_neighbor_baseline(rows, thumbs))
    assert found["n"] == 0 and np.isnan([found["difference"], found["low"]]).all()
    assert set(found["scores"]["subset"]) == {RELATED_APART, "majority class"}
    found = leakage.leakage_index(nearest_neighbor_baseline(rows.assign(group="one"), thumbs))
    assert found["scores"].empty and list(found["scores"]) == leakage.LEAKAGE_COLUMNS and found["n"] == 0
