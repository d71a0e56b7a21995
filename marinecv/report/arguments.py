"""What figures are drawn of, as a notebook has it: a history, a confusion matrix, pictures."""

import os
from collections.abc import Mapping, Sequence, Set

import numpy as np
import pandas as pd
from PIL import Image

from marinecv.inputs.rgb import as_rgb, open_rgb

NO_METRICS = {"epoch", "learning_rate", "seconds"}  # of the columns of a history


def by_epoch(history) -> pd.DataFrame:
    """Return a DataFrame of what `curves` takes: `epoch`, and every column of numbers; ValueError for anything else."""
    values = history if isinstance(history, pd.DataFrame) else getattr(history, "history", history)
    if not isinstance(values, Mapping | pd.DataFrame):
        raise ValueError(f"Expected history of model.fit, its dict or a DataFrame. Received: {history!r:.60}.")
    counts = {name: np.size(values[name]) for name in values}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"Expected as many values of each in history. Received: {counts}. If validation ran every few epochs only "
            "(validation_freq), give a DataFrame with NaN for the others."
        )
    table = pd.DataFrame({name: np.atleast_1d(values[name]) for name in values}).select_dtypes("number")
    if "epoch" not in table:
        table = table.assign(epoch=np.add(getattr(history, "epoch", np.arange(len(table))), 1))
    if table.empty or NO_METRICS.issuperset(table):
        raise ValueError(f"Expected an epoch and a metric in history. Received: {len(table)} of {list(values)}.")
    return table


def square_matrix(confusion: pd.DataFrame | np.ndarray, class_names: Sequence[str] | None) -> pd.DataFrame:
    """Return a confusion matrix with the names of its classes; ValueError as `confusion_figure` says."""
    counts, own = np.asarray(confusion), isinstance(confusion, pd.DataFrame)
    is_square = counts.ndim == 2 and 0 < counts.shape[0] == counts.shape[1]
    if not is_square or counts.dtype.kind not in "iuf" or not (counts >= 0).all():
        what = f"{confusion!r:.80}, of shape {counts.shape}"
        raise ValueError(f"Expected confusion to be a square matrix of numbers from 0 on. Received: {what}.")
    if class_names is not None and (own or isinstance(class_names, str | Set) or len(class_names) != len(counts)):
        raise ValueError(
            f"Expected class_names to be a list of {len(counts)} names beside an array; a DataFrame has its own. "
            f"Received: {class_names!r:.80}."
        )
    if own and list(confusion.index) != list(confusion.columns):
        raise ValueError(
            f"Expected the same classes in the rows of confusion as in its columns. Received: {confusion!r:.160}. Put "
            "both into one order with reindex(index=names, columns=names)."
        )
    names = None if class_names is None else list(class_names)
    return confusion if own else pd.DataFrame(counts, index=names, columns=names)


def thumbnail(image, title: str, side: int) -> np.ndarray:
    """Return a path, a Pillow image or pixels in [0, 255] as RGB of at most `side` pixels; ValueError for others."""
    try:
        picture = open_rgb(image) if isinstance(image, str | os.PathLike) else as_rgb(_picture(image))
    except ValueError as error:
        raise ValueError(f"The image titled {title!r:.60}: {error}") from error
    picture.thumbnail((side, side))
    return np.asarray(picture)


def _picture(image) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    pixels = np.asarray(image)
    if pixels.ndim < 2 or pixels.shape[2:] not in ((), (1,), (3,), (4,)) or not pixels.size:
        raise ValueError(f"expected pixels of shape (height, width, 3). Received: {pixels.shape}.")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -1 and high <= 256) or (0 < max(high, -low) <= 1 and pixels.dtype != np.uint8):
        raise ValueError(f"expected pixels in [0, 255], so multiply [0, 1] by 255. Received: {low:.4g} to {high:.4g}.")
    return Image.fromarray(np.clip(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels, 0, 255).astype(np.uint8))
