"""Images that are copies of another: the same file, or the same picture in another file."""

import hashlib

import numpy as np
import pandas as pd
from scipy.fft import dctn

from marinecv.audit.overlap import details, overlap
from marinecv.audit.pairing import close_hashes, nearest
from marinecv.audit.thumbs import colours, greys, in_chunks, shrunk
from marinecv.data.groups import COPY, LINK_COLUMNS, NEAR_COPY
from marinecv.data.records import byte_size, read_bytes

NEAR = 0.8  # overlap from which two images show the same: benchmarks/near_copies.py
RADIUS = 16  # of 63 bits
NEIGHBOURS = 5
FLAT = 3.0  # grey levels of deviation below which there is nothing to compare


def exact_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Pair the files that hold the same bytes, each with the next one that does: `LINK_COLUMNS`, the kind `copy`.

    `first` < `second` are positions in `rows`, which are usable ones of a catalog; the likeness is 1.
    """
    sizes = pd.Series([byte_size(path) for path in rows["path"]])
    several = np.flatnonzero(sizes.duplicated(keep=False))  # a file of its own size has no copy
    digests = {place: hashlib.sha256(read_bytes(rows["path"].iloc[place])).hexdigest() for place in several}
    hashes = pd.Series(digests, dtype=object)
    pairs = [pair for same in hashes.groupby(hashes).groups.values() for pair in zip(same[:-1], same[1:], strict=True)]
    return _pairs(np.array(pairs, np.int64).reshape(-1, 2), COPY, np.ones(len(pairs)), "content")


def near_copies(thumbs: np.ndarray, codes: np.ndarray | None = None) -> pd.DataFrame:
    """Pair the images that show the same: re-encoded, resized, brightened, mirrored, cropped or shifted.

    Candidates come from perceptual hashes, colours, as they are and evened, and the nearest `codes`, float `(n,
    values)`, where given; `overlap` settles which are copies. From uint8 `(n, 128, 128, 3)` comes `LINK_COLUMNS`:
    positions (`first` < `second`), likeness above 0.8, and what found them first. No image of one grey is a copy.
    """
    told = in_chunks(lambda images: greys(images, 64).std(axis=(1, 2)) >= FLAT, thumbs)
    by_colours = [nearest(colours(thumbs, even), NEIGHBOURS) for even in (False, True)]
    ways = {"hash": _alike_by_hash(thumbs), "colours": np.unique(np.concatenate(by_colours), axis=0)}
    if codes is not None:
        ways["embedding"] = nearest(codes, NEIGHBOURS)
    fine = in_chunks(lambda images: details(greys(images, 64)).astype(np.float16), thumbs)  # 8 kB an image
    found, seen = [], np.empty(0, np.int64)
    for way, pairs in ways.items():
        pairs = pairs[told[pairs].all(axis=1)]
        keys = pairs[:, 0] * len(thumbs) + pairs[:, 1]
        pairs, seen = pairs[~np.isin(keys, seen)], np.union1d(seen, keys)
        likeness = overlap(fine, pairs)
        close = likeness > NEAR
        found.append(_pairs(pairs[close], NEAR_COPY, likeness[close], way))
    return pd.concat(found, ignore_index=True)


def perceptual_hashes(pictures: np.ndarray) -> np.ndarray:
    """Return bool `(n, 63)`: which low frequencies of a square grey picture are above their median.

    Source: the hash by discrete cosines of Zauner, Implementation and benchmarking of perceptual image hashes, 2010.
    """
    low = dctn(shrunk(pictures, 32), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, 64)[:, 1:]
    return low > np.median(low, axis=1, keepdims=True)


def _alike_by_hash(thumbs: np.ndarray) -> np.ndarray:
    """Pairs of images close to each other, or one to the mirror image of the other."""
    n, ways = len(thumbs), (slice(None), slice(None, None, -1))
    hashes = [
        in_chunks(lambda images, way=way: perceptual_hashes(greys(images, 64)[:, :, way]), thumbs) for way in ways
    ]
    pairs = np.sort(close_hashes(np.concatenate(hashes), RADIUS) % max(n, 1), axis=1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def _pairs(pairs: np.ndarray, kind: str, likeness: np.ndarray, found_by: str) -> pd.DataFrame:
    about = {"first": pairs[:, 0], "second": pairs[:, 1], "kind": kind, "likeness": likeness, "found_by": found_by}
    return pd.DataFrame(about, columns=LINK_COLUMNS).astype({"kind": str, "likeness": float, "found_by": str})
