"""Write predictions for other programs: a module a format. No absolute path and, but for Camtrap DP, no place."""

from collections.abc import Iterable
from os.path import abspath, join, relpath, sep

import pandas as pd

BOX_COLUMNS = ["bbox_x", "bbox_y", "bbox_width", "bbox_height"]
"""Of a row that is a box: left, top, width and height as fractions of the image, 0 to 1."""


def probability_columns(class_names: Iterable[str]) -> list[str]:
    """Return the columns of the probabilities of all classes."""
    return [f"p_{name}" for name in class_names]


def shared_table(table: pd.DataFrame, base: str) -> pd.DataFrame:
    """Return the table of `predict` with `file`, relative to the folder `base` with "/", in place of `path`.

    Folders above are cut out of `problem`, too.
    """
    files, problems = [relpath(path, base).replace(sep, "/") for path in table["path"]], []
    for path, file, problem in zip(table["path"], files, table["problem"], strict=True):
        problem = problem.replace(abspath(path), file).replace(path, file)
        problems.append(problem.replace(join(base, ""), ""))
    shared = table.drop(columns="path").assign(problem=problems)
    shared.insert(0, "file", files)
    return shared
