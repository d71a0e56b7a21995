"""How far two pictures show the same: the best normalized cross-correlation of a part of one within the other."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from marinecv.audit.thumbs import in_chunks, shrunk

PART = 0.75  # of each side: the middle of one picture is searched for in the other
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # of that middle: a crop shows it enlarged
CHUNK = 256
COARSE_PX = 32
WORTH_A_LOOK = 0.5  # at 32 pixels; of random pairs hardly one in a hundred is above
LEAST = 0.5  # gray levels of standard deviation; a flatter place agrees with nothing
BLUR = 3.0  # pixels of 64: broader structure is removed, so that a common sky, tank wall or white ground does not count


def overlap(details: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the similarity of the pictures of each pair, of which one may be a crop, a shift or a mirror image.

    The middle of one slides over the other, at several scales, both ways round and mirrored. The similarity, at most 1,
    is the best normalized cross-correlation of their `details`, float `(n, 64, 64)`: brightness and contrast do not
    matter. It is computed at 32 pixels, and again at 64 for pairs above 0.5.
    """
    similarity = _agreement(in_chunks(lambda pictures: shrunk(pictures.astype(np.float32), COARSE_PX), details), pairs)
    close = np.flatnonzero(similarity > WORTH_A_LOOK)
    similarity[close] = _agreement(details, pairs[close])
    return similarity


def details(greys: np.ndarray) -> np.ndarray:
    """Remove structure that is broader than a few pixels from `(n, height, width)` pictures."""
    return greys - gaussian_filter1d(gaussian_filter1d(greys, BLUR, axis=1), BLUR, axis=2)


def _agreement(pictures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    best = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), CHUNK):
        first, second = (pictures[side].astype(np.float32) for side in pairs[start : start + CHUNK].T)
        mirrored = second[:, :, ::-1]
        ways = (first, second), (second, first), (first, mirrored), (mirrored, first)
        best[start : start + CHUNK] = np.max([_best_place(scene, other) for scene, other in ways], axis=0)
    return best


def _best_place(scenes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the best correlation of the middle of each picture with a place of its scene, over `SCALES`: `(n,)`."""
    side = scenes.shape[1]
    size = round(side * PART)
    start = (side - size) // 2
    middle = others[:, start : start + size, start : start + size]
    spectrum = np.fft.rfft2(scenes)
    sums, squares = (
        np.pad(values.astype(np.float64), ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
        for values in (scenes, scenes**2)
    )
    best = np.full(len(scenes), -1.0)
    for scale in SCALES:
        part = shrunk(middle, round(size * scale))
        k = part.shape[1]
        part = part - part.mean(axis=(1, 2), keepdims=True)
        norm = np.sqrt((part**2).sum(axis=(1, 2)))
        # Only places where the part lies wholly in the scene are taken, so the wrap-around of the FFT never counts.
        products = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(part, (side, side))), (side, side))
        products = products[:, : side - k + 1, : side - k + 1]
        mean = _boxes(sums, k) / k**2
        spread = np.sqrt(np.maximum(_boxes(squares, k) - k**2 * mean**2, k**2 * LEAST**2))
        agreement = products / (spread * np.maximum(norm, k * LEAST)[:, None, None])
        best = np.maximum(best, agreement.max(axis=(1, 2)))
    return best


def _boxes(sums: np.ndarray, k: int) -> np.ndarray:
    """Return the sums over every k by k box, from a summed-area table."""
    return sums[:, k:, k:] - sums[:, :-k, k:] - sums[:, k:, :-k] + sums[:, :-k, :-k]
