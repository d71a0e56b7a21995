"""What the windows of a review share: the items, the answers and the pictures."""

import io
import threading
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd
from msgspec import Struct
from PIL import Image

from marinecv.data.images import read_header
from marinecv.data.names import normalize_name
from marinecv.data.photos import crop_paths
from marinecv.data.shards.records import photo_and_box
from marinecv.inputs.to_rgb import open_rgb
from marinecv.review.corrections import CLASS, Corrections
from marinecv.review.folder import ReviewFolder
from marinecv.runs import Run

Status = Callable[[], tuple[str, bool]]
"""A sentence for the head of the page, and whether enough is answered."""
THUMBNAIL_PX, LARGE_PX = 160, 1600
MAX_NAME = 200  # letters of a class name
KEYS = 9  # classes that have a key


class Refused(Exception):
    """A request that is not fulfilled: its HTTP status, and what the page shows."""

    def __init__(self, status: int, reason: str, **more: object):
        super().__init__(reason)
        self.status, self.content = status, {"error": reason, **more}


class Given(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of a POST: rows of `items.csv`, their answer, and the last batch of answers that the window has seen."""

    seen: int
    rows: tuple[int, ...] = ()
    answer: Literal["class", "empty", "unknown"] = CLASS
    class_name: str = ""


class Session:
    """What the windows of a review ask for, by the row in `items.csv` or `neighbors.csv`; from any thread.

    Args:
        folder: of the review; no other process may write into it.
        run: whose model draws Grad-CAM; None draws none.
        hide_predictions: give no classes of labels, predictions and neighbors, no Grad-CAM, and of ids the file name.
        status: see `Status`.
    """

    def __init__(self, folder: ReviewFolder, run: Run | None, hide_predictions: bool, status: Status | None):
        self.folder, self.run, self.is_blind = folder, run, hide_predictions
        self._status = status or (lambda: ("", False))
        self.items, self.corrections, self.is_open = folder.items, Corrections(folder.corrections), True
        self.has_heat, self.first_batch = run is not None and not hide_predictions, self.corrections.batch
        self._paths = crop_paths(self.items["path"], self.items["box"])
        self._row_of = {image: row for row, image in enumerate(self.items["image_id"])}
        self._neighbors_of = folder.neighbors.groupby("image_id").indices
        self._changed: dict[int, int] = {}  # row -> the batch that changed it, of this session
        self._lock, self._status_lock = threading.RLock(), threading.Lock()
        self._worker = ThreadPoolExecutor(1)
        self._white = run.spec.white if run else None

    def data(self) -> dict:
        """Return all items, column by column, and the answers: what a page needs once."""
        items, about, names = self.items, self.folder.about, self.items["image_id"].tolist()
        content = {"title": f"{about.kind.capitalize()} of {Path(about.images or self.folder.run).name}"}
        content |= {"heat": self.has_heat, "blind": self.is_blind}
        content |= {"classes": about.class_names, "keys": self._key_classes()}
        content["names"] = [PurePosixPath(name).name for name in names] if self.is_blind else names
        content["event"] = pd.factorize(items["event"].mask(items["event"] == ""))[0].tolist()
        classes = [] if self.is_blind else ["given_class", "predicted_class"]
        content |= items[["camera", "taken_at", *classes]].to_dict("list")
        if not self.is_blind:
            content["probability"] = [None if pd.isna(value) else value for value in items["probability"]]
        with self._lock:
            return content | self._state(self.corrections.answers)

    def _key_classes(self) -> list[str]:
        """Return the classes of the keys 1 to 9: all, or the most frequent predictions, in the order of the classes."""
        names = list(self.folder.about.class_names)
        if self.is_blind:
            return names[:KEYS]
        counts = self.items["predicted_class"].value_counts()
        frequent = sorted(names, key=lambda name: -counts.get(name, 0))[:KEYS]
        return [name for name in names if name in frequent]

    def _state(self, image_ids: Iterable[str]) -> dict:
        """Return the last batch, and the answers of some images by row."""
        rows = {self._row_of[image]: self.corrections.of(image) for image in image_ids if image in self._row_of}
        return {"batch": self.corrections.batch, "answers": {row: tuple(given) for row, given in rows.items()}}

    def changes(self, seen: int) -> dict:
        """Return the answers that were given or taken back after a batch."""
        with self._lock:
            return self._state([self.items["image_id"][row] for row, batch in self._changed.items() if batch > seen])

    def answer(self, given: Given) -> dict:
        """Write an answer to the disk and return the changes; Refused where another window has answered meanwhile."""
        name = normalize_name(given.class_name)
        is_hostile = any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
        if given.answer == CLASS and (not name or len(name) > MAX_NAME or is_hostile):
            raise Refused(400, f"Expected a class name of 1 to {MAX_NAME} letters, without control characters.")
        if not given.rows or not all(0 <= row < len(self.items) for row in given.rows):
            raise Refused(400, f"Expected rows from 0 to {len(self.items) - 1}.")
        with self._lock:
            self._check_open()
            if newer := sum(self._changed.get(row, 0) > given.seen for row in set(given.rows)):
                reason = f"Not saved: another window has answered {newer} of these images meanwhile; see its answer."
                raise Refused(409, reason, **self.changes(given.seen))
            self.corrections.add([self.items["image_id"][row] for row in dict.fromkeys(given.rows)], given.answer, name)
            self._changed |= dict.fromkeys(given.rows, self.corrections.batch)
            return self.changes(given.seen)

    def undo(self, given: Given) -> dict:
        """Take back the last batch and return the changes, with its `rows`; Refused where the window lacks some."""
        with self._lock:
            self._check_open()
            if given.seen < self.corrections.batch:
                reason = "Nothing undone: another window has answered meanwhile. Its answer is shown now."
                raise Refused(409, reason, **self.changes(given.seen))
            rows = [self._row_of[image] for image in self.corrections.undo() if image in self._row_of]
            self._changed |= dict.fromkeys(rows, self.corrections.batch)
            return {**self.changes(given.seen), "rows": rows}

    def _check_open(self) -> None:
        if not self.is_open:
            raise Refused(403, "Not saved: the review is finished. Start it again to go on.")

    def close(self) -> None:
        """Take no more answers."""
        with self._lock:
            self.is_open = False
        self._worker.shutdown(wait=False, cancel_futures=True)

    def status(self) -> dict:
        """Return the sentence for the head, and whether the answers of this session have made it enough."""
        with self._status_lock:
            try:
                text, is_enough = self._status()
            except ValueError as error:
                text, is_enough = str(error), False
            return {"text": text, "enough": is_enough and self.corrections.batch > self.first_batch}

    def detail(self, row: int) -> dict:
        """Return size and box in pixels of the photograph of an item as displayed, and its nearest training images."""
        photo, box = photo_and_box(self._paths[row])
        width, height, problem = read_header(Path(photo))
        table = self.folder.neighbors.iloc[self._neighbors_of.get(self.items["image_id"][row], [])]
        neighbors = {"row": table.index.tolist(), "similarity": table["similarity"].tolist()}
        if not self.is_blind:
            neighbors |= {"name": table["neighbor_id"].tolist(), "class_name": table["class_name"].tolist()}
        return {"size": [width, height], "problem": problem, "box": box, "neighbors": neighbors}

    def thumb(self, row: int) -> bytes:
        """Return a JPEG of an item's crop, or of the whole image, of at most `THUMBNAIL_PX`."""
        return self._jpeg(self._paths[row], THUMBNAIL_PX)

    def large(self, row: int) -> bytes:
        """Return a JPEG of the whole photograph of an item, of at most `LARGE_PX`."""
        return self._jpeg(photo_and_box(self._paths[row])[0], LARGE_PX)

    def neighbor(self, row: int) -> bytes:
        """Return a JPEG of a training image, of at most `THUMBNAIL_PX`."""
        return self._jpeg(self.folder.neighbors["path"][row], THUMBNAIL_PX)

    def heat(self, row: int) -> bytes:
        """Return a JPEG of Grad-CAM of the predicted class over an item; the first one loads the model."""
        if not self.has_heat:
            raise Refused(403, "No Grad-CAM here.")
        try:  # one image at a time
            draw = self._worker.submit(lambda: self._draw_heat(self._paths[row], self.items["predicted_class"][row]))
            return _encode(draw.result())
        except Exception as error:  # Keras raises many kinds for a model that it cannot load or differentiate
            raise Refused(422, f"No Grad-CAM: {error}") from error

    @cached_property
    def _draw_heat(self) -> Callable:
        from marinecv.review.heat import heat_drawer

        return heat_drawer(self.run)

    def _jpeg(self, path: str, side: int) -> bytes:
        try:
            picture = open_rgb(path, self._white, side)
        except ValueError as error:
            raise Refused(422, read_header(Path(path))[2] or str(error)) from error
        picture.thumbnail((side, side))
        return _encode(picture)


def _encode(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
