"""What a linear classifier makes of the codes of images: how much of the class a head could read from them."""

import warnings

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from marinecv.choices import SPLITS
from marinecv.data.user_tables import as_table
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.latent import MEASURE_COLUMNS, bounded, by_image

COMPONENTS = 256
FOLDS = 5
ITERATIONS = 300
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # the smaller, the more the classifier is held back


def linear_probe(rows: pd.DataFrame, codes: np.ndarray, seed: int = 0, groups: Groups = None) -> pd.DataFrame:
    """Fit a logistic regression on the codes of train, and judge it on the other splits: `MEASURE_COLUMNS`.

    Codes are standardised, and of a long one the 256 principal components of train are taken, for time; the penalty is
    chosen by folds of train. A class with fewer images in train than folds is not learned, and its images count as
    wrong. `chance` is the share of the class that is most frequent in train. With one class there is no row.
    """
    rows, order = as_table(rows), by_image(rows, codes)
    rows, codes = rows.iloc[order], codes[order]
    train = (rows["split"] == "train").to_numpy()
    counts = rows["class_name"][train].value_counts().sort_index()
    learned = train & rows["class_name"].isin(counts.index[counts >= FOLDS]).to_numpy()
    judged = [split for split in SPLITS if split != "train" and (rows["split"] == split).any()]
    if not judged or rows["class_name"][learned].nunique() < 2:
        return pd.DataFrame(columns=MEASURE_COLUMNS)
    with threadpool_limits(1), warnings.catch_warnings():  # threads sum in any order
        # A fit that is stopped before its end is held back a little more; the folds judge it as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scaler = StandardScaler().fit(codes[learned])
        codes = scaler.transform(codes)
        # Of a short code this only turns the axes, which changes nothing for a classifier held back alike in all.
        places = PCA(min(COMPONENTS, *codes[learned].shape), random_state=seed).fit(codes[learned]).transform(codes)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        search = GridSearchCV(LogisticRegression(max_iter=ITERATIONS), {"C": STRENGTHS}, cv=folds)
        right = search.fit(places[learned], rows["class_name"][learned]).predict(places) == rows["class_name"]
    table = []
    for split in judged:
        part = (rows["split"] == split).to_numpy()
        numbers = group_numbers(rows["image_id"][part], groups)
        chance = float((rows["class_name"][part] == counts.idxmax()).mean())
        table.append(["code", split, "probe", *bounded(right[part].to_numpy(), numbers), chance, int(part.sum())])
    return pd.DataFrame(table, columns=MEASURE_COLUMNS)
