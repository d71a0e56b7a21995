"""Sample-size estimate: additional images for a goal, by a power law fitted to a line of a learning curve."""

import numpy as np
import pandas as pd

from marinecv.evaluation.intervals import RESAMPLES, percentile_interval
from marinecv.evaluation.learning_curve import rows_of_line, scored_rows
from marinecv.evaluation.predictions import class_names_of_table
from marinecv.evaluation.seeds import MIN_SEEDS

MIN_TRAIN_SIZES = 3  # sizes of the train set; two points fit every power law
MIN_VALIDATION_IMAGES = 10  # simulated intervals miss the truth in a third of cases with 5 images, in a sixth with 10
MAX_INTERVAL_FACTOR = 4
MAX_EXPONENT = 5.0
MIN_EXPONENT = 0.01  # halving the error would take 2**100 times the images
BISECTIONS = 40
REFUSALS = {
    "absent": "there is no labeled train image, or no validation image",
    "few": f"there are fewer than {MIN_VALIDATION_IMAGES} validation images",
    "perfect": "no validation image is misclassified",
    "flat": "more images have not lowered the error so far",
    "seeds": f"fewer than {MIN_SEEDS} seeds cannot tell what other labeled images would give",
    "wide": f"the interval spans more than a factor of {MAX_INTERVAL_FACTOR}; more validation images or seeds help",
}


def estimate_sample_size(
    cells: pd.DataFrame, counts: pd.DataFrame, line: str, goal: float | None = None, seed: int = 0
) -> pd.DataFrame:
    """Fit error = level * images^-exponent to a line, over all images and by class, and extrapolate it to a goal.

    The law is fitted by maximum Poisson likelihood of the errors over all fractions and seeds, with one exponent for
    all classes. 95% intervals are by a percentile bootstrap over validation images, whose laws are moved by draws of
    the mean over seeds, for other labeled images; they hold no deviations from the law. docs/statistics.md has the
    simulated coverage. `counts` are the labeled train images:
    `label_fraction, seed, class_name, images`. `goal` is the accuracy, and the recall of each class, between 0 and 1;
    None halves the error.

    Returns a row of all images (`class_name` is ""), then one a class, the largest `gain` first: `class_name, images`
    (labeled at the largest fraction; mean over seeds, as `error`), `judged` (validation images), `error, fitted` (the
    law's error), `exponent, exponent_low, exponent_high, goal` (an error), `required_images, low, high` (labeled images
    in all), `additional_images`, `gain` (by which one more image of the class lowers its error), `note` (why there is
    no estimate). Raises ValueError for an impossible goal, an unknown line, or fewer than three sizes of the train set.
    """
    if goal is not None and not 0 < goal < 1:
        raise ValueError(f"Expected a goal, the accuracy wanted, between 0 and 1. Received: {goal}.")
    rows = rows_of_line(scored_rows(cells, "validation"), line)
    n = rows["image_id"].nunique()
    points = rows.iloc[::n]  # one row a cell
    sizes = points["images"].unique()
    if len(sizes) < MIN_TRAIN_SIZES:
        raise ValueError(
            f"Line {line!r} was trained on {len(sizes)} numbers of labeled images: {tuple(map(int, sizes))}. Expected "
            f"at least {MIN_TRAIN_SIZES}. Name three fractions or more with fractions=."
        )
    class_names = class_names_of_table(cells.iloc[:, 4:])
    wrong = (rows["predicted_class"] != rows["true_class"]).to_numpy().reshape(-1, n)
    truth = rows["true_class"].to_numpy()[:n]
    by_cell = counts.pivot(index=["label_fraction", "seed"], columns="class_name", values="images")
    by_cell = by_cell.loc[pd.MultiIndex.from_frame(points[["label_fraction", "seed"]])].reindex(columns=class_names)
    whole = _law_table([""], [wrong], points["images"].to_numpy()[None], points, goal, seed)
    of_class = [wrong[:, truth == name] for name in class_names]
    classes = _law_table(class_names, of_class, by_cell.fillna(0).to_numpy().T, points, goal, seed)
    classes = classes.sort_values("gain", ascending=False, kind="stable")
    return pd.concat([whole.assign(gain=np.nan), classes], ignore_index=True)


def next_class(table: pd.DataFrame) -> str:
    """Return the class with an estimate whose additional images gain most; "" where no class has an estimate."""
    followed = table[(table["class_name"] != "") & (table["note"] == "")]
    return "" if followed.empty else followed.loc[followed["gain"].idxmax(), "class_name"]


