"""A description of a data set in about ten lines, without TensorFlow and without decoding an image."""

from collections.abc import Mapping

import pandas as pd

from marinecv.console import Log, silent
from marinecv.data.accounting import reading_lines
from marinecv.data.catalog import source_layout
from marinecv.data.find_data import DEMO_NAME
from marinecv.data.places import clock_problems, trusted_times
from marinecv.data.readers import reader_of
from marinecv.data.user_tables import is_usable, with_place_columns
from marinecv.training.recipe import DataConfig
from marinecv.workflows.sources import Data, source_of

MAX_NAMES = 12  # that a line lists


def describe(
    data: Data,
    *,
    class_level: str | None = None,
    merge_case: bool = False,
    columns: Mapping[str, str] | None = None,
    log: Log | None = None,
) -> str:
    """Return what is read of a data set: layout, images, classes, splits, cameras, dates, boxes, sizes, other files.

        >>> import marinecv as mcv
        >>> mcv.describe(mcv.demo_images()).splitlines()[4]
        'cameras: none'

    Args:
        data: as in `train`.
        class_level, merge_case, columns: how class folders and tables are read, as in `find_data`.
        log: called with each line of text, such as on annotations that cannot be read; None is silent.
    Raises:
        ValueError: there are no such images, or they cannot be read.
    """
    reading = {"class_level": class_level or "", "merge_case": merge_case, "columns": dict(columns or {})}
    choice = DataConfig(name=DEMO_NAME, **reading)
    source = source_of(data, choice, log or silent)
    manifest = source.manifest
    catalog, boxes = source.read_with_boxes(choice, log or silent)
    catalog = with_place_columns(catalog)
    usable_rows = catalog[is_usable(catalog)]
    lines = [f"{manifest.name}: a catalog"]
    if manifest.root:
        layout = source_layout(manifest)
        lines = [f"{manifest.name}: {layout} ({reader_of(layout).holds}) in {manifest.root}"]
    lines += [
        f"images: {len(catalog):,}, {_usable_text(catalog)}",
        f"classes: {_counts(usable_rows['class_name'])}",
        f"splits: {_counts(usable_rows['split'])}",
        f"cameras: {_counts(usable_rows['camera'])}",
        f"groups: {_counts(usable_rows['group'])}",
        f"dates: {_dates(usable_rows)}",
        f"boxes: {len(boxes):,} on {boxes['image_id'].nunique():,} images" if len(boxes) else "boxes: none",
    ]
    if len(usable_rows):
        sides = usable_rows[["width", "height"]].to_numpy()
        sides = sides[sides.prod(axis=1).argsort(kind="stable")]
        smallest, median, largest = (f"{width}x{height}" for width, height in sides[[0, len(sides) // 2, -1]])
        lines.append(f"sizes: {smallest} to {largest} pixels, median {median}")
    return "\n".join([*lines, *reading_lines(manifest, catalog)])


def _usable_text(catalog: pd.DataFrame) -> str:
    """Return how many images are usable, and why the others are not."""
    bad = catalog[~is_usable(catalog)]
    reasons = [f"{len(of)} {reason} (the first: {of['image_id'].iloc[0]})" for reason, of in bad.groupby("problem")]
    more = [f"{len(reasons) - MAX_NAMES} other reasons"] * (len(reasons) > MAX_NAMES)
    usable_text = f"{len(catalog) - len(bad):,} usable" if reasons else "all usable"
    return "; ".join([usable_text, *reasons[:MAX_NAMES], *more])


def _counts(column: pd.Series) -> str:
    """Return "3: crab 40, eel 38, ray 2; 5 images without", the largest first; or "none"."""
    counts, without = column[column != ""].value_counts(), (column == "").sum()
    shown = ", ".join(f"{name} {n:,}" for name, n in counts.head(MAX_NAMES).items())
    more = f" and {len(counts) - MAX_NAMES:,} others" if len(counts) > MAX_NAMES else ""
    return f"{len(counts):,}: {shown}{more}" + f"; {without:,} images without" * bool(without) if shown else "none"


def _dates(rows: pd.DataFrame) -> str:
    """Return the first and last capture time, how many images have one by source, and how many clocks were wrong."""
    times, wrong, without = trusted_times(rows), (clock_problems(rows) != "").sum(), (rows["taken_at"] == "").sum()
    sources = rows.loc[rows["taken_at"] != "", "time_source"].value_counts()
    counts = [f"{n:,} by {source or 'table'}" for source, n in sources.items()]
    counts += [f"{wrong:,} by a wrong clock"] * bool(wrong) + [f"{without:,} without"] * bool(without)
    if times.isna().all():
        return f"none ({', '.join(counts)})" if wrong else "none"
    return f"{times.min():%Y-%m-%d %H:%M} to {times.max():%Y-%m-%d %H:%M} ({', '.join(counts)})"
