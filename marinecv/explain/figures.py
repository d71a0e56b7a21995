"""The figures of heat in boxes: averaged, and kept in the run for its report. Nothing here imports TensorFlow."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from marinecv.evaluation.intervals import bootstrap_means, percentile_interval, wilson
from marinecv.runs import Run
from marinecv.tables import numbers, read_table, write_table

SHARES = ("heat", "centre_heat", "area")
HITS = ("pointing", "centre_pointing", "accuracy", "animal_only", "background_only")
MEASURES = SHARES + HITS
ALL = "all"
NAME = "heat_in_box.csv"
COLUMNS = ["split", "layer", "neutral", "class_name", "measure", "value", "low", "high", "n"]


def box_figures(measured: pd.DataFrame, class_names: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Average `measure_boxes` over all images and over those of each class, with 95% intervals.

    Args:
        measured: as `measure_boxes` gives it; what is NaN does not count, and `n` says so.
        class_names: a class without images keeps its rows, with n 0.
        seed: of the bootstrap.
    Returns:
        DataFrame `class_name, measure, value, low, high, n`, first the class `ALL`: means with a bootstrap over
        images for `SHARES`, proportions with Wilson's interval for `HITS`.
    """
    groups = [(ALL, measured)] + [(name, measured[measured["class_name"] == name]) for name in class_names]
    rows = []
    for name, group in groups:
        for measure in MEASURES:
            values = group[measure].dropna().to_numpy(float)
            if not len(values):
                low = high = np.nan
            elif measure in HITS:
                low, high = wilson(int(values.sum()), len(values))
            else:
                low, high = percentile_interval(bootstrap_means(values, seed))
            value = values.mean() if len(values) else np.nan
            rows.append((name, measure, value, low, high, len(values)))
    return pd.DataFrame(rows, columns=["class_name", "measure", "value", "low", "high", "n"])


def keep_figures(run: Run, split: str, layer: str, neutral: str, figures: pd.DataFrame) -> pd.DataFrame:
    """Write the figures of a split into the run, in place of older ones of the same split; other splits stay.

    Args:
        run: a folder.
        split: what they are of.
        layer: whose maps.
        neutral: the colour that stood in for what was hidden, `#rrggbb`.
        figures: as `box_figures` gives them.
    Returns:
        What the file holds now, as `read_figures` gives it.
    Raises:
        ValueError: the file is there and broken.
    """
    kept = read_figures(run)
    new = figures.assign(split=split, layer=layer, neutral=neutral)[COLUMNS]
    table = new if kept is None else pd.concat([kept[kept["split"] != split], new], ignore_index=True)
    write_table(run.path(NAME), table, float_format="%.9g")
    return table


def read_figures(run: Run) -> pd.DataFrame | None:
    """Read what `keep_figures` wrote: `COLUMNS`, shares from 0 to 1; None where a run has no such file.

    Raises:
        ValueError: the file is broken.
    """
    path = run.path(NAME)
    if not path.is_file():
        return None
    try:
        table = read_table(path)
        if missing := [column for column in COLUMNS if column not in table]:
            raise ValueError(f"{path} lacks the column {missing[0]!r}. Expected {', '.join(COLUMNS)}.")
        table = numbers(table, ("value", "low", "high", "n"), path)
        shares = table[["value", "low", "high"]].fillna(0)
        wrong = ~table["measure"].isin(MEASURES) | ~((shares >= 0) & (shares <= 1)).all(axis=1) | ~(table["n"] >= 0)
        if wrong.any():
            raise ValueError(f"Row {wrong.argmax() + 1} of {path} is no share of some images from 0 to 1.")
    except ValueError as error:
        raise ValueError(f"{error} Delete it; `explain` writes it again.") from error
    return table.astype({"n": int})
