"""Linear probe: the accuracy of a logistic regression on embeddings."""

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
from marinecv.evaluation.latent import MEASURE_COLUMNS, order_by_image_id, value_and_interval

COMPONENTS = 256
FOLDS = 5
ITERATIONS = 300
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse of the penalty


def linear_probe(rows: pd.DataFrame, embeddings: np.ndarray, seed: int = 0, groups: Groups = None) -> pd.DataFrame:
    """Fit a logistic regression to the embeddings of train, and score it on the other splits: `MEASURE_COLUMNS`.

    Embeddings are standardized and reduced to at most 256 principal components of train; the penalty is chosen by
    cross-validation in train. A class with fewer train images than folds is not learned: its images count as wrong.
    `chance` is the fraction of the most frequent class of train. With fewer than two classes there is no row.
    """
    rows, order = as_table(rows), order_by_image_id(rows, embeddings)
    rows, embeddings = rows.iloc[order], embeddings[order]
    train = (rows["split"] == "train").to_numpy()
    counts = rows["class_name"][train].value_counts().sort_index()
    learned = train & rows["class_name"].isin(counts.index[counts >= FOLDS]).to_numpy()
    judged = [split for split in SPLITS if split != "train" and (rows["split"] == split).any()]
    if not judged or rows["class_name"][learned].nunique() < 2:
        return pd.DataFrame(columns=MEASURE_COLUMNS)
    with threadpool_limits(1), warnings.catch_warnings():  # threads change the order of sums
        # A fit that stops early is a little more regularized; the folds score it as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        embeddings = StandardScaler().fit(embeddings[learned]).transform(embeddings)
        # Of a short embedding PCA only rotates the axes, which changes nothing for an L2 penalty.
        pca = PCA(min(COMPONENTS, *embeddings[learned].shape), random_state=seed).fit(embeddings[learned])
        places = pca.transform(embeddings)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        search = GridSearchCV(LogisticRegression(max_iter=ITERATIONS), {"C": STRENGTHS}, cv=folds)
        right = search.fit(places[learned], rows["class_name"][learned]).predict(places) == rows["class_name"]
    table = []
    for split in judged:
        part = (rows["split"] == split).to_numpy()
        figure = value_and_interval(right[part].to_numpy(), group_numbers(rows["image_id"][part], groups))
        chance = float((rows["class_name"][part] == counts.idxmax()).mean())
        table.append(["code", split, "probe", *figure, chance, int(part.sum())])
    return pd.DataFrame(table, columns=MEASURE_COLUMNS)
