"""Make a catalog of a user's files: of lists, a Series, or a DataFrame."""

import os
import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

import pandas as pd

from marinecv.data.catalog import CATALOG_COLUMNS, merge_spellings
from marinecv.data.images import image_table
from marinecv.data.splits.split_catalog import known_splits
from marinecv.data.user_tables import OPTIONAL, as_table, check_extra_columns, rename_aliases

OTHER_NAMES = {"path": ("file", "filename"), "class_name": ("class", "label"), "split": (), "group": ()}
GROUP_ALIASES = ("site", "camera")  # used as the group where there is none
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")  # in a Path one slash is left of two; C:/ is none


def catalog_of(
    paths: Iterable[str | os.PathLike] | pd.DataFrame,
    classes: Iterable[str] | str | None = None,
    split: Iterable[str] | str | None = None,
    group: Iterable[str] | str | None = None,
) -> pd.DataFrame:
    """Return a catalog of image files, a row a file in their order, sizes read from the headers.

        >>> import marinecv as mcv
        >>> files = sorted(mcv.demo_images().root.rglob("*.jpg"))
        >>> mcv.catalog_of(files[:2], ["fish", "shark"])["image_id"].tolist()
        ['reef_test_0000.jpg', 'reef_test_0001.jpg']

    Args:
        paths: absolute, or relative to the current folder; or a DataFrame with a column `path`, `file` or `filename`,
            and perhaps `class_name`, `class` or `label`; `split`; `group`, `site` or `camera`; `image_id`; and
            `problem`, why an image must not be used. Its other columns stay, into the predictions table.
        classes: one class an image, in their order, or one for all.
        split: "train", "validation" or "test", or a synonym such as "val"; "" for none. One an image, or one for all.
        group: such as a camera or a video. One an image, or one for all.
    Returns:
        DataFrame with `CATALOG_COLUMNS` and the other columns of `paths`. By default `image_id` is the path below the
        common folder. A file that is absent or cannot be read has its reason in `problem`, and so has one without a
        class where others have one.
    Raises:
        ValueError: `paths` is no list or is empty, one is an address or repeated, another argument has another length,
            a split is unknown, or class names differ only in case.
    """
    is_table = isinstance(paths, pd.DataFrame)
    table = rename_aliases(paths, OTHER_NAMES) if is_table else pd.DataFrame({"path": _as_list(paths, "paths")})
    as_table(table, ["path"], table_name="DataFrame of paths")
    if alias := next((name for name in GROUP_ALIASES if name in table and "group" not in table), None):
        table = table.assign(group=table[alias])
    for name, values in (("class_name", classes), ("split", split), ("group", group)):
        if values is not None:
            argument = "classes" if name == "class_name" else name
            if is_table and isinstance(values, str) and values in table:
                raise ValueError(f"{argument}={values!r} would be one word for all images. Expected paths[{values!r}].")
            values = values if isinstance(values, str) else _as_list(values, argument, len(table))
            table = table.assign(**{name: values})
    files = _absolute(table["path"])
    root = Path(os.path.commonpath([file.parent for file in files]))
    table = as_table(table.reset_index(drop=True), optional=OPTIONAL)
    reasons = table["problem"].mask((table["class_name"] == "") & (table["class_name"] != "").any(), "no class")
    splits = known_splits(table["split"], table["path"])
    rows = list(zip(files, splits, table["class_name"], table["group"], strict=True))
    catalog = image_table(root, rows, dict(zip(files, reasons, strict=True)))
    catalog = catalog.assign(dominance=table.get("dominance", 1.0))
    if "image_id" in table:
        catalog["image_id"] = table["image_id"]
    if (is_duplicate := catalog["image_id"].duplicated() | (catalog["image_id"] == "")).any():
        raise ValueError(
            f"{is_duplicate.sum()} of {len(is_duplicate)} images have the path or image_id of another, or none; the "
            f"first is {files[is_duplicate.argmax()]}. Expected each image once."
        )
    catalog, _ = merge_spellings(catalog[CATALOG_COLUMNS], catalog.iloc[:0], (), False)
    extra = table.drop(columns=[*CATALOG_COLUMNS], errors="ignore")
    check_extra_columns(extra)
    return pd.concat([catalog, extra], axis=1)


def _as_list(values: Iterable[object], name: str, count: int | None = None) -> list[object]:
    if isinstance(values, str | os.PathLike | Set | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"Expected {name} to be a list, one entry an image. Received: {values!r:.80}.")
    values = list(values)
    if count is not None and len(values) != count:
        raise ValueError(f"Expected {name} of the {count} images, one each. Received: {len(values)}.")
    return values


def _absolute(paths: pd.Series) -> list[Path]:
    """Return the files, absolute and without ".."; ValueError for none, no path, or an address."""
    if not len(paths):
        raise ValueError("There is no path. Expected one an image; check the folder and the pattern of the search.")
    for row, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise ValueError(f"Path {row} is {path!r:.80}. Expected a str or Path for each image.")
        if _ADDRESS.match(os.fspath(path)):
            raise ValueError(f"Path {row}, {os.fspath(path)!r:.120}, is an address. Expected a file on this machine.")
    return [Path(os.path.abspath(path)) for path in paths]
