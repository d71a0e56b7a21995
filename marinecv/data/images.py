"""The images table every reader returns: one row an image, its header read once, what is wrong with it said."""

import struct
import warnings
from pathlib import Path

import pandas as pd
from PIL import Image

from marinecv.data.layouts import unsupported

IMAGE_COLUMNS = ["image_id", "path", "split", "class_name", "group", "width", "height", "problem"]
ABSENT = "named in the CSV but the file is absent"
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)


def image_table(root: Path, rows: list[tuple]) -> pd.DataFrame:
    """Build the images table.

    Args:
        root: folder that image ids are relative to.
        rows: (path, split), and class name and group where the layout tells.
    Returns:
        DataFrame with `IMAGE_COLUMNS`; width and height in pixels as displayed, 0 where the header cannot be read.
    """
    records = []
    for path, split, *rest in rows:
        class_name, group = (*rest, "", "")[:2]
        image_id = path.relative_to(root).as_posix()
        records.append((image_id, str(path.absolute()), split, class_name, group, *read_header(path)))
    table = pd.DataFrame(records, columns=IMAGE_COLUMNS)
    return table.astype({name: int if name in ("width", "height") else str for name in IMAGE_COLUMNS})


def read_header(path: Path) -> tuple[int, int, str]:
    """Return width and height in pixels after EXIF orientation, and "" or what is wrong; no pixel is decoded."""
    if not path.is_file():
        return 0, 0, ABSENT
    if reason := unsupported(path):
        return 0, 0, reason
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:  # large sizes, odd EXIF: no trouble
            # A PNG would be decoded whole in search of EXIF that its header does not announce.
            announced = image.format != "PNG" or "exif" in image.info
            turned = announced and image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
            width, height = image.size
            return (height, width, "") if turned else (width, height, "")
    except Image.UnidentifiedImageError:
        return 0, 0, "cannot be read: not an image, or its header is cut short"
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        return 0, 0, f"cannot be read: {error}"
