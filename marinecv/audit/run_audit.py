"""All measurements and all findings of an audit; `marinecv.workflows.audit` calls them and writes the page."""

import pandas as pd

from marinecv.audit.findings import Finding
from marinecv.audit.image_findings import image_findings, measure_quality
from marinecv.audit.label_findings import label_findings
from marinecv.audit.leakage_findings import leakage_findings, nearest_neighbor_baseline, pairs_across_splits
from marinecv.audit.near_duplicates import duplicates_by_embedding
from marinecv.audit.pairs import find_pairs
from marinecv.audit.tables import describe_data_set
from marinecv.audit.thumbnails import load_thumbs, tiny_pixels
from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log
from marinecv.data.boxes import as_boxes
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.groups import BLOCK, NEIGHBOR, first_level, group_catalog
from marinecv.data.splits.split_catalog import split_catalog
from marinecv.data.user_tables import TEXT_OF_AUDIT, as_catalog, as_table, usable
from marinecv.language import tr


def is_split(catalog: pd.DataFrame) -> bool:
    """Return whether some usable images are train images and others validation or test images."""
    splits = set(usable(catalog)["split"])
    return "train" in splits and not splits.isdisjoint(SCORED_SPLITS)


def as_split(catalog: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return the catalog as it is split, or else with a random split (stratified)."""
    if is_split(catalog) or usable(catalog).empty:
        return catalog
    split = split_catalog(catalog, "stratified", seed).set_index("image_id")["split"]
    return catalog.assign(split=split.reindex(catalog["image_id"]).to_numpy())  # in the order of its thumbs


def audit_images(
    catalog: pd.DataFrame,
    boxes: pd.DataFrame,
    *,
    frame_order: str | None = None,
    seed: int = 0,
    log: Log | None = None,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], str]:
    """Decode every usable image and measure what the findings need.

    Returns the catalog with a problem for each file that does not decode and a `group` for the others; the tables of
    `describe_data_set`, and `pairs` (of `find_pairs` and `duplicates_by_embedding`), `crossing`, `votes` and `quality`;
    and a sentence about what was checked. `frame_order` is that of `find_pairs`; the seed draws samples, folds and
    splits.
    """
    catalog, boxes = as_catalog(catalog, CATALOG_COLUMNS).reset_index(drop=True), as_boxes(boxes)
    as_read, (thumbs, catalog) = catalog, load_thumbs(catalog, log)
    pairs = find_pairs(as_read, frame_order, (thumbs, catalog), log=log)  # `as_read`: training reads the same cache
    catalog = group_catalog(first_level(catalog), pairs)
    by_embedding = duplicates_by_embedding(usable(catalog), thumbs)
    if by_embedding is not None:
        blocks = group_catalog(catalog.assign(group=""), pairs[pairs["kind"] == BLOCK]).set_index("image_id")["group"]
        is_frame = by_embedding["image_a"].map(blocks) == by_embedding["image_b"].map(blocks)
        pairs = pd.concat([pairs, by_embedding[~is_frame]], ignore_index=True)
    split, small = as_split(catalog, seed), tiny_pixels(thumbs)
    tables = describe_data_set(catalog, boxes, seed=seed) | {
        "pairs": pairs,
        "crossing": pairs_across_splits(split, pairs, small),
        "votes": nearest_neighbor_baseline(usable(split), small, seed),
        "quality": measure_quality(usable(catalog), thumbs),
    }
    methods = tr("hashes and colors" if by_embedding is None else "hashes, colors and embeddings of a small backbone")
    orders = sorted(set(pairs.loc[pairs["kind"] == NEIGHBOR, "method"]))
    order = tr("by {methods}", methods=tr(" and ").join(map(tr, orders))) if orders else tr("none found")
    text = (
        "Checked: {n:,} files, each decoded whole; copies by content, near-duplicates by {methods}; neighboring "
        "frames: {frames}; a nearest-neighbor baseline; {labels}; brightness, sharpness and size."
    )
    frames = tr("not searched for") if frame_order == "none" else order
    labels = tr("classes and labels") if boxes.empty else tr("classes, boxes and labels")
    return catalog, tables, tr(text, n=len(catalog), methods=methods, frames=frames, labels=labels)


def list_findings(
    catalog: pd.DataFrame, boxes: pd.DataFrame, tables: dict[str, pd.DataFrame], leak: dict, seed: int = 0
) -> list[Finding]:
    """Return all findings, the serious ones first.

    Of the tables of `audit_images` it reads `pairs`, `quality`, `label_flips` if present, and `crossing` and `votes`,
    which are of `as_split(catalog, seed)`; `leak` is the `leakage_index` of the votes.
    """
    catalog, boxes = as_catalog(catalog, CATALOG_COLUMNS).reset_index(drop=True), as_boxes(boxes)
    tables = {name: as_table(table, text=TEXT_OF_AUDIT).reset_index(drop=True) for name, table in tables.items()}
    pairs, crossing, votes = (tables[name] for name in ("pairs", "crossing", "votes"))
    all_findings = leakage_findings(as_split(catalog, seed), pairs, crossing, votes, leak, published=is_split(catalog))
    all_findings += image_findings(catalog, tables["quality"])
    all_findings += label_findings(catalog, boxes, tables.get("label_flips"))
    return sorted(all_findings, key=lambda finding: not finding.serious)
