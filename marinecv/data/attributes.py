"""Attributes of images and classes, such as the 312 of CUB-200-2011, as tables of 0 and 1."""

import numpy as np
import pandas as pd

from marinecv.choices import ATTRIBUTE_KINDS
from marinecv.data.manifests import Manifest
from marinecv.data.readers import all_readers, reader_of
from marinecv.data.user_tables import usable
from marinecv.schema import check_choice


def read_attributes(
    manifest: Manifest, kind: str = "image", min_certainty: int = 1, min_percent: float = 50.0
) -> pd.DataFrame:
    """Return which attributes each image or each class has: uint8 0 or 1, indexed by `image_id` or `class_name`.

    Attributes of an image were seen on it by a person, so a classifier that takes them cannot run on a new image.

    Args:
        kind: "image" or "class".
        min_certainty: of an image, answers of at least this certainty count: 1 (not visible) to 4 (definitely).
        min_percent: of a class, an attribute is present where more than this percentage of answers say so.
    """
    check_choice(ATTRIBUTE_KINDS, kind=kind)
    if (read := reader_of(manifest.layout).attributes) is None:
        known = ", ".join(f'"{layout}"' for layout, reader in all_readers().items() if reader.attributes)
        raise ValueError(
            f'{manifest.name} has the layout "{manifest.layout}". Expected {known}; a pack keeps none. Name the folder '
            "that holds them."
        )
    return read(manifest, kind, min_certainty, min_percent)


def class_mean_attributes(attributes: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Return for every usable image the mean attributes of its class's train images, float32, by `image_id`."""
    good = usable(catalog)
    check_attributes(good["image_id"], attributes)
    train = good[good["split"] == "train"]
    means = attributes.loc[train["image_id"]].groupby(train["class_name"].to_numpy()).mean()
    if classes_without_train := sorted(set(good["class_name"]) - set(means.index)):
        raise ValueError(
            f"{len(classes_without_train)} classes have no train image, the first: {classes_without_train[0]}. "
            "Expected at least one each. Choose another split."
        )
    return means.loc[good["class_name"]].set_axis(pd.Index(good["image_id"])).astype(np.float32)


def shuffled_attributes(attributes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the attributes with their rows permuted: a control that carries no information on an image."""
    order = np.random.default_rng(seed).permutation(len(attributes))
    return attributes.iloc[order].set_axis(attributes.index)


def check_attributes(image_ids: pd.Series, attributes: pd.DataFrame) -> None:
    """Raise ValueError where an image has no row of attributes."""
    missing = image_ids[~image_ids.isin(attributes.index)]
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(image_ids)} images have no attributes, the first: {missing.iloc[0]}. Expected a "
            "row for each. Read both from one data set."
        )
