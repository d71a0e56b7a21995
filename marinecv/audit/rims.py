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
    uint8 `(n, 128, 128, 3)`. Returns them, and how many lines were cut off, `(n, 4)`: above, below, left, right.
    """
    borders = np.stack([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1).astype(np.int16)
    is_plain = np.abs(borders - np.median(borders, axis=2, keepdims=True)).max(axis=3) <= MAX_DIFFERENCE
    trimmed, rims = images.copy(), np.zeros((len(images), 4), int)
    for row in np.flatnonzero((is_plain.mean(axis=2) >= MIN_FIRST).any(axis=1)):
        content = images[row]
        for side in [slice(0, 2), slice(2, 4)] * NESTED:  # rows and columns in turn
            first, last = _rim(content), _rim(content[::-1])
            if 0 < first + last <= len(content) - MIN_CONTENT_PX:
                rims[row, side] += first, last
                content = content[first : len(content) - last]
            content = content.swapaxes(0, 1)
        if rims[row].any():
            trimmed[row] = Image.fromarray(content).resize(images.shape[2:0:-1], Image.Resampling.BILINEAR)
    return trimmed, rims


def _rim(lines: np.ndarray) -> int:
    """Return of how many lines the rim is that begins with the first; the last is a blend of rim and picture."""
    is_plain = (np.abs(lines - np.median(lines[0], axis=0)).max(axis=2) <= MAX_DIFFERENCE).mean(axis=1)
    number = np.arange(len(lines))
    since_plain = number - np.maximum.accumulate(np.where(is_plain >= MIN_PLAIN, number, -1))
    is_rim = (is_plain >= MIN_BESIDE_TEXT) & (since_plain <= MAX_TEXT_PX) & (is_plain[0] >= MIN_FIRST)
    end = np.append(is_rim, False).argmin()
    return end + 1 if 0 < end < len(lines) - 1 and is_plain[end - 1] - is_plain[end + 1] >= MIN_EDGE else 0
