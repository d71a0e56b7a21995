"""Everything that an audit looks at, in one call."""

from collections.abc import Callable

import pandas as pd

from marinecv.audit.codes import copies_by_codes
from marinecv.audit.explore import explore
from marinecv.audit.judge import as_split, looked_at
from marinecv.audit.leak import thumbnail_votes
from marinecv.audit.links import find_links
from marinecv.audit.quality import measure_quality
from marinecv.audit.relative_findings import crossing_pairs
from marinecv.audit.thumbs import load_thumbs, tiny
from marinecv.data.boxes import as_boxes
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.groups import first_level, group_catalog
from marinecv.data.user_tables import as_catalog, usable


def audit_images(
    catalog: pd.DataFrame,
    boxes: pd.DataFrame,
    *,
    frames: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], str]:
    """Decode every usable image and measure what an audit judges; `mcv.audit` does this and all that follows from it.

    Returns the catalog with the problems of files that do not decode and a `group` for the others; the tables of
    `explore`, and `links` (of `find_links`, and of `copies_by_codes`), `crossing`, `votes` and `quality`; and a
    sentence that says what they rest on. `frames` is as of `find_links`; the seed draws samples, folds and splits.
    """
    catalog, boxes = as_catalog(catalog, CATALOG_COLUMNS).reset_index(drop=True), as_boxes(boxes)
    as_read, (thumbs, catalog) = catalog, load_thumbs(catalog, say)
    # Of the catalog as it was read, so that a training finds them in the store.
    links = find_links(as_read, frames, (thumbs, catalog), say=say)
    catalog = group_catalog(first_level(catalog), links)
    by_codes = copies_by_codes(usable(catalog), thumbs)
    links = pd.concat([part for part in (links, by_codes) if part is not None], ignore_index=True)
    split, small = as_split(catalog, seed), tiny(thumbs)
    tables = explore(catalog, boxes, seed=seed) | {
        "links": links,
        "crossing": crossing_pairs(split, links, small),
        "votes": thumbnail_votes(usable(split), small, seed),
        "quality": measure_quality(usable(catalog), thumbs),
    }
    return catalog, tables, looked_at(catalog, boxes, tables, by_codes is not None, frames)
