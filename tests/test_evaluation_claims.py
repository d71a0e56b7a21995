from itertools import product
from math import comb

import keras
import numpy as np
import pytest
from five_reports.claims import (
    BETWEEN,
    FAR,
    NEAR,
    batch_averages,
    expected_best,
    find_gains,
    largest_class_at_least,
    lowest_macro_f1,
    map_sides,
    place_of,
    reductions,
    spread_errors,
    tell_apart,
)
from sklearn.metrics import f1_score

from marinecv.evaluation.intervals import mcnemar
from marinecv.models.cnn import cnn


def confusions(classes, images):
    """Every confusion matrix with as many images of each class."""
    rows = [row for row in product(range(images + 1), repeat=classes) if sum(row) == images]
    return product(rows, repeat=classes)


@pytest.mark.parametrize(("classes", "images"), [(2, 1), (2, 4), (3, 2), (3, 3), (4, 2), (5, 1)])
def test_the_lowest_macro_f1_is_that_of_all_confusions(classes, images):
    lowest = {}
    for counts in confusions(classes, images):
        right = sum(counts[c][c] for c in range(classes))
        f1 = sum(2 * counts[c][c] / (images + sum(row[c] for row in counts)) for c in range(classes)) / classes
        lowest[right] = min(f1, lowest.get(right, 1.0))
    for right, f1 in lowest.items():
        assert lowest_macro_f1(classes, images, right) == pytest.approx(f1)


def test_the_lowest_macro_f1_goes_from_nothing_to_one():
    assert lowest_macro_f1(20, 25, 0) == 0
    assert lowest_macro_f1(20, 25, 500) == 1
    assert lowest_macro_f1(20, 25, 303) > lowest_macro_f1(20, 25, 302)


@pytest.mark.parametrize(("classes", "images", "right"), [(1, 5, 3), (3, 2, 7), (3, 2, -1)])
def test_a_lowest_macro_f1_of_nonsense_is_refused(classes, images, right):
    with pytest.raises(ValueError, match=f"{classes} classes of {images} images, {right} right"):
        lowest_macro_f1(classes, images, right)


def test_the_largest_class_holds_at_least_what_the_two_figures_ask():
    supports = (6, 3, 1)
    for hits in product(range(7), range(4), range(2)):
        accuracy, recall = sum(hits) / 10, sum(h / s for h, s in zip(hits, supports, strict=True)) / 3
        assert largest_class_at_least(f"{accuracy:.4f}", f"{recall:.4f}", 3) <= 0.6 + 1e-9


def test_the_largest_class_is_found_where_it_alone_is_right():
    assert largest_class_at_least("0.6000", "0.3333", 3) == pytest.approx(0.6, abs=1e-3)
    assert largest_class_at_least("0.5", "0.9", 4) == 0.25


def test_spread_errors_has_the_accuracy_it_is_asked_and_spares_no_class():
    true, predicted = spread_errors(classes=5, images=8, right=22)
    assert np.bincount(true).tolist() == [8] * 5
    assert (true == predicted).sum() == 22
    assert set(np.bincount(true[true == predicted])) == {4, 5}
    assert set(predicted) == set(range(5))


