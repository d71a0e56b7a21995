"""Images that cannot be used, or are hard to recognize: dark, bright, without contrast, blurred, of an odd size."""

import numpy as np
import pandas as pd

from marinecv.audit import findings
from marinecv.audit.findings import Finding, finding_of
from marinecv.audit.thumbs import LUMA, in_chunks
from marinecv.data.readers.folders import NO_FOLDER
from marinecv.data.splits import NO_SPLIT
from marinecv.data.user_tables import as_catalog, is_usable

DARK, BRIGHT = 25.0, 235.0  # mean gray level, of 255
FLAT = 8.0  # gray levels of standard deviation
BLURRED = 0.1  # sharpness; of 1,753 real photographs the lowest had 0.15, and the highest 0.06 after a blur of 4 px
SMALL_PX, LONG, LARGE = 64, 3.0, 4.0  # the shorter side; the longer side to it; sides to the set's median
LIGHTS, SIZES = ("dark", "bright", "low contrast"), ("small", "long", "large")
REMARKS = (*LIGHTS, "blurred", *SIZES)
NO_BOX = ("no box", "no usable box")  # problems begin so


def measure_quality(rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame:
    """Measure brightness, contrast, sharpness and size of the usable `rows`, and flag what is odd.

    A value is odd if it is beyond a bound and unlike the set too: in a set of night dives no image is flagged as dark.
    Columns: `image_id, split, class_name`; `width, height` (px); `brightness, contrast` (gray levels from 0 to 255, of
    the thumbs), `sharpness` (standard deviation of the Laplacian relative to the contrast), and `remark`: "" or some of
    `REMARKS`, separated by commas.
    """
    light = in_chunks(lambda images: _measured(images @ LUMA), thumbs)
    table = as_catalog(rows)[["image_id", "split", "class_name", "width", "height"]].reset_index(drop=True)
    table = table.assign(brightness=light[:, 0], contrast=light[:, 1], sharpness=light[:, 2])
    flags = [", ".join(np.array(REMARKS)[list(odd)]) for odd in _odd(table).itertuples(index=False)]
    return table.assign(remark=pd.Series(flags, dtype=str))


def _measured(pictures: np.ndarray) -> np.ndarray:
    """Return brightness, contrast and sharpness of gray pictures, `(n, 3)`."""
    inner = pictures[:, 1:-1, 1:-1]
    beside = pictures[:, :-2, 1:-1] + pictures[:, 2:, 1:-1] + pictures[:, 1:-1, :-2] + pictures[:, 1:-1, 2:]
    contrast = pictures.std(axis=(1, 2))
    sharpness = (4 * inner - beside).std(axis=(1, 2)) / np.maximum(contrast, 1.0)
    return np.stack([pictures.mean(axis=(1, 2)), contrast, sharpness], axis=1)


def _odd(table: pd.DataFrame) -> pd.DataFrame:
    """Return which of `REMARKS` apply to each image, a bool column each."""
    shorter, longer = table[["width", "height"]].min(axis=1), table[["width", "height"]].max(axis=1)
    brightness, contrast, sharpness = table["brightness"], table["contrast"], table["sharpness"]
    flat = (contrast < FLAT) & (contrast < contrast.median() / 3)
    ratio = longer / shorter
    odd = {
        "dark": (brightness < DARK) & (brightness < brightness.median() / 2),
        "bright": (brightness > BRIGHT) & (255 - brightness < (255 - brightness.median()) / 2),
        "low contrast": flat,
        "blurred": ~flat & (sharpness < BLURRED) & (sharpness < sharpness.median() / 3),
        "small": (shorter < SMALL_PX) & (shorter < shorter.median() / 2),
        "long": (ratio > LONG) & (ratio > 2 * ratio.median()),
        "large": longer > LARGE * longer.median(),
    }
    return pd.DataFrame(odd)[list(REMARKS)]


def image_findings(catalog: pd.DataFrame, quality: pd.DataFrame) -> list[Finding]:
    """Find the images that are excluded or hard to recognize, from a catalog of `load_thumbs` and `measure_quality`."""
    bad, n = catalog[~is_usable(catalog)], len(catalog)
    no_box, outside = bad["problem"].str.startswith(NO_BOX).astype(bool), bad["problem"].isin((NO_FOLDER, NO_SPLIT))
    broken, outside, no_box = bad[~no_box & ~outside], bad[outside], bad[no_box]
    light = _flagged(quality, LIGHTS).sort_values("contrast")
    light_notes = [
        f"{row.remark}: mean {row.brightness:.0f}, deviation {row.contrast:.0f} of 255" for row in light.itertuples()
    ]
    blurred, median = _flagged(quality, ("blurred",)).sort_values("sharpness"), quality["sharpness"].median()
    blur_notes = [f"sharpness {value:.2f}, median of the set {median:.2f}" for value in blurred["sharpness"]]
    sizes, m = _flagged(quality, SIZES), len(quality)
    size_notes = [f"{row.remark}: {row.width}x{row.height} px" for row in sizes.itertuples()]
    return [
        *finding_of(findings.BROKEN, broken, n, "not readable by the decoder that training uses", broken["problem"]),
        *finding_of(findings.OUTSIDE, outside, n, "in no folder of a class or split", outside["problem"]),
        *finding_of(findings.BOXLESS, no_box, n, "no usable box, so no label", no_box["problem"]),
        *finding_of(findings.LIGHT, light, m, "much darker, brighter or flatter than the rest", light_notes),
        *finding_of(findings.BLUR, blurred, m, "blurred as a whole", blur_notes),
        *finding_of(findings.SIZE, sizes, m, "much smaller, longer or larger than the rest", size_notes),
    ]


def _flagged(quality: pd.DataFrame, remarks: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows with one of some remarks."""
    return quality[quality["remark"].str.split(", ").map(lambda flags: not set(flags).isdisjoint(remarks)).astype(bool)]
