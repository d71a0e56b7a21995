"""The head is the optimum of its loss, whatever the scale of the features, and no fold is judged by itself."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from marinecv.training.linear_head import cross_validate_head, fold_numbers, log_losses, solve_head

WIDTHS = [3, 2]


def made_features(classes: int, images: int = 60, views: int = 2, seed: int = 0):
    """Features of two blocks, the second a thousand times as large, of overlapping classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    features = rng.normal(size=(views, images, sum(WIDTHS))) + rng.normal(size=(classes, sum(WIDTHS)))[labels]
    return (features * [1, 1, 1, 1000, 1000]).astype(np.float32), labels


def loss(features, labels, kernel, bias, l2):
    """The mean log loss over all views and the penalty, on the scaled features."""
    center = features[0].mean(axis=0)
    squares = (features[0] - center) ** 2
    scale = np.repeat([np.sqrt(part.sum(axis=1).mean()) for part in np.split(squares, [WIDTHS[0]], axis=1)], WIDTHS)
    examples, scaled = features.reshape(-1, features.shape[-1]).astype(float), kernel * scale[:, None]
    probabilities = softmax(examples @ kernel + bias, axis=1)
    return log_losses(probabilities, np.tile(labels, len(features))).mean() + l2 / 2 * (scaled**2).sum()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_no_other_head_has_a_smaller_loss(classes, l2):
    features, labels = made_features(classes)
    kernel, bias = solve_head(features, labels, classes, l2, widths=WIDTHS)
    best, rng = loss(features, labels, kernel, bias, l2), np.random.default_rng(1)
    for step in (1e-1, 1e-2):
        for _ in range(20):
            moved = kernel * (1 + step * rng.normal(size=kernel.shape)), bias + step * rng.normal(size=bias.shape)
            assert loss(features, labels, *moved, l2) > best - 1e-6


def test_the_head_does_not_depend_on_the_scale_of_a_block_or_on_the_center():
    features, labels = made_features(3)
    moved = features * np.float32([7, 7, 7, 0.01, 0.01]) + np.float32(5)
    heads = [solve_head(x, labels, 3, 1e-3, widths=WIDTHS) for x in (features, moved)]
    first, second = (x[0] @ kernel + bias for x, (kernel, bias) in zip((features, moved), heads, strict=True))
    np.testing.assert_allclose(softmax(first, axis=1), softmax(second, axis=1), atol=2e-3)


def test_balanced_classes_weigh_alike():
    features, labels = made_features(2)
    many = np.r_[np.repeat(np.flatnonzero(labels == 0), 10), np.flatnonzero(labels == 1)]
    plain, weighted = (
        softmax(features[0] @ kernel + bias, axis=1)[:, 1].mean()
        for kernel, bias in (
            solve_head(features[:, many], labels[many], 2, 1e3, widths=WIDTHS, balanced=balanced)
            for balanced in (False, True)
        )
    )
    assert abs(plain - 1 / 11) < 0.01 and abs(weighted - 0.5) < 0.01


@pytest.mark.parametrize("present", [[0, 2], [1]])
def test_a_class_without_images_is_never_predicted(present):
    features, labels = made_features(3)
    kept = np.isin(labels, present)
    kernel, bias = solve_head(features[:, kept], labels[kept], 3, 1e-3, widths=WIDTHS)
    assert {*(features[0] @ kernel + bias).argmax(axis=1)} == {*present}


def test_no_image_is_judged_by_its_own_label_or_its_mirror_image():
    features, labels = made_features(3)
    folds = np.arange(len(labels)) % 4
    held_out, before = folds == 1, cross_validate_head(features, labels, 3, folds, (1e-2, 1e-3), widths=WIDTHS)
    changed = features.copy()
    changed[1, held_out] = 0
    relabeled = np.where(held_out, (labels + 1) % 3, labels)
    after = cross_validate_head(changed, relabeled, 3, folds, (1e-2, 1e-3), widths=WIDTHS)
    np.testing.assert_array_equal(before[:, held_out], after[:, held_out])
    assert before.shape == (2, len(labels), 3) and not np.array_equal(before, after)
    np.testing.assert_allclose(before.sum(axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("groups", "classes", "whole"),
    [
        ("aabbccddee", "xyxyxyxyxy", True),
        ("aaaaaaaaaa", "xyxyxyxyxy", False),  # one camera
        ("aaaaabbbbb", "xxxxxyyyyy", False),  # a camera a class
        ("aab", "xxy", False),
        (["", "", "", ""], "xxyy", True),
    ],
)
def test_folds_keep_groups_where_every_class_stays_in_train(groups, classes, whole):
    rows = pd.DataFrame({"image_id": map(str, range(len(groups))), "group": [*groups], "class_name": [*classes]})
    folds = fold_numbers(rows, 0)
    assert (fold_numbers(rows, 0) == folds).all() and {*folds} == {*range(folds.max() + 1)} and folds.max() > 0
    named = rows.assign(fold=folds, group=rows["group"].where(rows["group"] != "", rows["image_id"]))
    assert (named.groupby("group")["fold"].nunique() == 1).all() == whole
    for name, part in named.groupby("class_name"):
        assert len(part) == 1 or part["fold"].nunique() > 1, name
