"""A folder of images to look at: the list, the nearest training images of each, and the answers."""

import os
from functools import cached_property
from pathlib import Path

import pandas as pd
from msgspec import Struct

from marinecv.data.annotations import class_of
from marinecv.data.names import EMPTY_CLASS, match_names, normalize_name
from marinecv.data.stamps import IMAGES, compare_images, read_stamps, stamp_images
from marinecv.files.atomic import write_json, write_text
from marinecv.files.csv_tables import BOM, check_columns, read_number_table, table_text, write_table
from marinecv.files.lock import lock_folder
from marinecv.review.corrections import EMPTY, UNANSWERED, Corrections, read_corrections
from marinecv.schema import read

ITEM_COLUMNS = ["image_id", "path", "box", "split", "given_class", "predicted_class", "probability", "event", "camera"]
ITEM_COLUMNS += ["taken_at", "drawn"]
NEIGHBOR_COLUMNS = ["image_id", "neighbor_id", "path", "class_name", "similarity"]
REVIEW, ESTIMATE = "review", "estimate"
ABOUT, ANSWERS = "review.json", "corrections.csv"
RANDOM = "random"
"""`drawn` of the images that were drawn at random, first: those alone measure how good a model is."""


class About(Struct, frozen=True, kw_only=True):
    """`review.json`: what is looked at, and why; the run from this folder, where it lies in that."""

    kind: str
    run: str
    images: str = ""
    files: int = 0  # images of that folder when the review began
    class_names: tuple[str, ...]
    seed: int = 0


class ReviewFolder:
    """A folder with `review.json`, `items.csv`, `neighbors.csv` and, from the first answer on, `corrections.csv`.

    Of images that are not the run's own, `images.csv` has the hashes.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> review = mcv.review(run, page=False, log=None)
        >>> len(mcv.ReviewFolder(review.folder).answered())
        0

    Args:
        folder: of `ReviewFolder.create`.
    Raises:
        ValueError: it is none, or one of its files is broken.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not (self.folder / ABOUT).is_file():
            raise ValueError(f"{folder} is no review: it has no review.json. Expected a folder that review made.")
        self.about = read(self.folder / ABOUT, About)

    @classmethod
    def create(
        cls, folder: str | os.PathLike, items: pd.DataFrame, neighbors: pd.DataFrame | None = None, **about: object
    ) -> "ReviewFolder":
        """Write the tables of a new review.

        Args:
            folder: to be made; one with a `review.json` is never overwritten.
            items: `ITEM_COLUMNS`, one row an image or crop, in the order to look at; `box` is "" of a whole image,
                else `xmin,ymin,xmax,ymax` in pixels as displayed; further columns are kept.
            neighbors: `NEIGHBOR_COLUMNS`, the most similar training images first.
            **about: entries of `About`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        check_columns(items, ITEM_COLUMNS, "items")
        write_table(folder / "items.csv", items)
        neighbors = pd.DataFrame(columns=NEIGHBOR_COLUMNS) if neighbors is None else neighbors
        write_table(folder / "neighbors.csv", neighbors[NEIGHBOR_COLUMNS], float_format="%.4f")
        if about.get("images"):  # a run has stamps of its own images
            write_table(folder / IMAGES, stamp_images(items.drop_duplicates("path")))
        write_json(folder / ABOUT, about)  # last: now it is one
        return cls(folder)

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return (self.folder / self.about.run).resolve()

    @property
    def corrections(self) -> Path:
        """The path of the answers."""
        return self.folder / ANSWERS

    @cached_property
    def items(self) -> pd.DataFrame:
        """The images in the order to look at, `ITEM_COLUMNS`."""
        return read_number_table(self.folder / "items.csv", ITEM_COLUMNS, ["probability"])

    @cached_property
    def neighbors(self) -> pd.DataFrame:
        """The nearest training images, `NEIGHBOR_COLUMNS`."""
        return read_number_table(self.folder / "neighbors.csv", NEIGHBOR_COLUMNS, ["similarity"])

    def changed(self) -> list[str]:
        """Return the ids of items whose file has changed, or is gone, since the list was made; none of a run's own."""
        if not self.about.images:
            return []
        photos = self.items.drop_duplicates("path")
        changed, missing = compare_images(read_stamps(self.folder / IMAGES), photos)
        paths = photos.loc[photos["image_id"].isin([*changed, *missing]), "path"]
        return self.items.loc[self.items["path"].isin(paths), "image_id"].tolist()

    def export(self, path: str | os.PathLike) -> int:
        """Write the items with their answers as a CSV for another tool or a spreadsheet; return their number."""
        answers = self.answered().set_index("image_id")[["answer", "class_name"]]
        table = self.items.join(answers, on="image_id").fillna("")
        write_text(path, BOM + table_text(table))
        return len(table)

    def take(self, path: str | os.PathLike | pd.DataFrame, ignore_others: bool = False) -> int:
        """Append the answers of a table, see `read_corrections`; return their number.

        A row names an item by its `image_id`, or `path` or `file`, as in the items, where those are not of crops; a
        class in another case is that of the run. Raises ValueError for another item, or where those may be ignored for
        a table without any.
        """
        of_one = self.items.drop_duplicates("path", keep=False)
        answers = read_corrections(path, dict(zip(of_one["path"], of_one["image_id"], strict=True)))
        ids, names = match_names(answers["image_id"], self.items["image_id"]), self.about.class_names
        is_item = answers["image_id"].isin(ids)
        if answers.empty or not (is_item.any() if ignore_others else is_item.all()):
            name = "The table" if isinstance(path, pd.DataFrame) else path
            other = next(iter(answers["image_id"][~is_item]), None)
            wrong = "has no answer" if other is None else f"names {other}, which is no image of {self.folder}"
            raise ValueError(f"{name} {wrong}. Expected image_id as in items.csv there, and class_name.")
        of_key = {name.casefold(): name for name in names} | dict(zip(names, names, strict=True))
        given = answers["class_name"].map(normalize_name)
        given = [of_key.get(name, of_key.get(name.casefold(), name)) for name in given]
        answers = answers.assign(image_id=answers["image_id"].map(ids), class_name=given)[is_item]
        with lock_folder(self.folder):
            corrections = Corrections(self.corrections)
            for (answer, name), rows in answers.groupby(["answer", "class_name"]):
                corrections.add(rows["image_id"].tolist(), answer, name)
        return len(answers)

    def answered(self) -> pd.DataFrame:
        """Return the items that have an answer, with `answer` and `class_name` beside them, in their order.

        Where nothing is there, the class is that of the run for it, be it called empty, blank or none.
        """
        none = pd.DataFrame(columns=["image_id", "answer", "class_name"], dtype=str)
        answers = read_corrections(self.corrections) if self.corrections.is_file() else none
        table = self.items.merge(answers, on="image_id", how="left").fillna({"answer": UNANSWERED, "class_name": ""})
        empty = next((name for name in self.about.class_names if class_of(name) == EMPTY_CLASS), EMPTY_CLASS)
        table["class_name"] = table["class_name"].mask(table["answer"] == EMPTY, empty)
        return table[table["answer"] != UNANSWERED].reset_index(drop=True)
