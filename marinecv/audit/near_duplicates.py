"""Exact copies and near-duplicates: the same file, or a picture re-encoded, cropped, padded, rotated or mirrored.

The perceptual hash is our own because it runs on arrays of thumbnails at once, where `imagehash` takes a PIL image a
call; a test compares it with `imagehash.phash`.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.fft import dctn
from threadpoolctl import threadpool_limits

from marinecv.audit.neighbor_search import close_hashes, nearest
from marinecv.audit.rims import trim_rims
from marinecv.audit.template_match import even_out, remove_broad_structure, rotated_similarity, template_similarity
from marinecv.audit.thumbnails import (
    CHUNK,
    SMALL,
    aspect_ratios,
    color_histograms,
    gray_pictures,
    in_chunks,
    in_threads,
    resize_by_area,
)
from marinecv.data.groups import COPY, NEAR_COPY, PAIR_COLUMNS
from marinecv.data.shards.records import file_state, read_bytes
from marinecv.features.embeddings import embed
from marinecv.models.backbone_table import weights_file
from marinecv.models.backbones import backbone_features

MIN_SIMILARITY = 0.8  # similarity above which two images are near-duplicates: benchmarks/near_duplicates.py
RIM_SIMILARITY = 0.1  # times the fraction that the rims cover, more: of fewer pixels other pictures are alike
MIN_ROTATED_SIMILARITY = 0.82  # the same of a rotation, for which more is tried
MAX_HASH_DISTANCE = 16  # of 63 bits
CANDIDATES = 5
SURE_SIMILARITY = 0.9  # below, it must be 0.7 with faint structure made strong: of two animals of one form on plain
MIN_EVEN_SIMILARITY = 0.7  # ground it is not; a copy that lost its faint structure by compression has more than 0.9
MAX_SAME_FORM = 0.05  # of the logarithm of width to height
MIN_RIM_PX = 3  # of 128; by fewer lines than that the same rim differs between two images
MIN_CONTRAST = 3.0  # gray levels of standard deviation below which a picture has nothing to compare
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


@threadpool_limits.wrap(limits=1, user_api="blas")  # waking threads takes longer than multiplying small matrices
def find_near_duplicates(
    thumbs: np.ndarray, embeddings: np.ndarray | None = None, ratios: np.ndarray | None = None
) -> pd.DataFrame:
    """Pair the images that show the same: re-encoded, brightened, mirrored, cropped, shifted, padded or rotated.

    Rims are cut off first (`trim_rims`). Candidates are near by perceptual hash, color (raw and normalized) or
    embedding; `template_similarity` or `rotated_similarity` decides, below 0.9 that of faint structure too.

    Args:
        thumbs: uint8 `(n, 128, 128, 3)`.
        embeddings: embeddings, float `(n, values)`, or None.
        ratios: width to height of the images, `(n,)`; None takes them for square. Only rotations depend on them.
    Returns:
        DataFrame `PAIR_COLUMNS`: positions (`image_a` < `image_b`), similarity above 0.8, with wide rims 0.9, and the
        first method that found the pair. An image of one gray has no pair.
    """
    images = thumbs if len(thumbs) else np.zeros((1, *thumbs.shape[1:]), np.uint8)
    chunks = in_threads(lambda start: _describe(images[start : start + CHUNK]), range(0, len(images), CHUNK))
    described = (np.concatenate(parts)[: len(thumbs)] for parts in zip(*chunks, strict=True))
    textured, rims, details, hashes, mirrored, colors, even_colors = described
    ratios = np.ones(len(thumbs)) if ratios is None else ratios
    height, width = (SMALL.height - rims[:, sides].sum(axis=1) for sides in ([0, 1], [2, 3]))
    least = MIN_SIMILARITY + RIM_SIMILARITY * (1 - height * width / SMALL.height**2)

    def similarity_of(pairs: np.ndarray, even: bool) -> np.ndarray:
        similarity = _similarity(lambda used: details[used], ratios * width / height, pairs, even)
        # A faint rim may be cut off one image and not off its copy. With a rim in common other pictures are alike too.
        first, second = rims[pairs.T]
        faint = (abs(first - second) > MIN_RIM_PX).any(axis=1) & (np.minimum(first, second) <= MIN_RIM_PX).all(axis=1)
        remaining = np.flatnonzero((similarity <= MIN_SIMILARITY) & faint)
        similarity[remaining] = np.maximum(
            similarity[remaining], _similarity(lambda used: _details(thumbs[used]), ratios, pairs[remaining], even)
        )
        return similarity

    color_pairs = np.concatenate([nearest(each, CANDIDATES) for each in (colors, even_colors)])
    candidates = {"hash": _candidates_by_hash(hashes, mirrored), "colors": np.unique(color_pairs, axis=0)}
    if embeddings is not None:
        candidates["embedding"] = nearest(embeddings, CANDIDATES)
    tables, seen_keys = [], np.empty(0, np.int64)
    for method, pairs in candidates.items():
        pairs = pairs[textured[pairs].all(axis=1)]
        keys = pairs[:, 0] * len(thumbs) + pairs[:, 1]
        pairs, seen_keys = pairs[~np.isin(keys, seen_keys)], np.union1d(seen_keys, keys)
        similarity = similarity_of(pairs, even=False)
        close = similarity > least[pairs].max(axis=1)
        unsure = np.flatnonzero(close & (similarity < SURE_SIMILARITY))
        close[unsure] = similarity_of(pairs[unsure], even=True) > MIN_EVEN_SIMILARITY
        tables.append(_pairs_table(pairs[close], NEAR_COPY, similarity[close], method))
    return pd.concat(tables, ignore_index=True)


def _similarity(details_of: Callable, ratios: np.ndarray, pairs: np.ndarray, even: bool) -> np.ndarray:
    """Return the similarity of pairs, rotated or not; `even` lets faint structure count as much as strong."""
    used, positions = np.unique(pairs, return_inverse=True)
    details, ratios, pairs = details_of(used), ratios[used], positions.reshape(-1, 2)
    details = in_chunks(even_out, details) if even else details
    similarity = template_similarity(details, pairs)
    # Either was rotated in its own form; or in a square, into which an export stretched it before.
    other_form = np.abs(np.diff(np.log(ratios)[pairs], axis=1)[:, 0]) > MAX_SAME_FORM
    for forms, may_be in ((ratios, True), (np.ones(len(ratios)), other_form)):
        remaining = np.flatnonzero((similarity <= MIN_SIMILARITY) & may_be)
        rotated = rotated_similarity(details, forms, pairs[remaining])
        similarity[remaining] = np.maximum(
            similarity[remaining], np.where(even | (rotated > MIN_ROTATED_SIMILARITY), rotated, 0)
        )
    return similarity


def _describe(images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what is compared of thumbnails without their rims, `(n, ...)` each."""
    images, rims = trim_rims(images)
    grays = gray_pictures(images, 64)
    hashes = perceptual_hashes(grays), perceptual_hashes(grays[:, :, ::-1])
    colors = color_histograms(images), color_histograms(images, even=True)
    return grays.std(axis=(1, 2)) >= MIN_CONTRAST, rims, _details(images), *hashes, *colors


