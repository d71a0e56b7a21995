"""The 128x128 thumbnails that an audit compares, decoded as in training, and their gray and color values."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd

from marinecv.console import Log
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.to_rgb import find_white

SMALL = ImageSpec(height=128, width=128, fit="stretch", antialias=True)
CHUNK = 256
MAX_THREADS = 4  # each holds some tens of megabytes
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601


def load_thumbs(catalog: pd.DataFrame, log: Log | None = None) -> tuple[np.ndarray, pd.DataFrame]:
    """Decode every usable image of a catalog whole, at 128x128: `(thumbs, catalog)` as of `load_pixels`."""
    return load_pixels(catalog, replace(SMALL, white=find_white(catalog)), log=log)


def aspect_ratios(rows: pd.DataFrame) -> np.ndarray:
    """Return width to height of the images of a catalog, `(n,)`; 1 where they are not known."""
    sizes = rows.reindex(columns=["width", "height"]).fillna(0).to_numpy(float)
    return np.where((sizes > 0).all(axis=1), sizes[:, 0] / np.maximum(sizes[:, 1], 1), 1.0)


def in_chunks(function: Callable[[np.ndarray], np.ndarray], thumbs: np.ndarray) -> np.ndarray:
    """Apply a function to 256 images at a time: thumbs may lie on disk, and as floats not fit into memory."""
    if not len(thumbs):
        return function(np.zeros((1, *thumbs.shape[1:]), thumbs.dtype))[:0]
    return np.concatenate([function(thumbs[start : start + CHUNK]) for start in range(0, len(thumbs), CHUNK)])


def in_threads(function: Callable, items: Iterable) -> list:
    """Apply a function to each item in a few threads: numpy and scipy compute outside of Python's lock."""
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as threads:
        return list(threads.map(function, items))


def gray_pictures(thumbs: np.ndarray, side: int) -> np.ndarray:
    """Return gray pictures, `(n, side, side)` float32 from 0 to 255."""
    return in_chunks(lambda images: resize_by_area(images @ LUMA, side), thumbs)


def tiny_pixels(thumbs: np.ndarray, side: int = 16) -> np.ndarray:
    """Return the pixels of thumbnails of `side` pixels, `(n, side * side * 3)` float32."""

    def flat_pixels(images):
        channels = np.moveaxis(images, 3, 1).reshape(-1, *images.shape[1:3]).astype(np.float32)
        return resize_by_area(channels, side).reshape(len(images), -1)

    return in_chunks(flat_pixels, thumbs)


def color_histograms(thumbs: np.ndarray, even: bool = False) -> np.ndarray:
    """Return the square roots of the histograms of 64 colors, in the image and in its middle: `(n, 128)` float32.

    Crops and mirror images nearly keep them; so do brightened ones if `even` gives all mean 112 and deviation 48.
    """

    def histogram(images):
        red, green, blue = np.moveaxis(images >> 6, 3, 0)
        levels = ((red << 4) + (green << 2) + blue).reshape(len(images), -1)
        levels = levels + 64 * np.arange(len(images), dtype=np.int64)[:, None]
        counts = np.bincount(levels.ravel(), minlength=64 * len(images)).reshape(len(images), 64)
        return np.sqrt(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)

    def both_histograms(images):
        if even:
            mean, deviation = (f(images, axis=(1, 2, 3), keepdims=True, dtype=np.float32) for f in (np.mean, np.std))
            images = ((images - mean) * (48 / np.maximum(deviation, 4)) + 112).clip(0, 255).astype(np.uint8)
        return np.hstack([histogram(images), histogram(images[:, 32:96, 32:96])])

    return in_chunks(both_histograms, thumbs)


def resize_by_area(pictures: np.ndarray, side: int) -> np.ndarray:
    """Resize square `(n, height, width)` pictures, each pixel the mean of those that it covers."""
    before = pictures.shape[1]
    edges, old = np.arange(side + 1) * before / side, np.arange(before)
    covered = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    weights = (covered.clip(min=0) * side / before).astype(np.float32)
    return weights @ pictures @ weights.T