def _law_table(
    class_names: list[str],
    wrong: list[np.ndarray],
    images: np.ndarray,
    runs: pd.DataFrame,
    goal: float | None,
    seed: int,
) -> pd.DataFrame:
    """Return the rows of the table: `wrong` (runs, judged images) a class, `images` (classes, runs), a row a run."""
    last = (runs["label_fraction"] == runs["label_fraction"].max()).to_numpy()
    judged = np.array([of_class.shape[1] for of_class in wrong])
    errors = _count_errors(wrong, seed)
    now = images[:, last].mean(axis=1)
    exponents, fitted = _fit(errors, judged, images, now)
    seeds = [(runs["seed"] == number).to_numpy() for number in runs["seed"].unique()]
    of_seeds = [_fit(errors[:1, :, of_seed], judged, images[:, of_seed], now) for of_seed in seeds]
    moves = _seed_moves(*map(np.concatenate, zip(*of_seeds, strict=True)), seed)
    exponents[1:], fitted[1:] = exponents[1:] + moves[0], fitted[1:] * moves[1]
    wanted = np.where(fitted > 0, fitted / 2, np.nan) if goal is None else np.full_like(fitted, 1 - goal)
    # How many times the images of today the goal takes, in logarithms, which do not overflow.
    log_factors = np.log(np.maximum(fitted / wanted, 1)) / np.maximum(exponents, MIN_EXPONENT)[:, None]
    low, high = np.array([percentile_interval(of_class) for of_class in log_factors[1:].T]).T
    exponent_low, exponent_high = percentile_interval(exponents[1:])
    is_refused = {
        "absent": (now == 0) | (judged == 0),
        "few": judged < MIN_VALIDATION_IMAGES,
        "perfect": ~(fitted[0] > 0),
        "flat": np.full(len(now), not exponents[0] > 0),
        "seeds": np.full(len(now), len(seeds) < MIN_SEEDS),
        "wide": ~(high - low <= np.log(MAX_INTERVAL_FACTOR)),
    }
    reasons = np.select([is_refused[why] for why in REFUSALS], list(REFUSALS.values()), "")
    needed, low, high = (now * np.exp(np.where(reasons == "", power, np.nan)) for power in (log_factors[0], low, high))
    return pd.DataFrame(
        {
            "class_name": class_names,
            "images": now,
            "judged": judged,
            "error": errors[0][:, last].mean(axis=1) / np.where(judged > 0, judged, np.nan),
            "fitted": np.where(is_refused["absent"], np.nan, fitted[0]),
            "exponent": exponents[0],
            "exponent_low": exponent_low,
            "exponent_high": exponent_high,
            "goal": wanted[0],
            "required_images": needed,
            "low": low,
            "high": high,
            "additional_images": np.ceil(needed - now),
            "gain": exponents[0] * fitted[0] / np.where(is_refused["absent"], np.nan, now),
            "note": reasons,
        }
    )


def _count_errors(wrong: list[np.ndarray], seed: int) -> np.ndarray:
    """Return errors by class and run, (1 + resamples, classes, runs): of all images, then of resampled ones."""
    rng, errors = np.random.default_rng(seed), []
    for of_class in wrong:
        n = of_class.shape[1]
        draws = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) if n else np.zeros((RESAMPLES, 0))
        errors.append(np.vstack([np.ones(n), draws]) @ of_class.T)
    return np.stack(errors, axis=1)


def _fit(errors: np.ndarray, judged: np.ndarray, images: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exponents = _fit_exponents(errors, images)
    return exponents, _fit_errors(errors, judged, images, exponents, now)


def _seed_moves(exponents: np.ndarray, fitted: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw how far the mean over seeds is off: of the exponent (resamples,), the factor of errors (resamples, classes).

    `exponents` (seeds,) and `fitted` (seeds, classes) are of the law of each seed. The draws have Student's
    distribution with the covariance of their mean.
    """
    rng, count, mean = np.random.default_rng(seed), len(exponents), fitted.mean(axis=0)
    draws = rng.normal(size=(RESAMPLES, count)) / np.sqrt(count * rng.chisquare(max(count - 1, 1), (RESAMPLES, 1)))
    relative = np.divide(fitted - mean, mean, out=np.zeros_like(fitted), where=mean > 0)
    return draws @ (exponents - exponents.mean()), np.exp(draws @ relative)


def _fit_exponents(errors: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the common exponent of all classes, (1 + resamples,); NaN where there is no error.

    The best level of a class makes expected errors equal to the observed ones. What remains falls monotonically with
    the exponent, so that bisection finds its zero: the mean log of images over expected errors minus that over
    observed.
    """
    logs, totals = np.log(np.maximum(images, 1)), errors.sum(axis=2)
    observed = (errors * logs).sum(axis=(1, 2))
    low, high = np.full(len(errors), -MAX_EXPONENT), np.full(len(errors), MAX_EXPONENT)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        expected = np.exp(-middle[:, None, None] * logs)
        steeper = (totals * (expected * logs).sum(axis=2) / expected.sum(axis=2)).sum(axis=1) > observed
        low, high = np.where(steeper, middle, low), np.where(steeper, high, middle)
    return np.where(totals.any(axis=1), middle, np.nan)


def _fit_errors(
    errors: np.ndarray, judged: np.ndarray, images: np.ndarray, exponents: np.ndarray, now: np.ndarray
) -> np.ndarray:
    """Return the error of the law at the present number of images, (1 + resamples, classes)."""
    times = np.maximum(images, 1) / np.maximum(now, 1)[:, None]
    expected = np.exp(-exponents[:, None, None] * np.log(times)).sum(axis=2)
    return errors.sum(axis=2) / np.maximum(judged, 1) / expected
