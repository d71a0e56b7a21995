"""Capture times of images: from EXIF data, or from a date and time of day in the file name."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np

from marinecv.data.images import open_image

NEARLY_ALL = 0.95  # fraction of names whose six digits after a date must be a time of day; else they are a counter
_DAY = r"(?<!\d)(?:19|20)\d\d(?P<dash>[-_.]?)\d\d(?P=dash)\d\d"
_DATE = re.compile(rf"{_DAY}(?!\d)")
_STAMP = re.compile(rf"{_DAY}(?:[-_ T.]{{0,3}}| at )\d\d(?P<dot>[-_.:]?)\d\d(?P=dot)\d\d(?:\d{{3}})?(?!\d)")
_EXIF, _TAKEN, _CHANGED, _CAMERA, _SERIAL = 0x8769, 36867, 306, 272, 0xA431


def read_times(stems: Sequence[str], paths: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read capture times from EXIF data, or else from file names without their suffix.

    Returns `(series, seconds)`, both `(n,)`: the camera, or the name before the time ("" if there is no time); and
    seconds since 1970, as if all clocks were in one time zone.
    """
    in_names = _are_times(stems)
    series, seconds = np.full(len(stems), "", dtype=object), np.zeros(len(stems), np.int64)
    for row, (stem, path) in enumerate(zip(stems, paths, strict=True)):
        series[row], seconds[row] = _time_in_exif(path) or (in_names and _time_in_name(stem)) or ("", 0)
    return series, seconds


def blank_dates(stems: Sequence[str]) -> list[str]:
    """Return names with spaces in place of dates and times of day, of the same length: they are no frame numbers.

    Six digits after a date are a counter, and stay, if they are no time of day in more than one name of 20.
    """
    for form in (_STAMP, _DATE) if _are_times(stems) else (_DATE,):
        stems = [form.sub(lambda match: " " * len(match[0]) if _moment(match[0]) else match[0], stem) for stem in stems]
    return list(stems)


def _time_in_exif(path: str) -> tuple[str, int] | None:
    with suppress(Exception), open_image(path) as image:  # hostile EXIF raises many kinds of errors
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        details = exif.get_ifd(_EXIF) if exif else {}
        taken = details.get(_TAKEN) or exif.get(_CHANGED)
        if taken:
            moment = datetime.strptime(str(taken)[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
            # With the serial number two cameras of one model do not interleave.
            return f"camera {exif.get(_CAMERA, '')} {details.get(_SERIAL, '')}".strip(), int(moment.timestamp())
    return None


def _time_in_name(stem: str) -> tuple[str, int] | None:
    match = _STAMP.search(stem)
    moment = match and _moment(match[0])
    return (f"{stem[: match.start()]}*", int(moment.timestamp())) if moment else None


def _are_times(stems: Sequence[str]) -> bool:
    """Return whether the six digits after a date are a time of day: a counter soon passes 59."""
    stamps = [match[0] for match in map(_STAMP.search, stems) if match and _moment(match[0], 8)]
    return sum(_moment(stamp) is not None for stamp in stamps) >= NEARLY_ALL * len(stamps)


def _moment(stamp: str, digits: int = 14) -> datetime | None:
    """Return the date and time of the first digits of a stamp, with 0 for what they leave out; None if they are none."""
    text = re.sub(r"\D", "", stamp)[:digits].ljust(14, "0")
    with suppress(ValueError):
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}").replace(tzinfo=UTC)
    return None
