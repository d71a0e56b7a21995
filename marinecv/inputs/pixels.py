"""Every image of a catalog, decoded and fitted once, as bytes: in memory within a budget, else on disk."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.atomic import part_of
from marinecv.data.images import ABSENT, read_header
from marinecv.data.records import file_problem, is_record
from marinecv.data.store import make_room, store_path
from marinecv.data.user_tables import as_table, is_usable, usable
from marinecv.hold import hold
from marinecv.inputs.decode import CORES, as_tensor, reader_of, retry_with_pillow, without_autotune
from marinecv.inputs.resize import exceeds_canvas
from marinecv.inputs.spec import ImageSpec, check_spec
from marinecv.inputs.stream import Stream, fitted, fitted_bytes
from marinecv.mapped import make_array, open_array
from marinecv.progress import progress_bar

MEMORY_BUDGET_BYTES = 32 * 2**20  # what is decoded again in a blink
DISK_BUDGET_BYTES = 50 * 2**30  # of all kept pixels
STREAMED_BYTES = 10 * 2**30  # of a pack from which on nothing is kept: the first batch would wait for many minutes
VERSION = 3  # of the kept pixels: raised when what `decode` or `resize` gives for a file changes
BATCH = 32  # images handed over to Python at a time


def load_pixels(
    catalog: pd.DataFrame,
    spec: ImageSpec,
    *,
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
    log: Callable[[str], None] | None = None,
) -> tuple[np.ndarray | Stream, pd.DataFrame]:
    """Decode and fit every usable image of a catalog.

        >>> import marinecv as mcv
        >>> pixels, catalog = mcv.load_pixels(mcv.read_catalog(mcv.demo_images())[:4], mcv.ImageSpec())
        >>> pixels.shape
        (4, 224, 224, 3)

    Rounding to bytes moves a pixel by half a grey level at most. An array over the budget lies in a file of the store
    and is mapped from there; it is found again by the paths, times and sizes of the files and by the spec, so that the
    next row of a grid and the next command decode nothing. One that is damaged is made anew; those used longest ago are
    removed where a new one needs their room. Of several processes one fills such files at a time, the others wait.

    Images of a pack that would take more than `STREAMED_BYTES`, or half of what is free on the disk, are not kept but
    decoded whenever they are asked for, to the same pixels.

    Args:
        catalog: rows to load; those with a `problem` are left alone.
        spec: the geometry.
        memory_budget_bytes: the largest array that is held in memory.
        log: called with a line of text now and then, where decoding takes long and no bar is shown.
    Returns:
        `(pixels, catalog)`: uint8 `(n, height, width, 3)`, or a `Stream` of them, row i for row i of `usable(catalog)`;
        and the catalog, in which an image that could not be loaded has its reason as `problem`.
    Raises:
        ValueError: the store has no room for the array.
    """
    check_spec(spec)
    catalog = as_table(catalog, ("path",), {"problem": ""}, "catalog").copy()
    rows = usable(catalog)
    if spec.larger == "refuse":
        large = [exceeds_canvas(*_size(row), spec) for row in rows.to_dict("records")]
        catalog = _with_reasons(catalog, dict.fromkeys(np.flatnonzero(large), _too_large(spec)))
        rows = usable(catalog)
    paths = rows["path"].to_numpy(dtype=object).tolist()
    shape = (len(paths), *spec.shape)
    if int(np.prod(shape)) <= memory_budget_bytes:
        pixels = np.empty(shape, np.uint8)
        reasons = _fill(pixels, paths, spec, log)
        return np.delete(pixels, list(reasons), axis=0) if reasons else pixels, _with_reasons(catalog, reasons)
    needed, packed = int(np.prod(shape)), all(map(is_record, paths))
    if packed and needed > STREAMED_BYTES:
        return Stream(rows["path"], spec), catalog
    place = store_path("pixels", files_key(paths, spec) + ".npy")
    if (pixels := open_array(place, shape, np.uint8)) is not None:
        with suppress(OSError):  # another user's, who has kept it for us all
            os.utime(place)
        return pixels, catalog
    place.parent.mkdir(parents=True, exist_ok=True)
    if packed and needed > shutil.disk_usage(place.parent).free // 2:
        return Stream(rows["path"], spec), catalog
    with hold(place.parent, waiting=lambda: None):
        if (pixels := open_array(place, shape, np.uint8)) is not None:  # another process has made it meanwhile
            return pixels, catalog
        make_room(place, needed, DISK_BUDGET_BYTES)
        reasons = _keep(place, shape, paths, spec, log)
    if reasons:  # what is kept holds good images alone: once more, without the broken ones
        catalog = _with_reasons(catalog, reasons)
        return load_pixels(catalog, spec, memory_budget_bytes=memory_budget_bytes, log=log)
    return open_array(place, shape, np.uint8), catalog


def _keep(place, shape, paths, spec, log) -> dict[int, str]:
    """Fill the file of an array, whole or not at all: where images fail, it is not kept, and they are returned."""
    part = part_of(place)
    try:
        pixels = _new_array(part, shape)
        reasons = _fill(pixels, paths, spec, log)
        pixels.flush()
        del pixels
        if not reasons:
            os.replace(part, place)
        return reasons
    finally:
        part.unlink(missing_ok=True)


def _new_array(part, shape) -> np.memmap:
    try:
        return make_array(part, shape, np.uint8)
    except OSError as error:
        raise ValueError(
            f"The pixels of {shape[0]:,} images do not fit into {part.parent}: {error.strerror}. Make room there, set "
            "MARINECV_HOME to a folder on a larger disk, or take fewer images with --limit. What `data pack` "
            "makes of them is decoded as it is needed, without such room."
        ) from error


def _with_reasons(catalog, reasons) -> pd.DataFrame:
    """Say why of usable rows, by their number: an index may be repeated."""
    places = np.flatnonzero(is_usable(catalog))[list(reasons)]
    catalog.iloc[places, catalog.columns.get_loc("problem")] = list(reasons.values())
    return catalog


def _size(row) -> tuple[int, int]:
    """Height and width of an image, which a catalog of the user's own may not know."""
    height, width = (row.get(name, 0) for name in ("height", "width"))
    return (height, width) if height > 0 and width > 0 else read_header(Path(row["path"]))[1::-1]


