"""Reconstruction errors of an autoencoder, and example images."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.data.user_tables import as_table, usable
from marinecv.evaluation.estimates import mean_estimate
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.files.atomic import whole_file
from marinecv.inputs.augment import with_noise
from marinecv.inputs.pipeline import make_dataset
from marinecv.inputs.pixel_cache import split_of
from marinecv.inputs.spec import ImageSpec
from marinecv.models.autoencoders import decoder_of, encoder_of, is_variational, target_of, to_pixels

ERRORS = ("mse", "mse_of_input", "mse_of_mean")
SHOWN = ("original", "noisy", "restored")
PICTURES, WALKS, STEPS = 8, 4, 8


def reconstruction_table(
    model: keras.Model, catalog: pd.DataFrame, spec: ImageSpec, pixels: np.ndarray, **noise: float
) -> pd.DataFrame:
    """Return the mean squared error of every usable image, in the value range of the model, and two baselines.

    Columns: `image_id, split, mse`; `mse_of_input`, of the noisy image; `mse_of_mean`, of the mean of all train images,
    NaN without any. `noise` are the `salt`, `pepper` and `seed` of `with_noise`; without them no image is noisy.
    """
    rows, target = usable(catalog), target_of(model)
    _, train = split_of(rows, pixels, "train")
    mean = np.asarray(target(train.mean(axis=0, dtype=np.float64)[np.newaxis])) if len(train) else np.nan
    parts = []
    for split in rows["split"].unique():
        part, of_part = split_of(rows, pixels, split)
        errors = {name: np.empty(0) for name in ERRORS}
        for noisy, clean in _shown(part, of_part, spec, noise):
            wanted = np.asarray(target(clean))
            for name, images in zip(ERRORS, (model(noisy, training=False), target(noisy), mean), strict=True):
                errors[name] = np.append(errors[name], np.square(np.asarray(images) - wanted).mean(axis=(1, 2, 3)))
        parts.append(part[["image_id", "split"]].assign(**errors))
    return pd.concat(parts, ignore_index=True)


def reconstruction_metrics(table: pd.DataFrame, seed: int = 0, groups: Groups = None) -> dict[str, dict]:
    """Return the mean errors of `reconstruction_table` by split, with n and 95% intervals over images or groups."""
    metrics = {}
    for split, part in as_table(table).groupby("split", sort=False):
        metrics[split], numbers = {"n": len(part)}, group_numbers(part["image_id"], groups)
        for name in ERRORS:
            values = part[name].to_numpy()
            if np.isfinite(values).all():
                metrics[split][name] = mean_estimate(values, numbers, seed)
    return metrics


def reconstructed_pictures(
    model: keras.Model, catalog: pd.DataFrame, spec: ImageSpec, pixels: np.ndarray, **noise: float
) -> dict[str, np.ndarray]:
    """Return up to 8 random validation images as `original`, `noisy` and `restored`, uint8 in the model's shape.

    `noise` is as of `reconstruction_table`; its seed draws the images too.
    A variational autoencoder adds `samples` `(8, ...)`, decoded from a standard normal distribution, and `walk` `(4, 8,
    ...)`, decoded on the way from the embedding of one image to that of another.
    """
    part, of_part = split_of(usable(catalog), pixels, "validation")
    rng = np.random.default_rng(noise.get("seed", 0))
    chosen = np.sort(rng.permutation(len(part))[:PICTURES])
    noisy, clean = next(_shown(part.iloc[chosen], of_part[chosen], spec, noise))
    target = target_of(model)
    images = target(clean), target(noisy), model(noisy, training=False)
    pictures = {name: to_pixels(model, np.asarray(part)) for name, part in zip(SHOWN, images, strict=True)}
    if is_variational(model):
        decoder, embeddings = decoder_of(model), np.asarray(encoder_of(model)(noisy))
        drawn = rng.standard_normal((PICTURES, embeddings.shape[-1])).astype(np.float32)
        pictures["samples"] = to_pixels(model, np.asarray(decoder(drawn)))
        weight = np.linspace(0, 1, STEPS, dtype=np.float32)[:, np.newaxis]
        walks = [(1 - weight) * embeddings[i] + weight * embeddings[i - 1] for i in range(min(WALKS, len(embeddings)))]
        pictures["walk"] = np.stack([to_pixels(model, np.asarray(decoder(walk))) for walk in walks])
    return pictures


def _shown(rows: pd.DataFrame, pixels: np.ndarray, spec: ImageSpec, noise: dict[str, float]) -> Iterator[tuple]:
    """Yield batches of noisy and clean images, in the order of the rows."""
    images = make_dataset(rows, spec, (), pixels=pixels, allow_unknown=True)
    return iter(with_noise(images, **{"salt": 0.0, "pepper": 0.0, **noise}))


def write_pictures(pictures: dict[str, np.ndarray], path: str | Path) -> None:
    """Write the arrays of `reconstructed_pictures` as one `.npz`, whole or not at all."""
    with whole_file(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **pictures)


def read_pictures(path: str | Path) -> dict[str, np.ndarray]:
    """Read a file of `write_pictures`; ValueError where it is missing or holds other arrays."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            pictures = {name: arrays[name] for name in arrays.files}
    except Exception as error:  # a broken zip raises many types
        raise ValueError(f"{path} cannot be read: {error}") from error
    for name in (*SHOWN, *(name for name in ("samples", "walk") if name in pictures)):
        array = pictures.get(name)
        if array is None or (array.dtype, array.ndim) != (np.uint8, 4 + (name == "walk")) or not array.size:
            raise ValueError(f"{path} has no uint8 images {name!r}. Expected a file of `write_pictures`.")
    return pictures
