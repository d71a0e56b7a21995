"""The predictions table: one row an image with truth and probabilities; the input of all metrics."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.user_tables import as_class_names, as_table, as_text, check_extra_columns
from marinecv.files.csv_tables import parse_numbers, read_table, write_table
from marinecv.schema import names

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
    """Make a predictions table, one row an image, from the outputs of a network or of any classifier.

        >>> import marinecv as mcv
        >>> table = mcv.make_table(["a", "b"], "test", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
        >>> table["predicted_class"].tolist()
        ['crab', 'crab']

    Args:
        image_ids: (n,) POSIX paths relative to the data root, or other names; unique within a split.
        splits: (n,) `train`, `validation`, `test` or another name; or one for all.
        true_classes: (n,) each one of `class_names`, or "" for an image without a label.
        probabilities: (n, C), 0 to 1, each row summing to 1; stored as float32. Ties go to the earlier class.
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
    table = pd.DataFrame({"image_id": image_ids, "split": splits, "true_class": true_classes})
    _check_rows(table, probabilities, class_names)
    probabilities = probabilities.astype(np.float32)
    table["predicted_class"] = np.array(class_names, dtype=object)[predicted_indices(probabilities)]
    columns = [PREFIX + name for name in class_names]
    parts = [table.astype(str), pd.DataFrame(probabilities, columns=columns)]
    if extra is not None and len(extra.columns):
        check_extra_columns(extra)
        if len(extra) != len(table):
            raise ValueError(f"Expected extra columns of the {len(table)} images. Received: {len(extra)} rows.")
        parts.append(extra.reset_index(drop=True))
    return pd.concat(parts, axis=1)


def as_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a predictions table, such as pandas reads from CSV, with the types of `make_table`; or ValueError."""
    columns = [PREFIX + name for name in class_names_of_table(predictions)]
    return as_table(predictions).astype(dict.fromkeys(columns, np.float32))


def class_names_of_table(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return the class names of a predictions table, in the order of its columns; ValueError where it is none."""
    columns = [*map(str, as_table(predictions).columns)]
    found = [column for column in columns if column.startswith(PREFIX)]
    if tuple(columns[:4]) != KEYS or columns[4 : 4 + len(found)] != found:
        raise ValueError(
            f"This is no predictions table: expected the columns {', '.join(KEYS)}, {PREFIX}<class>..., "
            f"and others behind them. Received: {', '.join(columns)}. Make one with make_table or read_predictions."
        )
    return tuple(column.removeprefix(PREFIX) for column in found)


def probabilities_of_table(predictions: pd.DataFrame) -> np.ndarray:
    """Return the probabilities of a predictions table, (n, C) float64 with the digits of float32."""
    columns = [PREFIX + name for name in class_names_of_table(predictions)]
    return predictions[columns].to_numpy(dtype=np.float32).astype(np.float64)


def probabilities_and_labels(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, C) and the index of the true class (n,) of a labeled predictions table."""
    names = list(class_names_of_table(predictions))
    return probabilities_of_table(predictions), as_predictions(predictions)["true_class"].map(names.index).to_numpy(int)


def predicted_indices(probabilities: np.ndarray) -> np.ndarray:
    """Return the index of the most probable class of each row (n, C), (n,) int; ties go to the first, NaN is 0."""
    return np.nan_to_num(probabilities).argmax(axis=1)


def write_predictions(predictions: pd.DataFrame, path: str | Path) -> None:
    """Write a predictions table as CSV, whole or not at all, with the nine digits that restore every float32."""
    write_table(path, as_predictions(predictions), float_format="%.9g")


def read_predictions(path: str | Path, class_names: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a predictions table from CSV, equal to the one written; columns of `extra` are text.

        >>> import marinecv as mcv
        >>> table = mcv.make_table(["a", "b"], "test", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
        >>> table.to_csv("predictions.csv", index=False)
        >>> mcv.read_predictions("predictions.csv").equals(table)
        True

    Args:
        path: of the CSV.
        class_names: the classes expected, in order; None takes those of the file.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no predictions table, has other classes, or a row that `make_table` refuses.
    """
    table = read_table(path)
    try:
        found = names(class_names_of_table(table), "The classes")
        if class_names is not None and tuple(class_names) != found:
            raise ValueError(f"Expected the classes {tuple(class_names)}, in order. Received: {found}.")
        columns = [PREFIX + name for name in found]
        probabilities = parse_numbers(table, columns, path)[columns].to_numpy()
        extra = table.drop(columns=[*KEYS, *columns])
        made = make_table(*(table[key].tolist() for key in KEYS[:3]), probabilities, found, extra)
        other = made["predicted_class"] != table["predicted_class"]
        if other.any():
            image_id, split, _, received = table.loc[other, list(KEYS)].iloc[0]
            raise ValueError(
                f"{image_id} ({split}) has the predicted class {received!r}, and the largest probability for "
                f"{made['predicted_class'][other].iloc[0]!r}. Expected the same class."
            )
    except ValueError as error:
        fix = "Restore it from a copy; of a run, delete it and metrics.json, then resume the run."
        raise ValueError(f"{path} cannot be used: {error} {fix}") from error
    return made


def _check_rows(table: pd.DataFrame, probabilities: np.ndarray, class_names: Sequence[str]) -> None:
    """Raise ValueError for rows that are no predictions, and name the first of them."""
    with np.errstate(invalid="ignore"):
        is_distribution = (probabilities >= 0).all(axis=1) & (abs(probabilities.sum(axis=1) - 1) < 1e-2)
    softmax = "Expected 0 to 1, sum 1. End the model with a softmax; NaN: training diverged, lower the learning rate."
    once = "Expected one row an image: predict on a dataset that is neither repeated nor augmented."
    known = f"Expected one of {tuple(class_names)}, or '' for no label."
    for wrong, problem, fix in (
        (~is_distribution, "are no probabilities", softmax),
        (~table["true_class"].isin([*class_names, ""]).to_numpy(), "have an unknown class", known),
        (table.duplicated(["image_id", "split"]).to_numpy(), "repeat an image of their split", once),
    ):
        if wrong.any():
            first, values = table[wrong].iloc[0], probabilities[wrong][0].tolist()
            raise ValueError(
                f"{wrong.sum()} of {len(table)} rows {problem}; the first is {first['image_id']} ({first['split']}), "
                f"class {first['true_class']!r}, {values!s:.80}. {fix}"
            )
