"""What figures are drawn of, as a notebook has it: a history, a confusion matrix, pictures."""

import os
from collections.abc import Mapping, Sequence, Set

import numpy as np
import pandas as pd
from PIL import Image

from marinecv.inputs.rgb import as_rgb, open_rgb

NO_METRICS = {"epoch", "learning_rate", "seconds"}
"""Columns of a history that are none."""


def by_epoch(history) -> pd.DataFrame:
    """Return a table of a history as a notebook has it: `epoch`, counted from 1, and every column of numbers.

    Args:
        history: what `model.fit` returned, its `history`, or a DataFrame with a row an epoch.
    Raises:
        ValueError: it is none of these, holds no epoch or no metric, or not as many values of each.
    """
    values = history if isinstance(history, pd.DataFrame) else getattr(history, "history", history)
    if not isinstance(values, Mapping | pd.DataFrame):
        raise ValueError(
            f"Expected history as model.fit returns it, its dict or a DataFrame. Received: {history!r:.60}."
        )
    values = values if isinstance(values, pd.DataFrame) else {name: np.atleast_1d(values[name]) for name in values}
    if len({len(values[name]) for name in values}) > 1:
        counts = ", ".join(f"{len(values[name])} of {name}" for name in values)
        raise ValueError(
            f"Expected as many values of each in history. Received: {counts}. If validation ran every few epochs only "
            "(validation_freq), give a DataFrame with NaN for the others."
        )
    table = pd.DataFrame(values).select_dtypes("number")
    if "epoch" not in table:
        table = table.assign(epoch=np.add(getattr(history, "epoch", np.arange(len(table))), 1))
    if table.empty or NO_METRICS.issuperset(table):
        raise ValueError(f"Expected an epoch and a metric in history. Received: {len(table)} of {list(values)}.")
    return table


def square_matrix(confusion: pd.DataFrame | np.ndarray, class_names: Sequence[str] | None) -> pd.DataFrame:
    """Return a confusion matrix with the names of its classes.

    Raises:
        ValueError: as `confusion_figure`.
    """
    counts = np.asarray(confusion)
    is_square = counts.ndim == 2 and 0 < counts.shape[0] == counts.shape[1]
    if not is_square or counts.dtype.kind not in "iuf" or not (counts >= 0).all():
        raise ValueError(
            f"Expected confusion to be a square matrix of numbers from 0 on. Received: {confusion!r:.80}, of shape "
            f"{counts.shape}."
        )
    matrix = confusion if isinstance(confusion, pd.DataFrame) else pd.DataFrame(counts)
    if class_names is not None:
        if isinstance(confusion, pd.DataFrame) or isinstance(class_names, str | Set) or len(class_names) != len(matrix):
            raise ValueError(
                f"Expected class_names to be a list of {len(matrix)} names beside an array; a DataFrame has its own. "
                f"Received: {class_names!r:.80}."
            )
        return matrix.set_axis(list(class_names), axis=0).set_axis(list(class_names), axis=1)
    if list(matrix.index) != list(matrix.columns):
        raise ValueError(
            "Expected the same classes in the rows of confusion as in its columns. Received: "
            f"{list(matrix.index)!r:.80} and {list(matrix.columns)!r:.80}. Put both into one order with "
            "reindex(index=names, columns=names)."
        )
    return matrix


def thumbnail(image, title: str, side: int) -> np.ndarray:
    """Return a path, a Pillow image or pixels in [0, 255] as RGB of at most `side` pixels.

    Raises:
        ValueError: it cannot be decoded, or holds no pixels in [0, 255].
    """
    try:
        picture = open_rgb(image) if isinstance(image, str | os.PathLike) else as_rgb(_picture(image))
    except ValueError as error:
        raise ValueError(f"The image titled {title!r:.60}: {error}") from error
    picture.thumbnail((side, side))
    return np.asarray(picture)


def _picture(image) -> Image.Image:
    """A Pillow image of itself or of pixels in [0, 255]."""
    if isinstance(image, Image.Image):
        return image
    pixels = np.asarray(image)
    shape = pixels.shape
    pixels = pixels[..., 0] if shape[2:] == (1,) else pixels
    if pixels.ndim not in (2, 3) or shape[2:] not in ((), (1,), (3,), (4,)) or not pixels.size:
        raise ValueError(f"expected pixels of shape (height, width, 3). Received: {shape}.")
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= -1 and high <= 256) or 0 < max(high, -low) <= 1:
            raise ValueError(
                f"expected pixels in [0, 255]. Received: {low:.4g} to {high:.4g}. Multiply pixels in [0, 1] by 255."
            )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
