"""Thresholds for "unknown" lose at most the fraction of known images that was asked for."""

from types import SimpleNamespace

import numpy as np
import pytest

from marinecv.evaluation.unknown import is_unknown, thresholds_of, unknown_thresholds

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("with_distance", [False, True])
def test_the_mean_loss_on_new_images_is_at_most_the_fraction_and_not_far_below(fraction, with_distance):
    lost = []
    for _ in range(1000):
        confidence, distance = RNG.random(140), RNG.gamma(3, size=140) if with_distance else np.zeros(140)
        thresholds = unknown_thresholds(confidence[:40], distance[:40] if with_distance else None, fraction)
        lost.append(is_unknown(confidence[40:], distance[40:], thresholds).mean())
    assert fraction - 0.04 < np.mean(lost) < fraction + 0.004


def test_an_image_is_unknown_below_the_confidence_or_above_the_distance():
    thresholds = unknown_thresholds(np.linspace(0.5, 0.9, 59), np.linspace(3, 1, 59), 0.05)
    assert thresholds == (0.5 + 0.4 / 58, 3 - 2 / 58)  # one of 59 is lost: the least confident is the farthest
    assert is_unknown(np.array([0.5, 0.9, 0.9]), np.array([1, 3, 1]), thresholds).tolist() == [True, True, False]


def test_too_few_images_or_none_are_refused():
    with pytest.raises(ValueError, match="unknown=0.05 needs 19 calibration images or more; the run has 18"):
        unknown_thresholds(np.full(18, 0.5), None, 0.05)
    with pytest.raises(ValueError, match="needs 39 calibration images or more; the run has 38"):  # of two thresholds
        unknown_thresholds(np.full(38, 0.5), np.ones(38), 0.05)
    with pytest.raises(ValueError, match="needs calibration images, and runs/a-1 has none: it has no calibration.json"):
        thresholds_of(SimpleNamespace(folder="runs/a-1", class_names=("fox",)), None, 0.05)
    with pytest.raises(ValueError, match='has a class "unknown" of its own'):
        thresholds_of(SimpleNamespace(folder="runs/a-1", class_names=("unknown",)), None, 0.05)
