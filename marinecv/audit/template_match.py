"""How similar two pictures are of which one may be a crop, a shift, a mirror image or a rotation of the other."""

import numpy as np
from scipy.fft import irfft, irfft2, rfft, rfft2
from scipy.ndimage import gaussian_filter1d, map_coordinates

from marinecv.audit.thumbnails import in_chunks, resize_by_area

TEMPLATE_FRACTION = 0.75  # of each side: the middle of one picture is searched for in the other
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # of that middle: a crop shows it enlarged
PAIRS_A_CHUNK = 256
COARSE_PX = 32
MIN_COARSE_SIMILARITY = 0.5  # at 32 pixels; of random pairs hardly one in a hundred is above
MIN_DEVIATION = 0.5  # gray levels of standard deviation; a flatter place agrees with nothing
BLUR = 3.0  # pixels of 64: broader structure is removed, so that a common sky, tank wall or white ground does not count
RINGS, ANGLES = 20, 72  # of a polar map
MIN_RADIUS, MAX_RADIUS = 0.2, 0.95  # of the rings, of half the shorter side
FINEST = 1.0  # pixels of 64: finer structure is left out of a polar map, whose places lie 3 apart at its border
MAX_ZOOM = 4  # rings: 1.4 times
MIN_POLAR_SIMILARITY = 0.5


def remove_broad_structure(grays: np.ndarray) -> np.ndarray:
    """Remove structure that is broader than a few pixels from `(n, height, width)` pictures."""
    return grays - _blurred(grays, BLUR)


def even_out(details: np.ndarray) -> np.ndarray:
    """Return details relative to how strong they are nearby, so that faint structure counts as much as strong."""
    details = details.astype(np.float32)
    return (10 * details / (np.sqrt(_blurred(details**2, BLUR)) + 1)).astype(np.float16)


