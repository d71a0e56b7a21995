"""What to look at next: images drawn at random, which measure a model, and the most informative of the others."""

from collections.abc import Mapping
from itertools import chain, zip_longest

import numpy as np
import pandas as pd
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances_argmin_min

from marinecv.review.folder import RANDOM

BATCH = 40  # ranked units that are sorted by similarity
RANDOM_FRACTION = 0.2  # of all units
COMPONENTS = 32  # of the embeddings that k-center compares
MAX_CENTERS = 2000  # images that k-center ranks


def review_order(
    units: np.ndarray,
    scores: Mapping[str, np.ndarray],
    similar: np.ndarray,
    may_be_random: np.ndarray | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the images in the order to look at them.

    A unit is an event, a group of related images or a single image, and stays together. Every fifth unit is drawn at
    random, before anything is ranked and in random order: those of any beginning are a random sample. The others are
    drawn by the scores in turn, and each 40 of them stand by similarity.

    Args:
        units: (n,) the unit of each image.
        scores: (n,) each, the larger the sooner; a unit has that of its first image. `-inf` is not drawn by it; at
            least one ranks all.
        similar: (n, k) keys that a batch is sorted by.
        may_be_random: (n,) bool, images that may be drawn at random, with all of their unit; None: all.
        seed: of the random units.
    Returns:
        DataFrame `row` (number of the image), `unit`, `drawn` ("random", or the name of the score).
    """
    names, numbers = np.unique(units, return_inverse=True)
    rows_of = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    eligible = np.ones(len(names), bool)
    if may_be_random is not None:
        eligible[numbers[~np.asarray(may_be_random)]] = False
    num_random = int(np.ceil(RANDOM_FRACTION * len(names)))
    random = [*np.random.default_rng(seed).permutation(np.flatnonzero(eligible))[:num_random]]
    rankings = []
    for name, score in scores.items():
        best = np.full(len(names), -np.inf)
        np.maximum.at(best, numbers, score)
        rankings.append([(unit, name) for unit in np.argsort(-best, kind="stable") if np.isfinite(best[unit])])
    drawn: dict[int, str] = {}
    for unit, name in filter(None, chain.from_iterable(zip_longest(*rankings))):
        drawn.setdefault(unit, name)
    drawn |= dict.fromkeys(random, RANDOM)
    ranked = [unit for unit, name in drawn.items() if name != RANDOM]
    keys, order, others = [tuple(similar[rows[0]]) for rows in rows_of], [], round(1 / RANDOM_FRACTION) - 1
    batches = [ranked[start : start + BATCH] for start in range(0, len(ranked), BATCH)]
    ranked = [unit for batch in batches for unit in sorted(batch, key=keys.__getitem__)]
    for number in range(max(len(random), -(-len(ranked) // others))):
        order += random[number : number + 1] + ranked[number * others : (number + 1) * others]
    rows = [(row, names[unit], drawn[unit]) for unit in order for row in rows_of[unit]]
    return pd.DataFrame(rows, columns=["row", "unit", "drawn"])


def informative(probabilities: np.ndarray, embeddings: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return a score (n,) of new images: those of the more uncertain half first, as far apart as they can be.

    They are the centers of greedy k-center on principal components of embeddings (n, d): each is the farthest from the
    train images `known` (m, d) and from those before it. The others follow by their uncertainty.
    benchmarks/review_order.py measures it. Source: Sener and Savarese (2018), https://arxiv.org/abs/1708.00489.
    """
    doubt = entropy(probabilities, axis=1)
    scores, rows = -1.0 - MAX_CENTERS - doubt.max() + doubt, np.flatnonzero(doubt >= np.median(doubt))
    both = np.concatenate([embeddings[rows], known])
    places = PCA(min(COMPONENTS, *both.shape), random_state=0).fit_transform(both).astype(np.float32)
    own, known = places[: len(rows)], places[len(rows) :]
    nearest = pairwise_distances_argmin_min(own, known)[1]
    for rank in range(min(len(rows), MAX_CENTERS)):
        center = int(nearest.argmax())
        scores[rows[center]] = -rank
        nearest = np.minimum(nearest, np.linalg.norm(own - own[center], axis=1))
        nearest[center] = -1
    return scores
