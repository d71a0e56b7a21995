"""Exact copies and near-duplicates: the same file, or the same picture re-encoded, resized, mirrored or cropped.

The perceptual hash is our own because it runs on arrays of thumbnails at once, where `imagehash` takes a PIL image a
call; a test compares it with `imagehash.phash`.
"""

import hashlib

import numpy as np
import pandas as pd
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter1d

from marinecv.audit.pairing import close_hashes, nearest
from marinecv.audit.thumbs import SMALL, colours, greys, in_chunks, shrunk
from marinecv.data.groups import COPY, LINK_COLUMNS, NEAR_COPY
from marinecv.data.records import byte_size, read_bytes
from marinecv.features.embeddings import embed
from marinecv.models.backbones import backbone_features, weights_file

NEAR = 0.8  # similarity above which two images are near-duplicates: benchmarks/near_copies.py
RADIUS = 16  # of 63 bits
NEIGHBOURS = 5
FLAT = 3.0  # gray levels of standard deviation below which a picture has nothing to compare
PART = 0.75  # of each side: the middle of one picture is searched for in the other
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # of that middle: a crop shows it enlarged
CHUNK = 256
COARSE_PX = 32
WORTH_A_LOOK = 0.5  # at 32 pixels; of random pairs hardly one in a hundred is above
LEAST = 0.5  # gray levels of standard deviation; a flatter place agrees with nothing
BLUR = 3.0  # pixels of 64: broader structure is removed, so that a common sky, tank wall or white ground does not count
BACKBONE, ALPHA = "mobilenet", 0.25
MOST = 20_000  # images that are embedded, about two milliseconds each


def exact_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Pair the files with the same bytes, each with the next one: `LINK_COLUMNS`, the kind `copy`, the similarity 1.

    `first` < `second` are positions in `rows`, the usable rows of a catalog.
    """
    sizes = pd.Series([byte_size(path) for path in rows["path"]])
    candidates = np.flatnonzero(sizes.duplicated(keep=False))
    digests = {row: hashlib.sha256(read_bytes(rows["path"].iloc[row])).hexdigest() for row in candidates}
    hashes = pd.Series(digests, dtype=object)
    pairs = [pair for same in hashes.groupby(hashes).groups.values() for pair in zip(same[:-1], same[1:], strict=True)]
    return _pairs(np.array(pairs, np.int64).reshape(-1, 2), COPY, np.ones(len(pairs)), "content")


def near_copies(thumbs: np.ndarray, codes: np.ndarray | None = None) -> pd.DataFrame:
    """Pair the images that show the same: re-encoded, resized, brightened, mirrored, cropped or shifted.

    Candidates are near by perceptual hash, color (as it is, and normalized) or embedding; `overlap` decides.

    Args:
        thumbs: uint8 `(n, 128, 128, 3)`.
        codes: embeddings, float `(n, values)`, or None.
    Returns:
        DataFrame `LINK_COLUMNS`: positions (`first` < `second`), similarity above 0.8, and the first method that found
        the pair. An image of one gray has no pair.
    """
    textured = in_chunks(lambda images: greys(images, 64).std(axis=(1, 2)) >= FLAT, thumbs)
    by_colours = [nearest(colours(thumbs, even), NEIGHBOURS) for even in (False, True)]
    candidates = {"hash": _alike_by_hash(thumbs), "colours": np.unique(np.concatenate(by_colours), axis=0)}
    if codes is not None:
        candidates["embedding"] = nearest(codes, NEIGHBOURS)
    fine = in_chunks(lambda images: details(greys(images, 64)).astype(np.float16), thumbs)  # 8 kB an image
    found, seen = [], np.empty(0, np.int64)
    for method, pairs in candidates.items():
        pairs = pairs[textured[pairs].all(axis=1)]
        keys = pairs[:, 0] * len(thumbs) + pairs[:, 1]
        pairs, seen = pairs[~np.isin(keys, seen)], np.union1d(seen, keys)
        likeness = overlap(fine, pairs)
        close = likeness > NEAR
        found.append(_pairs(pairs[close], NEAR_COPY, likeness[close], method))
    return pd.concat(found, ignore_index=True)


def copies_by_codes(rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame | None:
    """Pair near-duplicates that only embeddings find, such as brightened crops: `LINK_COLUMNS`.

    For the audit alone: pairs that make groups must not depend on the weights on a machine. None if Keras has no
    ImageNet weights of MobileNet 0.25 in its cache, and for no images or more than 20,000.
    """
    if not 0 < len(rows) <= MOST or not weights_file(BACKBONE, ALPHA).is_file():
        return None
    model = backbone_features(SMALL.shape, backbone=BACKBONE, alpha=ALPHA, trainable_layers=0)
    pairs = near_copies(thumbs, embed(model, rows, SMALL, thumbs, keep=False))
    pairs, ids = pairs[pairs["found_by"] == "embedding"], rows["image_id"].to_numpy()
    return pairs.assign(first=ids[pairs["first"]], second=ids[pairs["second"]])[LINK_COLUMNS].reset_index(drop=True)


def perceptual_hashes(pictures: np.ndarray) -> np.ndarray:
    """Return bool `(n, 63)`: which low frequencies of a square gray picture are above their median.

    Source: the DCT hash of Zauner, Implementation and benchmarking of perceptual image hashes, 2010.
    """
    low = dctn(shrunk(pictures, 32), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, 64)[:, 1:]
    return low > np.median(low, axis=1, keepdims=True)


def _alike_by_hash(thumbs: np.ndarray) -> np.ndarray:
    """Pair images whose hashes are close, or the hash of one and of the mirror image of the other."""
    n = len(thumbs)
    plain = in_chunks(lambda images: perceptual_hashes(greys(images, 64)), thumbs)
    mirrored = in_chunks(lambda images: perceptual_hashes(greys(images, 64)[:, :, ::-1]), thumbs)
    pairs = np.sort(close_hashes(np.concatenate([plain, mirrored]), RADIUS) % max(n, 1), axis=1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def _pairs(pairs: np.ndarray, kind: str, likeness: np.ndarray, found_by: str) -> pd.DataFrame:
    about = {"first": pairs[:, 0], "second": pairs[:, 1], "kind": kind, "likeness": likeness, "found_by": found_by}
    return pd.DataFrame(about, columns=LINK_COLUMNS).astype({"kind": str, "likeness": float, "found_by": str})


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