def _blurred(grays: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter1d(gaussian_filter1d(grays, sigma, axis=1), sigma, axis=2)


def template_similarity(details: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the similarity of the pictures of each pair, of which one may be a crop, a shift or a mirror image.

    The middle of one slides over the other, at several scales, both ways round and mirrored. The similarity, at most 1,
    is the best normalized cross-correlation of their `details`, float `(n, 64, 64)`: brightness and contrast do not
    matter. It is computed at 32 pixels, and again at 64 for pairs above 0.5.
    """
    coarse = in_chunks(lambda pictures: resize_by_area(pictures.astype(np.float32), COARSE_PX), details)
    similarity = _by_chunks(lambda first, second: _both_mirrored(coarse[first], coarse[second]), pairs)
    close = np.flatnonzero(similarity > MIN_COARSE_SIMILARITY)
    fine = _by_chunks(lambda first, second: _both_mirrored(details[first], details[second]), pairs[close])
    similarity[close] = fine
    return similarity


def rotated_similarity(details: np.ndarray, ratios: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the similarity of the pictures of each pair, of which one may be a rotation of the other by any angle.

    Angle, zoom and mirroring are those at which their polar maps correlate best. Of pairs above 0.5 one is turned back,
    and they are compared as by `template_similarity`; the others have the similarity 0. `ratios`, `(n,)`, are width to
    height of the pictures before they were made square.
    """
    maps = polar_maps(details, ratios)

    def rotated(first, second):
        polar, turns = _best_turn(maps[first].astype(np.float32), maps[second].astype(np.float32))
        similarity, close = np.zeros(len(first), np.float32), np.flatnonzero(polar > MIN_POLAR_SIMILARITY)
        if len(close):
            a, b = first[close], second[close]
            turned = [_turned_back(*each) for each in zip(details[b], ratios[a], ratios[b], turns[close], strict=True)]
            similarity[close] = _both_ways(details[a].astype(np.float32), np.array(turned, np.float32))
        return similarity

    return _by_chunks(rotated, pairs)


def polar_maps(details: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Return the details along rings about the middle, float16 `(n, 20, 72)`: a rotation shifts them along a ring.

    A zoom shifts them from ring to ring, for radii grow by a constant factor.
    """
    radii = np.geomspace(MIN_RADIUS, MAX_RADIUS, RINGS)
    angles = np.arange(ANGLES) * 2 * np.pi / ANGLES
    across, down = np.multiply.outer(radii, np.cos(angles)), np.multiply.outer(radii, np.sin(angles))
    maps = np.empty((len(details), RINGS, ANGLES), np.float16)
    for row, picture in enumerate(details):
        wide, high = _half_sides(ratios[row])
        smooth = _blurred(picture[None].astype(np.float32), FINEST)[0]
        maps[row] = map_coordinates(smooth, _pixels(across / wide, down / high, len(picture)), order=1, mode="nearest")
    return maps


def _half_sides(ratio: float) -> tuple[float, float]:
    """Return half the width and height of a picture in halves of its shorter side."""
    return max(1.0, ratio), max(1.0, 1 / ratio)


def _pixels(across: np.ndarray, down: np.ndarray, side: int) -> np.ndarray:
    """Return rows and columns of places in a square picture, from -1 to 1 across and down."""
    return np.stack([down, across]) * side / 2 + (side - 1) / 2


def _best_turn(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best correlation of polar maps, `(n,)`, and at which (angle, zoom, 1 or -1 if mirrored), `(n, 3)`."""
    spectra, others = rfft(first), rfft(second)
    energy, other_energy = (first**2).sum(axis=2), (second**2).sum(axis=2)
    rows, step = np.arange(len(first)), (MAX_RADIUS / MIN_RADIUS) ** (1 / (RINGS - 1))
    best, turns = np.full(len(first), -1.0, np.float32), np.zeros((len(first), 3), np.float32)
    for zoom in range(-MAX_ZOOM, MAX_ZOOM + 1):
        here, there = slice(max(0, -zoom), RINGS - max(0, zoom)), slice(max(0, zoom), RINGS + min(0, zoom))
        norm = np.sqrt(energy[:, here].sum(axis=1) * other_energy[:, there].sum(axis=1)) + 1e-6
        for flip, spectrum in ((1, others), (-1, others.conj())):
            products = np.einsum("nra,nra->na", spectra[:, here].conj(), spectrum[:, there])
            correlation = irfft(products, ANGLES) / norm[:, None]
            angle = correlation.argmax(axis=1)
            before, top, after = (correlation[rows, (angle + beside) % ANGLES] for beside in (-1, 0, 1))
            angle = angle + 0.5 * (before - after) / np.minimum(before + after - 2 * top, -1e-6)  # top of a parabola
            better = top > best
            best[better], turns[better, 0], turns[better, 1:] = top[better], angle[better], (step**zoom, flip)
    return best, turns * [2 * np.pi / ANGLES, 1, 1]


def _turned_back(picture: np.ndarray, ratio: float, own_ratio: float, turn: np.ndarray) -> np.ndarray:
    """Return a picture turned, zoomed and mirrored so that it lies as the other, whose width to height is `ratio`."""
    (angle, zoom, flip), side = turn, len(picture)
    down, across = (np.mgrid[:side, :side] - (side - 1) / 2) * 2 / side
    (wide, high), (own_wide, own_high) = _half_sides(ratio), _half_sides(own_ratio)
    across, down, cos, sin = zoom * wide * across, zoom * high * down, np.cos(angle), np.sin(angle)
    places = _pixels((cos * across - sin * down) / own_wide, flip * (sin * across + cos * down) / own_high, side)
    return map_coordinates(picture.astype(np.float32), places, order=3)


def _by_chunks(function, pairs: np.ndarray) -> np.ndarray:
    """Apply a function of the first and second pictures to 256 pairs at a time."""
    chunks = np.split(pairs, range(PAIRS_A_CHUNK, len(pairs), PAIRS_A_CHUNK))
    return np.concatenate([function(*chunk.T) for chunk in chunks]) if len(pairs) else np.empty(0, np.float32)


def _both_mirrored(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = first.astype(np.float32), second.astype(np.float32)
    return np.maximum(_both_ways(first, second), _both_ways(first, second[:, :, ::-1]))


def _both_ways(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.maximum(_best_correlation(first, second), _best_correlation(second, first))


def _best_correlation(scenes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the best correlation of the middle of each picture with a place of its scene, over `SCALES`: `(n,)`."""
    side = scenes.shape[1]
    size = round(side * TEMPLATE_FRACTION)
    start = (side - size) // 2
    middle = others[:, start : start + size, start : start + size]
    spectrum = rfft2(scenes)
    padded = (np.pad(values.astype(np.float64), ((0, 0), (1, 0), (1, 0))) for values in (scenes, scenes**2))
    sums, squares = (values.cumsum(1).cumsum(2) for values in padded)
    best = np.full(len(scenes), -1.0)
    for scale in SCALES:
        template = resize_by_area(middle, round(size * scale))
        k = template.shape[1]
        template = template - template.mean(axis=(1, 2), keepdims=True)
        norm = np.sqrt((template**2).sum(axis=(1, 2)))
        # Only places where the part lies wholly in the scene are taken, so the wrap-around of the FFT never counts.
        products = irfft2(spectrum * np.conj(rfft2(template, (side, side))), (side, side))
        products = products[:, : side - k + 1, : side - k + 1]
        mean = _boxes(sums, k) / k**2
        spread = np.sqrt(np.maximum(_boxes(squares, k) - k**2 * mean**2, k**2 * MIN_DEVIATION**2))
        agreement = products / (spread * np.maximum(norm, k * MIN_DEVIATION)[:, None, None])
        best = np.maximum(best, agreement.max(axis=(1, 2)))
    return best


def _boxes(sums: np.ndarray, k: int) -> np.ndarray:
    """Return the sums over every k by k box, from a summed-area table."""
    return sums[:, k:, k:] - sums[:, :-k, k:] - sums[:, k:, :-k] + sums[:, :-k, :-k]
