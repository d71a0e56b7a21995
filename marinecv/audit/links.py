"""Which images belong together: one table of links, made once for the files as they lie there."""

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

VERSION = 8  # raised when the same files give other links
MANY = 500  # images, which take some seconds


def find_links(
    catalog: pd.DataFrame,
    frames: str | None = None,
    loaded: tuple[np.ndarray, pd.DataFrame] | None = None,
    *,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Link copies, near copies and images taken one after the other.

        >>> import marinecv as mcv
        >>> mcv.find_links(mcv.read_catalog(mcv.demo_images())[:8]).columns[:3].tolist()
        ['first', 'second', 'kind']

    What was found is kept in the store and known by the files, their times and sizes, and their classes.

    Args:
        catalog: columns `CATALOG_COLUMNS`; its usable rows are looked at, those that do not decode are left alone.
        frames: what says which images follow each other: `"number"` in the file name, `"time"` in the EXIF data or
            the file name, or `"none"`; None takes what tells best, see `find_frames`.
        loaded: what `marinecv.audit.thumbs.load_thumbs(catalog)` gave, to save decoding again.
        say: called with a line of text where the search takes more than a moment.
    Returns:
        DataFrame `LINK_COLUMNS`, a row a pair: `first` and `second` (image ids), `kind`: `copy` (the same bytes), `near
        copy` (of versions of one photograph too, see `versions`), `neighbour` (the next file number, or some seconds
        apart), `block` (kept together in a grouped split: 50 file numbers, or no pause of half an hour between; each
        with the next of its block); `likeness` (of near copies, 0.8 to 1) and `found_by`.
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
        say(f"Looking for copies and neighbouring frames among {len(rows):,} images; what is found is kept.")
    thumbs, catalog = load_thumbs(catalog, say) if loaded is None else loaded
    rows = usable(catalog)
    found = [exact_copies(rows), near_copies(thumbs), versions(thumbs, rows["image_id"])]
    copies = pd.concat([pairs for pairs in found if len(pairs)] or found[:1])
    parts = [copies.drop_duplicates(["first", "second"])]  # of two files with the same bytes nothing more is said
    found = None if frames == "none" else find_frames(rows, tiny(thumbs), frames)
    if found:
        blocks = pd.Series(np.arange(len(rows))).groupby(found.blocks())
        chains = [of_block.to_numpy() for name, of_block in blocks if name]
        chained = [np.stack([chain[:-1], chain[1:]], axis=1) for chain in chains]
        for kind, pairs in ((NEIGHBOUR, found.neighbours()), (BLOCK, np.concatenate(chained))):
            pairs = pd.DataFrame(np.sort(pairs, axis=1), columns=["first", "second"])
            parts.append(pairs.assign(kind=kind, likeness=np.nan, found_by=found.by))
    links = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    ids = rows["image_id"].to_numpy()
    links = links.assign(first=ids[links["first"]], second=ids[links["second"]])[LINK_COLUMNS]
    place.parent.mkdir(parents=True, exist_ok=True)
    write_table(place, links)
    return links


def _key(rows: pd.DataFrame, frames: str | None) -> str:
    """What the links of some images are known by."""
    rows = rows.sort_values("image_id")
    labels = "\0".join(f"{image}\1{name}" for image, name in zip(rows["image_id"], rows["class_name"], strict=True))
    facts = f"{VERSION}\0{frames}\0{files_key(rows['path'], SMALL)}\0{labels}"
    return hashlib.sha256(facts.encode()).hexdigest()[:32]