def test_one_batch_of_all_images_has_the_macro_figures_themselves():
    true, predicted = spread_errors(5, 8, 22)
    averages = batch_averages(true, predicted, 40)
    assert averages["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))
    assert averages["macro_recall"] == pytest.approx(22 / 40)


def test_batches_in_order_shrink_the_macro_figures_and_mixed_ones_do_not():
    true, predicted = spread_errors(20, 25, 303)
    mixed = np.random.default_rng(1).permutation(500)
    in_order, shuffled = (batch_averages(true[o], predicted[o], 64) for o in (slice(None), mixed))
    assert max(in_order.values()) < 0.25 < 0.5 < min(shuffled.values())
    assert in_order["macro_precision"] > in_order["macro_f1"] > in_order["macro_recall"]


def test_averages_of_batches_by_hand():
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    # The first batch knows the classes 0 (recall 1/2) and 2 (never right), the second class 1 alone.
    assert batch_averages(true, predicted, 2)["macro_recall"] == pytest.approx((0.25 + 1) / 2)
    assert batch_averages(true, predicted, 2)["macro_precision"] == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize(("p", "n", "models"), [(0.7, 4, 3), (0.25, 3, 2), (0.9, 5, 1)])
def test_the_expected_best_is_that_of_all_outcomes(p, n, models):
    chance = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    expected = sum(max(ks) / n * np.prod([chance[k] for k in ks]) for ks in product(range(n + 1), repeat=models))
    assert expected_best(p, n, models) == pytest.approx(expected)


def test_the_best_of_more_shows_more_and_of_one_its_own():
    assert expected_best(0.8, 63, 1) == pytest.approx(0.8)
    assert 0.8 < expected_best(0.8, 63, 3) < expected_best(0.8, 63, 20) < 1
    assert expected_best(0.8, 63, 3) > expected_best(0.8, 630, 3)


def test_fewer_than_six_images_are_never_distinguishable():
    assert {tell_apart(100, 100 - lead, 223) for lead in range(6)} == {NEAR}
    assert tell_apart(100, 94, 223) == BETWEEN
    assert mcnemar(5, 0) > 0.05 > mcnemar(6, 0)


@pytest.mark.parametrize("n", [20, 63])
def test_what_is_far_enough_apart_is_significant_as_separate_samples(n):
    for better in range(n + 1):
        for worse in range(better):
            if (word := tell_apart(better, worse, n)) != NEAR:
                pooled = (better + worse) / (2 * n)
                z = (better - worse) / n / np.sqrt(2 * pooled * (1 - pooled) / n)
                assert (word == FAR) == (z >= 1.959963984540054)


def test_gains_are_found_rounded_or_cut_off_and_in_proportion():
    figures = {"a": "0.606", "b": "0.444", "c": "0.540", "d": "0.606"}
    assert find_gains(36, figures) == [("a", "b"), ("d", "b")]
    assert find_gains(21, figures) == [("c", "b")] and find_gains(22, figures) == [("c", "b")]
    assert find_gains(0, figures) == [("a", "d"), ("d", "a")]


def test_equal_rows_share_a_place():
    figures = {"a": "0.5", "b": "0.70", "c": "0.7", "d": "0.1"}
    assert [place_of(name, figures) for name in figures] == [3, 1, 1, 4]


CURVES = {
    "flat": [1.0] * 12,
    "creeping": [1 - 1e-6 * epoch for epoch in range(12)],
    "falling": [1 - 0.1 * epoch for epoch in range(12)],
    "falls, then rises": [1, 0.8, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1, 1, 1],
    "up and down": [1, 0.9, 0.95, 0.89995, 0.95, 0.8, 0.9, 0.7, 0.9, 0.69999, 0.8, 0.9],
}


def replayed(losses, reduce_patience, stop_patience):
    """The epochs after which Keras' own callbacks leave a lower rate to another epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.stop_training = False
    stop = keras.callbacks.EarlyStopping(patience=stop_patience)
    reduce = keras.callbacks.ReduceLROnPlateau(patience=reduce_patience, factor=0.9, min_lr=0)
    for callback in (stop, reduce):
        callback.set_model(model)
        callback.on_train_begin()
    epochs, rate = [], float(model.optimizer.learning_rate)
    for epoch, loss in enumerate(losses, 1):
        for callback in (stop, reduce):
            callback.on_epoch_end(epoch - 1, {"val_loss": loss})
        if model.stop_training or epoch == len(losses):
            break
        if (now := float(model.optimizer.learning_rate)) < rate:
            epochs, rate = [*epochs, epoch], now
    return epochs


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(("reduce_patience", "stop_patience"), [(5, 4), (4, 5), (2, 4), (1, 3), (3, 12)])
def test_reductions_are_those_of_keras_own_callbacks(curve, reduce_patience, stop_patience):
    expected = replayed(CURVES[curve], reduce_patience, stop_patience)
    assert reductions(CURVES[curve], reduce_patience, stop_patience) == expected


def test_behind_a_shorter_early_stop_the_rate_falls_on_a_creeping_curve_alone():
    assert reductions(CURVES["flat"], 5, 4) == [] and reductions(CURVES["falls, then rises"], 5, 4) == []
    assert reductions(CURVES["creeping"], 5, 4) == [6, 11]
    assert reductions(CURVES["flat"], 4, 5) == [5]


@pytest.mark.parametrize(
    ("kernels", "padding", "pools"), [((3, 3), None, (2, 3)), ((6, 6), 1, (2, 2)), ((5, 4), 0, (3, 1))]
)
def test_the_sides_of_maps_are_those_of_the_network(kernels, padding, pools):
    model = cnn((41, 41, 3), 2, filters=(2, 3), kernels=kernels, pools=pools, padding=padding)
    maps = [layer.output.shape[1] for layer in model.layers if layer.name.startswith(("conv", "pool"))]
    assert map_sides(41, kernels, padding, pools) == maps
