"""The predictions table: what a model said of each image, and the only thing evaluation reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.user_tables import as_class_names, as_table, as_text, check_extra
from marinecv.schema import names
from marinecv.tables import numbers, read_table, write_table

KEYS = ("image_id", "split", "true_class", "predicted_class")
PREFIX = "p_"


def make_table(
    image_ids: Sequence[str],
    splits: Sequence[str],
    true_classes: Sequence[str],
    probabilities: np.ndarray,
    class_names: Sequence[str],
    extra: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put predictions beside the truth, one row an image: of a network, or of any classifier.

        >>> import marinecv as mcv
        >>> table = mcv.make_table(["a", "b"], "test", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
        >>> table["predicted_class"].tolist()
        ['crab', 'crab']

    Args:
        image_ids: (n,) POSIX paths relative to the data root, or other names; unique within a split.
        splits: (n,) `train`, `validation`, `test` or another name; or one for all.
        true_classes: (n,) each one of `class_names`, or "" for an image without a label.
        probabilities: (n, C), 0 to 1, each row summing to 1; kept as float32. Ties go to the earlier class.
        class_names: (C,) in the order of the columns of `probabilities`.
        extra: further columns of the images, row i for row i.

    Returns:
        DataFrame `image_id, split, true_class, predicted_class, p_<class>...` and those of `extra`, in the order given.

    Raises:
        ValueError: shapes disagree; a probability is missing or a row does not sum to 1; a class or an image is
            unknown or repeated; or a column of `extra` has the name of another.
    """
    image_ids, true_classes = (as_text(pd.Series(list(each))).tolist() for each in (image_ids, true_classes))
    class_names = as_class_names(class_names)
    splits = [splits] * len(image_ids) if isinstance(splits, str) else as_text(pd.Series(list(splits))).tolist()
    probabilities = np.asarray(probabilities)
    expected = (len(image_ids), len(class_names))
    if probabilities.shape != expected or not len(image_ids) == len(splits) == len(true_classes):
        raise ValueError(
            f"Expected one split, one true class and one row of probabilities for each image, shape {expected}. "
            f"Received: {len(splits)} splits, {len(true_classes)} true classes, shape {probabilities.shape}."
        )
    _refuse_non_probabilities(probabilities, image_ids)
    probabilities = probabilities.astype(np.float32)
    known = np.array([*class_names, ""], dtype=object)
    table = pd.DataFrame({"image_id": image_ids, "split": splits, "true_class": true_classes})
    _refuse_unknown_classes(table, known)
    _refuse_repeated_images(table)
    table["predicted_class"] = known[predicted_indices(probabilities)]
    columns = [PREFIX + name for name in class_names]
    parts = [table.astype(str), pd.DataFrame(probabilities, columns=columns)]
    if extra is not None and len(extra.columns):
        check_extra(extra)
        if len(extra) != len(table):
            raise ValueError(f"Expected extra columns of the {len(table)} images. Received: {len(extra)} rows.")
        parts.append(extra.reset_index(drop=True))
    return pd.concat(parts, axis=1)


def as_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a predictions table as `make_table` makes it, in whatever way it came from a CSV, or raise ValueError."""
    columns = [PREFIX + name for name in class_names_of_table(predictions)]
    return as_table(predictions).astype(dict.fromkeys(columns, np.float32))


def class_names_of_table(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Read the class names, in order, off the columns of a predictions table; ValueError where it is none."""
    columns = [*map(str, as_table(predictions).columns)]
    found = [column for column in columns if column.startswith(PREFIX)]
    if tuple(columns[:4]) != KEYS or columns[4 : 4 + len(found)] != found:
        raise ValueError(
            f"This is no predictions table: expected the columns {', '.join(KEYS)}, {PREFIX}<class>..., "
            f"and others behind them. Received: {', '.join(columns)}. Make one with make_table or read_predictions."
        )
    return tuple(column.removeprefix(PREFIX) for column in found)


def probabilities_of_table(predictions: pd.DataFrame) -> np.ndarray:
    """Return the probabilities of a predictions table as (n, C) float64, to the digits of float32 as it holds them."""
    columns = [PREFIX + name for name in class_names_of_table(predictions)]
    return predictions[columns].to_numpy(dtype=np.float32).astype(np.float64)


