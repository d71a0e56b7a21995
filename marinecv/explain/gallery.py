"""Which images of a split to show. Nothing here imports TensorFlow."""

from collections.abc import Sequence

import pandas as pd

CASES_A_CLASS = 3


def choose_cases(predictions: pd.DataFrame, class_names: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Draw at most `CASES_A_CLASS` right and as many wrong images of each true class: class by class, the right first.

    Images without a true class are left alone.
    """
    shuffled = predictions.sample(frac=1, random_state=seed)
    right = shuffled["true_class"] == shuffled["predicted_class"]
    drawn = [
        shuffled[(shuffled["true_class"] == name) & (right == wanted)].head(CASES_A_CLASS)
        for name in class_names
        for wanted in (True, False)
    ]
    return pd.concat(drawn)
