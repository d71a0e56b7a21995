"""What a model says of some files, and what it sees in them."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from marinecv.evaluation.predictions import predicted_indices
from marinecv.explain.heatmaps import NO_HEAT, heatmaps
from marinecv.inputs.pixels import read_pixels
from marinecv.inputs.spec import ImageSpec
from marinecv.models.outputs import with_probabilities


def explain_cases(
    model: keras.Model,
    paths: Sequence[str],
    spec: ImageSpec,
    class_names: Sequence[str],
    method: str = "gradcam",
    layer: str | None = None,
    seed: int = 0,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict some files, and show where a model of images alone finds its evidence for what it predicts.

    Returns a row a file, `predicted_class, probability`, and `problem`, why there is no heat; and the heat, float32
    `(n, height, width)` in [0, 1], zeros where there is none. `method`, `layer` and `seed` are as of `heatmaps`.
    """
    model = with_probabilities(model, class_names)
    pixels, reasons = read_pixels(paths, spec)
    good = [place for place in range(len(paths)) if place not in reasons]
    table = pd.DataFrame({"predicted_class": "", "probability": np.nan, "problem": ""}, index=range(len(paths)))
    table.loc[list(reasons), "problem"] = list(reasons.values())
    heat = np.zeros((len(paths), spec.height, spec.width), np.float32)
    if good:
        images = pixels[good].astype(np.float32)
        probabilities = model.predict(images, verbose=0)
        best = predicted_indices(probabilities)
        table.loc[good, "predicted_class"] = [class_names[index] for index in best]
        table.loc[good, "probability"] = probabilities.max(axis=1).astype(float)
        heat[good] = heatmaps(model, images, best, method, layer, seed=seed)
    table.loc[[place for place in good if not heat[place].any()], "problem"] = NO_HEAT
    return table, heat
