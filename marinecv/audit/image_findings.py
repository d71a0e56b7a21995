"""Images that cannot be used, or are hard to recognize: dark, bright, without contrast, blurred, of an odd size."""

from textwrap import shorten

import numpy as np
import pandas as pd

from marinecv.audit import findings
from marinecv.audit.findings import Finding, finding_of_rows
from marinecv.audit.thumbnails import LUMA, in_chunks
from marinecv.data.places import clock_problems
from marinecv.data.readers.folders import NO_FOLDER
from marinecv.data.splits.split_catalog import NO_SPLIT
from marinecv.data.user_tables import as_catalog, is_usable, with_place_columns
from marinecv.language import recorded_text, tr

MAX_DARK, MIN_BRIGHT = 25.0, 235.0  # mean gray level, of 255
MIN_CONTRAST = 8.0  # gray levels of standard deviation
MIN_SHARPNESS = 0.1  # of 1,753 real photographs the lowest had 0.15, and the highest 0.06 after a blur of 4 px
MIN_SIDE_PX, MAX_ASPECT_RATIO = 64, 3.0  # the shorter side; the longer side to it
MAX_RELATIVE_SIDE = 4.0  # the longer side to the median of the set
LIGHT_FLAGS, SIZE_FLAGS = ("dark", "bright", "low contrast"), ("small", "long", "large")
FLAGS = (*LIGHT_FLAGS, "blurred", *SIZE_FLAGS)
NO_BOX = ("no box", "no usable box")  # problems begin so


