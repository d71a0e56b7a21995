"""When an image was taken: by its EXIF data, or by a date and time of day in its name."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np

from marinecv.data.images import open_image

NEARLY_ALL = 0.95  # of six digits after a date must be times of day; others are a counter
_DAY = r"(?<!\d)(?:19|20)\d\d(?P<dash>[-_.]?)\d\d(?P=dash)\d\d"
_DATE = re.compile(rf"{_DAY}(?!\d)")
_STAMP = re.compile(rf"{_DAY}(?:[-_ T.]{{0,3}}| at )\d\d(?P<dot>[-_.:]?)\d\d(?P=dot)\d\d(?:\d{{3}})?(?!\d)")
_EXIF, _TAKEN, _CHANGED, _CAMERA, _SERIAL = 0x8769, 36867, 306, 272, 0xA431


def read_times(stems: Sequence[str], paths: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read when images were taken: from the EXIF data where they say it, or else from the name without its ending.

    Returns `(series, seconds)`, both `(n,)`: the camera, or what stands before the time in the name, and "" where
    nothing says a time; seconds since 1970, as if clocks knew one time zone.
    """
    named = _are_times(stems)
    series, seconds = np.full(len(stems), "", dtype=object), np.zeros(len(stems), np.int64)
    for row, (stem, path) in enumerate(zip(stems, paths, strict=True)):
        series[row], seconds[row] = _time_in_exif(path) or (named and _time_in_name(stem)) or ("", 0)
    return series, seconds


def blank_dates(stems: Sequence[str]) -> list[str]:
    """Return names with spaces for their dates and times of day, as long as before: they are no frame numbers.

    Six digits after a date stay where they are no times of day in more than one name of 20: a counter.
    """
    forms = (_STAMP, _DATE) if _are_times(stems) else (_DATE,)
    for form in forms:
        stems = [form.sub(lambda found: " " * len(found[0]) if _moment(found[0]) else found[0], stem) for stem in stems]
    return list(stems)


def _time_in_exif(path: str) -> tuple[str, int] | None:
    with suppress(Exception), open_image(path) as image:  # hostile EXIF raises many kinds; it tells no time
        told = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        more = told.get_ifd(_EXIF) if told else {}
        taken = more.get(_TAKEN) or told.get(_CHANGED)
        if taken:
            moment = datetime.strptime(str(taken)[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
            # With the serial number two cameras of one model do not interleave.
            return f"camera {told.get(_CAMERA, '')} {more.get(_SERIAL, '')}".strip(), int(moment.timestamp())
    return None


def _time_in_name(stem: str) -> tuple[str, int] | None:
    found = _STAMP.search(stem)
    moment = found and _moment(found[0])
    return (f"{stem[: found.start()]}*", int(moment.timestamp())) if moment else None


def _are_times(stems: Sequence[str]) -> bool:
    """Whether the six digits after a date are a time of day: a counter soon passes 59."""
    stamps = [found[0] for found in map(_STAMP.search, stems) if found and _moment(found[0], 8)]
    return sum(_moment(stamp) is not None for stamp in stamps) >= NEARLY_ALL * len(stamps)


def _moment(stamp: str, digits: int = 14) -> datetime | None:
    """The date and time that the first digits of a stamp say, or None; what they leave out is 0."""
    told = re.sub(r"\D", "", stamp)[:digits].ljust(14, "0")
    with suppress(ValueError):
        return datetime.fromisoformat(f"{told[:8]}T{told[8:]}").replace(tzinfo=UTC)
    return None
