"""Frames of a camera that stands still: nearly the same picture each time, and no copies; kept together by day."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marinecv.data.groups import NEAR_COPY
from marinecv.data.layouts import IMAGE_FOLDERS, folder_splits
from marinecv.data.user_tables import with_place_columns

MIN_STILL_IMAGES, MIN_STILL_FRACTION = 8, 0.25  # of a camera that are chained as near-duplicates: then it stands still


def still_frames(copies: pd.DataFrame, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Tell frames of one camera from near-duplicates, and name the days of cameras that have such frames.

    A near-duplicate is a frame if both were taken at different times by one camera (without one, in one folder, where
    those of classes do not count); or, at any time, if the camera stands still: 8 images and a quarter of its
    own (without camera and folder, as many as a quarter of the class of either) are chained as near-duplicates.

    Args:
        copies: `PAIR_COLUMNS`, positions in `rows`.
        rows: the usable rows of a catalog, perhaps with `camera` and `taken_at`.
    Returns:
        `(is_frame, days)`: bool of each pair; and for each row the name of the camera's day, "" for none: all images of
        the day of a camera, or of a folder of which more than half are chained; else those that are chained.
    """
    rows, (first, second) = with_place_columns(rows), copies[["image_a", "image_b"]].to_numpy(int).T
    camera, time = _cameras(rows), rows["taken_at"].to_numpy(object)
    of_camera = (copies["kind"] == NEAR_COPY) & (copies["method"] != "name") & (camera[first] == camera[second])
    chain = _chains(first[of_camera], second[of_camera], len(rows))
    folder = np.where(camera == "", rows["class_name"], camera)
    images = pd.Series(folder).groupby(folder).transform("size").to_numpy(int)
    length = np.bincount(chain)[chain]
    is_still = length >= np.maximum(MIN_STILL_IMAGES, MIN_STILL_FRACTION * images)
    at_other_times = (time[first] != time[second]) & (time[first] != "") & (time[second] != "")
    is_frame = of_camera.to_numpy(bool) & (at_other_times | is_still[first] | is_still[second])
    day = camera + "#" + rows["taken_at"].str[:10].to_numpy(object)
    first, second = (side[is_frame & (day[first] == day[second])] for side in (first, second))
    is_one = (rows["camera"] != "").to_numpy(bool) | ((camera != "") & np.isin(camera, camera[2 * length > images]))
    is_known, is_paired = np.isin(day, day[first]) & is_one, np.isin(np.arange(len(rows)), [first, second])
    numbers = _chains(first, second, len(rows)).astype(str).astype(object)
    return is_frame, np.where(is_known, day, np.where(is_paired, day + "#" + numbers, ""))


def _cameras(rows: pd.DataFrame) -> np.ndarray:
    """Return the camera of each image, or else its folders but those of splits and classes, "" if there are none."""
    paths = [image_id.split("/")[:-1] for image_id in rows["image_id"]]
    splits, folders = folder_splits({name for path in paths for name in path}), []
    for path, class_name in zip(paths, rows["class_name"], strict=True):
        path = [name for name in path if name not in splits and not IMAGE_FOLDERS.fullmatch(name)]
        folders.append("/".join(name for name in path if name != class_name))
    return rows["camera"].mask(rows["camera"] == "", folders).to_numpy(object)


def _chains(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Return the number of the chain of pairs that each image belongs to."""
    return connected_components(coo_array((np.ones(len(first)), (first, second)), (count, count)), directed=False)[1]
