"""Accuracy over cameras: of each, on average, and the interval of the next one."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from marinecv.evaluation.cameras import camera_metrics, camera_sentence, camera_table


def predictions_of(hits_by_camera):
    rows = [
        (name, f"{name}{i}", "fox", "fox" if right else "owl")
        for name, hits in hits_by_camera.items()
        for i, right in enumerate(hits)
    ]
    return pd.DataFrame(rows, columns=["camera", "image_id", "true_class", "predicted_class"])


def test_each_camera_counts_once_on_average_and_each_image_once_in_all():
    table = camera_table(predictions_of({"b": [1] * 9 + [0], "a": [1, 0]}))
    assert table.to_dict("list") == {"camera": ["a", "b"], "n": [2, 10], "accuracy": [0.5, 0.9]}
    metrics = camera_metrics(table)
    assert metrics["value"] == pytest.approx(0.7) and metrics["pooled"] == pytest.approx(10 / 12)
    assert metrics["low"] is metrics["next_low"] is None
    sentence = camera_sentence(table)
    assert sentence.startswith("On 2 cameras that training never saw: 0.70 on average, 0.83 over all 12 images;")
    assert sentence.endswith("from fewer than 6 cameras: no interval.")


def test_six_cameras_have_both_intervals_within_0_and_1():
    scores = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    table = pd.DataFrame({"camera": list("abcdef"), "n": 10**9, "accuracy": scores})
    metrics, quantile, s = camera_metrics(table), t.ppf(0.975, 5), scores.std(ddof=1)
    assert metrics["high"] - metrics["value"] == pytest.approx(quantile * s / 6**0.5)
    assert metrics["value"] - metrics["next_low"] == pytest.approx(quantile * s * (7 / 6) ** 0.5, rel=1e-6)
    assert metrics["next_high"] == 1.0
    few = camera_metrics(table.assign(n=5))  # chance on few images widens less
    assert few["next_low"] > metrics["next_low"] and few["low"] == metrics["low"]
    assert camera_sentence(table).endswith("the next camera is expected between 0.23 and 1.00.")