def measure_quality(rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame:
    """Measure brightness, contrast, sharpness and size of the usable `rows`, and flag what is odd.

    A value is odd if it is beyond a bound and unlike the set too: in a set of night dives no image is flagged as dark.
    Columns: `image_id, split, class_name`; `width, height` (px); `brightness, contrast` (gray levels from 0 to 255, of
    the thumbs), `sharpness` (standard deviation of the Laplacian relative to the contrast), and `flags`: "" or some of
    `FLAGS`, separated by commas.
    """
    light = in_chunks(lambda images: _measured(images @ LUMA), thumbs)
    table = as_catalog(rows)[["image_id", "split", "class_name", "width", "height"]].reset_index(drop=True)
    table = table.assign(brightness=light[:, 0], contrast=light[:, 1], sharpness=light[:, 2])
    flags = [", ".join(np.array(FLAGS)[list(odd)]) for odd in _odd(table).itertuples(index=False)]
    return table.assign(flags=pd.Series(flags, dtype=str))


def _measured(pictures: np.ndarray) -> np.ndarray:
    """Return brightness, contrast and sharpness of gray pictures, `(n, 3)`."""
    inner = pictures[:, 1:-1, 1:-1]
    neighbors = pictures[:, :-2, 1:-1] + pictures[:, 2:, 1:-1] + pictures[:, 1:-1, :-2] + pictures[:, 1:-1, 2:]
    contrast = pictures.std(axis=(1, 2))
    sharpness = (4 * inner - neighbors).std(axis=(1, 2)) / np.maximum(contrast, 1.0)
    return np.stack([pictures.mean(axis=(1, 2)), contrast, sharpness], axis=1)


def _odd(table: pd.DataFrame) -> pd.DataFrame:
    """Return which of `FLAGS` apply to each image, a bool column each, in their order."""
    shorter, longer = table[["width", "height"]].min(axis=1), table[["width", "height"]].max(axis=1)
    brightness, contrast, sharpness = table["brightness"], table["contrast"], table["sharpness"]
    flat = (contrast < MIN_CONTRAST) & (contrast < contrast.median() / 3)
    ratio = longer / shorter
    odd = {
        "dark": (brightness < MAX_DARK) & (brightness < brightness.median() / 2),
        "bright": (brightness > MIN_BRIGHT) & (255 - brightness < (255 - brightness.median()) / 2),
        "low contrast": flat,
        "blurred": ~flat & (sharpness < MIN_SHARPNESS) & (sharpness < sharpness.median() / 3),
        "small": (shorter < MIN_SIDE_PX) & (shorter < shorter.median() / 2),
        "long": (ratio > MAX_ASPECT_RATIO) & (ratio > 2 * ratio.median()),
        "large": longer > MAX_RELATIVE_SIDE * longer.median(),
    }
    return pd.DataFrame(odd)


def image_findings(catalog: pd.DataFrame, quality: pd.DataFrame) -> list[Finding]:
    """Find the images that are excluded or hard to recognize, from a catalog of `load_thumbs` and `measure_quality`."""
    bad, n = catalog[~is_usable(catalog)], len(catalog)
    is_boxless = bad["problem"].str.startswith(NO_BOX).astype(bool)
    is_outside = bad["problem"].isin((NO_FOLDER, NO_SPLIT))
    bad = bad.assign(problem=bad["problem"].map(recorded_text))
    broken, outside, boxless = bad[~is_boxless & ~is_outside], bad[is_outside], bad[is_boxless]
    light = _flagged(quality, LIGHT_FLAGS).sort_values("contrast")
    note = "{flags}: mean {brightness:.0f}, deviation {contrast:.0f} of 255"
    light_notes = [tr(note, **row | {"flags": _flags_text(row["flags"])}) for row in light.to_dict("records")]
    blurred, median = _flagged(quality, ("blurred",)).sort_values("sharpness"), quality["sharpness"].median()
    note = "sharpness {value:.2f}, median of the set {median:.2f}"
    blur_notes = [tr(note, value=value, median=median) for value in blurred["sharpness"]]
    sizes, n_measured = _flagged(quality, SIZE_FLAGS), len(quality)
    size_notes = [f"{_flags_text(row.flags)}: {row.width}x{row.height} px" for row in sizes.itertuples()]
    unreadable = tr("not readable by the decoder that training uses")
    flat, odd = tr("much darker, brighter or flatter than the rest"), tr("much smaller, longer or larger than the rest")
    return [
        *finding_of_rows(findings.BROKEN, broken, n, unreadable, broken["problem"]),
        *finding_of_rows(findings.OUTSIDE, outside, n, tr("in no folder of a class or split"), outside["problem"]),
        *finding_of_rows(findings.BOXLESS, boxless, n, tr("no usable box, so no label"), boxless["problem"]),
        *finding_of_rows(findings.LIGHT, light, n_measured, flat, light_notes),
        *finding_of_rows(findings.BLUR, blurred, n_measured, tr("blurred as a whole"), blur_notes),
        *_clock_finding(catalog),
        *finding_of_rows(findings.SIZE, sizes, n_measured, odd, size_notes),
    ]


def _clock_finding(catalog: pd.DataFrame) -> list[Finding]:
    """Find images that were taken while the clock of their camera was wrong, by camera."""
    catalog = with_place_columns(catalog).assign(reason=clock_problems(catalog))
    rows = catalog[catalog["reason"] != ""].sort_values(["camera", "image_id"])
    counts = rows["camera"].value_counts().items()
    counts = shorten(", ".join(f"{camera or tr('no camera')} {n:,}" for camera, n in counts), 200, placeholder=" ...")
    first = "".join(rows["image_id"].head(1))
    what = tr("dated by a wrong clock ({counts}); the first is {first}", counts=counts, first=first)
    notes = [f"{row.camera} {row.taken_at}: {tr(row.reason)}".strip() for row in rows.itertuples()]
    return finding_of_rows(findings.CLOCK, rows, int((catalog["taken_at"] != "").sum()), what, notes, "dated images")


def _flags_text(flags: str) -> str:
    return ", ".join(map(tr, flags.split(", ")))


def _flagged(quality: pd.DataFrame, remarks: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows with one of some remarks."""
    return quality[quality["flags"].str.split(", ").map(lambda flags: not set(flags).isdisjoint(remarks)).astype(bool)]
