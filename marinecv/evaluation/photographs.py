"""How many more photographs: the power law that the errors of a line of a learning curve follow."""

import numpy as np
import pandas as pd

from marinecv.evaluation.intervals import RESAMPLES, percentile_interval
from marinecv.evaluation.learning_curve import judged_rows, rows_of_line
from marinecv.evaluation.predictions import class_names_of_table

SHARES = 3  # two points lie on every power law
FEWEST = 10  # on made classes every third interval missed the truth with 5 judged images, every sixth with 10
WIDEST = 4
STEEPEST = 5.0
FLATTEST = 0.01  # halving the error would take 2**100 times the images
HALVINGS = 40
REFUSALS = {
    "absent": "no photograph is labelled, or none is judged",
    "few": f"fewer than {FEWEST} photographs are judged",
    "perfect": "no judged photograph is wrong",
    "flat": "more photographs have not helped so far",
    "wide": f"the interval spans more than a factor of {WIDEST}; more judged photographs would narrow it",
}


def photographs_needed(
    cells: pd.DataFrame, counts: pd.DataFrame, line: str, goal: float | None = None, seed: int = 0
) -> pd.DataFrame:
    """Fit error = level * images^-exponent to a line, over all images and by class, and follow it to a goal.

    The number of errors is fitted by maximum Poisson likelihood over all shares and seeds; all classes share one
    exponent, for one of its own would be noise. Intervals are 95% by a percentile bootstrap over the judged images;
    other labelled images, and a law that bends, are not in them. `counts` are the labelled train images: `labelled,
    seed, class_name, images`. The goal is accuracy, and recall of each class, between 0 and 1; None wants half of
    today's errors.

    Returns a row of all images (`class_name` is ""), then one a class, largest `gain` first: `class_name, images`
    (labelled at the largest share; mean over seeds, as `error`), `judged, error, fitted` (the law's error there),
    `exponent, exponent_low, exponent_high, goal` (the error wanted), `needed, low, high` (labelled images in all),
    `more`, `gain` (by how much one more photograph of the class lowers its error), `said`: why no law is followed.
    """
    if goal is not None and not 0 < goal < 1:
        raise ValueError(f"Expected a goal, the accuracy wanted, between 0 and 1. Received: {goal}.")
    rows = rows_of_line(judged_rows(cells, "validation"), line)
    n = rows["image_id"].nunique()
    points = rows.iloc[::n]  # one row a cell
    shares = points["labelled"].unique()
    sizes = points["images"].unique()
    if len(sizes) < SHARES:
        raise ValueError(
            f"Line {line!r} has learned from {len(sizes)} numbers of labelled images: {tuple(map(int, sizes))}. "
            f"Expected at least {SHARES}, to see how its errors fall. Name three shares or more with --labelled."
        )
    class_names = class_names_of_table(cells.iloc[:, 4:])
    wrong = (rows["predicted_class"] != rows["true_class"]).to_numpy().reshape(-1, n)
    truth = rows["true_class"].to_numpy()[:n]
    last = (points["labelled"] == shares.max()).to_numpy()
    by_cell = counts.pivot(index=["labelled", "seed"], columns="class_name", values="images")
    by_cell = by_cell.loc[pd.MultiIndex.from_frame(points[["labelled", "seed"]])].reindex(columns=class_names)
    whole = _laws([""], [wrong], points["images"].to_numpy()[None], last, goal, seed)
    of_class = [wrong[:, truth == name] for name in class_names]
    classes = _laws(class_names, of_class, by_cell.fillna(0).to_numpy().T, last, goal, seed)
    classes = classes.sort_values("gain", ascending=False, kind="stable")
    return pd.concat([whole.assign(gain=np.nan), classes], ignore_index=True)


def next_class(table: pd.DataFrame) -> str:
    """Return the class to photograph next, of the largest gain where the law is followed; "" where it is of none."""
    followed = table[(table["class_name"] != "") & (table["said"] == "")]
    return "" if followed.empty else followed.loc[followed["gain"].idxmax(), "class_name"]


