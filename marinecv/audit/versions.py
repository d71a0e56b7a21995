"""Versions of one photograph by their names: exports of one upload, augmented files, tiles, crops, copies."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from marinecv.audit.thumbnails import color_histograms
from marinecv.data.groups import NEAR_COPY, PAIR_COLUMNS
from marinecv.data.layouts import folder_splits

MIN_SIMILARITY = 0.9  # of colors: 1 in 20 pairs by chance has it, and 19 in 20 that were turned, sheared or cropped
MAX_VERSIONS = 50  # files of one name; more of them count something else
MAX_COMPARED = 16  # later versions that each is compared with
_EXPORT = re.compile(r"(?:_(?:jpe?g|png|bmp|webp|tiff?))*\.rf\.[0-9a-f]{32}$", re.IGNORECASE)  # of Roboflow
_COUNT = r" ?\(\d+\)$"
_WORDS = "aug(?:mented)?|copy|crop(?:ped)?|flip(?:ped)?|mirror(?:ed)?|patch|rot(?:ated)?|tile"
_VERSION = re.compile(rf"(?<=.)(?:[-_. ]+(?:{_WORDS})(?:[-_ ]*\d+)*(?:{_COUNT})?)+$", re.IGNORECASE)


def photograph_names(image_ids: Sequence[str]) -> tuple[list[str], list[str], np.ndarray]:
    """Recognize versions of one photograph by marks in their names: `.rf.` and 32 digits, `_aug1`, `-Copy`...

    More than 50 files of one name are no versions. Returns `(stems, names, marked)`, (n,) each: the file name without
    suffix and marks; the same with its folder, without folders of a split; bool, whether it had a mark.
    """
    paths = [PurePosixPath(name) for name in image_ids]
    splits = folder_splits({part for path in paths for part in path.parts[:-1]})
    folders = ["/".join(part for part in path.parts[:-1] if part not in splits) for path in paths]
    exported = [_EXPORT.sub("", path.stem) for path in paths]
    stems = [_VERSION.sub("", stem) for stem in exported]
    present = set(zip(folders, stems, strict=True))
    plain = [re.sub(_COUNT, "", stem) for stem in stems]
    stems = [short if (at, short) in present else stem for at, stem, short in zip(folders, stems, plain, strict=True)]
    several = Counter(zip(folders, stems, strict=True))
    too_many = [several[key] > MAX_VERSIONS for key in zip(folders, stems, strict=True)]
    stems = [whole if many else stem for whole, stem, many in zip(exported, stems, too_many, strict=True)]
    marked = [stem != path.stem and not many for stem, path, many in zip(stems, paths, too_many, strict=True)]
    return stems, [f"{at}/{stem}" for at, stem in zip(folders, stems, strict=True)], np.array(marked, bool)


def one_of_each(names: Sequence[str], marked: np.ndarray) -> np.ndarray:
    """Return bool `(n,)`: True for one version of each photograph, and for every file without a mark."""
    names = pd.Series(names, dtype=object)
    return ~(marked & (names.duplicated() | names.isin(names[~marked])).to_numpy(bool))


def versions(thumbs: np.ndarray, image_ids: Sequence[str]) -> pd.DataFrame:
    """Pair versions of one photograph by name and color: rotated, sheared or cropped, they keep their colors.

    Returns a table of `PAIR_COLUMNS`: positions (`image_a` < `image_b`), the kind `near copy`, the method `name`, and
    as similarity the cosine of their color histograms, above 0.9. Thumbs are those of `load_thumbs`.
    """
    _, names, marked = photograph_names(image_ids)
    numbers, pairs = pd.factorize(np.array(names, dtype=object))[0], [np.empty((0, 2), np.int64)]
    order = np.argsort(numbers, kind="stable")
    for step in range(1, MAX_COMPARED + 1):
        pair_rows = np.stack([order[:-step], order[step:]], axis=1)
        pairs.append(pair_rows[(numbers[pair_rows[:, 0]] == numbers[pair_rows[:, 1]]) & marked[pair_rows].any(axis=1)])
    rows, index = np.unique(np.concatenate(pairs), return_inverse=True)
    first, second = index.reshape(-1, 2).T
    histograms = [color_histograms(thumbs[rows], even) for even in (False, True)]
    similarity = np.max([np.einsum("ij,ij->i", each[first], each[second]) / 2 for each in histograms], axis=0)
    table = pd.DataFrame({"image_a": rows[first], "image_b": rows[second], "similarity": similarity})
    return table.assign(kind=NEAR_COPY, method="name")[PAIR_COLUMNS][similarity > MIN_SIMILARITY]
