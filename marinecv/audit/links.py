"""Pairs of related images: copies, near-duplicates and neighboring frames, in one table that is cached."""

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from marinecv.audit.copies import exact_copies, near_copies
from marinecv.audit.frames import find_frames
from marinecv.audit.thumbs import SMALL, load_thumbs, tiny
from marinecv.audit.versions import versions
from marinecv.choices import FRAMES
from marinecv.data.groups import BLOCK, LINK_COLUMNS, NEIGHBOUR
from marinecv.data.store import store_path
from marinecv.data.user_tables import as_catalog, usable
from marinecv.inputs.pixels import files_key
from marinecv.schema import one_of
from marinecv.tables import numbers, read_table, write_table

VERSION = 8  # of the cache: raised when the same files give other pairs
MANY = 500  # images, which take some seconds


def find_links(
    catalog: pd.DataFrame,
    frames: str | None = None,
    loaded: tuple[np.ndarray, pd.DataFrame] | None = None,
    *,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Find the pairs of related images: copies, near-duplicates and neighboring frames.

        >>> import marinecv as mcv
        >>> mcv.find_links(mcv.read_catalog(mcv.demo_images())[:8]).columns[:3].tolist()
        ['first', 'second', 'kind']

    The result is cached by the files, their times and sizes, and their classes.

    Args:
        catalog: columns `CATALOG_COLUMNS`; rows with a problem, and files that do not decode, have no pair.
        frames: the order of neighboring frames: `"number"` in file names, `"time"` in EXIF data or names, or `"none"`;
            None takes what fits the images best, see `find_frames`.
        loaded: what `marinecv.audit.thumbs.load_thumbs(catalog)` returned, so that nothing is decoded again.
        say: called with a line of text if the search takes more than a moment.
    Returns:
        DataFrame `LINK_COLUMNS`, a row a pair: `first` and `second` (image ids); `kind`: `copy` (the same bytes), `near
        copy`, `neighbour` (the next file number, or at most 10 seconds apart), `block` (kept together in a grouped
        split: 50 file numbers, or no pause of half an hour; each image with the next of its block); `likeness`, the
        similarity of near-duplicates, 0.8 to 1; and `found_by`, the method.
    Raises:
        ValueError: `frames` is none of `FRAMES`.
    """
    one_of((None, *FRAMES), frames=frames)
    catalog = as_catalog(catalog, ("image_id", "path")).reset_index(drop=True)
    rows = usable(catalog)
    place = store_path("links", _key(rows, frames) + ".csv")
    if place.is_file():
        return numbers(read_table(place), ["likeness"], place)
    if say is not None and len(rows) > MANY:
        say(f"Searching {len(rows):,} images for near-duplicates and neighboring frames; the result is cached.")
    thumbs, catalog = load_thumbs(catalog, say) if loaded is None else loaded
    rows = usable(catalog)
    copies = _joined([exact_copies(rows), near_copies(thumbs), versions(thumbs, rows["image_id"])])
    tables = [copies.drop_duplicates(["first", "second"])]  # two files with the same bytes are a copy and no more
    order = None if frames == "none" else find_frames(rows, tiny(thumbs), frames)
    if order:
        blocks = pd.Series(np.arange(len(rows))).groupby(order.blocks())
        chains = [of_block.to_numpy() for name, of_block in blocks if name]
        chained = [np.stack([chain[:-1], chain[1:]], axis=1) for chain in chains]
        for kind, pairs in ((NEIGHBOUR, order.neighbours()), (BLOCK, np.concatenate(chained))):
            pairs = pd.DataFrame(np.sort(pairs, axis=1), columns=["first", "second"])
            tables.append(pairs.assign(kind=kind, likeness=np.nan, found_by=order.by))
    links, ids = _joined(tables), rows["image_id"].to_numpy()
    links = links.assign(first=ids[links["first"]], second=ids[links["second"]])[LINK_COLUMNS]
    place.parent.mkdir(parents=True, exist_ok=True)
    write_table(place, links)
    return links


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several tables, without the column types of empty ones."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _key(rows: pd.DataFrame, frames: str | None) -> str:
    """Return the name in the cache of the pairs of some images."""
    rows = rows.sort_values("image_id")
    labels = "\0".join(f"{image}\1{name}" for image, name in zip(rows["image_id"], rows["class_name"], strict=True))
    facts = f"{VERSION}\0{frames}\0{files_key(rows['path'], SMALL)}\0{labels}"
    return hashlib.sha256(facts.encode()).hexdigest()[:32]
