"""Every image of a catalog, decoded and fitted once, as bytes: in memory up to a size, beyond it on disk."""

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.console import Log
from marinecv.data.cache_dir import cache_path, make_room
from marinecv.data.images import read_header
from marinecv.data.shards.records import file_problem, file_state, is_record
from marinecv.data.stamps import files_hash
from marinecv.data.user_tables import as_table, is_usable, usable
from marinecv.files.atomic import temporary_name
from marinecv.files.lock import lock_folder
from marinecv.files.memmap import make_array, open_array
from marinecv.inputs import decode as decoding
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.streamed_pixels import Stream
from marinecv.progress import progress_bar
from marinecv.schema import check_type

MEMORY_BUDGET_BYTES = 32 * 2**20  # decoded again in a moment
DISK_BUDGET_BYTES = 50 * 2**30  # of all cached pixels
STREAMED_BYTES = 10 * 2**30  # a larger pack is not cached: the first batch would wait for many minutes
VERSION = 3  # of the cached pixels: raised when `decode` or `fit_image` gives other pixels for a file
CHANGING = "it changed while it was read; run the command again when no other program writes it"
BATCH = 32  # images handed over to Python at a time
_LAST: dict[str, np.ndarray] = {}  # the last array in memory, by its files and spec: runs of a grid share it


def load_pixels(
    catalog: pd.DataFrame, spec: ImageSpec, *, memory_budget_bytes: int = MEMORY_BUDGET_BYTES, log: Log | None = None
) -> tuple[np.ndarray | Stream, pd.DataFrame]:
    """Decode and fit every usable image of a catalog.

        >>> import marinecv as mcv
        >>> pixels, catalog = mcv.load_pixels(mcv.read_catalog(mcv.demo_images())[:4], mcv.ImageSpec())
        >>> pixels.shape
        (4, 224, 224, 3)

    The array is read-only, and found again by the paths, times and sizes of the image files and by the spec: the last
    one in memory, and one over the budget in a memory-mapped file of the cache; a damaged one is made again, and those
    used longest ago make room for a new one. Images of a pack that would take more than `STREAMED_BYTES`, or half of
    the free disk, are decoded on demand instead.

    Args:
        catalog: rows to load; those with a `problem` are skipped.
        spec: the geometry.
        memory_budget_bytes: the largest array that is held in memory.
        log: called with a line of text now and then, where decoding takes long and no bar is shown.
    Returns:
        `(pixels, catalog)`: uint8 `(n, height, width, 3)`, or a `Stream` of them, row i for row i of `usable(catalog)`;
        and the catalog, in which an image that could not be loaded has its reason as `problem`.
        Without room in the cache it is a ValueError.
    """
    check_type(ImageSpec, spec=spec)
    catalog = as_table(catalog, ("path",), {"problem": ""}, "catalog").copy()
    rows = usable(catalog)
    paths = rows["path"].to_numpy(dtype=object).tolist()
    shape = (len(paths), *spec.shape)
    num_bytes = int(np.prod(shape))
    is_packed = all(map(is_record, paths))
    if is_packed and num_bytes > max(STREAMED_BYTES, memory_budget_bytes):
        return Stream(rows["path"], spec), catalog
    key = files_key(paths, spec)
    if num_bytes <= memory_budget_bytes:
        if (pixels := _LAST.get(key)) is not None:
            return pixels, catalog
        pixels = np.empty(shape, np.uint8)
        if reasons := _decode_into(pixels, paths, spec, log):
            return np.delete(pixels, list(reasons), axis=0), _with_reasons(catalog, reasons)
        pixels.flags.writeable = False  # as those of a file
        _LAST.clear()
        _LAST[key] = pixels
        return pixels, catalog
    path = cache_path("pixels", f"{key}.npy")
    if (pixels := open_array(path, shape, np.uint8)) is not None:
        with suppress(OSError):  # the cache of another user
            os.utime(path)
        return pixels, catalog
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_packed and num_bytes > shutil.disk_usage(path.parent).free // 2:
        return Stream(rows["path"], spec), catalog
    with lock_folder(path.parent, waiting=lambda: None):
        if (pixels := open_array(path, shape, np.uint8)) is not None:  # another process has made it meanwhile
            return pixels, catalog
        make_room(path, num_bytes, DISK_BUDGET_BYTES)
        reasons = _write(path, shape, paths, spec, log)
    if reasons:  # a cached array holds good images alone: once more, without the broken ones
        catalog = _with_reasons(catalog, reasons)
        return load_pixels(catalog, spec, memory_budget_bytes=memory_budget_bytes, log=log)
    return open_array(path, shape, np.uint8), catalog


def _write(path, shape, paths, spec, log) -> dict[int, str]:
    """Write the file of an array whole, or return why some of its images fail and write nothing."""
    temporary = temporary_name(path)
    try:
        try:
            pixels = make_array(temporary, shape, np.uint8)
        except OSError as error:
            raise ValueError(
                f"The pixels of {shape[0]:,} images do not fit into {temporary.parent}: {error.strerror}. Make room, "
                "set MARINECV_HOME to a larger disk, take fewer (limit=500), or `data pack` them: a pack needs no room."
            ) from error
        reasons = _decode_into(pixels, paths, spec, log)
        pixels.flush()
        del pixels
        if not reasons:
            os.replace(temporary, path)
        return reasons
    finally:
        temporary.unlink(missing_ok=True)


