"""Page of a network's embedding space: t-SNE map, clusters, and images with their nearest neighbors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from marinecv.choices import SPLITS
from marinecv.evaluation.latent import PERPLEXITY, perplexity_of, searches_train
from marinecv.evaluation.linear_probe import FOLDS
from marinecv.report.html import save_and_embed, thumbnail, write_page
from marinecv.report.style import COLORS, MARKERS, new_figure, short_name, styled

CLUSTERINGS = {"points": "Clusters of the t-SNE points", "code": "Clusters of the embeddings"}
MAP_COLUMNS = {"plain": None, "by_class": "class_name", "by_points": "cluster_points", "by_code": "cluster_code"}
MEASURES = {
    "ari": ("ARI (adjusted Rand index)", "Agreement of clusters and classes on image pairs, corrected for chance."),
    "ami": ("AMI (adjusted mutual information)", "Mutual information of cluster and class, corrected for chance."),
    "nmi": ("NMI (normalized mutual information)", "Not corrected for chance: it rises with the clusters."),
    "purity": ("Purity", "Fraction of images in the most frequent class of their cluster; it rises with the clusters."),
    "silhouette": ("Silhouette", "Distance to the own cluster against the next one, -1 to 1; without classes."),
}
MIN_GROUPS_TO_SCROLL = 24
"""Number of groups from which the figure keeps its size on a page and scrolls."""
MAX_VECTOR_POINTS = 3000
"""Number of points above which they are drawn as pixels, so that the page stays small."""


def write_latent_report(
    folder: str | Path,
    title: str,
    rows: pd.DataFrame,
    values: int,
    points: pd.DataFrame,
    measures: pd.DataFrame,
    clusters: pd.DataFrame,
    nearest: pd.DataFrame,
    images: Sequence[str],
    demonstration: bool = False,
    *,
    salt: float = 0.0,
    pepper: float = 0.0,
) -> Path:
    """Write `latent.html`, and its figures as PNG, into an existing folder; return the page.

    `values` is the length of an embedding, `measures` the rows of `latent_measures`, `neighbor_measures` and
    `linear_probe`, `images` the ids of images to show with their neighbors, `salt` and `pepper` the noise fractions.
    """
    folder, n = Path(folder), len(points)
    drawn = {
        name: save_and_embed(latent_figure(points, by, demonstration), folder / "figures" / f"{name}.png")
        for name, by in MAP_COLUMNS.items()
    }
    lowered = "" if perplexity_of(n) == PERPLEXITY else f" (default {PERPLEXITY:.0f}; lowered for {n} images)"
    by_measure = measures[measures["measure"].isin(MEASURES)].set_index(["measure", "space"])
    return write_page(
        folder / "latent.html",
        "latent.html",
        title=title,
        demonstration=demonstration,
        summary=_summary(points, values),
        noise=f"Salt-and-pepper noise was added first: every image has {salt:.0%} of its pixels white and {pepper:.0%} "
        "black, with a fixed seed. All results are for noisy images; thumbnails show the images without noise."
        if salt or pepper
        else "",
        perplexity=f"t-SNE of the embeddings, initialized with PCA, perplexity {perplexity_of(n):.3g}{lowered}.",
        many_classes=points["class_name"].nunique() >= MIN_GROUPS_TO_SCROLL,
        clusters=points["cluster_code"].nunique(),
        many_clusters=points["cluster_code"].nunique() >= MIN_GROUPS_TO_SCROLL,
        tables={name: clusters[clusters["space"] == of].to_dict("records") for of, name in CLUSTERINGS.items()},
        measures=[
            {"name": name, "words": words, "figures": [by_measure.loc[(key, of)].to_dict() for of in CLUSTERINGS]}
            for key, (name, words) in MEASURES.items()
        ],
        n=n,
        searched="Neighbors are searched among train images; an image is not its own neighbor."
        if searches_train(points)
        else "There are no train images here, so neighbors are searched among all images; an image is not its own.",
        nearest=measures[measures["measure"] == "nearest"].to_dict("records"),
        probe=measures[measures["measure"] == "probe"].to_dict("records"),
        folds=FOLDS,
        sheets=_neighbor_rows(rows, nearest, images),
        **drawn,
    )


@styled
def latent_figure(points: pd.DataFrame, by: str | None = None, demonstration: bool = False) -> Figure:
    """Draw `latent_points` (columns `x`, `y`); each group of the column `by` has its color, marker and legend entry."""
    groups = [] if by is None else sorted(points[by].unique())
    columns = 3 if max((len(str(group)) for group in groups), default=0) > 12 else 5
    width, height = np.ptp(points[["x", "y"]], axis=0)
    legend_height = 0.2 * -(-len(groups) // columns)
    figure, axis = new_figure(6.5, 6.5 * np.clip(height / max(width, 1e-9), 0.6, 1.2) + legend_height, demonstration)
    axis.set_aspect("equal", adjustable="datalim")
    axis.set(xticks=[], yticks=[])
    style = dict(linestyle="", markersize=4.5, markeredgewidth=0, alpha=0.75)
    style["rasterized"] = len(points) > MAX_VECTOR_POINTS
    if by is None:
        axis.plot(points["x"], points["y"], marker="o", color=COLORS[0], **style)
    for number, group in enumerate(groups):
        group_points = points[points[by] == group]
        color, marker = COLORS[number % len(COLORS)], MARKERS[number // len(COLORS) % len(MARKERS)]
        label = short_name(str(group), 24)
        axis.plot(group_points["x"], group_points["y"], marker=marker, color=color, label=label, **style)
    if groups:
        figure.legend(loc="outside lower center", ncols=columns, fontsize=8)
    return figure


def _summary(points: pd.DataFrame, values: int) -> str:
    counts = points["split"].value_counts()
    splits = ", ".join(f"{counts[split]:,} of {split}" for split in SPLITS if split in counts)
    classes = points["class_name"].nunique()
    images = f"{len(points):,} images ({splits}) of {classes} class{'es' * (classes != 1)}"
    return f"{images}, each as an embedding of {values:,} values: the input of the network's classification layers."


def _neighbor_rows(rows: pd.DataFrame, nearest: pd.DataFrame, images: Sequence[str]) -> dict[str, list]:
    """Return rows of thumbnails, an image and its neighbors, by whether the nearest neighbor has the same class."""
    paths = rows.set_index("image_id")["path"]
    sheets: dict[str, list] = {"Nearest neighbor of the same class": [], "Nearest neighbor of another class": []}
    for image in images:
        near = nearest[nearest["image_id"] == image]
        first = near.iloc[0]
        lines = [f"This image: {first['class_name']}", first["split"], image]
        items = [{"src": thumbnail(paths[image]), "alt": image, "lines": lines}]
        for row in near.itertuples():
            other = ", another class" if row.neighbor_class != row.class_name else ""
            lines = [f"{row.similarity:.3f} {row.neighbor_class}", f"{row.neighbor_split}{other}"]
            items.append({"src": thumbnail(paths[row.neighbor_id]), "alt": row.neighbor_id, "lines": lines})
        list(sheets.values())[first["class_name"] != first["neighbor_class"]].append(items)
    return sheets