def with_truth(probabilities: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, C) float64 probabilities, and (n,) the number of the true class of each image.

    Raises ValueError where `true` is no class of each, 0 to C - 1.
    """
    probabilities, true = np.asarray(probabilities, np.float64), np.asarray(true)
    whole = probabilities.ndim == 2 and true.shape == probabilities.shape[:1] and true.dtype.kind in "iu"
    if not whole or not np.isin(true, np.arange(probabilities.shape[1])).all():
        raise ValueError(
            "Expected true to be the number of a class, a column of probabilities from 0, for each row. Received: "
            f"{true!r:.100}, of shape {true.shape}, beside probabilities of shape {probabilities.shape}."
        )
    return probabilities, true


def predicted_indices(probabilities: np.ndarray) -> np.ndarray:
    """Return the predicted class of each row of probabilities (n, C): the index of the most probable, (n,) int.

    The one place that says what is predicted: of equals the first, and of a row that is no number, any.
    """
    return np.nan_to_num(probabilities).argmax(axis=1)


def write_predictions(predictions: pd.DataFrame, path: str | Path) -> None:
    """Write a predictions table as CSV, whole or not at all; nine digits bring every float32 back."""
    write_table(path, as_predictions(predictions), float_format="%.9g")


def read_predictions(path: str | Path, class_names: Sequence[str] | None = None) -> pd.DataFrame:
    """Read what `write_predictions` wrote; the table comes back equal, columns that it does not need as text.

        >>> import marinecv as mcv
        >>> table = mcv.make_table(["a", "b"], "test", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
        >>> table.to_csv("predictions.csv", index=False)
        >>> mcv.read_predictions("predictions.csv").equals(table)
        True

    Args:
        path: of the CSV.
        class_names: the classes expected, in order: those of the run it belongs to.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no predictions table, of other classes, or a row is none that `make_table` makes.
    """
    table = read_table(path)
    try:
        found = names(class_names_of_table(table), "The classes")
        if class_names is not None and tuple(class_names) != found:
            raise ValueError(
                f"Expected the classes {tuple(class_names)}, in order, as the run has them. Found {found}."
            )
        columns = [PREFIX + name for name in found]
        probabilities, extra = numbers(table, columns, path)[columns].to_numpy(), table.drop(columns=[*KEYS, *columns])
        made = make_table(*(table[key].tolist() for key in KEYS[:3]), probabilities, found, extra)
        other = made["predicted_class"] != table["predicted_class"]
        if other.any():
            row = table[other].iloc[0]
            raise ValueError(
                f"{row['image_id']} ({row['split']}) has the predicted class {row['predicted_class']!r}, and the "
                f"largest probability for {made['predicted_class'][other].iloc[0]!r}. Expected the same class."
            )
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be used: {error} Bring it back from a copy; of a run, delete it and metrics.json and "
            "resume with --resume."
        ) from error
    return made


def _refuse_non_probabilities(probabilities: np.ndarray, image_ids: Sequence[str]) -> None:
    with np.errstate(invalid="ignore"):
        fine = (probabilities >= 0).all(axis=1) & (abs(probabilities.sum(axis=1) - 1) < 1e-2)
    if not fine.all():
        first = int(fine.argmin())
        raise ValueError(
            f"{(~fine).sum()} of {len(fine)} rows are no probabilities; the first is {image_ids[first]}: "
            f"{probabilities[first].tolist()}. Expected numbers from 0 to 1 with sum 1. End the model with a softmax; "
            "where they are NaN, training has diverged: lower the learning rate."
        )


def _refuse_unknown_classes(table: pd.DataFrame, names: np.ndarray) -> None:
    unknown = table[~table["true_class"].isin(names)]
    if len(unknown):
        row = unknown.iloc[0]
        raise ValueError(
            f"{len(unknown)} of {len(table)} images have a class the model does not know; the first is "
            f"{row['image_id']}: {row['true_class']!r}. Expected one of {tuple(names[:-1])}, or '' for no label."
        )


def _refuse_repeated_images(table: pd.DataFrame) -> None:
    repeated = table[table.duplicated(["image_id", "split"])]
    if len(repeated):
        row = repeated.iloc[0]
        raise ValueError(
            f"{len(repeated)} of {len(table)} rows repeat an image of their split; the first is {row['image_id']} "
            f"({row['split']}). Expected one row an image: predict on a dataset that is neither repeated nor augmented."
        )
