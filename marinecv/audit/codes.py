"""Copies that only a network finds, where the weights of a small one are at hand."""

import numpy as np
import pandas as pd

from marinecv.audit.copies import near_copies
from marinecv.audit.thumbs import SMALL
from marinecv.data.groups import LINK_COLUMNS
from marinecv.features.embeddings import embed
from marinecv.models.backbones import backbone_features, weights_file

BACKBONE, ALPHA = "mobilenet", 0.25
MOST = 20_000  # images; it takes about two milliseconds each


def copies_by_codes(rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame | None:
    """Pair the near copies that neither hashes nor colours find, such as a crop that is brightened too: `LINK_COLUMNS`.

    For the audit alone: the links that make groups must not depend on what lies on a machine. None where the ImageNet
    weights of MobileNet 0.25 are not where Keras keeps them, or of no images or more than 20,000.
    """
    if not 0 < len(rows) <= MOST or not weights_file(BACKBONE, ALPHA).is_file():
        return None
    model = backbone_features(SMALL.shape, backbone=BACKBONE, alpha=ALPHA, trainable_layers=0)
    pairs = near_copies(thumbs, embed(model, rows, SMALL, thumbs, keep=False))
    pairs, ids = pairs[pairs["found_by"] == "embedding"], rows["image_id"].to_numpy()
    return pairs.assign(first=ids[pairs["first"]], second=ids[pairs["second"]])[LINK_COLUMNS].reset_index(drop=True)
