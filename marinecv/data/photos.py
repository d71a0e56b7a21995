"""Crops and their photographs: whatever splits, groups or pairs images goes by the photograph."""

import functools
from collections.abc import Callable
from typing import TypeVar

import pandas as pd

from marinecv.data.shards.records import photo_and_box
from marinecv.data.user_tables import as_catalog, is_usable

CROP_COLUMNS = ["photo", "box", "photo_class"]
"""Columns that a catalog of crops, and a predictions table of them, has in addition."""
Function = TypeVar("Function", bound=Callable[..., pd.DataFrame])


def is_of_crops(table: pd.DataFrame) -> bool:
    """Return whether the rows of a catalog or predictions table are crops, see `crop_catalog`."""
    return isinstance(table, pd.DataFrame) and {*CROP_COLUMNS} <= {*table}


def photos_of(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return a catalog of crops as one of photographs, one row each; any other catalog as it is.

    Split, class and group are those of the photograph, usable if one of its crops is. Width and height are 0, unknown.
    """
    if not is_of_crops(catalog):
        return catalog
    catalog = as_catalog(catalog).reset_index(drop=True)
    first_usable = (~is_usable(catalog)).sort_values(kind="stable").index
    crops = catalog.loc[first_usable].drop_duplicates("photo").sort_index().reset_index(drop=True)
    is_alone = (crops["group"] == crops["photo"]) & ~crops["group"].duplicated(keep=False)
    group = crops["group"].mask(is_alone, "")
    photos = {"image_id": crops["photo"], "class_name": crops["photo_class"], "group": group, "width": 0, "height": 0}
    photos["path"] = [photo_and_box(path)[0] for path in crops["path"]]
    return crops.assign(**photos).drop(columns=CROP_COLUMNS)


def crop_paths(photos: pd.Series, boxes: pd.Series) -> pd.Series:
    """Return the paths of crops, of photographs and boxes "xmin,ymin,xmax,ymax"; with "" that of the photograph."""
    return photos + ("#" + boxes).where(boxes != "", "")


def set_by_photo(catalog: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    """Return the crops of some photographs, in their order, with their split, group and problem.

    A crop without a group is of the group of its photograph, named after it. Of a catalog without crops it is `photos`.
    """
    if not is_of_crops(catalog):
        return photos
    of_photo = photos[["image_id", "split", "group", "problem"]].set_axis(["photo", "split", "group", "reason"], axis=1)
    crops = of_photo.merge(catalog.drop(columns=["split", "group"]), on="photo", how="left", validate="one_to_many")
    group = crops["group"].mask(crops["group"] == "", crops["photo"])
    problem = crops["problem"].mask(is_usable(crops), crops["reason"])
    return crops.assign(group=group, problem=problem)[[*catalog]]


def by_photo(function: Function) -> Function:
    """Let a function that changes a catalog's splits, groups or problems act on the photographs of crops."""

    @functools.wraps(function)
    def on_photos(catalog, *args, **options):
        return set_by_photo(catalog, function(photos_of(catalog), *args, **options))

    return on_photos