def _details(images: np.ndarray) -> np.ndarray:
    return in_chunks(lambda each: remove_broad_structure(gray_pictures(each, 64)).astype(np.float16), images)


def duplicates_by_embedding(rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame | None:
    """Pair near-duplicates that only embeddings find, such as brightened crops: `PAIR_COLUMNS`.

    For the audit alone: pairs that make groups must not depend on the weights on a machine. None if Keras has no
    ImageNet weights of MobileNet 0.25 in its cache, and for no images or more than 20,000.
    """
    if not 0 < len(rows) <= MAX_EMBEDDED_IMAGES or not weights_file(BACKBONE, ALPHA).is_file():
        return None
    model = backbone_features(SMALL.shape, backbone=BACKBONE, alpha=ALPHA, trainable_layers=0)
    pairs = find_near_duplicates(thumbs, embed(model, rows, SMALL, thumbs, keep=False), aspect_ratios(rows))
    pairs, ids = pairs[pairs["method"] == "embedding"].reset_index(drop=True), rows["image_id"].to_numpy()
    return pairs.assign(image_a=ids[pairs["image_a"]], image_b=ids[pairs["image_b"]])[PAIR_COLUMNS]


def perceptual_hashes(pictures: np.ndarray) -> np.ndarray:
    """Return bool `(n, 63)`: which low frequencies of a square gray picture are above their median.

    Source: the DCT hash of Zauner, Implementation and benchmarking of perceptual image hashes, 2010.
    """
    low = dctn(resize_by_area(pictures, 32), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, 64)[:, 1:]
    return low > np.median(low, axis=1, keepdims=True)


def _candidates_by_hash(plain: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Pair images whose hashes are close, or the hash of one and of the mirror image of the other."""
    pairs = close_hashes(np.concatenate([plain, mirrored]), MAX_HASH_DISTANCE) % max(len(plain), 1)
    pairs = np.sort(pairs, axis=1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def _pairs_table(pairs: np.ndarray, kind: str, similarity: np.ndarray, method: str) -> pd.DataFrame:
    columns = {"image_a": pairs[:, 0], "image_b": pairs[:, 1], "kind": kind, "similarity": similarity, "method": method}
    return pd.DataFrame(columns, columns=PAIR_COLUMNS).astype({"kind": str, "similarity": float, "method": str})
