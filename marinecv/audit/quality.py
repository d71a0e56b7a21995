"""Images that a person should look at: dark, bright, without contrast, blurred, of an odd size."""

import numpy as np
import pandas as pd

from marinecv.audit.thumbs import LUMA, in_chunks
from marinecv.data.user_tables import as_catalog

DARK, BRIGHT = 25.0, 235.0  # mean grey level, of 255
FLAT = 8.0  # grey levels of deviation
BLURRED = 0.1  # sharpness; of 1,753 real photographs the least had 0.15, and the most 0.06 after a blur of 4 px
SMALL_PX, LONG, LARGE = 64, 3.0, 4.0  # the shorter side; the longer side to it; sides to the set's median
REMARKS = ("dark", "bright", "low contrast", "blurred", "small", "long", "large")


def measure_quality(rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame:
    """Measure how bright, how rich in contrast, how sharp and how large each image is, and remark on what is odd.

    Odd is what lies beyond a bound and is unlike the set too: in a set of night dives no image stands out as dark.
    Measured on the grey thumbs of the usable `rows`; sharpness is the deviation of the Laplacian relative to the
    image's own. Columns: `image_id, split, class_name`; `width, height` (px); `brightness, contrast` (grey levels from
    0 to 255), `sharpness`, and `remark`: "" or some of `REMARKS`, by commas.
    """
    light = in_chunks(lambda images: _measured(images @ LUMA), thumbs)
    table = as_catalog(rows)[["image_id", "split", "class_name", "width", "height"]].reset_index(drop=True)
    table = table.assign(brightness=light[:, 0], contrast=light[:, 1], sharpness=light[:, 2])
    odd = _odd(table)
    words = [", ".join(np.array(REMARKS)[list(marks)]) for marks in odd.itertuples(index=False)]
    return table.assign(remark=pd.Series(words, dtype=str))


def _measured(pictures: np.ndarray) -> np.ndarray:
    """Brightness, contrast and sharpness of grey pictures, `(n, 3)`."""
    inner = pictures[:, 1:-1, 1:-1]
    beside = pictures[:, :-2, 1:-1] + pictures[:, 2:, 1:-1] + pictures[:, 1:-1, :-2] + pictures[:, 1:-1, 2:]
    contrast = pictures.std(axis=(1, 2))
    sharpness = (4 * inner - beside).std(axis=(1, 2)) / np.maximum(contrast, 1.0)
    return np.stack([pictures.mean(axis=(1, 2)), contrast, sharpness], axis=1)


def _odd(table: pd.DataFrame) -> pd.DataFrame:
    """Which remarks each image deserves, a column each."""
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
