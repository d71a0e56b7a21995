"""The tables of an audit that describe a data set: classes, sizes, labels by several rules, intensity and noise."""

import numpy as np
import pandas as pd

from marinecv.choices import LABEL_RULES, SPLITS
from marinecv.data.boxes import as_boxes
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.labels import dominant_class
from marinecv.data.user_tables import as_catalog, is_usable, usable
from marinecv.inputs.to_rgb import find_white, open_rgb

UNSURE_BELOW = 0.6  # dominance of a class
OTHER_RULES = LABEL_RULES[1:]
SAMPLED_IMAGES = 200  # images whose pixels are counted


def describe_data_set(catalog: pd.DataFrame, boxes: pd.DataFrame, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return the tables that describe a data set, by name; the seed draws the images whose pixels are counted.

    Always `class_counts, size_table, distinct_sizes, problems`; `gray_scale` if images have more than 8 bits a gray
    pixel; of usable images `intensity_histogram, intensity_summary, noise_estimate`; with boxes `box_problems`, and if
    an image has several boxes `class_dominance, class_changes, label_flips`.
    """
    catalog, boxes = as_catalog(catalog, CATALOG_COLUMNS).reset_index(drop=True), as_boxes(boxes)
    tables = {
        "class_counts": class_counts(catalog),
        "size_table": size_table(catalog),
        "distinct_sizes": distinct_sizes(catalog),
        "problems": catalog.loc[~is_usable(catalog), ["image_id", "split", "problem"]].reset_index(drop=True),
    }
    white, good = find_white(catalog), usable(catalog)
    if white:
        tables["gray_scale"] = pd.DataFrame({"white": [white]})
    if good.empty:
        return tables
    sample = good.sample(min(SAMPLED_IMAGES, len(good)), random_state=seed).sort_index()
    tables["intensity_histogram"] = intensity_histogram(sample["path"], white)
    tables["intensity_summary"] = intensity_summary(tables["intensity_histogram"])
    sigmas = [noise_sigma(np.asarray(open_rgb(path, white).convert("L"))) for path in sample["path"]]
    columns = sample[["image_id", "split", "class_name"]]
    tables["noise_estimate"] = columns.assign(sigma=sigmas).reset_index(drop=True)
    if not boxes.empty:
        if boxes["image_id"].duplicated().any():
            tables["class_dominance"] = class_dominance(catalog)
            labels = labels_by_rule(boxes, catalog)
            tables["class_changes"] = class_changes(labels, catalog)
            tables["label_flips"] = label_flips(labels)
        tables["box_problems"] = boxes.loc[~is_usable(boxes), ["image_id", "class_name", "source", "problem"]]
    return tables


def splits_of(catalog: pd.DataFrame) -> list[str]:
    """Return the splits of a catalog: train, validation, test, then any other."""
    present = list(catalog["split"].unique())
    return [split for split in SPLITS if split in present] + sorted(set(present) - set(SPLITS))


def class_counts(catalog: pd.DataFrame) -> pd.DataFrame:
    """Count usable images by class and split: a row a class, the largest first, and a last row "total".

    Columns: `class_name`, one a split, `total`, `fraction` of all usable images (0 to 1).
    """
    good = usable(catalog)
    counts = pd.crosstab(good["class_name"], good["split"]).reindex(columns=splits_of(catalog), fill_value=0)
    counts["total"] = counts.sum(axis=1)
    counts.loc["total"] = counts.sum()
    counts["fraction"] = counts["total"] / max(1, len(good))
    order = counts.index[:-1][(-counts["total"].iloc[:-1]).argsort(kind="stable")]
    return counts.loc[[*order, "total"]].rename_axis("class_name", axis=0).rename_axis(None, axis=1).reset_index()


def size_table(catalog: pd.DataFrame) -> pd.DataFrame:
    """Summarize the known widths and heights in pixels, of each split and of "all".

    Columns: `split, side` ("width" or "height"), `n, mean, median, min, max`.
    """
    known = catalog[(catalog["width"] > 0) & (catalog["height"] > 0)]
    rows = []
    for split in [*splits_of(known), "all"]:
        images = known if split == "all" else known[known["split"] == split]
        for side in ("width", "height"):
            pixels = images[side]
            rows.append((split, side, len(pixels), pixels.mean(), pixels.median(), pixels.min(), pixels.max()))
    return pd.DataFrame(rows, columns=["split", "side", "n", "mean", "median", "min", "max"])


def distinct_sizes(catalog: pd.DataFrame) -> pd.DataFrame:
    """Count the distinct known sizes, the most frequent first: `width, height` (px), `count`."""
    known = catalog[(catalog["width"] > 0) & (catalog["height"] > 0)]
    sizes = known.groupby(["width", "height"]).size().rename("count").reset_index()
    return sizes.sort_values(["count", "width", "height"], ascending=[False, True, True], ignore_index=True)


def class_dominance(catalog: pd.DataFrame) -> pd.DataFrame:
    """Summarize the dominance of the labels of each class and of "all": the label's fraction of its image's scores.

    Columns: `class_name, n, mean, median, min` (0 to 1), `unsure` (images below `UNSURE_BELOW`).
    """
    good, rows = usable(catalog), []
    for name, values in [*good.groupby("class_name")["dominance"], ("all", good["dominance"])]:
        unsure = int((values < UNSURE_BELOW).sum())
        rows.append((name, len(values), values.mean(), values.median(), values.min(), unsure))
    return pd.DataFrame(rows, columns=["class_name", "n", "mean", "median", "min", "unsure"])


def labels_by_rule(boxes: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Label the usable images that have boxes: `image_id, split, dominance, dominant`, a column for each other rule."""
    labels = dominant_class(boxes)[["image_id", "dominance", "class_name"]].rename(columns={"class_name": "dominant"})
    for rule in OTHER_RULES:
        other = dominant_class(boxes, rule)[["image_id", "class_name"]].rename(columns={"class_name": rule})
        labels = labels.merge(other, on="image_id")
    return usable(catalog)[["image_id", "split"]].merge(labels, on="image_id")


def class_changes(labels: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Count the images of `labels_by_rule` whose label another rule changes: a row a rule of `OTHER_RULES`.

    Columns: `rule`, one a split of the catalog, `total` (images changed), `n` (images).
    """
    rows = []
    for rule in OTHER_RULES:
        changed = labels.loc[labels[rule] != labels["dominant"], "split"].value_counts()
        by_split = {name: int(changed.get(name, 0)) for name in splits_of(catalog)}
        rows.append({"rule": rule, **by_split, "total": sum(by_split.values()), "n": len(labels)})
    return pd.DataFrame(rows)


def label_flips(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `labels_by_rule` whose label another rule changes, the lowest dominance first."""
    flips = labels[labels[list(OTHER_RULES)].ne(labels["dominant"], axis=0).any(axis=1)]
    return flips.sort_values(["dominance", "image_id"], ignore_index=True)


def intensity_histogram(paths: pd.Series, white: int | None = None) -> pd.DataFrame:
    """Return the fraction of pixels at each `level` from 0 to 255, averaged over images: `red, green, blue, gray`.

    Each of the four columns sums to 1. Gray is ITU-R 601 luma; `white` is that of `find_white`.
    """
    fractions = np.zeros((4, 256))
    for path in paths:
        image = open_rgb(path, white)
        counts = np.array(image.histogram() + image.convert("L").histogram()).reshape(4, 256)
        fractions += counts / (image.width * image.height)
    table = pd.DataFrame((fractions / len(paths)).T, columns=["red", "green", "blue", "gray"])
    return table.rename_axis("level").reset_index()


def intensity_summary(histogram: pd.DataFrame) -> pd.DataFrame:
    """Summarize an `intensity_histogram`: a row a `channel`, `mean` and `deviation` in gray levels.

    `dark_fraction` is the fraction of pixels below 32, and `lower_fraction` that below 128.
    """
    level, rows = histogram["level"], []
    for channel in histogram.columns.drop("level"):
        fractions = histogram[channel]
        mean = (fractions * level).sum()
        deviation = np.sqrt((fractions * (level - mean) ** 2).sum())
        rows.append((channel, mean, deviation, fractions[level < 32].sum(), fractions[level < 128].sum()))
    return pd.DataFrame(rows, columns=["channel", "mean", "deviation", "dark_fraction", "lower_fraction"])


def noise_sigma(gray: np.ndarray) -> float:
    """Estimate the standard deviation of Gaussian noise in a gray image, (height, width), in its own units.

    The Laplacian difference of Immerkaer, CVIU 64(2), 1996. It is an upper bound, for fine texture counts as noise; NaN
    if a side is below 3 px.
    """
    if min(gray.shape) < 3:
        return float("nan")
    rows = gray.astype(np.float32)
    rows = rows[:-2] - 2 * rows[1:-1] + rows[2:]
    laplacian = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.sqrt(np.pi / 2) * np.abs(laplacian).mean() / 6)