def check_pixels(pixels: np.ndarray | Stream, rows: pd.DataFrame, size: tuple[int, int, int]) -> None:
    """Raise ValueError where pixels are no uint8 array `(len(rows), *size)`, nor such a `Stream`."""
    shape, array = (len(rows), *size), isinstance(pixels, np.ndarray | Stream)
    if not array or pixels.dtype != np.uint8 or pixels.shape != shape:
        received = f"{pixels.dtype} {pixels.shape}" if array else type(pixels).__name__
        raise ValueError(
            f"Expected pixels of the {len(rows)} usable rows: an array of uint8 {shape}. Received: {received}. Use "
            "both that `pixels, catalog = load_pixels(catalog, spec)` returns."
        )


def rows_of(pixels: np.ndarray | Stream, places: np.ndarray) -> np.ndarray | Stream:
    """Some rows of pixels; a view where they lie together, so that an array on disk stays there, or of a stream."""
    if isinstance(pixels, Stream):
        return pixels.part(places)
    together = len(places) and len(places) == places[-1] - places[0] + 1
    return pixels[places[0] : places[-1] + 1] if together else pixels[places]


def split_of(rows: pd.DataFrame, pixels: np.ndarray, split: str) -> tuple[pd.DataFrame, np.ndarray]:
    """The usable rows of a split, and their pixels, row i for row i; empty where there are none."""
    places = np.flatnonzero(rows["split"] == split)
    return rows.iloc[places], rows_of(pixels, places)


def read_pixels(paths: Iterable[str], spec: ImageSpec) -> tuple[np.ndarray, dict[int, str]]:
    """Decode and fit a handful of files, in memory.

        >>> import marinecv as mcv
        >>> mcv.read_pixels(mcv.read_catalog(mcv.demo_images())["path"][:4], mcv.ImageSpec())[0].shape
        (4, 224, 224, 3)

    Returns:
        `(pixels, reasons)`: uint8 `(n, height, width, 3)`; and why, for the positions that could not be read, whose
        pixels are undefined.
    Raises:
        ValueError: `paths` is a single one.
    """
    if isinstance(paths, str | os.PathLike):
        raise ValueError(f"Expected a list of paths. Received one: {paths}. Write read_pixels([path], spec).")
    check_spec(spec)
    paths = list(paths)
    pixels = np.empty((len(paths), *spec.shape), np.uint8)
    refused = {index: reason for index, path in enumerate(paths) if (reason := _refusal(Path(path), spec))}
    return pixels, _fill(pixels, paths, spec, None, refused)


def _refusal(path, spec) -> str:
    """Why a file is not wanted, by its header alone; a catalog has said so in `problem`."""
    width, height, problem = read_header(path)
    too_large = spec.larger == "refuse" and exceeds_canvas(height, width, spec)
    return "there is no such file" if problem == ABSENT else problem or (_too_large(spec) if too_large else "")


def _too_large(spec) -> str:
    return f"larger than the canvas of {spec.canvas_px} px"


def _fill(pixels, paths, spec, log, refused=None) -> dict[int, str]:
    """Write the images into the array; return why, for those that failed or are refused before any is opened."""
    opened = (index for index, path in enumerate(paths) if not is_record(path))  # that of a record raises
    refused = {index: why for index in opened if (why := file_problem(paths[index]))} | (refused or {})
    wanted = [index for index in range(len(paths)) if index not in refused]
    read = reader_of(paths)

    def load(index, path):
        return index, fitted_bytes(read(path), spec)

    dataset = tf.data.Dataset.from_tensor_slices((np.array(wanted, int), as_tensor(paths[index] for index in wanted)))
    dataset = dataset.map(load, num_parallel_calls=CORES, deterministic=False).ignore_errors()
    missing = set(wanted)
    with progress_bar(len(paths), "decoding images", log=log) as show:
        for indices, images in without_autotune(dataset.batch(BATCH).prefetch(2)).as_numpy_iterator():
            pixels[indices] = images
            missing.difference_update(indices.tolist())
            show(len(paths) - len(missing))
    for index in sorted(missing):
        _, image, refused_too = retry_with_pillow(paths[index], spec.decode_ratio, spec.white)
        if refused_too:
            refused[index] = refused_too
        else:
            pixels[index] = fitted(tf.constant(image), spec)
    return refused


def files_key(paths: Iterable[str], spec: ImageSpec) -> str:
    """What some images are known by: the paths, times and sizes of their files, and how they are fitted."""
    digest = hashlib.sha256(f"{VERSION}\0{spec!r}\n".encode())
    for path in paths:
        is_file = not is_record(path) and os.path.isfile(path)  # of a record the path has the checksum
        state = os.stat(path) if is_file else None
        time_and_size = f"\0{state and state.st_mtime_ns}\0{state and state.st_size}\n"
        digest.update(os.fsencode(path) + time_and_size.encode())
    return digest.hexdigest()[:32]
