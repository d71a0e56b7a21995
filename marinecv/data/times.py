"""Dates and times of day in EXIF data, tables and file names."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

MIN_TIMES_FRACTION = 0.95  # of names whose six digits after a date must be a time of day; else they are a counter
_DAY = r"(?<!\d)(?:19|20)\d\d(?P<dash>[-_.]?)\d\d(?P=dash)\d\d"
_DATE = re.compile(rf"{_DAY}(?!\d)")
STAMP = re.compile(rf"{_DAY}(?:[-_ T.]{{0,3}}| at )\d\d(?P<dot>[-_.:]?)\d\d(?P=dot)\d\d(?:\d{{3}})?(?!\d)")
_TIME = re.compile(
    r"(\d{4})([-:/])(\d\d)\2(\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,]\d+)? ?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE
)


def iso_time(text: str) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS` of a date with its time of day, year first, as EXIF data and tables write it.

    A stated offset from UTC stays; fractions of a second are dropped. "" for anything else, such as 0000:00:00.
    """
    if match := _TIME.fullmatch(text.strip("\0 ")):
        year, _, month, day, clock, offset = match.groups("")
        with suppress(ValueError):
            return datetime.fromisoformat(f"{year}-{month}-{day}T{clock}{offset.upper()}").isoformat()
    return ""


def times_in_names(stems: Sequence[str]) -> list[str]:
    """Return the time in each file name by `iso_time`, "" for none or several, or where digits are a counter."""
    if not are_times(stems):
        return [""] * len(stems)
    stamps = [{match[0] for match in STAMP.finditer(stem)} for stem in stems]
    times = [parse_stamp(found.pop()) if len(found) == 1 else None for found in stamps]
    return [time.replace(tzinfo=None).isoformat() if time else "" for time in times]


def blank_dates(stems: Sequence[str]) -> list[str]:
    """Return names with spaces in place of dates and times of day, of the same length: they are no frame numbers.

    Six digits after a date are a counter, and stay, if they are no time of day in more than one name of 20.
    """
    for form in (STAMP, _DATE) if are_times(stems) else (_DATE,):
        stems = [form.sub(lambda m: " " * len(m[0]) if parse_stamp(m[0]) else m[0], stem) for stem in stems]
    return list(stems)


def are_times(stems: Sequence[str]) -> bool:
    """Return whether the six digits after a date are a time of day: a counter soon passes 59."""
    stamps = [match[0] for match in map(STAMP.search, stems) if match and parse_stamp(match[0], 8)]
    return sum(parse_stamp(stamp) is not None for stamp in stamps) >= MIN_TIMES_FRACTION * len(stamps)


def parse_stamp(stamp: str, digits: int = 14) -> datetime | None:
    """Return the date and time of the first digits of a stamp, with 0 for those left out, or None."""
    text = re.sub(r"\D", "", stamp)[:digits].ljust(14, "0")
    with suppress(ValueError):
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}").replace(tzinfo=UTC)
    return None
