"""Probable label errors: found, most probable first, and never by a twin in the same group."""

import numpy as np
import pandas as pd
import pytest

from marinecv.evaluation.label_errors import (
    LABEL_ERROR_COLUMNS,
    NEAREST_COLUMNS,
    out_of_fold_probabilities,
    rank_label_errors,
    with_nearest_images,
)


def clusters(num_classes=3, per_class=20, seed=0):
    """Embeddings of well separated classes, their class names, and a group an image."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), per_class)
    embeddings = 4 * np.eye(num_classes, 8)[labels] + rng.normal(scale=0.5, size=(len(labels), 8))
    ids = np.array([f"image{i:02d}" for i in range(len(labels))])
    return embeddings.astype(np.float32), np.array(["ant", "bee", "cat", "dog"])[labels], ids


def ranked(embeddings, given, ids, groups):
    probabilities = out_of_fold_probabilities(embeddings, given, groups)
    return rank_label_errors(ids, given, probabilities, np.unique(given))


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_flipped_label_is_found_first_with_its_true_class(num_classes):
    embeddings, truth, ids = clusters(num_classes)
    given = truth.copy()
    given[7] = "bee"  # an ant
    table = ranked(embeddings, given, ids, ids)
    assert list(table) == LABEL_ERROR_COLUMNS
    assert table.iloc[0][:3].tolist() == ["image07", "bee", "ant"]
    assert table["probability"][0] > 0.8


def test_clean_labels_of_separated_classes_are_no_errors():
    embeddings, truth, ids = clusters()
    assert ranked(embeddings, truth, ids, ids).empty


def test_a_twin_with_the_same_wrong_label_does_not_vouch_for_it():
    rng = np.random.default_rng(1)
    embeddings, truth, ids = clusters()
    embeddings = np.concatenate([embeddings, rng.normal(scale=0.1, size=(60, 40)).astype(np.float32)], axis=1)
    frames = [7, 8, 9, 10]
    embeddings[frames] = embeddings[7]  # four frames of one ant, all said to be bees
    embeddings[frames, 20] = 20
    given, groups = truth.copy(), ids.copy()
    given[frames], groups[frames] = "bee", "scene"
    alone = out_of_fold_probabilities(embeddings, given, ids)
    together = out_of_fold_probabilities(embeddings, given, groups)
    assert alone[frames, 1].min() > 0.5  # "bee", as the others of its scene
    assert together[frames, 0].min() > 0.5  # "ant", as all other ants
    assert set(rank_label_errors(ids, given, together, np.unique(given))["image_id"]) == set(ids[frames])


def test_probabilities_do_not_depend_on_the_own_label():
    embeddings, truth, ids = clusters(2)
    flipped = truth.copy()
    flipped[:20], flipped[20:] = "bee", "ant"
    table = out_of_fold_probabilities(embeddings, truth, ids)
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 200)).astype(np.float32)  # more values than images: a fit knows every label
    labels = np.array(["ant", "bee"])[rng.integers(2, size=60)]
    said = out_of_fold_probabilities(noise, labels, [""] * 60).argmax(axis=1)
    assert 0.2 < (np.array(["ant", "bee"])[said] == labels).mean() < 0.8


def test_a_class_in_one_group_is_not_judged_and_the_others_are():
    embeddings, truth, ids = clusters(4)
    given, groups = truth.copy(), ids.copy()
    groups[truth == "dog"] = "one camera"
    given[7] = "bee"
    probabilities = out_of_fold_probabilities(embeddings, given, groups)
    assert np.array_equal(np.isnan(probabilities).any(axis=1), truth == "dog")
    table = rank_label_errors(ids, given, probabilities, np.unique(given))
    assert table["image_id"].tolist() == ["image07"]


def test_an_image_without_a_group_is_one_and_the_index_of_a_column_does_not_count():
    embeddings, truth, ids = clusters()
    groups = np.where(np.arange(60) % 2, "", ids)
    series = pd.Series(truth, index=np.arange(60)[::-1]), pd.Series(groups, index=range(100, 160))
    table = out_of_fold_probabilities(embeddings, *series)
    np.testing.assert_allclose(table, out_of_fold_probabilities(embeddings, truth, groups))
    assert (table.argmax(axis=1) == np.unique(truth, return_inverse=True)[1]).all()
    with pytest.raises(ValueError, match="same length"):
        out_of_fold_probabilities(embeddings, truth, groups[:5])


def test_one_image_a_class_gives_no_errors():
    embeddings, truth, ids = clusters(4, per_class=1)
    assert ranked(embeddings, truth, ids, ids).empty


def test_the_table_does_not_depend_on_the_order_of_images():
    embeddings, truth, ids = clusters()
    given = np.where(np.arange(60) % 15 == 0, "bee", truth)
    probabilities = out_of_fold_probabilities(embeddings, given, ids)
    order = np.random.default_rng(0).permutation(60)
    names = np.unique(given)
    first = rank_label_errors(ids, given, probabilities, names)
    second = rank_label_errors(ids[order], given[order], probabilities[order], names)
    pd.testing.assert_frame_equal(first, second)
    rows = [np.flatnonzero(ids == image)[0] for image in first["image_id"]]
    odds = first["probability"].to_numpy() / probabilities[rows, names.searchsorted(given[rows])]
    assert len(odds) >= 3 and (odds[1:] <= odds[:-1] * 1.001).all() and (odds > 1).all()


@pytest.mark.parametrize("given,groups", [(["ant"] * 6, list("abcdef")), (["ant", "bee"] * 3, ["one"] * 6)])
def test_one_class_or_one_group_cannot_be_judged(given, groups):
    with pytest.raises(ValueError, match=r"classes: \d, groups.*Expected at least two classes"):
        out_of_fold_probabilities(np.zeros((6, 2), np.float32), given, groups)


def test_a_label_that_is_no_class_is_an_error():
    with pytest.raises(ValueError, match="'eel' is no class"):
        rank_label_errors(["a", "b"], ["ant", "eel"], np.full((2, 2), 0.5), ["ant", "bee"])


def test_the_nearest_images_are_of_train_and_of_other_groups():
    embeddings = np.float32([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [1, 0.01]])
    rows = pd.DataFrame({"image_id": list("abcde"), "path": list("ABCDE"), "group": ["g", "", "", "", "g"]})
    rows["split"] = ["test", "train", "train", "train", "train"]
    listed = pd.DataFrame("", range(2), LABEL_ERROR_COLUMNS).assign(image_id=["a", "d"])
    table = with_nearest_images(listed, rows, embeddings)
    assert table["path"].tolist() == ["A", "D"]
    assert table[NEAREST_COLUMNS].to_numpy().tolist() == [["b", "c", "d"], ["c", "b", "e"]]  # e is of the group of a
    table = with_nearest_images(listed.iloc[1:], rows.iloc[[3, 4]].assign(split=""), embeddings[3:])
    assert table[NEAREST_COLUMNS].to_numpy().tolist() == [["e", "", ""]]
