"""Neighboring frames: images taken one after the other, by file number or capture time (EXIF data or file name)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from marinecv.audit.versions import one_of_each, photograph_names
from marinecv.data.images import read_capture
from marinecv.data.times import STAMP, are_times, blank_dates, parse_stamp

BLOCK_NUMBERS = 50  # file numbers that are kept together
MAX_SECONDS_APART = 10  # between neighboring frames, at most
MAX_PAUSE_SECONDS = 30 * 60  # seconds after which a new block begins: camera trappers call it an independent event
MAX_NEIGHBORS = 16  # neighbors of an image, if many have one number
MIN_TESTED_PAIRS = 20  # pairs of neighbors that the test needs
MIN_PROBABILITY, MAX_P_VALUE = 0.6, 1e-3  # that neighbors are the more similar pair
MAX_NAMES_A_NUMBER = 2  # median names of one number, above which it counts sites or days and not frames
_DIGITS = re.compile(r"\d{1,9}")
# A UUID; or 8 hexadecimal digits and more in which letters and digits alternate, as in no counter like "cafe0012".
_HEXADECIMAL = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?=[0-9a-f]*(?:\d[a-f]+\d|[a-f]\d+[a-f]))[0-9a-f]{8,})(?![0-9a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FrameOrder:
    """The order of images, by file `"number"` or by `"time"`.

    `series` is `(n,)`, the sequence of each image, "" for none; `place` `(n,)` its file number or seconds in it.
    """

    by: str
    series: np.ndarray
    place: np.ndarray

    def neighbors(self) -> np.ndarray:
        """Return int `(pairs, 2)`: positions of images that follow each other, a file number or 10 seconds apart."""
        apart = 1 if self.by == "number" else MAX_SECONDS_APART
        order = np.lexsort((self.place, self.series))
        order = order[self.series[order] != ""]
        series, place, pairs = self.series[order], self.place[order], [np.empty((0, 2), np.int64)]
        for step in range(1, min(MAX_NEIGHBORS, len(order) - 1) + 1):
            close = (series[step:] == series[:-step]) & (place[step:] - place[:-step] <= apart)
            if not close.any():
                break
            pairs.append(np.stack([order[:-step][close], order[step:][close]], axis=1))
        return np.concatenate(pairs)

    def blocks(self) -> np.ndarray:
        """Return `(n,)` names of blocks that are kept together: 50 file numbers, or no pause of half an hour within.

        Pairs of neighbors alone would chain into one giant group.
        """
        if self.by == "number":
            numbers = self.place // BLOCK_NUMBERS
        else:
            order = np.lexsort((self.place, self.series))
            series, place = self.series[order], self.place[order]
            begins = (series[1:] != series[:-1]) | (np.diff(place) > MAX_PAUSE_SECONDS)
            numbers = np.ones(len(order), np.int64)
            numbers[order[1:]] += np.cumsum(begins)
        names = [f"{series}#{number}" for series, number in zip(self.series, numbers, strict=True)]
        return np.where(self.series == "", "", np.array(names, dtype=object))


def find_frame_order(rows: pd.DataFrame, thumbs: np.ndarray, by: str | None = None) -> FrameOrder | None:
    """Find the order in which images were taken, by file number or capture time; None if neither shows it.

    A number in a file name may be a frame of a video or a line of a list. It counts if images with neighboring numbers
    look more alike than two random images of one class (Mann-Whitney test of the distances of their thumbnails, float
    `(n, values)`); of the numbers in a name, and time, the one with most evidence is taken. One version of a photograph
    (`photograph_names`) and one of equal images enter the test. `by`, `"number"` or `"time"`, skips the test.
    """
    (stems, names, marked), candidates = photograph_names(rows["image_id"]), []
    pictures = pd.Series([picture.tobytes() for picture in thumbs], dtype=object)
    is_tested = one_of_each(names, marked) & ~pictures.duplicated().to_numpy()
    if by in (None, "number"):
        candidates += [("number", series, numbers) for series, numbers in _numbers(stems, names)]
    if by in (None, "time"):
        candidates.append(("time", *read_times(stems, rows["path"])))
    best, best_evidence = None, -np.inf
    for method, series, position in candidates:
        pairs = FrameOrder(method, series[is_tested], position[is_tested]).neighbors()
        probability, p = _similarity_test(rows["class_name"].to_numpy()[is_tested], thumbs[is_tested], pairs)
        evidence = len(pairs) * (probability - 0.5)
        if len(pairs) and (by or (probability >= MIN_PROBABILITY and p < MAX_P_VALUE)) and evidence > best_evidence:
            best, best_evidence = FrameOrder(method, series, position), evidence
    return best


def _similarity_test(classes: np.ndarray, thumbs: np.ndarray, pairs: np.ndarray) -> tuple[float, float]:
    """Return how often neighbors of one class are nearer than two others of it, and the p value; ties count half."""
    pairs = pairs[classes[pairs[:, 0]] == classes[pairs[:, 1]]]
    if len(pairs) < MIN_TESTED_PAIRS:
        return 0.0, 1.0
    rng, of_class = np.random.default_rng(0), [np.flatnonzero(classes == name) for name in np.unique(classes)]
    random_pairs = np.concatenate([rng.choice(rows, (4 * len(rows), 2)) for rows in of_class])
    random_pairs = random_pairs[random_pairs[:, 0] != random_pairs[:, 1]]

    def distances(pairs: np.ndarray, most: int = 20_000) -> np.ndarray:
        i, j = pairs[rng.choice(len(pairs), min(most, len(pairs)), replace=False)].T
        return np.linalg.norm(thumbs[i] - thumbs[j], axis=1)

    near, far = distances(pairs), distances(random_pairs)
    test = mannwhitneyu(near, far, alternative="less")
    return 1 - test.statistic / (len(near) * len(far)), test.pvalue


def _numbers(stems: list[str], names: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the first, second... number of each name: the series it counts in, and the number.

    A folder starts a series only if numbers begin anew in it; folders of a split never do. Dates and hexadecimal names
    are no numbers, and neither is what most names share with several others: the number of a site or a camera.
    """
    folders = np.array([name.rpartition("/")[0] for name in names])
    blank = [_HEXADECIMAL.sub(lambda match: " " * len(match[0]), stem) for stem in blank_dates(stems)]
    matches = [list(_DIGITS.finditer(stem)) for stem in blank]
    numbered = []
    for which in range(max(map(len, matches), default=0)):
        series, position = np.full(len(stems), "", dtype=object), np.zeros(len(stems), np.int64)
        for row, (stem, numbers) in enumerate(zip(stems, matches, strict=True)):
            if which < len(numbers):
                series[row], position[row] = f"{stem[: numbers[which].start()]}*", int(numbers[which][0])
        has_number = series != ""
        table = pd.DataFrame({"series": series, "place": position, "stem": stems})[has_number]
        if table.duplicated(["series", "place"]).any():
            series[has_number] = folders[has_number].astype(object) + "/" + series[has_number]
            table = table.assign(series=series[has_number])
        same_number = table.drop_duplicates().groupby(["series", "place"]).size()  # an export may repeat a name
        if same_number.median() <= MAX_NAMES_A_NUMBER:
            numbered.append((series, position))
    return numbered


def read_times(stems: Sequence[str], paths: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read capture times from EXIF data, or else from file names without their suffix.

    Returns `(series, seconds)`, both `(n,)`: the camera, or the name before the time ("" if there is no time); and
    seconds since 1970, as if all clocks were in one time zone.
    """
    in_names = are_times(stems)
    series, seconds = np.full(len(stems), "", dtype=object), np.zeros(len(stems), np.int64)
    for row, (stem, path) in enumerate(zip(stems, paths, strict=True)):
        series[row], seconds[row] = _time_in_exif(path) or (in_names and _time_in_name(stem)) or ("", 0)
    return series, seconds


def _time_in_exif(path: str) -> tuple[str, int] | None:
    taken_at, camera = read_capture(path)  # with its serial number, so that two cameras of one model do not interleave
    if not taken_at:
        return None
    moment = datetime.fromisoformat(taken_at[:19]).replace(tzinfo=UTC)
    return f"camera {camera}".strip(), int(moment.timestamp())


def _time_in_name(stem: str) -> tuple[str, int] | None:
    match = STAMP.search(stem)
    moment = match and parse_stamp(match[0])
    return (f"{stem[: match.start()]}*", int(moment.timestamp())) if moment else None
