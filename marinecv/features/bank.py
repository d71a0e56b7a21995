"""The activation bank: what a frozen front makes of every image, computed once and kept on disk."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.atomic import write_json
from marinecv.console import quiet
from marinecv.data.store import make_room, store_path
from marinecv.features.engine import run_front
from marinecv.features.fingerprint import fingerprint
from marinecv.features.views import Views
from marinecv.hold import hold
from marinecv.inputs.augment import DRAWS, augment
from marinecv.inputs.pixels import files_key
from marinecv.inputs.spec import ImageSpec
from marinecv.mapped import make_array, open_array
from marinecv.progress import progress_bar

VERSION = 2  # raised when the same front gives other numbers for the same images
CHUNK = 64  # images a step
KEEP_EVERY_S = 5.0  # what a killed build can lose
BUDGET_BYTES = 50 * 2**30
ABOUT = "about.json"


@dataclass(frozen=True)
class Bank:
    """Activations of some images, as `views` looked at them.

    There is an array for each tensor of the frontier, `(views * images, ...)`; view v of image i is row `v * images +
    i`. `places` says which of its images each of ours is; None where they are the same.
    """

    arrays: tuple[np.ndarray, ...]
    views: Views
    places: np.ndarray | None = None

    def at(self, view: tf.Tensor | int, ours: tf.Tensor) -> tf.Tensor:
        """Return the rows of a view of some of our images, int64 as `ours`."""
        images = len(self.arrays[0]) // self.views.count
        return view * images + (ours if self.places is None else tf.gather(tf.constant(self.places), ours))


def open_bank(
    front: keras.Model,
    rows: pd.DataFrame,
    pixels: np.ndarray,
    spec: ImageSpec,
    views: Views | None = None,
    *,
    dtype: str = "float32",
    budget_bytes: int = BUDGET_BYTES,
    say: Callable[[str], None] | None = None,
) -> Bank:
    """Return the bank of a front (see `frontier.split`) and some images; build it where the store has none.

    It is known by the front's structure and weights, the files of the images, their geometry and the views, so that
    rows of a grid, seeds and trials with the same front share it. A killed build goes on where it was. Pixels are row i
    for row i of the usable `rows`; `"float16"` takes half the room, with three digits of each number, ValueError of one
    too large. The budget is for all banks: those used longest ago are removed.
    """
    views, say = views or Views(), say or quiet
    shapes = [list(tensor.shape[1:]) for tensor in front.outputs]
    about = {"images": len(rows), "views": views.count, "shapes": shapes, "dtype": dtype}
    folder = store_path("features", _key(front, rows, spec, views, dtype))
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder, waiting=lambda: say("  another process computes the same frozen layers; waiting for it")):
        if not (_steps_done(folder, about) == _steps(about) and _arrays(folder, about)):
            make_room(folder, bank_bytes(front, len(rows), views, dtype), budget_bytes)
            _build(front, pixels, views, folder, about, say)
        os.utime(folder)
        return Bank(_arrays(folder, about), views)


def open_shared_bank(
    front: keras.Model, parts: Sequence[tuple[pd.DataFrame, np.ndarray]], *settings, **more
) -> list[Bank]:
    """Return a bank for each of some parts, of one that holds them all: however images are dealt to parts, it is found.

    All is as `open_bank` takes it, with rows and pixels by part. Views must not be drawn by place, for the place of an
    image is not that in its part.
    """
    rows = pd.concat([rows for rows, _ in parts])
    order = rows["image_id"].to_numpy().argsort()
    whole = open_bank(front, rows.iloc[order], _Gathered([pixels for _, pixels in parts], order), *settings, **more)
    ends = np.cumsum([len(part) for part, _ in parts])
    return [replace(whole, places=places) for places in np.split(order.argsort(), ends[:-1])]


class _Gathered:
    """Rows of several arrays in one order, copied when they are asked for."""

    def __init__(self, arrays: list[np.ndarray], order: np.ndarray):
        self.order = order
        self.rows = [(array, row) for array in arrays for row in range(len(array))]

    def __getitem__(self, chosen: slice) -> np.ndarray:
        return np.stack([array[row] for array, row in (self.rows[place] for place in self.order[chosen])])


def values_per_view(cut: list[keras.KerasTensor]) -> int:
    """How many numbers one view of one image is, at a frontier."""
    return sum(int(np.prod(tensor.shape[1:])) for tensor in cut)


def bank_bytes(front: keras.Model, images: int, views: Views, dtype: str = "float32") -> int:
    """How much disk a bank takes."""
    return images * views.count * values_per_view(front.outputs) * np.dtype(dtype).itemsize


def _build(front, pixels, views, folder, about, say) -> None:
    """Fill the files of a bank, from where a killed build left them."""
    total, steps, dtype = about["images"], _steps(about), np.dtype(about["dtype"])
    done = _steps_done(folder, about)
    arrays = _arrays(folder, about, "r+") if done else ()
    if not arrays:
        done, arrays = 0, tuple(make_array(path, shape, dtype) for path, shape in _files(folder, about))

    def move(images, draws):
        return augment(images, draws, views.moves) if views.kind != "still" else tf.cast(images, tf.float32)

    some = tf.TensorSpec((None, *front.input_shape[1:]), tf.uint8), tf.TensorSpec((None, DRAWS), tf.float32)
    move = tf.function(move, input_signature=some).get_concrete_function()
    see = run_front(front, CHUNK, views.count * total)
    kept = time.monotonic()
    with progress_bar(steps, "frozen layers", unit="batches", done=done, log=say) as show:
        for step in range(done, steps):
            view, place = divmod(step, steps // views.count)
            start, stop = place * CHUNK, min((place + 1) * CHUNK, total)
            seen = see(move(tf.constant(pixels[start:stop]), views.draws(view, total)[start:stop]))
            for array, tensor in zip(arrays, seen, strict=True):
                if (largest := float(np.abs(tensor).max())) > float(np.finfo(dtype).max):
                    raise ValueError(
                        f"The frozen layers give numbers as large as {largest:.0f}, more than {dtype} holds. Keep them "
                        "as float32, which is the default."
                    )
                array[view * total + start : view * total + stop] = tensor
            if step + 1 == steps or time.monotonic() - kept > KEEP_EVERY_S:
                for array in arrays:
                    array.flush()
                write_json(folder / ABOUT, {**about, "done": step + 1})
                kept = time.monotonic()
            show(step + 1)


def _steps(about: dict) -> int:
    return about["views"] * -(-about["images"] // CHUNK)


def _steps_done(folder: Path, about: dict) -> int:
    """How many steps of this bank the disk holds."""
    try:
        kept = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return kept.pop("done") if kept == {**about, "done": kept.get("done")} else 0


def _arrays(folder: Path, about: dict, mode: str = "r") -> tuple[np.ndarray, ...]:
    """The arrays of a bank; none where one of them is not as it should be."""
    arrays = tuple(open_array(path, shape, np.dtype(about["dtype"]), mode) for path, shape in _files(folder, about))
    return () if any(array is None for array in arrays) else arrays


def _files(folder: Path, about: dict) -> list[tuple[Path, tuple[int, ...]]]:
    rows = about["images"] * about["views"]
    return [(folder / f"tensor{number}.npy", (rows, *shape)) for number, shape in enumerate(about["shapes"])]


def _key(front: keras.Model, rows: pd.DataFrame, spec: ImageSpec, views: Views, dtype: str) -> str:
    looked = (views.kind, views.count, *((views.augmentation, views.seed) if views.kind == "drawn" else ()))
    facts = f"{VERSION}\0{fingerprint(front)}\0{files_key(list(rows['path']), spec)}\0{looked!r}\0{dtype}"
    return hashlib.sha256(facts.encode()).hexdigest()[:32]
