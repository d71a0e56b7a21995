"""How similar two pictures are of which one may be a crop, a shift, a mirror image or a rotation of the other."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.fft import irfft, irfft2, rfft, rfft2
from scipy.ndimage import gaussian_filter1d, map_coordinates

from marinecv.audit.thumbnails import in_chunks, in_threads, resize_by_area

TEMPLATE_FRACTION = 0.75  # of each side: the middle of one picture is searched for in the other
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # of that middle: a crop shows it enlarged
PAIRS_A_CHUNK = 256
COARSE_PX = 32
MIN_COARSE_SIMILARITY = 0.45  # at 32 pixels and every other scale; of random pairs one in a hundred is above
MIN_POLAR_SIMILARITY = 0.5  # of polar maps; the same
MIN_DEVIATION = 0.5  # gray levels of standard deviation; a flatter place agrees with nothing
BLUR = 3.0  # pixels of 64: broader structure is removed, so that a common sky, tank wall or white ground does not count
ANGLES = np.arange(72) * 2 * np.pi / 72  # of a polar map, whose finest structure is 1 pixel of 64
RADII = np.geomspace(0.2, 0.95, 20)  # of its rings, of half the shorter side
MAX_ZOOM = 4  # rings: 1.4 times
MIN_COVERED = 0.8  # of the middle three quarters, by a picture turned back: a part alone is often alike


def remove_broad_structure(grays: np.ndarray) -> np.ndarray:
    """Remove structure that is broader than a few pixels from `(n, height, width)` pictures."""
    return grays - _blurred(grays, BLUR)


def even_out(details: np.ndarray) -> np.ndarray:
    """Return details relative to how strong they are nearby, so that faint structure counts as much as strong."""
    details = details.astype(np.float32)
    return (10 * details / (np.sqrt(_blurred(details**2, BLUR)) + 1)).astype(np.float16)


def template_similarity(details: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the similarity of the pictures of each pair, of which one may be a crop, a shift or a mirror image.

    The middle of one slides over the other, at several scales, both ways round and mirrored. The similarity, at most 1,
    is the best normalized cross-correlation of their `details`, float `(n, 64, 64)`: brightness and contrast do not
    matter. It is computed at 32 pixels and every other scale, and at 64 and all for pairs above 0.45.
    """
    coarse = in_chunks(lambda pictures: resize_by_area(pictures.astype(np.float32), COARSE_PX), details)
    similarity = _of_chunks(lambda chunk: _best_correlation(coarse, chunk, scales=SCALES[::2]), pairs)
    close = np.flatnonzero(similarity > MIN_COARSE_SIMILARITY)
    similarity[close] = _of_chunks(lambda chunk: _best_correlation(details, chunk), pairs[close])
    return similarity


