"""How much of a class can be had by remembering pictures: what the nearest thumbnail says."""

import numpy as np
import pandas as pd
from sklearn.neighbors import KNeighborsClassifier

from marinecv.audit.thumbs import tiny
from marinecv.choices import SPLITS
from marinecv.data.splits import kfold
from marinecv.data.user_tables import as_catalog

FOLDS = 5
MOST = 5000  # images judged; more would take minutes and tell no more
AS_SPLIT, APART = "as split", "relatives apart"


def thumbnail_votes(rows: pd.DataFrame, thumbs: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Name each image after the one whose thumbnail is nearest, with nothing learned.

    Once `as split`, validation and test after train; once with `relatives apart`, in 5 folds that keep every group on
    one side. Row i of the thumbs, as of `load_thumbs` or float `(n, values)`, is of row i of the usable `rows`, which
    have a `group`; of more than 5,000 images so many are drawn. Columns: `vote, image_id, split, group, true_class,
    predicted_class`; a vote that cannot be taken has no row.
    """
    thumbs = tiny(thumbs) if thumbs.ndim == 4 else thumbs
    rows = as_catalog(rows).reset_index(drop=True)
    classes, rng, votes = rows["class_name"].to_numpy(), np.random.default_rng(seed), []

    def nearest(taught, judged, vote):
        if taught.any() and judged.any():
            places = np.sort(rng.permutation(np.flatnonzero(judged))[:MOST])
            model = KNeighborsClassifier(1, algorithm="brute").fit(thumbs[taught], classes[taught])
            said = {name: rows[name].iloc[places] for name in ("image_id", "split", "group")}
            said |= {"true_class": classes[places], "predicted_class": model.predict(thumbs[places])}
            votes.append(pd.DataFrame({"vote": vote, **said}))

    split = rows["split"].to_numpy()
    for name in SPLITS[1:]:
        nearest(split == "train", split == name, AS_SPLIT)
    folds = min(FOLDS, rows["group"].nunique())
    for part in kfold(rows, folds, seed, "grouped") if folds > 1 else []:
        told = part.set_index("image_id")["split"].reindex(rows["image_id"]).to_numpy()
        nearest(told == "train", told == "validation", APART)
    columns = ["vote", "image_id", "split", "group", "true_class", "predicted_class"]
    return pd.concat(votes, ignore_index=True) if votes else pd.DataFrame(columns=columns, dtype=str)
