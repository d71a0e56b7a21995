"""Images taken one after the other: by the numbers in their file names, or by the time in EXIF data or names."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from marinecv.audit.moments import blank_dates, read_times
from marinecv.audit.versions import one_each, photograph_names
from marinecv.data.layouts import folder_splits

BLOCK = 50  # file numbers that are kept together
SECONDS = 10  # that lie between neighbours, at most
PAUSE = 30 * 60  # seconds after which a new block begins: what camera trappers call an independent event
MOST = 16  # neighbours of an image, where many have one number
ENOUGH = 20  # pairs of neighbours to tell by
ALIKE, DOUBT = 0.6, 1e-3  # how often neighbours must be the more alike pair, and the p value
CROWD = 2  # names of one number, in the median, above which it counts sites or days and not frames
_DIGITS = re.compile(r"\d{1,9}")
# A UUID; or 8 hexadecimal digits and more in which letters and digits alternate, as in no counter like "cafe0012".
_HEXADECIMAL = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?=[0-9a-f]*(?:\d[a-f]+\d|[a-f]\d+[a-f]))[0-9a-f]{8,})(?![0-9a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Frames:
    """How images follow each other: by `"number"` or by `"time"`.

    `series` is `(n,)`, the sequence each image is of, "" for none; `place` `(n,)`, where in it: the file number, or
    seconds; `alike` how often neighbours are more alike than two images of one class by chance, 0.5 to 1.
    """

    by: str
    series: np.ndarray
    place: np.ndarray
    alike: float

    def neighbours(self) -> np.ndarray:
        """Return int `(pairs, 2)`: positions of images that follow each other, a file number or some seconds apart."""
        return _neighbours(self.series, self.place, 1 if self.by == "number" else SECONDS)

    def blocks(self) -> np.ndarray:
        """Return `(n,)` names of what is kept together: 50 file numbers, or what no pause of half an hour divides.

        Links between mere neighbours would chain into one giant group.
        """
        if self.by == "number":
            numbers = self.place // BLOCK
        else:
            order = np.lexsort((self.place, self.series))
            series, place = self.series[order], self.place[order]
            begins = np.r_[True, (series[1:] != series[:-1]) | (np.diff(place) > PAUSE)] if len(order) else []
            numbers = np.empty(len(order), np.int64)
            numbers[order] = np.cumsum(begins)
        names = [f"{series}#{number}" for series, number in zip(self.series, numbers, strict=True)]
        return np.where(self.series == "", "", np.array(names, dtype=object))


def find_frames(rows: pd.DataFrame, thumbs: np.ndarray, by: str | None = None, seed: int = 0) -> Frames | None:
    """Find out whether file numbers or times say which images were taken one after the other; None where neither does.

    A number in a file name may be a frame of a video or a line of somebody's list. It counts where images whose numbers
    are neighbours look more alike than two images of one class by chance (Mann-Whitney test of the distances of their
    thumbnails); of the numbers in a name, and time, the one that tells most. Of versions of one photograph
    (`photograph_names`) the test takes one. Thumbs are float `(n, values)`, see `tiny`; `by` is taken at its word.
    """
    paths = [PurePosixPath(name) for name in rows["image_id"]]
    (stems, names, marked), said = photograph_names(rows["image_id"]), []
    one = one_each(names, marked)
    if by in (None, "number"):
        said += [("number", series, numbers) for series, numbers in _numbers(paths, stems)]
    if by in (None, "time"):
        said.append(("time", *read_times(stems, rows["path"])))
    frames = []
    for way, series, place in said:
        pairs = Frames(way, series[one], place[one], 0.0).neighbours()
        alike, p = _alike(rows["class_name"].to_numpy()[one], thumbs[one], pairs, seed)
        if len(pairs) and (by or (alike >= ALIKE and p < DOUBT)):
            frames.append((len(pairs) * (alike - 0.5), Frames(way, series, place, alike)))
    return max(frames, key=lambda found: found[0], default=(0.0, None))[1]


def _neighbours(series: np.ndarray, place: np.ndarray, apart: int) -> np.ndarray:
    order = np.lexsort((place, series))
    order = order[series[order] != ""]
    series, place, found = series[order], place[order], [np.empty((0, 2), np.int64)]
    for step in range(1, min(MOST, len(order) - 1) + 1):
        close = (series[step:] == series[:-step]) & (place[step:] - place[:-step] <= apart)
        if not close.any():
            break
        found.append(np.stack([order[:-step][close], order[step:][close]], axis=1))
    return np.concatenate(found)


def _alike(classes: np.ndarray, thumbs: np.ndarray, pairs: np.ndarray, seed: int) -> tuple[float, float]:
    """How often neighbours of one class are nearer than two others of it, and the p value; ties count half."""
    pairs = pairs[classes[pairs[:, 0]] == classes[pairs[:, 1]]]
    if len(pairs) < ENOUGH:
        return 0.0, 1.0
    rng, of_class = np.random.default_rng(seed), [np.flatnonzero(classes == name) for name in np.unique(classes)]
    chance = np.concatenate([rng.choice(own, (4 * len(own), 2)) for own in of_class])
    chance = chance[chance[:, 0] != chance[:, 1]]
    near, far = (np.linalg.norm(thumbs[i] - thumbs[j], axis=1) for i, j in (_some(pairs, rng).T, _some(chance, rng).T))
    test = mannwhitneyu(near, far, alternative="less")
    return 1 - test.statistic / (len(near) * len(far)), test.pvalue


def _some(pairs: np.ndarray, rng: np.random.Generator, most: int = 20_000) -> np.ndarray:
    return pairs[rng.choice(len(pairs), min(most, len(pairs)), replace=False)]


def _numbers(paths: list[PurePosixPath], stems: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first, second... number of each name: the series it counts in, and the number.

    Folders of a split do not part a series. Others do only where numbers begin anew in them. Dates and hexadecimal
    names are no numbers, and neither is what most names share with several others: the number of a site or a camera.
    """
    splits = folder_splits({part for path in paths for part in path.parts[:-1]})
    folders = np.array(["/".join(part for part in path.parts[:-1] if part not in splits) for path in paths])
    blank = [_HEXADECIMAL.sub(lambda found: " " * len(found[0]), stem) for stem in blank_dates(stems)]
    found = [list(_DIGITS.finditer(stem)) for stem in blank]
    ways = []
    for which in range(max(map(len, found), default=0)):
        series, place = np.full(len(stems), "", dtype=object), np.zeros(len(stems), np.int64)
        for row, (stem, numbers) in enumerate(zip(stems, found, strict=True)):
            if which < len(numbers):
                series[row], place[row] = f"{stem[: numbers[which].start()]}*", int(numbers[which][0])
        told = series != ""
        names = pd.DataFrame({"series": series[told], "place": place[told], "stem": np.array(stems)[told]})
        if names.duplicated(["series", "place"]).any():
            series[told] = names["series"] = folders[told].astype(object) + "/" + series[told]
        several = names.drop_duplicates().groupby(["series", "place"]).size()  # an export may hold one name many times
        if several.median() <= CROWD:
            ways.append((series, place))
    return ways
