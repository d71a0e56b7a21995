"""Every finding of an audit in one call, and what was looked at."""

import pandas as pd

from marinecv.audit.findings import Finding
from marinecv.audit.labelling import label_findings
from marinecv.audit.relative_findings import relative_findings
from marinecv.audit.unfit import image_findings
from marinecv.choices import SCORED_SPLITS
from marinecv.data.boxes import as_boxes
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.groups import NEIGHBOUR
from marinecv.data.splits import split_catalog
from marinecv.data.user_tables import TEXT_OF_AUDIT, as_catalog, as_table, usable


def is_split(catalog: pd.DataFrame) -> bool:
    """Whether some images are to be learned from and others to judge by."""
    splits = set(usable(catalog)["split"])
    return "train" in splits and not splits.isdisjoint(SCORED_SPLITS)


def as_split(catalog: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return the catalog as it is split, or else as a random split (stratified) would be, to see what that would do."""
    if is_split(catalog) or usable(catalog).empty:
        return catalog
    chosen = split_catalog(catalog, "stratified", seed).set_index("image_id")["split"]
    return catalog.assign(split=chosen.reindex(catalog["image_id"]).to_numpy())  # in the order of its thumbs


def list_findings(
    catalog: pd.DataFrame, boxes: pd.DataFrame, tables: dict[str, pd.DataFrame], leak: dict, seed: int = 0
) -> list[Finding]:
    """Find what makes a score on these images wrong, and what a person should look at; the serious findings first.

    Of the tables `links`, `quality`, and where boxes decide on labels `label_flips` are read; `crossing` and `votes`,
    both of `as_split(catalog, seed)`, and `leak`, the `leak_index` of the votes.
    """
    catalog, boxes = as_catalog(catalog, CATALOG_COLUMNS).reset_index(drop=True), as_boxes(boxes)
    tables = {name: as_table(table, text=TEXT_OF_AUDIT).reset_index(drop=True) for name, table in tables.items()}
    links, crossing, votes = (tables[name] for name in ("links", "crossing", "votes"))
    found = relative_findings(as_split(catalog, seed), links, crossing, votes, leak, published=is_split(catalog))
    found += image_findings(catalog, tables["quality"])
    found += label_findings(catalog, boxes, tables.get("label_flips"))
    return sorted(found, key=lambda finding: not finding.serious)


def looked_at(
    catalog: pd.DataFrame,
    boxes: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    by_codes: bool,
    frames: str | None = None,
) -> str:
    """Say in a sentence what the findings rest on.

    It takes what `list_findings` took, whether the codes of a backbone were at hand, and `frames` as `find_links` did.
    """
    followed = tables["links"].loc[tables["links"]["kind"] == NEIGHBOUR, "found_by"]
    if frames == "none":
        order = "frames were not looked for"
    elif followed.empty:
        asked = {"number": "no number in the file names", "time": "no time"}
        order = f"{asked.get(frames, ' and '.join(asked.values()))} says which images follow each other"
    else:
        order = f"frames that follow each other by {'their file numbers' if followed.iloc[0] == 'number' else 'time'}"
    ways = "hashes, colours and the codes of a small backbone" if by_codes else "hashes and colours"
    labels = ", boxes" if not boxes.empty else ""
    return (
        f"Looked at: {len(catalog):,} files, each decoded to its last pixel; copies by content, near copies by {ways}; "
        f"{order}; what a memory of thumbnails can name; classes{labels} and labels; light, sharpness and size."
    )
