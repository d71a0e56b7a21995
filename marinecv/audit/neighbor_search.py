"""Pairs of vectors that lie close together, found without comparing every pair."""

import numpy as np

TABLES = 32
WINDOW = 16  # in a crowded bucket each hash is compared with so many others a table
MAX_NEAR_HASHES = 16  # near hashes, after which a hash is left out: of frames of a still camera each is near to all
MAX_EXACT = 20_000  # up to so many vectors every pair is compared, which takes some seconds
SIGNS = 256
MAX_CANDIDATES = 512  # candidates of a vector, of which the nearest are taken
CHUNK = 512


def close_hashes(hashes: np.ndarray, radius: int, max_near: int = MAX_NEAR_HASHES) -> np.ndarray:
    """Pair the hashes, bool `(n, bits)`, that differ in at most `radius` bits, in time and memory that grow as n log n.

    Each table sorts the hashes by about log2(n) random bits, and compares those that agree in all: a pair that differs
    in a fraction d of its bits is found with probability 1 - (1 - (1 - d)^bits)^32. A hash with `max_near` near ones is
    left out of later tables. Returns int64 `(pairs, 2)`, each pair once, i < j, sorted. Source: bit sampling, Indyk and
    Motwani, STOC 1998.
    """
    n, width = hashes.shape
    packed = np.packbits(hashes, axis=1)
    rng, keys, near_counts = np.random.default_rng(0), np.empty(0, np.int64), np.zeros(n, np.int64)
    sampled = min(width, 62, max(8, int(np.ceil(np.log2(max(n, 2))))))
    for _ in range(TABLES):
        bits = rng.choice(width, sampled, replace=False)
        rows = np.flatnonzero(near_counts < max_near)
        key = hashes[np.ix_(rows, bits)] @ (1 << np.arange(sampled, dtype=np.int64))
        order = np.lexsort((rng.random(len(rows)), key))  # random within a bucket
        key, order, tables = key[order], rows[order], [keys]
        for step in range(1, WINDOW + 1):
            same = np.flatnonzero(key[step:] == key[:-step]) if step < len(key) else []
            if not len(same):
                break
            i, j = order[same], order[same + step]
            near = np.bitwise_count(packed[i] ^ packed[j]).sum(axis=1) <= radius
            tables.append(np.minimum(i, j)[near] * n + np.maximum(i, j)[near])
        keys = np.sort(np.concatenate(tables))  # np.unique takes ten times as long
        keys = keys[np.diff(keys, prepend=-1) > 0]
        near_counts = np.bincount(np.concatenate(np.divmod(keys, max(n, 1))), minlength=n)
    return np.stack(np.divmod(keys, max(n, 1)), axis=1)


def nearest(embeddings: np.ndarray, k: int) -> np.ndarray:
    """Pair each vector, float `(n, values)`, with its k nearest by cosine: int64 `(pairs, 2)`, as of `close_hashes`.

    Of more than 20,000, candidates are those with nearly the same signs along random directions (Charikar, STOC 2002).
    """
    n = len(embeddings)
    embeddings = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    if n > MAX_EXACT:
        directions = np.random.default_rng(0).normal(size=(embeddings.shape[1], SIGNS)).astype(embeddings.dtype)
        signs = (embeddings - embeddings.mean(axis=0)) @ directions > 0
        return _best(embeddings, close_hashes(signs, SIGNS // 5, MAX_CANDIDATES), k)
    k, pairs = min(k, n - 1), [np.empty((0, 2), np.int64)]
    for start in range(0, n if k > 0 else 0, CHUNK):
        similarity = embeddings[start : start + CHUNK] @ embeddings.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -np.inf  # itself
        near = np.argpartition(-similarity, k, axis=1)[:, :k]
        pairs.append(np.stack([np.repeat(start + rows, k), near.ravel()], axis=1))
    return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)


def _best(embeddings: np.ndarray, pairs: np.ndarray, k: int) -> np.ndarray:
    """Return the pairs that are among the k most similar of one of their two vectors."""
    chunks = np.split(pairs, range(10 * CHUNK, len(pairs), 10 * CHUNK))
    similarity = np.concatenate([np.einsum("ij,ij->i", *embeddings[chunk.T]) for chunk in chunks])
    is_best = np.zeros(len(pairs), bool)
    for side in (0, 1):
        order = np.lexsort((-similarity, pairs[:, side]))
        vector = pairs[order, side]
        rank = np.arange(len(vector)) - np.searchsorted(vector, vector)
        is_best[order[rank < k]] = True
    return pairs[is_best]
