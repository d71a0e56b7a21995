"""Exact copies and near-duplicates: the same file, or the same picture re-encoded, resized, mirrored or cropped.

The perceptual hash is our own because it runs on arrays of thumbnails at once, where `imagehash` takes a PIL image a
call; a test compares it with `imagehash.phash`.
"""

import hashlib

import numpy as np
import pandas as pd
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter1d

from marinecv.audit.neighbor_search import close_hashes, nearest
from marinecv.audit.thumbnails import SMALL, color_histograms, gray_pictures, in_chunks, resize_by_area
from marinecv.data.groups import COPY, NEAR_COPY, PAIR_COLUMNS
from marinecv.data.shards.records import file_state, read_bytes
from marinecv.features.embeddings import embed
from marinecv.models.backbone_table import weights_file
from marinecv.models.backbones import backbone_features

MIN_SIMILARITY = 0.8  # similarity above which two images are near-duplicates: benchmarks/near_duplicates.py
MAX_HASH_DISTANCE = 16  # of 63 bits
CANDIDATES = 5
MIN_CONTRAST = 3.0  # gray levels of standard deviation below which a picture has nothing to compare
TEMPLATE_FRACTION = 0.75  # of each side: the middle of one picture is searched for in the other
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # of that middle: a crop shows it enlarged
PAIRS_A_CHUNK = 256
COARSE_PX = 32
MIN_COARSE_SIMILARITY = 0.5  # at 32 pixels; of random pairs hardly one in a hundred is above
MIN_DEVIATION = 0.5  # gray levels of standard deviation; a flatter place agrees with nothing
BLUR = 3.0  # pixels of 64: broader structure is removed, so that a common sky, tank wall or white ground does not count
BACKBONE, ALPHA = "mobilenet", 0.25
MAX_EMBEDDED_IMAGES = 20_000  # images that are embedded, about two milliseconds each


def exact_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Pair the files with the same bytes, each with the next one: `PAIR_COLUMNS`, the kind `copy`, the similarity 1.

    `image_a` < `image_b` are positions in `rows`, the usable rows of a catalog.
    """
    sizes = pd.Series([file_state(path)[0] for path in rows["path"]])
    candidates = np.flatnonzero(sizes.duplicated(keep=False))
    digests = {row: hashlib.sha256(read_bytes(rows["path"].iloc[row])).hexdigest() for row in candidates}
    hashes = pd.Series(digests, dtype=object)
    pairs = [pair for same in hashes.groupby(hashes).groups.values() for pair in zip(same[:-1], same[1:], strict=True)]
    return _pairs_table(np.array(pairs, np.int64).reshape(-1, 2), COPY, np.ones(len(pairs)), "content")


def find_near_duplicates(thumbs: np.ndarray, embeddings: np.ndarray | None = None) -> pd.DataFrame:
    """Pair the images that show the same: re-encoded, resized, brightened, mirrored, cropped or shifted.

    Candidates are near by perceptual hash, color (raw and normalized) or embedding; `template_similarity` decides.

    Args:
        thumbs: uint8 `(n, 128, 128, 3)`.
        embeddings: embeddings, float `(n, values)`, or None.
    Returns:
        DataFrame `PAIR_COLUMNS`: positions (`image_a` < `image_b`), similarity above 0.8, and the first method that
        found the pair. An image of one gray has no pair.
    """
    textured = in_chunks(lambda images: gray_pictures(images, 64).std(axis=(1, 2)) >= MIN_CONTRAST, thumbs)
    color_pairs = [nearest(color_histograms(thumbs, even), CANDIDATES) for even in (False, True)]
    candidates = {"hash": _candidates_by_hash(thumbs), "colors": np.unique(np.concatenate(color_pairs), axis=0)}
    if embeddings is not None:
        candidates["embedding"] = nearest(embeddings, CANDIDATES)
    details = in_chunks(lambda images: remove_broad_structure(gray_pictures(images, 64)).astype(np.float16), thumbs)
    tables, seen_keys = [], np.empty(0, np.int64)
    for method, pairs in candidates.items():
        pairs = pairs[textured[pairs].all(axis=1)]
        keys = pairs[:, 0] * len(thumbs) + pairs[:, 1]
        pairs, seen_keys = pairs[~np.isin(keys, seen_keys)], np.union1d(seen_keys, keys)
        similarity = template_similarity(details, pairs)
        close = similarity > MIN_SIMILARITY
        tables.append(_pairs_table(pairs[close], NEAR_COPY, similarity[close], method))
    return pd.concat(tables, ignore_index=True)


def duplicates_by_embedding(rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame | None:
    """Pair near-duplicates that only embeddings find, such as brightened crops: `PAIR_COLUMNS`.

    For the audit alone: pairs that make groups must not depend on the weights on a machine. None if Keras has no
    ImageNet weights of MobileNet 0.25 in its cache, and for no images or more than 20,000.
    """
    if not 0 < len(rows) <= MAX_EMBEDDED_IMAGES or not weights_file(BACKBONE, ALPHA).is_file():
        return None
    model = backbone_features(SMALL.shape, backbone=BACKBONE, alpha=ALPHA, trainable_layers=0)
    pairs = find_near_duplicates(thumbs, embed(model, rows, SMALL, thumbs, keep=False))
    pairs, ids = pairs[pairs["method"] == "embedding"].reset_index(drop=True), rows["image_id"].to_numpy()
    return pairs.assign(image_a=ids[pairs["image_a"]], image_b=ids[pairs["image_b"]])[PAIR_COLUMNS]


def perceptual_hashes(pictures: np.ndarray) -> np.ndarray:
    """Return bool `(n, 63)`: which low frequencies of a square gray picture are above their median.

    Source: the DCT hash of Zauner, Implementation and benchmarking of perceptual image hashes, 2010.
    """
    low = dctn(resize_by_area(pictures, 32), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, 64)[:, 1:]
    return low > np.median(low, axis=1, keepdims=True)


def _candidates_by_hash(thumbs: np.ndarray) -> np.ndarray:
    """Pair images whose hashes are close, or the hash of one and of the mirror image of the other."""
    n = len(thumbs)
    plain = in_chunks(lambda images: perceptual_hashes(gray_pictures(images, 64)), thumbs)
    mirrored = in_chunks(lambda images: perceptual_hashes(gray_pictures(images, 64)[:, :, ::-1]), thumbs)
    pairs = np.sort(close_hashes(np.concatenate([plain, mirrored]), MAX_HASH_DISTANCE) % max(n, 1), axis=1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def _pairs_table(pairs: np.ndarray, kind: str, similarity: np.ndarray, method: str) -> pd.DataFrame:
    columns = {"image_a": pairs[:, 0], "image_b": pairs[:, 1], "kind": kind, "similarity": similarity, "method": method}
    return pd.DataFrame(columns, columns=PAIR_COLUMNS).astype({"kind": str, "similarity": float, "method": str})


def template_similarity(details: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the similarity of the pictures of each pair, of which one may be a crop, a shift or a mirror image.

    The middle of one slides over the other, at several scales, both ways round and mirrored. The similarity, at most 1,
    is the best normalized cross-correlation of their `details`, float `(n, 64, 64)`: brightness and contrast do not
    matter. It is computed at 32 pixels, and again at 64 for pairs above 0.5.
    """
    coarse = in_chunks(lambda pictures: resize_by_area(pictures.astype(np.float32), COARSE_PX), details)
    similarity = _correlation(coarse, pairs)
    close = np.flatnonzero(similarity > MIN_COARSE_SIMILARITY)
    similarity[close] = _correlation(details, pairs[close])
    return similarity