def _laws(
    class_names: list[str], wrong: list[np.ndarray], images: np.ndarray, last: np.ndarray, goal: float | None, seed: int
) -> pd.DataFrame:
    """The rows of the table: wrong (cells, judged images) of each class, images (classes, cells), last (cells,)."""
    judged = np.array([of_class.shape[1] for of_class in wrong])
    errors = _count_errors(wrong, seed)
    exponents = _fit_exponents(errors, images)
    now = images[:, last].mean(axis=1)
    fitted = _fit_errors(errors, judged, images, exponents, now)
    wanted = np.where(fitted > 0, fitted / 2, np.nan) if goal is None else np.full_like(fitted, 1 - goal)
    # In logarithms, where a flat law overflows nothing: how many times today's images the goal takes.
    times = np.log(np.maximum(fitted / wanted, 1)) / np.maximum(exponents, FLATTEST)[:, None]
    low, high = np.array([percentile_interval(of_class) for of_class in times[1:].T]).T
    exponent_low, exponent_high = percentile_interval(exponents[1:])
    refused = {
        "absent": (now == 0) | (judged == 0),
        "few": judged < FEWEST,
        "perfect": ~(fitted[0] > 0),
        "flat": np.full(len(now), not exponents[0] > 0),
        "wide": ~(high - low <= np.log(WIDEST)),
    }
    said = np.select([refused[why] for why in REFUSALS], list(REFUSALS.values()), "")
    needed, low, high = (now * np.exp(np.where(said == "", power, np.nan)) for power in (times[0], low, high))
    return pd.DataFrame(
        {
            "class_name": class_names,
            "images": now,
            "judged": judged,
            "error": errors[0][:, last].mean(axis=1) / np.where(judged > 0, judged, np.nan),
            "fitted": np.where(refused["absent"], np.nan, fitted[0]),
            "exponent": exponents[0],
            "exponent_low": exponent_low,
            "exponent_high": exponent_high,
            "goal": wanted[0],
            "needed": needed,
            "low": low,
            "high": high,
            "more": np.ceil(needed - now),
            "gain": exponents[0] * fitted[0] / np.where(refused["absent"], np.nan, now),
            "said": said,
        }
    )


def _count_errors(wrong: list[np.ndarray], seed: int) -> np.ndarray:
    """Errors of each class in each cell, (1 + resamples, classes, cells): first as judged, then of resampled images."""
    rng, errors = np.random.default_rng(seed), []
    for of_class in wrong:
        n = of_class.shape[1]
        draws = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) if n else np.zeros((RESAMPLES, 0))
        errors.append(np.vstack([np.ones(n), draws]) @ of_class.T)
    return np.stack(errors, axis=1)


def _fit_exponents(errors: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The exponent that all classes share, (1 + resamples,); NaN where there is no error at all.

    Given the exponent, the best level of a class makes its expected errors as many as those observed. What is left
    falls steadily as the exponent grows: the mean log of images over expected errors minus that over observed ones.
    Halving the range finds its zero without a step that could go astray, classes without an error included.
    """
    logs, totals = np.log(np.maximum(images, 1)), errors.sum(axis=2)
    observed = (errors * logs).sum(axis=(1, 2))
    low, high = np.full(len(errors), -STEEPEST), np.full(len(errors), STEEPEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = np.exp(-middle[:, None, None] * logs)
        steeper = (totals * (expected * logs).sum(axis=2) / expected.sum(axis=2)).sum(axis=1) > observed
        low, high = np.where(steeper, middle, low), np.where(steeper, high, middle)
    return np.where(totals.any(axis=1), middle, np.nan)


def _fit_errors(
    errors: np.ndarray, judged: np.ndarray, images: np.ndarray, exponents: np.ndarray, now: np.ndarray
) -> np.ndarray:
    """The law's share of errors with as many images as now, (1 + resamples, classes)."""
    times = np.maximum(images, 1) / np.maximum(now, 1)[:, None]
    expected = np.exp(-exponents[:, None, None] * np.log(times)).sum(axis=2)
    return errors.sum(axis=2) / np.maximum(judged, 1) / expected
