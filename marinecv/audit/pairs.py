"""Pairs of related images: copies, near-duplicates and neighboring frames, in one table that is cached."""

import hashlib

import numpy as np
import pandas as pd

from marinecv.audit.frames import find_frame_order
from marinecv.audit.near_duplicates import exact_copies, find_near_duplicates
from marinecv.audit.still_cameras import still_frames
from marinecv.audit.thumbnails import SMALL, aspect_ratios, load_thumbs, tiny_pixels
from marinecv.audit.versions import versions
from marinecv.choices import FRAME_ORDERS
from marinecv.console import Log
from marinecv.data.cache_dir import cache_path
from marinecv.data.groups import BLOCK, NEAR_COPY, NEIGHBOR, PAIR_COLUMNS
from marinecv.data.photos import photos_of
from marinecv.data.user_tables import as_catalog, usable, with_place_columns
from marinecv.files.csv_tables import parse_numbers, read_table, write_table
from marinecv.inputs.pixel_cache import files_key
from marinecv.schema import check_choice

VERSION = 12  # of the cache: raised when the same files give other pairs
MIN_IMAGES_TO_LOG = 500  # images, which take some seconds


def find_pairs(
    catalog: pd.DataFrame,
    frame_order: str | None = None,
    loaded: tuple[np.ndarray, pd.DataFrame] | None = None,
    *,
    log: Log | None = None,
) -> pd.DataFrame:
    """Find the pairs of related images: copies, near-duplicates and neighboring frames.

        >>> import marinecv as mcv
        >>> mcv.find_pairs(mcv.read_catalog(mcv.demo_images())[:8]).columns[:3].tolist()
        ['image_a', 'image_b', 'kind']

    The result is cached by the files, their times and sizes, and their classes, cameras and capture times.

    Args:
        catalog: columns `CATALOG_COLUMNS`; rows with a problem, and files that do not decode, have no pair. Of crops
            the photographs are searched.
        frame_order: the order of neighboring frames: `"number"` in file names, `"time"` in EXIF data or names, or
            `"none"`; None takes what fits the images best, see `find_frame_order`.
        loaded: what `marinecv.audit.thumbnails.load_thumbs(catalog)` returned, so that nothing is decoded again.
        log: called with a line of text if the search takes more than a moment.
    Returns:
        DataFrame `PAIR_COLUMNS`, a row a pair: `image_a` and `image_b` (image ids); `kind`: `copy` (the same bytes),
        `near copy`, `neighbor` (the next file number, at most 10 seconds apart, or near-duplicate frames of one block),
        `block` (kept together in a grouped split: 50 file numbers, no pause of half an hour, or a day of a camera that
        stands still; each image with the next of its block); `similarity`, the similarity of near-duplicates, 0.8 to 1;
        and `method`, the method. A pair is of one of the first three kinds.
    Raises:
        ValueError: `frame_order` is none of `FRAME_ORDERS`.
    """
    check_choice((None, *FRAME_ORDERS), frame_order=frame_order)
    catalog = as_catalog(photos_of(catalog), ("image_id", "path")).reset_index(drop=True)
    rows = usable(catalog)
    cache_file = cache_path("pairs", _key(rows, frame_order) + ".csv")
    if cache_file.is_file():
        return parse_numbers(read_table(cache_file), ["similarity"], cache_file)
    if log is not None and len(rows) > MIN_IMAGES_TO_LOG:
        log(f"Searching {len(rows):,} images for near-duplicates and neighboring frames; the result is cached.")
    thumbs, catalog = load_thumbs(catalog, log) if loaded is None else loaded
    rows = usable(catalog)
    near = find_near_duplicates(thumbs, ratios=aspect_ratios(rows))
    copies = _joined([exact_copies(rows), near, versions(thumbs, rows["image_id"])])
    copies = copies.drop_duplicates(["image_a", "image_b"])  # two files with the same bytes are a copy and no more
    order = None if frame_order == "none" else find_frame_order(rows, tiny_pixels(thumbs), frame_order)
    is_frame, days = still_frames(copies, rows)
    blocks = np.where(days == "", order.blocks(), days) if order else days
    methods = np.where(days == "", order.by if order else "", "camera")
    first, second = (copies[side].to_numpy(int) for side in ("image_a", "image_b"))
    in_block = is_frame | ((copies["kind"] == NEAR_COPY) & (copies["method"] != "name"))
    in_block &= (blocks[first] == blocks[second]) & (blocks[first] != "")
    frames = copies.assign(kind=NEIGHBOR, method=methods[first])[in_block]
    tables = [copies[~in_block & ~is_frame], frames]  # frames of a camera on two days are no pair
    by_block = np.argsort(blocks, kind="stable")
    chained = np.stack([by_block[:-1], by_block[1:]], axis=1)
    chained = chained[(blocks[chained[:, 0]] == blocks[chained[:, 1]]) & (blocks[chained[:, 0]] != "")]
    for kind, positions in ((NEIGHBOR, order.neighbors() if order else chained[:0]), (BLOCK, chained)):
        table = pd.DataFrame(np.sort(positions, axis=1), columns=["image_a", "image_b"])
        tables.append(table.assign(kind=kind, similarity=np.nan, method=methods[positions[:, 0]]))
    pairs, ids = _joined(tables), rows["image_id"].to_numpy()
    pairs = pairs[~pairs.duplicated(["image_a", "image_b"]) | (pairs["kind"] == BLOCK)].reset_index(drop=True)
    pairs = pairs.assign(image_a=ids[pairs["image_a"]], image_b=ids[pairs["image_b"]])[PAIR_COLUMNS]
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    write_table(cache_file, pairs)
    return pairs


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several tables, without the column types of empty ones."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _key(rows: pd.DataFrame, frame_order: str | None) -> str:
    """Return the name in the cache of the pairs of some images."""
    rows = with_place_columns(rows).sort_values("image_id")
    columns = [rows[name] for name in ("image_id", "class_name", "camera", "taken_at")]
    labels = "\0".join(map("\1".join, zip(*columns, strict=True)))
    facts = f"{VERSION}\0{frame_order}\0{files_key(rows['path'], SMALL)}\0{labels}"
    return hashlib.sha256(facts.encode()).hexdigest()[:32]