def remove_broad_structure(grays: np.ndarray) -> np.ndarray:
    """Remove structure that is broader than a few pixels from `(n, height, width)` pictures."""
    return grays - gaussian_filter1d(gaussian_filter1d(grays, BLUR, axis=1), BLUR, axis=2)


def _correlation(pictures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    best = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), PAIRS_A_CHUNK):
        chunk = slice(start, start + PAIRS_A_CHUNK)
        first, second = (pictures[side].astype(np.float32) for side in pairs[chunk].T)
        mirrored = second[:, :, ::-1]
        both_ways = (first, second), (second, first), (first, mirrored), (mirrored, first)
        best[chunk] = np.max([_best_correlation(scene, other) for scene, other in both_ways], axis=0)
    return best


def _best_correlation(scenes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the best correlation of the middle of each picture with a place of its scene, over `SCALES`: `(n,)`."""
    side = scenes.shape[1]
    size = round(side * TEMPLATE_FRACTION)
    start = (side - size) // 2
    middle = others[:, start : start + size, start : start + size]
    spectrum = np.fft.rfft2(scenes)
    padded = (np.pad(values.astype(np.float64), ((0, 0), (1, 0), (1, 0))) for values in (scenes, scenes**2))
    sums, squares = (values.cumsum(1).cumsum(2) for values in padded)
    best = np.full(len(scenes), -1.0)
    for scale in SCALES:
        template = resize_by_area(middle, round(size * scale))
        k = template.shape[1]
        template = template - template.mean(axis=(1, 2), keepdims=True)
        norm = np.sqrt((template**2).sum(axis=(1, 2)))
        # Only places where the part lies wholly in the scene are taken, so the wrap-around of the FFT never counts.
        products = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(template, (side, side))), (side, side))
        products = products[:, : side - k + 1, : side - k + 1]
        mean = _boxes(sums, k) / k**2
        spread = np.sqrt(np.maximum(_boxes(squares, k) - k**2 * mean**2, k**2 * MIN_DEVIATION**2))
        agreement = products / (spread * np.maximum(norm, k * MIN_DEVIATION)[:, None, None])
        best = np.maximum(best, agreement.max(axis=(1, 2)))
    return best


def _boxes(sums: np.ndarray, k: int) -> np.ndarray:
    """Return the sums over every k by k box, from a summed-area table."""
    return sums[:, k:, k:] - sums[:, :-k, k:] - sums[:, k:, :-k] + sums[:, :-k, :-k]
