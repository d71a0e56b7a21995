"""Count what the catalog holds: classes, sizes, problems, and how sure the labels are."""

import pandas as pd

from marinecv.choices import LABEL_RULES, SPLITS
from marinecv.data.labels import dominant_class
from marinecv.data.user_tables import is_usable, usable

UNSURE_BELOW = 0.6
OTHER_RULES = LABEL_RULES[1:]


def splits_of(catalog: pd.DataFrame) -> list[str]:
    """Return the splits present: train, validation, test, then any other."""
    present = list(catalog["split"].unique())
    return [split for split in SPLITS if split in present] + sorted(set(present) - set(SPLITS))


def sample_of(catalog: pd.DataFrame, sample: int, seed: int) -> pd.DataFrame:
    """Return at most `sample` usable rows, drawn without replacement, in the order of the catalog."""
    good = usable(catalog)
    return good.sample(min(sample, len(good)), random_state=seed).sort_index()


def problems(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the images that cannot be used: `image_id, split, problem`."""
    return catalog.loc[~is_usable(catalog), ["image_id", "split", "problem"]].reset_index(drop=True)


def class_counts(catalog: pd.DataFrame) -> pd.DataFrame:
    """Count usable images by class and split: a row a class, the largest first, and a last row "total".

    Columns: `class_name`, one a split, `total`, `share` of all usable images (0 to 1).
    """
    good = usable(catalog)
    counts = pd.crosstab(good["class_name"], good["split"]).reindex(columns=splits_of(catalog), fill_value=0)
    counts.loc["total"] = counts.sum()
    counts["total"] = counts.sum(axis=1)
    counts["share"] = counts["total"] / max(1, len(good))
    order = counts.index[:-1][(-counts["total"].iloc[:-1]).argsort(kind="stable")]
    return counts.loc[[*order, "total"]].rename_axis("class_name", axis=0).rename_axis(None, axis=1).reset_index()


def size_table(catalog: pd.DataFrame) -> pd.DataFrame:
    """Summarise width and height in pixels, for each split and for "all"; unknown sizes are left out.

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
    """Count the distinct sizes, the most frequent first: `width, height` (px), `count`; unknown sizes are left out."""
    known = catalog[(catalog["width"] > 0) & (catalog["height"] > 0)]
    sizes = known.groupby(["width", "height"]).size().rename("count").reset_index()
    return sizes.sort_values(["count", "width", "height"], ascending=[False, True, True], ignore_index=True)


def label_shares(catalog: pd.DataFrame) -> pd.DataFrame:
    """Say how clearly the winning class won, for each class and for "all".

    `share` is the class's part of all scores in its image; near 0.5 the label could as well be another. Columns:
    `class_name, n, mean, median, min` (shares, 0 to 1), `unsure` (images below `UNSURE_BELOW`).
    """
    good, rows = usable(catalog), []
    for name in [*sorted(good["class_name"].unique()), "all"]:
        share = good["share"] if name == "all" else good.loc[good["class_name"] == name, "share"]
        unsure = int((share < UNSURE_BELOW).sum())
        rows.append((name, len(share), share.mean(), share.median(), share.min(), unsure))
    return pd.DataFrame(rows, columns=["class_name", "n", "mean", "median", "min", "unsure"])


def labels_by_rule(boxes: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Label the usable images that have boxes: `image_id, split, share` (of the dominant class), a column a rule."""
    labels = dominant_class(boxes)[["image_id", "class_name", "share"]].rename(columns={"class_name": "dominant"})
    for rule in OTHER_RULES:
        other = dominant_class(boxes, rule)[["image_id", "class_name"]].rename(columns={"class_name": rule})
        labels = labels.merge(other, on="image_id")
    labels = usable(catalog)[["image_id", "split"]].merge(labels, on="image_id")
    return labels[["image_id", "split", "share", "dominant", *OTHER_RULES]]


def class_changes(labels: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Count the images whose label, of `labels_by_rule`, another rule would change: a row a rule of `OTHER_RULES`.

    Columns: `rule`, one a split of the catalog, `total` (images changed), `n` (images).
    """
    rows = []
    for rule in OTHER_RULES:
        changed = labels.loc[labels[rule] != labels["dominant"], "split"].value_counts()
        by_split = {name: int(changed.get(name, 0)) for name in splits_of(catalog)}
        rows.append({"rule": rule, **by_split, "total": sum(by_split.values()), "n": len(labels)})
    return pd.DataFrame(rows)


def label_flips(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `labels_by_rule` whose label another rule would change, the least sure first."""
    flips = labels[labels[list(OTHER_RULES)].ne(labels["dominant"], axis=0).any(axis=1)]
    return flips.sort_values(["share", "image_id"], ignore_index=True)
