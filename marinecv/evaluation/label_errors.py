"""Label errors: images whose label disagrees with what a classifier of the other images says, by confident learning."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from cleanlab.count import num_label_issues
from sklearn.preprocessing import normalize

from marinecv.data.groups import groups_of
from marinecv.data.splits.partition import partition_groups
from marinecv.training.linear_head import cross_validate_head, log_losses

LABEL_ERROR_COLUMNS = ["image_id", "given_class", "suggested_class", "probability"]
NEAREST_COLUMNS = ["nearest_1", "nearest_2", "nearest_3"]
TABLE_COLUMNS = ["image_id", "path", *LABEL_ERROR_COLUMNS[1:], *NEAREST_COLUMNS]


def out_of_fold_probabilities(
    embeddings: np.ndarray, class_names: Sequence[str], groups: Sequence[str], folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Return the probabilities of each image by logistic regressions on the other folds: float32 `(n, classes)`.

    Groups are never divided, so no near-duplicate vouches for the label of its twin. The L2 penalty is that of
    `linear_head.PENALTIES` with the least log loss. A class that one fold alone has cannot be predicted there: the rows
    of its images are NaN.

    Args:
        embeddings: `(n, values)`, row i of image i.
        class_names: the given class of each image; columns are their sorted names.
        groups: of related images; "" is a group of its own.
        folds: number of folds; fewer where there are fewer groups.
        seed: of the order in which groups are put into folds.
    Raises:
        ValueError: lengths differ, or there are fewer than two classes or two groups.
    """
    alone = [f"\1{row}" for row in range(len(embeddings))]  # the name of no group; pandas 2 ends a text at "\0"
    rows = pd.DataFrame({"image_id": alone, "class_name": np.asarray(class_names), "group": np.asarray(groups)})
    rows["group"] = groups_of(rows)
    names, labels = np.unique(rows["class_name"].to_numpy(str), return_inverse=True)
    num_groups = rows["group"].nunique()
    if len(names) < 2 or num_groups < 2 or folds < 2:
        raise ValueError(
            f"{len(rows)} images, classes: {len(names)}, groups of related images: {num_groups}, folds: {folds}. "
            "Expected at least two classes, two groups and two folds."
        )
    parts = min(folds, num_groups)
    fold = partition_groups(rows, np.random.default_rng(seed), [1 / parts] * parts).to_numpy()
    widths = [embeddings.shape[1]]
    by_penalty = cross_validate_head(np.asarray(embeddings)[None], labels, len(names), fold, widths=widths)
    is_learned = (pd.Series(fold).groupby(labels).transform("nunique") > 1).to_numpy()
    losses = [log_losses(each, labels)[is_learned].sum() for each in by_penalty]
    probabilities = by_penalty[int(np.argmin(losses))]
    probabilities[~is_learned] = np.nan
    return probabilities


def rank_label_errors(
    image_ids: Sequence[str], given: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return the images whose label is probably wrong, the most probable first: `LABEL_ERROR_COLUMNS`.

    Confident learning (cleanlab) estimates how many there are; these are the images with the largest `odds_against` the
    given class. `probability` is that of the suggested class.

    Args:
        image_ids: of n images.
        given: their classes, of `class_names`.
        probabilities: out of fold, `(n, classes)`; an image with NaN is not listed.
        class_names: of the columns.
    Raises:
        ValueError: a given class is no column.
    """
    names, given = np.asarray(class_names), np.asarray(given)
    judged = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    labels = pd.Index(names).get_indexer(given[judged])
    if (labels < 0).any():
        raise ValueError(f"{str(given[judged][labels < 0][0])!r} is no class. Expected one of {', '.join(names)}.")
    odds = odds_against(labels, probabilities[judged])
    count = num_label_issues(labels, probabilities[judged]) if len(np.unique(labels)) > 1 else 0
    order = np.argsort(-odds, kind="stable")[:count]
    rows = judged[order[odds[order] > 1]]
    best = probabilities[rows].argmax(axis=1)
    values = np.asarray(image_ids)[rows], given[rows], names[best], probabilities[rows, best].astype(float).round(4)
    return pd.DataFrame(dict(zip(LABEL_ERROR_COLUMNS, values, strict=True)))


def odds_against(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the odds of the most probable other class against the given one, `(n,)`.

    Args:
        labels: indices of the given classes, `(n,)`.
        probabilities: `(n, classes)`.
    """
    is_given = np.eye(probabilities.shape[1], dtype=bool)[labels]
    others = np.where(is_given, 0, probabilities).max(axis=1)
    return others / np.maximum(probabilities[is_given], 1e-12)


def with_nearest_images(table: pd.DataFrame, rows: pd.DataFrame, embeddings: np.ndarray) -> pd.DataFrame:
    """Return a table of label errors with paths and the ids of the most similar train images: `TABLE_COLUMNS`.

    Similarity is the cosine of the embeddings, row i of image i of the rows. Related images are left out, and without a
    train split any image may be one; where there are fewer, the id is "".
    """
    rows = rows.reset_index(drop=True)
    places, groups = pd.Index(rows["image_id"]).get_indexer(table["image_id"]), groups_of(rows).to_numpy()
    is_train = (rows["split"] == "train").to_numpy()
    train = np.flatnonzero(is_train | ~is_train.any())
    unit = normalize(embeddings)
    of_train, count, found = unit[train], len(NEAREST_COLUMNS), []
    for place in places:
        similarity = pd.Series(of_train @ unit[place], rows["image_id"].iloc[train])
        nearest = similarity[groups[train] != groups[place]].nlargest(count).index
        found.append([*nearest, *[""] * count][:count])
    nearest = pd.DataFrame(found, table.index, NEAREST_COLUMNS, dtype=str)
    return table.assign(path=rows["path"].iloc[places].to_numpy()).join(nearest)[TABLE_COLUMNS]
