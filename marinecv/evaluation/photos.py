"""Predictions of photographs from those of their crops."""

import numpy as np
import pandas as pd
from scipy.special import softmax

from marinecv.data.photos import is_of_crops
from marinecv.evaluation.groups import Groups
from marinecv.evaluation.metrics import EPSILON, classification_metrics
from marinecv.evaluation.predictions import class_names_of_table, make_table, probabilities_of_table


def combined(probabilities: np.ndarray, numbers: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the probabilities of photographs: the softmax of the mean log probability over crops, by a temperature.

    `probabilities` (n, C) are of crops, `numbers` (n,) the number of the photograph of each, from 0 without a gap.
    Returns (photographs, C); a probability of 0 counts as the machine epsilon.
    """
    logs = np.log(np.asarray(probabilities, np.float64).clip(EPSILON, 1.0))
    return softmax(pd.DataFrame(logs).groupby(numbers).mean().to_numpy() / temperature, axis=1)


def photo_table(predictions: pd.DataFrame, temperature: float = 1.0) -> pd.DataFrame:
    """Return the predictions table of the photographs of crops, one row each, with the number of its `crops`.

        >>> import marinecv as mcv, pandas as pd
        >>> extra = pd.DataFrame({"photo": ["a", "a"], "box": ["0,0,9,9", "9,9,20,20"], "photo_class": ["eel", "eel"]})
        >>> crops = [["a#1", "a#2"], "test", ["crab", "eel"], [[0.9, 0.1], [0.1, 0.9]], ["crab", "eel"]]
        >>> mcv.photo_table(mcv.make_table(*crops, extra))["p_eel"].tolist()
        [0.5]

    Args:
        predictions: predictions table of crops, with the columns `photo` and `photo_class`.
        temperature: divides the mean log probabilities, see `calibrated`.
    Returns:
        Predictions table; the true class is `photo_class`, "" where the model does not know it.
    Raises:
        ValueError: the rows are no crops.
    """
    if not is_of_crops(predictions):
        raise ValueError("The table has no columns photo, box and photo_class. Expected the predictions of crops.")
    names = class_names_of_table(predictions)
    photos = predictions.drop_duplicates(["photo", "split"])
    numbers = predictions.groupby(["photo", "split"], sort=False).ngroup().to_numpy()
    true_classes = photos["photo_class"].where(photos["photo_class"].isin(names), "")
    probabilities = combined(probabilities_of_table(predictions), numbers, temperature)
    crops = pd.DataFrame({"crops": np.bincount(numbers)})
    return make_table(photos["photo"], photos["split"], true_classes, probabilities, names, crops)


def metrics_of(predictions: pd.DataFrame, groups: Groups = None) -> dict:
    """Return `classification_metrics`, of crops with the `photo_accuracy` of the photographs whose class is known."""
    metrics = classification_metrics(predictions, groups=groups)
    if is_of_crops(predictions) and (table := photo_table(predictions))["true_class"].any():
        of_crops = predictions["image_id"].map({} if groups is None else dict(groups))
        of_photos = dict(zip(predictions["photo"], of_crops, strict=True))
        metrics["photo_accuracy"] = classification_metrics(table, groups=of_photos)["accuracy"]
    return metrics
