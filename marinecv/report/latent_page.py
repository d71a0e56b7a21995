"""The page of a network's inner space: the map of its codes, their clusters, and images beside their neighbours."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from marinecv.choices import SPLITS
from marinecv.evaluation.latent import PERPLEXITY, perplexity_of, searches_train
from marinecv.evaluation.probe import FOLDS
from marinecv.report.html import thumbnail, write_page
from marinecv.report.latent_figures import MANY, latent_figure
from marinecv.report.parts import shown

CLUSTERINGS = {"points": "Clusters of the points", "code": "Clusters of the code"}
MAPS = {"plain": None, "by_class": "class_name", "by_points": "cluster_points", "by_code": "cluster_code"}
MEASURES = {
    "ari": (
        "ARI (adjusted Rand index)",
        "Of all pairs of images, how often cluster and class agree whether the two belong together, beyond chance.",
    ),
    "ami": (
        "AMI (adjusted mutual information)",
        "How much the cluster tells of the class and the class of the cluster, beyond chance.",
    ),
    "nmi": (
        "NMI (normalised mutual information)",
        "The same without taking chance away: it rises with the number of clusters by itself.",
    ),
    "purity": (
        "Purity",
        "The share of images that are of the most frequent class of their cluster. It rises with the clusters alone.",
    ),
    "silhouette": (
        "Silhouette",
        "How much nearer images lie to their own cluster than to the next one, from -1 to 1; it knows no classes.",
    ),
}


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

    `values` are the numbers of a code, `measures` all of `latent_measures`, `neighbour_measures` and `linear_probe`,
    `images` the ids of those to show beside their neighbours, `salt` and `pepper` the noise behind the codes.
    """
    folder, n = Path(folder), len(points)
    drawn = {
        name: shown(latent_figure(points, by, demonstration), folder / "figures" / f"{name}.png")
        for name, by in MAPS.items()
    }
    return write_page(
        folder / "latent.html",
        "latent.html",
        title=title,
        demonstration=demonstration,
        summary=_summary(points, values),
        noise=_noise(salt, pepper),
        perplexity=_perplexity(n),
        many_classes=points["class_name"].nunique() >= MANY,
        clusters=points["cluster_code"].nunique(),
        many_clusters=points["cluster_code"].nunique() >= MANY,
        tables={name: clusters[clusters["of"] == of].to_dict("records") for of, name in CLUSTERINGS.items()},
        measures=_measures(measures),
        n=n,
        searched=_searched(points),
        nearest=measures[measures["measure"] == "nearest"].to_dict("records"),
        probe=measures[measures["measure"] == "probe"].to_dict("records"),
        folds=FOLDS,
        sheets=_sheets(rows, nearest, images),
        **drawn,
    )


def _summary(points: pd.DataFrame, values: int) -> str:
    counts = points["split"].value_counts()
    splits = ", ".join(f"{counts[split]:,} of {split}" for split in SPLITS if split in counts)
    classes = points["class_name"].nunique()
    return (
        f"{len(points):,} images ({splits}) of {classes} class{'es' * (classes != 1)}, each as the code of {values:,} "
        "numbers that the network makes of it before it names it."
    )


def _noise(salt: float, pepper: float) -> str:
    if not (salt or pepper):
        return ""
    return (
        f"Noise was laid on every image first: {salt:.0%} of its pixels white and {pepper:.0%} black, the same each "
        "time. All that follows is of these noisy images; pictures are shown without the noise."
    )


def _perplexity(n: int) -> str:
    lowered = "" if perplexity_of(n) == PERPLEXITY else f" (usually {PERPLEXITY:.0f}; lowered for so few images)"
    return f"t-SNE of the code as it is, begun at its principal components, perplexity {perplexity_of(n):.3g}{lowered}."


def _measures(measures: pd.DataFrame) -> list[dict]:
    found = measures.set_index(["measure", "of"])
    return [
        {"name": name, "words": words, "figures": [found.loc[(key, of)].to_dict() for of in CLUSTERINGS]}
        for key, (name, words) in MEASURES.items()
    ]


def _searched(points: pd.DataFrame) -> str:
    if searches_train(points):
        return "Neighbours are searched among the images of train, and no image is its own."
    return "Images of train are not among these, so neighbours are searched among all of them; none is its own."


def _sheets(rows: pd.DataFrame, nearest: pd.DataFrame, images: Sequence[str]) -> dict[str, list]:
    """Rows of pictures: an image, then its neighbours."""
    paths = rows.set_index("image_id")["path"]
    sheets: dict[str, list] = {"The nearest is of the same class": [], "The nearest is of another class": []}
    for image in images:
        near = nearest[nearest["image_id"] == image]
        own = near.iloc[0]
        lines = [f"This image: {own['class_name']}", own["split"], image]
        items = [{"src": thumbnail(paths[image]), "alt": image, "lines": lines}]
        for row in near.itertuples():
            other = ", another class" if row.neighbour_class != row.class_name else ""
            lines = [f"{row.similarity:.3f} {row.neighbour_class}", f"{row.neighbour_split}{other}"]
            items.append({"src": thumbnail(paths[row.neighbour_id]), "alt": row.neighbour_id, "lines": lines})
        list(sheets.values())[own["class_name"] != own["neighbour_class"]].append(items)
    return sheets