def rotated_similarity(details: np.ndarray, ratios: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the similarity of the pictures of each pair, of which one may be a rotation of the other by any angle.

    Angle, zoom and mirroring are those at which their polar maps correlate best. Of pairs above 0.5 one is turned back,
    and they are compared as by `template_similarity`; the others have the similarity 0. `ratios`, `(n,)`, are width to
    height of the pictures before they were made square.
    """
    maps = _polar_maps(details, ratios)

    def compare(pairs: np.ndarray) -> np.ndarray:
        polar, turns = _best_turn(*maps[pairs.T].astype(np.float32))
        similarity, close = np.zeros(len(pairs), np.float32), np.flatnonzero(polar > MIN_POLAR_SIMILARITY)
        turned = [
            _turned_back(details[j], ratios[i], ratios[j], turns[k])
            for k, (i, j) in zip(close, pairs[close], strict=True)
        ]
        if turned:
            pictures, places = np.concatenate([details[pairs[close, 0]], turned]), np.arange(2 * len(close))
            similarity[close] = _best_correlation(pictures, places.reshape(2, -1).T, mirrored=False)
        return similarity

    return _of_chunks(compare, pairs)


def _polar_maps(details: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Return the details along rings about the middle, float16 `(n, 20, 72)`: a rotation shifts them along a ring.

    A zoom shifts them from ring to ring, for radii grow by a constant factor.
    """
    across, down = np.multiply.outer(RADII, np.cos(ANGLES)), np.multiply.outer(RADII, np.sin(ANGLES))
    maps = np.empty((len(details), *across.shape), np.float16)
    for row, (picture, ratio) in enumerate(zip(details, ratios, strict=True)):
        maps[row] = _sampled(_blurred(picture[None].astype(np.float32), 1)[0], ratio, across, down, order=1)
    return maps


def _sampled(picture: np.ndarray, ratio: float, across: np.ndarray, down: np.ndarray, order: int) -> np.ndarray:
    """Return a picture at places in halves of its shorter side from its middle; outside of it NaN."""
    places = np.stack([down * min(1, ratio), across * min(1, 1 / ratio)]) * len(picture) / 2 + (len(picture) - 1) / 2
    return map_coordinates(picture, places, order=order, cval=np.nan)


def _best_turn(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best correlation of polar maps, `(n,)`, and at which (angle, zoom, 1 or -1 if mirrored), `(n, 3)`."""
    spectra, others = rfft(first).conj(), rfft(second)
    energy, other_energy = (first**2).sum(axis=2), (second**2).sum(axis=2)
    rows, rings = np.arange(len(first)), len(RADII)
    best, turns = np.full(len(first), -1.0, np.float32), np.zeros((len(first), 3))
    for zoom in range(-MAX_ZOOM, MAX_ZOOM + 1):
        here, there = slice(max(0, -zoom), rings - max(0, zoom)), slice(max(0, zoom), rings + min(0, zoom))
        norm = np.sqrt(energy[:, here].sum(axis=1) * other_energy[:, there].sum(axis=1)) + 1e-6
        for flip, spectrum in ((1, others), (-1, others.conj())):
            products = np.einsum("nra,nra->na", spectra[:, here], spectrum[:, there])
            correlation = irfft(products, len(ANGLES)) / norm[:, None]
            angle = correlation.argmax(axis=1)
            before, top, after = (correlation[rows, (angle + beside) % len(ANGLES)] for beside in (-1, 0, 1))
            angle = angle + 0.5 * (before - after) / np.minimum(before + after - 2 * top, -1e-6)  # top of a parabola
            better = top > best
            best[better], turns[better, 0] = top[better], angle[better] * ANGLES[1]
            turns[better, 1:] = (RADII[1] / RADII[0]) ** zoom, flip
    return best, turns


def _turned_back(picture: np.ndarray, ratio: float, own_ratio: float, turn: np.ndarray) -> np.ndarray:
    """Return a picture turned, zoomed and mirrored so that it lies as the other, whose width to height is `ratio`.

    It is 0 outside, and all 0 if little of the other's middle would be covered.
    """
    (angle, zoom, flip), side = turn, len(picture)
    down, across = (np.mgrid[:side, :side] - (side - 1) / 2) * 2 / side
    across, down = zoom * max(1, ratio) * across, zoom * max(1, 1 / ratio) * down
    cos, sin = np.cos(angle), np.sin(angle)
    across, down = cos * across - sin * down, flip * (sin * across + cos * down)
    turned = _sampled(picture.astype(np.float32), own_ratio, across, down, order=3)
    middle = slice(side // 8, -side // 8)
    is_covered = np.isfinite(turned[middle, middle]).mean() >= MIN_COVERED
    return np.nan_to_num(turned) if is_covered else np.zeros_like(turned)


def _blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter1d(gaussian_filter1d(pictures, sigma, axis=1), sigma, axis=2)


def _of_chunks(function: Callable[[np.ndarray], np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Apply a function to 256 pairs at a time."""
    chunks = np.split(pairs, range(PAIRS_A_CHUNK, len(pairs), PAIRS_A_CHUNK)) if len(pairs) else []
    return np.concatenate([np.empty(0, np.float32), *in_threads(function, chunks)])


def _best_correlation(
    pictures: np.ndarray, pairs: np.ndarray, mirrored: bool = True, scales: Sequence[float] = SCALES
) -> np.ndarray:
    """Return the best correlation of the middle of either picture of a pair with a place of the other, `(n,)`.

    It is the best over the scales, and over the middle and its mirror image if `mirrored`.
    """
    used, positions = np.unique(pairs, return_inverse=True)
    pictures, pairs = pictures[used].astype(np.float32), positions.reshape(-1, 2)
    side = pictures.shape[1]
    size = round(side * TEMPLATE_FRACTION)
    start = (side - size) // 2
    middles, spectra = pictures[:, start : start + size, start : start + size], rfft2(pictures)
    padded = (np.pad(values.astype(np.float64), ((0, 0), (1, 0), (1, 0))) for values in (pictures, pictures**2))
    sums, squares = (values.cumsum(1).cumsum(2) for values in padded)
    best = np.full(len(pairs), -1.0, np.float32)
    for k in (round(size * scale) for scale in scales):
        middle = resize_by_area(middles, k)
        middle -= middle.mean(axis=(1, 2), keepdims=True)
        middle /= np.maximum(np.linalg.norm(middle, axis=(1, 2), keepdims=True), k * MIN_DEVIATION)
        variance = _boxes(squares, k) - _boxes(sums, k) ** 2 / k**2
        spread = np.sqrt(np.maximum(variance, (k * MIN_DEVIATION) ** 2)).astype(np.float32)
        for turned in (middle, middle[:, :, ::-1])[: 1 + mirrored]:
            searched = rfft2(turned, (side, side)).conj()
            for scenes, others in (pairs.T, pairs.T[::-1]):
                # Only places where the part lies wholly in the scene are taken: the wrap-around never counts.
                products = irfft2(spectra[scenes] * searched[others], (side, side))[:, : side - k + 1, : side - k + 1]
                best = np.maximum(best, (products / spread[scenes]).max(axis=(1, 2)))
    return best


def _boxes(sums: np.ndarray, k: int) -> np.ndarray:
    """Return the sums over every k by k box, from a summed-area table."""
    return sums[:, k:, k:] - sums[:, :-k, k:] - sums[:, k:, :-k] + sums[:, :-k, :-k]
