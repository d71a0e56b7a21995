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

    A near-duplicate is a frame if both were taken at different times by one camera (without one, in one folder); or, at
    any time, if the camera stands still: a quarter of its images and 8 of them are chained as near-duplicates.

    Args:
        copies: `PAIR_COLUMNS`, positions in `rows`.
        rows: the usable rows of a catalog, perhaps with `camera` and `taken_at`.
    Returns:
        `(is_frame, days)`: bool of each pair; and for each row the name of the camera's day, "" for none: of a known
        camera all images of the day, else those that are paired.
    """
    rows = with_place_columns(rows)
    camera, time = _cameras(rows), rows["taken_at"].to_numpy(dtype=object)
    first, second = copies["image_a"].to_numpy(int), copies["image_b"].to_numpy(int)
    of_camera = (copies["kind"] == NEAR_COPY) & (copies["method"] != "name") & (camera[first] == camera[second])
    at_other_times = (time[first] != "") & (time[second] != "") & (time[first] != time[second])
    chain = _chains(first[of_camera], second[of_camera], len(rows))
    length = np.bincount(chain, minlength=len(rows))[chain]
    images = pd.Series(camera).groupby(camera).transform("size").to_numpy()
    is_still = (length >= MIN_STILL_IMAGES) & (length >= MIN_STILL_FRACTION * images)
    is_frame = of_camera.to_numpy(bool) & (at_other_times | is_still[first])
    day = np.array([f"{of}#{text[:10]}" for of, text in zip(camera, time, strict=True)], dtype=object)
    together = is_frame & (day[first] == day[second])
    known = np.isin(day, day[first[together]]) & (camera != "")
    chain = _chains(first[together], second[together], len(rows))
    day = np.where(known, day, [f"{name}#{number}" for name, number in zip(day, chain, strict=True)])
    return is_frame, np.where(known | np.isin(np.arange(len(rows)), [first[together], second[together]]), day, "")


def _cameras(rows: pd.DataFrame) -> np.ndarray:
    """Return the camera of each image, or else its folder, without folders of a split, a class or of all images."""
    folders = [image_id.split("/")[:-1] for image_id in rows["image_id"]]
    splits = folder_splits({name for names in folders for name in names})
    own = [
        "/".join(name for name in names if name not in splits and name != label and not IMAGE_FOLDERS.fullmatch(name))
        for names, label in zip(folders, rows["class_name"], strict=True)
    ]
    return rows["camera"].mask(rows["camera"] == "", own).to_numpy(dtype=object)


def _chains(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Return the number of the chain of pairs that each image belongs to."""
    return connected_components(coo_array((np.ones(len(first)), (first, second)), (count, count)), directed=False)[1]
