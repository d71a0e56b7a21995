"""Positions of an image and its boxes in the input tensor of a model."""

import numpy as np

from marinecv.inputs.spec import ImageSpec

BLOB_WIDTH = 0.25
"""Standard deviation of the center blob, as a fraction of the picture's width and of its height."""


def to_input(corners: np.ndarray, width: int, height: int, spec: ImageSpec) -> np.ndarray:
    """Convert boxes from pixels of an image to pixels of the tensor that `fit_image` makes of it: float64 `(n, 4)`.

    Corners are xmin, ymin, xmax, ymax of edges, so a box of the whole image is 0, 0, width, height.
    """
    corners = np.asarray(corners, float).reshape(-1, 4)
    size, out = np.array([width, height]), np.array([spec.width, spec.height])
    if spec.fit == "stretch":
        scale, offset = out / size, np.zeros(2)
    else:
        side = max(width, height, spec.letterbox_px or 0)
        scale = out / side
        offset = (side - size) // 2 * out / side
    return corners * np.tile(scale, 2) + np.tile(offset, 2)


def picture_corners(width: int, height: int, spec: ImageSpec) -> np.ndarray:
    """Return the corners of the image itself, without padding, in the tensor: `(4,)`."""
    return to_input([0, 0, width, height], width, height, spec)[0]


def cover(corners: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Return the fraction of each pixel that lies in one of some boxes, `(n, 4)` as of `to_input`.

    Float64 `(spec.height, spec.width)` in [0, 1]; if boxes overlap within a pixel, the larger fraction counts.
    """
    mask = np.zeros(spec.shape[:2])
    for xmin, ymin, xmax, ymax in corners:
        mask = np.maximum(mask, np.outer(_fractions(ymin, ymax, spec.height), _fractions(xmin, xmax, spec.width)))
    return mask


def center_blob(width: int, height: int, spec: ImageSpec) -> np.ndarray:
    """Return a Gaussian in the middle of the picture, 0 on padding: the baseline that photographers center animals.

    Float64 `(spec.height, spec.width)` in [0, 1]; see `BLOB_WIDTH`.
    """
    xmin, ymin, xmax, ymax = corners = picture_corners(width, height, spec)
    blob = np.outer(_bell(ymin, ymax, spec.height), _bell(xmin, xmax, spec.width))
    return blob * cover([corners], spec)


def hottest_pixel(heat: np.ndarray) -> tuple[int, int]:
    """Return row and column of the largest value; of several the one nearest their common center."""
    hottest = np.argwhere(heat == heat.max())
    row, column = hottest[((hottest - hottest.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return int(row), int(column)


def _fractions(low: float, high: float, length: int) -> np.ndarray:
    """Return the fraction of each of `length` pixels in a row that lies between two edges."""
    starts = np.arange(length)
    return np.clip(np.minimum(high, starts + 1) - np.maximum(low, starts), 0, 1)


def _bell(low: float, high: float, length: int) -> np.ndarray:
    centers = np.arange(length) + 0.5
    return np.exp(-0.5 * ((centers - (low + high) / 2) / (BLOB_WIDTH * (high - low))) ** 2)