def _with_reasons(catalog, reasons) -> pd.DataFrame:
    """Set the problem of usable rows by their number, for an index may be repeated."""
    indices = np.flatnonzero(is_usable(catalog))[list(reasons)]
    catalog.iloc[indices, catalog.columns.get_loc("problem")] = list(reasons.values())
    return catalog


def check_pixels(pixels: np.ndarray | Stream, rows: pd.DataFrame, size: tuple[int, int, int]) -> None:
    """Raise ValueError where pixels are no uint8 array `(len(rows), *size)`, nor such a `Stream`."""
    shape, array = (len(rows), *size), isinstance(pixels, np.ndarray | Stream)
    if not array or pixels.dtype != np.uint8 or pixels.shape != shape:
        received = f"{pixels.dtype} {pixels.shape}" if array else type(pixels).__name__
        raise ValueError(
            f"Expected pixels of the {len(rows)} usable rows: an array of uint8 {shape}. Received: {received}. Use "
            "both that `pixels, catalog = load_pixels(catalog, spec)` returns."
        )


def rows_of(pixels: np.ndarray | Stream, indices: np.ndarray) -> np.ndarray | Stream:
    """Return some rows of pixels: a stream of a stream, and a view of adjacent rows, so that a file stays on disk."""
    if isinstance(pixels, Stream):
        return pixels.part(indices)
    is_adjacent = len(indices) and np.array_equal(indices, np.arange(len(indices)) + indices[0])
    return pixels[indices[0] : indices[-1] + 1] if is_adjacent else pixels[indices]


def split_of(rows: pd.DataFrame, pixels: np.ndarray, split: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the usable rows of a split and their pixels, row i for row i; empty where there are none."""
    indices = np.flatnonzero(rows["split"] == split)
    return rows.iloc[indices], rows_of(pixels, indices)


def read_pixels(paths: Iterable[str], spec: ImageSpec) -> tuple[np.ndarray, dict[int, str]]:
    """Decode and fit a few files, in memory.

        >>> import marinecv as mcv
        >>> mcv.read_pixels(mcv.read_catalog(mcv.demo_images())["path"][:4], mcv.ImageSpec())[0].shape
        (4, 224, 224, 3)

    Returns `(pixels, reasons)`: uint8 `(n, height, width, 3)`; and by index why a file could not be read, whose pixels
    are undefined. Raises ValueError for a single path.
    """
    if isinstance(paths, str | os.PathLike):
        raise ValueError(f"Expected a list of paths. Received one: {paths}. Write read_pixels([path], spec).")
    check_type(ImageSpec, spec=spec)
    paths = list(paths)
    pixels = np.empty((len(paths), *spec.shape), np.uint8)
    refused = {index: why for index, path in enumerate(paths) if (why := read_header(Path(path))[2])}
    return pixels, _decode_into(pixels, paths, spec, None, refused)


def _decode_into(pixels, paths, spec, log, refused=None) -> dict[int, str]:
    """Write the images into the array; return why, for those that fail or are refused before any is opened."""
    opened = (index for index, path in enumerate(paths) if not is_record(path))  # a record raises when it is read
    refused = {index: why for index in opened if (why := file_problem(paths[index]))} | (refused or {})
    wanted = [index for index in range(len(paths)) if index not in refused]
    states = {index: file_state(paths[index]) for index in wanted}
    load = loader_of(decoding.reader_of(paths), spec)
    used = [paths[index] for index in wanted]
    files = np.array(wanted, int), decoding.paths_as_bytes(used), decoding.crop_places(used)
    dataset = tf.data.Dataset.from_tensor_slices(files)
    dataset = dataset.map(load, num_parallel_calls=decoding.CORES, deterministic=False).ignore_errors()
    dataset = decoding.without_autotune(dataset.batch(BATCH).prefetch(2))
    undecoded = set(wanted)
    with progress_bar(len(paths), "decoding images", log=log) as show:
        for indices, images in dataset.as_numpy_iterator():
            pixels[indices] = images
            undecoded.difference_update(indices.tolist())
            show(len(paths) - len(undecoded))
    for index in sorted(undecoded):
        _, image, problem = decoding.retry_with_pillow(paths[index], spec.white)
        if problem:
            refused[index] = problem
        else:
            pixels[index] = decoding.fit_to_bytes(tf.constant(image), spec)
    return refused | {index: CHANGING for index in wanted if file_state(paths[index]) != states[index]}


@lru_cache(maxsize=8)
def loader_of(read: Callable[[tf.Tensor], tf.Tensor], spec: ImageSpec) -> Callable:
    """Return the graph that reads, decodes, crops and fits a file; traced once, it serves each chunk of files."""

    def load(index, path, place):
        pixels = decoding.crop_pixels(decoding.decode(read(path), white=spec.white), place)
        return index, decoding.fit_to_bytes(pixels, spec)

    signature = [tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.string), tf.TensorSpec((4,), tf.int32)]
    return tf.function(load, input_signature=signature, autograph=False)


def files_key(paths: Iterable[str], spec: ImageSpec) -> str:
    """Return a hash of the paths, times and sizes of image files and of the spec."""
    return files_hash(paths, f"{VERSION}\0{spec!r}")
