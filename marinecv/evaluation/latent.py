"""The latent space of a network: a t-SNE map of embeddings, their clusters and nearest neighbors.

Functions take rows of a catalog with their embeddings (n, values), row i for row i. Images are processed in the order
of their ids, so the order of the rows does not matter.
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from marinecv.choices import SPLITS
from marinecv.data.user_tables import TEXT_OF_AUDIT, as_table
from marinecv.evaluation.estimates import MIN_GROUPS, mean_estimate
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.intervals import percentile_interval

PERPLEXITY = 30.0
NEIGHBORS = 5
HALVES = 400
SHUFFLES = 100
CLUSTERINGS = {"points": "cluster_points", "code": "cluster_code"}
MEASURE_COLUMNS = ["space", "split", "measure", "value", "low", "high", "chance", "n"]
ALL = "all"


def perplexity_of(images: int) -> float:
    """Return the perplexity of t-SNE: `PERPLEXITY`, at most a third of the other images, at least 1."""
    return min(PERPLEXITY, max(1.0, (images - 1) / 3))


def latent_points(
    rows: pd.DataFrame, embeddings: np.ndarray, clusters: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Map embeddings to the plane by t-SNE, and cluster both the points and the embeddings by K-means.

    Embeddings are not standardized, which would give rarely active units the weight of all others. `clusters` None
    takes the number of classes; the seed is of K-means, as t-SNE starts from the principal components. Returns
    `image_id, split, class_name, x, y, cluster_points, cluster_code`; clusters are numbered from 1, the largest first.
    Raises ValueError where there are fewer than 2 clusters, or no more different embeddings than clusters. Source: van
    der Maaten and Hinton (2008); K-means on the points as in the butterflies report.
    """
    rows = as_table(rows)
    clusters = rows["class_name"].nunique() if clusters is None else clusters
    different = len(np.unique(embeddings, axis=0))
    if not 2 <= clusters < different:
        raise ValueError(
            f"{clusters} clusters cannot be made of {len(rows)} images of {rows['class_name'].nunique()} classes with "
            f"{different} different embeddings. Expected at least 2 clusters, and more embeddings than clusters."
        )
    order = order_by_image_id(rows, embeddings)
    init = "pca" if embeddings.shape[1] > 1 else "random"
    tsne = TSNE(perplexity=perplexity_of(len(rows)), init=init, random_state=seed)
    kmeans = KMeans(clusters, n_init=10, random_state=seed)
    with threadpool_limits(1):  # the order of sums changes the last digit, which t-SNE amplifies
        xy = tsne.fit_transform(embeddings[order])
        labels = {"points": kmeans.fit_predict(xy), "code": kmeans.fit_predict(embeddings[order])}
    points = rows[["image_id", "split", "class_name"]].iloc[order].assign(x=xy[:, 0], y=xy[:, 1])
    for of, column in CLUSTERINGS.items():  # from 1, the largest first
        points[column] = rankdata(-np.bincount(labels[of]), "ordinal")[labels[of]]
    return points.iloc[np.argsort(order)].set_axis(rows.index)


def latent_measures(points: pd.DataFrame, embeddings: np.ndarray, seed: int = 0, groups: Groups = None) -> pd.DataFrame:
    """Compare both clusterings of `latent_points` with the classes: `MEASURE_COLUMNS`.

    `of` is "points" or "code", `measure` is `ari`, `ami`, `nmi`, `purity` or `silhouette`, `chance` its value for
    shuffled labels (NaN of `silhouette`). The 95% interval is for other images in the same clusters: of `ari` and `ami`
    by halves without replacement, as a bootstrap repeats images, which then agree; of `purity` Wilson's; of
    `silhouette` by bootstrap; of `nmi`, which falls with the number of images, none.
    """
    points, order = as_table(points), order_by_image_id(points, embeddings)
    points, embeddings, n = points.iloc[order], embeddings[order], len(points)
    classes, numbers = pd.factorize(points["class_name"])[0], group_numbers(points["image_id"], groups)
    table = []
    for of, column in CLUSTERINGS.items():
        clusters = points[column].to_numpy()
        measures = _agreement(classes, clusters, numbers, np.random.default_rng(seed))
        silhouettes = metrics.silhouette_samples(points[["x", "y"]] if of == "points" else embeddings, clusters)
        measures["silhouette"] = *value_and_interval(silhouettes.astype(float), numbers, seed), np.nan
        table += [[of, ALL, name, *figure, n] for name, figure in measures.items()]
    return pd.DataFrame(table, columns=MEASURE_COLUMNS)


def value_and_interval(values: np.ndarray, numbers: np.ndarray | None, seed: int = 0) -> tuple[float, float, float]:
    """Return value, low and high of `mean_estimate`; NaN where there is no interval."""
    figure = mean_estimate(values, numbers, seed)
    return tuple(np.nan if figure[name] is None else figure[name] for name in ("value", "low", "high"))


