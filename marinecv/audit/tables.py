"""Count what the catalog holds: classes, sizes, and how sure the labels are."""

import pandas as pd

from marinecv.data.catalog import usable
from marinecv.data.labels import dominant_class
from marinecv.data.splits import SPLITS

UNSURE_BELOW = 0.6
OTHER_RULES = ("area", "count", "union")


def splits_of(catalog: pd.DataFrame) -> list[str]:
    """Return the splits present: train, validation, test, then any other."""
    present = list(catalog["split"].unique())
    return [split for split in SPLITS if split in present] + sorted(set(present) - set(SPLITS))


def class_counts(catalog: pd.DataFrame) -> pd.DataFrame:
    """Count usable images by class and split.

    Returns:
        DataFrame, a row a class, the largest first, and a last row "total": `class_name`, a column a split, `total`,
        `share` of all usable images (0 to 1).
    """
    good = usable(catalog)
    counts = pd.crosstab(good["class_name"], good["split"]).reindex(columns=splits_of(catalog), fill_value=0)
    counts.loc["total"] = counts.sum()
    counts["total"] = counts.sum(axis=1)
    counts["share"] = counts["total"] / max(1, len(good))
    order = counts.index[:-1][(-counts["total"].iloc[:-1]).argsort(kind="stable")]
    return counts.loc[[*order, "total"]].rename_axis("class_name", axis=0).rename_axis(None, axis=1).reset_index()


def size_table(catalog: pd.DataFrame) -> pd.DataFrame:
    """Summarise width and height in pixels, for each split and for "all".

    Returns:
        DataFrame: `split, side` ("width" or "height"), `n, mean, median, min, max`; unknown sizes are left out.
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

    `share` is the class's part of all scores in its image; near 0.5 the label could as well be another.

    Returns:
        DataFrame: `class_name, n, mean, median, min` (shares, 0 to 1), `unsure` (images below `UNSURE_BELOW`).
    """
    good, rows = usable(catalog), []
    for name in [*sorted(good["class_name"].unique()), "all"]:
        share = good["share"] if name == "all" else good.loc[good["class_name"] == name, "share"]
        unsure = int((share < UNSURE_BELOW).sum())
        rows.append((name, len(share), share.mean(), share.median(), share.min(), unsure))
    return pd.DataFrame(rows, columns=["class_name", "n", "mean", "median", "min", "unsure"])


def class_changes(boxes: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Count the images whose label another rule would change.

    Args:
        boxes: as `read_boxes` returns them.
        catalog: as `read_catalog` returns it; usable images that have boxes are counted.
    Returns:
        DataFrame, a row a rule of `OTHER_RULES`: `rule`, a column a split, `total` (images changed), `n` (images).
    """
    labels = dominant_class(boxes).set_index("image_id")["class_name"]
    good = usable(catalog)
    split = good.set_index("image_id")["split"]
    split = split[split.index.isin(labels.index)]
    rows = []
    for rule in OTHER_RULES:
        other = dominant_class(boxes, rule).set_index("image_id")["class_name"]
        changed = split[(labels.loc[split.index] != other.loc[split.index]).to_numpy()].value_counts()
        by_split = {name: int(changed.get(name, 0)) for name in splits_of(catalog)}
        rows.append({"rule": rule, **by_split, "total": sum(by_split.values()), "n": len(split)})
    return pd.DataFrame(rows)
