"""Which of many codes lie close together, without looking at every pair."""

import numpy as np

TABLES = 32
WINDOW = 16  # in a crowded bucket each code meets so many others a table, and others in the next
ENOUGH = 16  # near ones of a code, which then rests: of frames of a still camera each is near to all
EXACT = 20_000  # up to here every pair is looked at, which takes some seconds
SIGNS = 256
LOOKED_AT = 512  # of codes, from which the nearest are taken
CHUNK = 512


def close_hashes(hashes: np.ndarray, radius: int, seed: int = 0, enough: int = ENOUGH) -> np.ndarray:
    """Pair the hashes, bool `(n, bits)`, that differ in at most `radius` bits, in time and memory that grow as n log n.

    Each table sorts the hashes by some drawn bits, about log2(n) of them, and compares those that agree in all: a pair
    that differs in a share d of its bits is found with probability 1 - (1 - (1 - d)^bits)^32. Returns int64 `(pairs,
    2)`, each pair once, i < j, sorted. A hash with `enough` near ones is left out of the tables to come. Source: bit
    sampling, Indyk and Motwani, STOC 1998.
    """
    n, width = hashes.shape
    packed = np.packbits(hashes, axis=1)
    rng, keys, near_ones = np.random.default_rng(seed), np.empty(0, np.int64), np.zeros(n, np.int64)
    drawn = min(width, 62, max(8, int(np.ceil(np.log2(max(n, 2))))))
    for _ in range(TABLES):
        bits = rng.choice(width, drawn, replace=False)
        awake = np.flatnonzero(near_ones < enough)
        key = hashes[np.ix_(awake, bits)] @ (1 << np.arange(drawn, dtype=np.int64))
        order = np.lexsort((rng.random(len(awake)), key))  # by chance within a bucket
        key, order, found = key[order], awake[order], [keys]
        for step in range(1, WINDOW + 1):
            same = np.flatnonzero(key[step:] == key[:-step]) if step < len(key) else []
            if not len(same):
                break
            i, j = order[same], order[same + step]
            near = np.bitwise_count(packed[i] ^ packed[j]).sum(axis=1) <= radius
            found.append(np.minimum(i, j)[near] * n + np.maximum(i, j)[near])
        keys = np.sort(np.concatenate(found))  # np.unique takes ten times as long
        keys = keys[np.diff(keys, prepend=-1) > 0]
        near_ones = np.bincount(np.concatenate(np.divmod(keys, max(n, 1))), minlength=n)
    return np.stack(np.divmod(keys, max(n, 1)), axis=1)


def nearest(codes: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """Pair each code, float `(n, values)`, with its k nearest by cosine: int64 `(pairs, 2)`, as of `close_hashes`.

    Of more than 20,000 those are looked at whose signs along drawn directions nearly agree (Charikar, STOC 2002).
    """
    n = len(codes)
    codes = codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
    if n > EXACT:
        codes_about = codes - codes.mean(axis=0)
        signs = codes_about @ np.random.default_rng(seed).normal(size=(codes.shape[1], SIGNS)).astype(codes.dtype) > 0
        pairs = close_hashes(signs, SIGNS // 5, seed, LOOKED_AT)
        return _best(pairs, _likeness(codes, pairs), n, k)
    best = []
    for start in range(0, n, CHUNK):
        likeness = codes[start : start + CHUNK] @ codes.T
        rows = np.arange(len(likeness))
        likeness[rows, start + rows] = -np.inf  # itself
        k = min(k, n - 1)
        near = np.argpartition(-likeness, k, axis=1)[:, :k] if k else np.empty((len(rows), 0), np.int64)
        best.append(np.stack([np.repeat(start + rows, near.shape[1]), near.ravel()], axis=1))
    pairs = np.sort(np.concatenate([*best, np.empty((0, 2), np.int64)]), axis=1)
    return np.unique(pairs, axis=0)


def _likeness(codes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    parts = [pairs[start : start + 10 * CHUNK] for start in range(0, len(pairs), 10 * CHUNK)]
    return np.concatenate([np.einsum("ij,ij->i", codes[i], codes[j]) for i, j in (part.T for part in parts)] or [[]])


def _best(pairs: np.ndarray, likeness: np.ndarray, n: int, k: int) -> np.ndarray:
    """The pairs that are among the k best of one of their two."""
    kept = np.zeros(len(pairs), bool)
    for side in (0, 1):
        order = np.lexsort((-likeness, pairs[:, side]))
        own = pairs[order, side]
        rank = np.arange(len(own)) - np.searchsorted(own, own)
        kept[order[rank < k]] = True
    return pairs[kept]
