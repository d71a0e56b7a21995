"""The figures of heat in boxes: averaged, and kept in the run for its report. Nothing here imports TensorFlow."""

from collections.abc import Sequence

import pandas as pd

from marinecv.data.user_tables import as_table
from marinecv.evaluation.figures import has_interval, interval_words, mean_figure
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.runs import Run
from marinecv.tables import check_columns, numbers, read_table, write_table

SHARES = ("heat", "centre_heat", "area")
HITS = ("pointing", "centre_pointing", "accuracy", "animal_only", "background_only")
MEASURES = SHARES + HITS
ALL = "all"
NAME = "heat_in_box.csv"
COLUMNS = ["split", "layer", "neutral", "class_name", "measure", "value", "low", "high", "n"]


def box_figures(
    measured: pd.DataFrame, class_names: Sequence[str], seed: int = 0, groups: Groups = None
) -> pd.DataFrame:
    """Average `measure_boxes` over all images and over those of each class: `class_name, measure, value, low, high, n`.

    First the class `ALL`; `n` leaves out what is NaN. 95% intervals are those of `mean_figure`, or NaN.
    """
    measured = as_table(measured).reset_index(drop=True)
    parts = [(ALL, measured)] + [(name, measured[measured["class_name"] == name]) for name in class_names]
    rows = []
    for name, part in parts:
        for measure in MEASURES:
            values = part[measure].dropna().astype(bool if measure in HITS else float)
            numbers = group_numbers(part["image_id"][values.index], groups) if len(values) else None
            figure = mean_figure(values.to_numpy(), numbers, seed) if len(values) else {}
            rows.append((name, measure, *(figure.get(key) for key in ("value", "low", "high")), len(values)))
    table = pd.DataFrame(rows, columns=["class_name", "measure", "value", "low", "high", "n"])
    return table.astype({"value": float, "low": float, "high": float})


def chance_sentence(measured: pd.DataFrame, groups: Groups = None) -> str:
    """Return in a sentence that the heat in the boxes is no better than chance; empty where it is.

    Chance is the larger of the boxes' fraction of the picture and of what a blob in its center has in them; the
    differences are paired, image by image. Groups are as `classification_metrics` takes them.
    """
    rows = measured.dropna(subset=["heat"])
    for chance, words in (("area", "evenly spread heat"), ("centre_heat", "a blob in the center of the picture")):
        values = (rows["heat"] - rows[chance]).to_numpy(float)
        figure = mean_figure(values, group_numbers(rows["image_id"], groups)) if len(rows) else {"low": 1}
        bounds = figure if has_interval(figure) else figure["by_image"]
        if bounds["low"] <= 0:
            return (
                f"The fraction of Grad-CAM inside the box is no better than chance: {rows['heat'].mean():.3f}, and of "
                f"{words} {rows[chance].mean():.3f} (difference {figure['value']:+.3f}, {interval_words(figure)}, "
                f"n={len(rows)})."
            )
    return ""


def keep_figures(run: Run, split: str, layer: str, neutral: str, figures: pd.DataFrame) -> pd.DataFrame:
    """Write the figures of a split into the run, other splits stay; return what the file holds now."""
    kept = read_figures(run)
    new = figures.assign(split=split, layer=layer, neutral=neutral)[COLUMNS]
    table = new if kept is None else pd.concat([kept[kept["split"] != split], new], ignore_index=True)
    write_table(run.path(NAME), table, float_format="%.9g")
    return table


def read_figures(run: Run) -> pd.DataFrame | None:
    """Read what `keep_figures` wrote: `COLUMNS`, shares from 0 to 1; None where a run has no such file.

    Raises ValueError where the file is broken.
    """
    path = run.path(NAME)
    if not path.is_file():
        return None
    try:
        table = read_table(path)
        check_columns(table, COLUMNS, path)
        table = numbers(table, ("value", "low", "high", "n"), path)
        shares = table[["value", "low", "high"]].fillna(0)
        wrong = ~table["measure"].isin(MEASURES) | ~((shares >= 0) & (shares <= 1)).all(axis=1) | ~(table["n"] >= 0)
        if wrong.any():
            raise ValueError(f"Row {wrong.argmax() + 1} of {path} is no share of some images from 0 to 1.")
    except ValueError as error:
        raise ValueError(f"{error} Delete it; `explain` writes it again.") from error
    return table.astype({"n": int})
