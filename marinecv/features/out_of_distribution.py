"""Detect out-of-distribution images: the distance of an embedding from those of the train images."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from marinecv.files.atomic import whole_file

COMPONENTS = 64


def fit_distance(embeddings: np.ndarray, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Fit the mean of each class and the covariance about it to embeddings of train, `(n, values)` with n > 1.

    Returns float32 `center` (values,); `whitening` (values, k), which takes a centered embedding to at most 64
    components of unit within-class covariance; and `means` (classes, k) there. Source: Lee et al. (2018),
    https://arxiv.org/abs/1807.03888; Ledoit and Wolf (2004).
    """
    from sklearn.covariance import ledoit_wolf
    from sklearn.decomposition import PCA

    embeddings, labels = np.asarray(embeddings, np.float64), np.asarray(class_names)
    # Threads sum in any order. Embeddings that are all equal have no variance to divide by.
    with threadpool_limits(1), np.errstate(invalid="ignore"):
        axes = PCA(min(COMPONENTS, len(embeddings) - 1, embeddings.shape[1]), random_state=0).fit(embeddings)
        places = (embeddings - axes.mean_) @ axes.components_.T
        means = {name: places[labels == name].mean(axis=0) for name in dict.fromkeys(labels)}
        scatter, _ = ledoit_wolf(places - np.stack([means[name] for name in labels]), assume_centered=True)
        # Without any scatter, such as with one image a class, the Euclidean distance is left.
        size = np.trace(scatter) / len(scatter)
        scatter = scatter + 1e-6 * size * np.eye(len(scatter)) if size > 0 else np.eye(len(scatter))
        whiten = np.linalg.inv(np.linalg.cholesky(scatter)).T
    return {
        "center": axes.mean_.astype(np.float32),
        "whitening": (axes.components_.T @ whiten).astype(np.float32),
        "means": (np.stack(list(means.values())) @ whiten).astype(np.float32),
    }


def distances(embeddings: np.ndarray, fitted: dict[str, np.ndarray]) -> np.ndarray:
    """Return the Mahalanobis distance of each embedding, `(n, values)`, to the nearest class mean: (n,) float64."""
    places = (np.asarray(embeddings, np.float64) - fitted["center"]) @ fitted["whitening"]
    return np.min([np.linalg.norm(places - mean, axis=1) for mean in fitted["means"]], axis=0)


def write_embeddings(path: str | Path, fitted: dict[str, np.ndarray]) -> None:
    """Write the result of `fit_distance` as `.npz`, whole or not at all."""
    with whole_file(path) as part, open(part, "wb") as file:
        np.savez(file, **fitted)


def read_embeddings(path: str | Path) -> dict[str, np.ndarray]:
    """Read a file of `write_embeddings`; ValueError where there is none, or it is another one."""
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in ("center", "whitening", "means")}
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}. Expected the embeddings.npz of a run.") from error
