"""Rims of pictures: letterbox bars, frames and the information bars of camera traps, which are cut off."""

import numpy as np
from PIL import Image

MAX_DIFFERENCE = 5  # gray levels from the color of the rim, in each channel: compression moves them
MIN_FIRST, MIN_PLAIN, MIN_BESIDE_TEXT = 0.9, 0.97, 0.4  # fraction of a line that has it: of the first, of others
MAX_TEXT_PX = 16  # lines of text from one plain line to the next
MIN_EDGE = 0.4  # by how much that fraction falls where the rim ends: around an animal on plain ground it falls slowly
MIN_CONTENT_PX = 32  # of 128, along each side
NESTED = 2  # rims within rims, such as an information bar in a letterbox


def trim_rims(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the rims off thumbnails, and stretch what is left to their size.

    A rim is made of whole lines at a border that have one color, some perhaps with text, up to a sharp edge. Images are
    uint8 `(n, 128, 128, 3)`. Returns them, and the rows and columns that are left, `(n, 4)`: top, bottom, left, right.
    """
    borders = np.stack([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1).astype(np.int16)
    is_plain = np.abs(borders - np.median(borders, axis=2, keepdims=True)).max(axis=3) <= MAX_DIFFERENCE
    trimmed, side = images.copy(), images.shape[1]
    boxes = np.tile([0, side, 0, side], (len(images), 1))
    for row in np.flatnonzero((is_plain.mean(axis=2) >= MIN_FIRST).any(axis=1)):
        top, bottom, left, right = boxes[row]
        for _ in range(NESTED):
            top, bottom = top + _content(images[row, top:bottom, left:right])
            left, right = left + _content(images[row, top:bottom, left:right].swapaxes(0, 1))
        if bottom - top < side or right - left < side:
            content = Image.fromarray(images[row, top:bottom, left:right])
            trimmed[row], boxes[row] = (
                content.resize((side, side), Image.Resampling.BILINEAR),
                (top, bottom, left, right),
            )
    return trimmed, boxes


def _content(lines: np.ndarray) -> np.ndarray:
    """Return the first and the end of the lines between two rims: of all where hardly any would be left."""
    first, end = _rim(lines), len(lines) - _rim(lines[::-1])
    return np.array([first, end] if end - first >= MIN_CONTENT_PX else [0, len(lines)])


def _rim(lines: np.ndarray) -> int:
    """Return of how many lines the rim is that begins with the first; the last is a blend of rim and picture."""
    is_plain = (np.abs(lines - np.median(lines[0], axis=0)).max(axis=2) <= MAX_DIFFERENCE).mean(axis=1)
    number = np.arange(len(lines))
    since_plain = number - np.maximum.accumulate(np.where(is_plain >= MIN_PLAIN, number, -1))
    is_rim = (is_plain >= MIN_BESIDE_TEXT) & (since_plain <= MAX_TEXT_PX) & (is_plain[0] >= MIN_FIRST)
    end = np.append(is_rim, False).argmin()
    return end + 1 if 0 < end < len(lines) - 1 and is_plain[end - 1] - is_plain[end + 1] >= MIN_EDGE else 0
