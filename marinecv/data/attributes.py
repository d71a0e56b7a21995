"""The attributes of CUB-200-2011: 312 marks that people saw, or did not see, on every bird and every species."""

import numpy as np
import pandas as pd

from marinecv.checked import one_of
from marinecv.choices import ATTRIBUTE_KINDS
from marinecv.data.manifests import Manifest
from marinecv.data.readers import all_readers, reader_of
from marinecv.data.user_tables import usable


def read_attributes(
    manifest: Manifest, kind: str = "image", min_certainty: int = 1, min_percent: float = 50.0
) -> pd.DataFrame:
    """Return which attributes each image, or each class, has.

    Those of an image are what a person saw on it, and at hand only where a person looked: a classifier that is given
    them for a new photograph asks an oracle. Those of a class are the class in disguise.

    Args:
        manifest: of the layout `cub`, with its `root`.
        kind: "image" or "class".
        min_certainty: of "image": an answer counts as present where its certainty is at least this, 1 (not visible) to
            4 (definitely). 1 takes every answer as it was given.
        min_percent: of "class": an attribute is present where more than this share of answers say so, 0 to 100.
    Returns:
        DataFrame of 0 and 1 (uint8), a column an attribute in the order of attributes.txt. By `image_id`, those of all
        images whose class is read and here; or by `class_name`, those of all classes that are read.
    Raises:
        ValueError: another layout or kind, a bound out of range, no such file, or one that is broken or whose images,
            attributes or classes are not those of the other tables.
    """
    one_of(ATTRIBUTE_KINDS, kind=kind)
    if (read := reader_of(manifest.layout).attributes) is None:
        known = ", ".join(f'"{layout}"' for layout, reader in all_readers().items() if reader.attributes)
        raise ValueError(
            f'{manifest.name} has the layout "{manifest.layout}". Expected {known}: no other has attributes, and a '
            "pack keeps none. Name the folder that holds them."
        )
    return read(manifest, kind, min_certainty, min_percent)


def class_mean_attributes(attributes: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Give every image the mean attributes of its class's train images: all that a label can tell, and no oracle.

    Args:
        attributes: by `image_id`, see `read_attributes`.
        catalog: with its splits; rows with a problem are left out.
    Returns:
        DataFrame by `image_id`, float32 from 0 to 1, in the order of the catalog.
    Raises:
        ValueError: an image without attributes, or a class without train images.
    """
    good = usable(catalog)
    check_told(good["image_id"], attributes)
    train = good[good["split"] == "train"]
    means = attributes.loc[train["image_id"]].groupby(train["class_name"].to_numpy()).mean()
    if lacking := sorted(set(good["class_name"]) - set(means.index)):
        raise ValueError(
            f"{len(lacking)} classes have no train image, the first: {lacking[0]}. Expected one at least, whose "
            "attributes stand for the class. Choose another split."
        )
    return means.loc[good["class_name"]].set_axis(pd.Index(good["image_id"])).astype(np.float32)


def shuffled_attributes(attributes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the attributes dealt out anew, each image those of another drawn by lot: what they cannot help with."""
    order = np.random.default_rng(seed).permutation(len(attributes))
    return attributes.iloc[order].set_axis(attributes.index)


def check_told(image_ids: pd.Series, attributes: pd.DataFrame) -> None:
    """Raise ValueError where an image has no row of attributes."""
    missing = image_ids[~image_ids.isin(attributes.index)]
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(image_ids)} images have no attributes, the first: {missing.iloc[0]}. Expected a "
            "row for each. Read both from one data set."
        )