def _agreement(
    classes: np.ndarray, clusters: np.ndarray, numbers: np.ndarray | None, rng: np.random.Generator
) -> dict[str, tuple[float, ...]]:
    """Return value, low, high and chance of each measure that uses the labels."""
    measures, of_group = {}, np.arange(len(classes)) if numbers is None else numbers
    count = of_group.max() + 1
    halves = [np.isin(of_group, rng.permutation(count)[: count // 2]) for _ in range(HALVES)]
    shuffled = [rng.permutation(classes) for _ in range(SHUFFLES)]
    for name, measure in (("ari", metrics.adjusted_rand_score), ("ami", metrics.adjusted_mutual_info_score)):
        value = float(measure(classes, clusters))
        half_values = np.array([measure(classes[half], clusters[half]) for half in halves])
        # A half varies around the whole as the whole does around the population; AMI is also a little lower in halves.
        bounds = np.minimum(percentile_interval(value + half_values - half_values.mean()), 1)
        measures[name] = value, *(bounds if numbers is None or count >= MIN_GROUPS else (np.nan, np.nan)), 0.0
    for name, measure in (("nmi", metrics.normalized_mutual_info_score), ("purity", purity)):
        value, chance = measure(classes, clusters), np.mean([measure(labels, clusters) for labels in shuffled])
        in_majority = contingency_matrix(classes, clusters).argmax(axis=0)[clusters - clusters.min()] == classes
        spread = value_and_interval(in_majority, numbers)[1:] if name == "purity" else (np.nan, np.nan)
        measures[name] = float(value), *spread, float(chance)
    return measures


def purity(classes: np.ndarray, clusters: np.ndarray) -> float:
    """Return the fraction of images in the most frequent class of their cluster; more clusters raise it."""
    return float(contingency_matrix(classes, clusters).max(axis=0).sum() / len(classes))


def cluster_table(points: pd.DataFrame) -> pd.DataFrame:
    """Return the `size` of each cluster, its most frequent `class_name` (ties: the first) and that class's
    `fraction`."""
    points, tables = as_table(points), []
    for of, column in CLUSTERINGS.items():
        counts = points.groupby([column, "class_name"]).size().rename("count").reset_index()
        counts["size"] = counts.groupby(column)["count"].transform("sum")
        most = counts.sort_values([column, "count", "class_name"], ascending=[True, False, True])
        most = most.drop_duplicates(column).rename(columns={column: "cluster"})
        tables.append(most.assign(space=of, fraction=most["count"] / most["size"]))
    return pd.concat(tables, ignore_index=True)[["space", "cluster", "size", "class_name", "fraction"]]


def nearest_images(rows: pd.DataFrame, embeddings: np.ndarray) -> pd.DataFrame:
    """Return the nearest neighbors of each image among those of train, or among all with fewer than two in train.

    Columns: `image_id, split, class_name, rank` (from 1), `neighbor_id, neighbor_split, neighbor_class, similarity`
    (cosine of the embeddings, -1 to 1).
    """
    rows, order = as_table(rows), order_by_image_id(rows, embeddings)
    rows, embeddings = rows.iloc[order], embeddings[order]
    searched = np.flatnonzero(_searched(rows))
    finder = NearestNeighbors(n_neighbors=min(NEIGHBORS + 1, len(searched)), metric="cosine").fit(embeddings[searched])
    distances, neighbors = finder.kneighbors(embeddings)
    is_itself = searched[neighbors] == np.arange(len(rows))[:, np.newaxis]
    rank = (~is_itself).cumsum(axis=1)
    image, column = np.nonzero(~is_itself & (rank <= NEIGHBORS))
    about = rows[["image_id", "split", "class_name"]]
    table = about.iloc[image].reset_index(drop=True).assign(rank=rank[image, column])
    of_neighbors = about.iloc[searched[neighbors[image, column]]].reset_index(drop=True)
    table[["neighbor_id", "neighbor_split", "neighbor_class"]] = of_neighbors
    return table.assign(similarity=1 - distances[image, column])


def neighbor_measures(rows: pd.DataFrame, nearest: pd.DataFrame, groups: Groups = None) -> pd.DataFrame:
    """Return the fraction of images whose nearest neighbor has their class, by split: `MEASURE_COLUMNS`.

    `chance` is that of a random neighbor; intervals are those of `mean_estimate`.
    """
    rows, nearest = as_table(rows).reset_index(drop=True), as_table(nearest, text=TEXT_OF_AUDIT).reset_index(drop=True)
    searched = _searched(rows)
    counts = rows["class_name"][searched].value_counts()
    others = rows["class_name"].map(counts).fillna(0) - searched
    chance = (others / (searched.sum() - searched).clip(lower=1)).groupby(rows["split"]).mean()
    first = nearest[nearest["rank"] == 1]
    table = []
    for split in [name for name in SPLITS if name in set(first["split"])]:
        right = (first["class_name"] == first["neighbor_class"])[first["split"] == split]
        figure = value_and_interval(right.to_numpy(), group_numbers(first["image_id"][right.index], groups))
        table.append(["code", split, "nearest", *figure, float(chance[split]), len(right)])
    return pd.DataFrame(table, columns=MEASURE_COLUMNS)


def example_images(nearest: pd.DataFrame, seed: int = 0) -> list[str]:
    """Draw example images: three whose nearest neighbor has their class, then three where it has not."""
    first = nearest[nearest["rank"] == 1].sort_values("image_id").sample(frac=1, random_state=seed)
    same = first["class_name"] == first["neighbor_class"]
    return [*first["image_id"][same].head(3), *first["image_id"][~same].head(3)]


def order_by_image_id(rows: pd.DataFrame, embeddings: np.ndarray) -> np.ndarray:
    """Return the indices that sort the rows by image id; ValueError where rows and embeddings differ in number."""
    if len(embeddings) != len(rows):
        raise ValueError(f"Expected embeddings for each of the {len(rows)} images. Received: {len(embeddings)}.")
    return np.argsort(rows["image_id"].to_numpy(dtype=object), kind="stable")


def searches_train(rows: pd.DataFrame) -> bool:
    """Return whether neighbors are searched in train, which needs two images there, or among all images."""
    return bool((rows["split"] == "train").sum() > 1)


def _searched(rows: pd.DataFrame) -> pd.Series:
    return rows["split"] == "train" if searches_train(rows) else pd.Series(True, index=rows.index)
