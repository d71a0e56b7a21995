"""How good a run is on a new folder, from a random sample of its images that a person checks."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from marinecv.console import Log, silent
from marinecv.data.formats import printable
from marinecv.data.user_tables import usable
from marinecv.evaluation import checked_sample
from marinecv.evaluation.checked_sample import COUNT, LOOKS, PRECISION, RECALL, draw_sample, estimates
from marinecv.evaluation.estimates import has_interval
from marinecv.evaluation.events import event_names
from marinecv.files.csv_tables import write_table
from marinecv.files.hashes import sha256
from marinecv.review.corrections import UNKNOWN
from marinecv.review.folder import ESTIMATE, ITEM_COLUMNS, RANDOM, ReviewFolder
from marinecv.review.server import serve
from marinecv.runs import Run
from marinecv.schema import check_integer
from marinecv.workflows.outputs import read_answers
from marinecv.workflows.predict import TABLE as PREDICTIONS
from marinecv.workflows.predict import predict
from marinecv.workflows.review import begun_review, review_place
from marinecv.workflows.sources import find_images, open_classifier

ESTIMATES, TABLE = Path("estimates"), "estimate.csv"  # where nothing else is named
EVENT_GAP = "30m"  # images of one camera without a longer pause stand together in the page


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """The result of `estimate`; printed, it is its sentences and a line a class.

    Attributes:
        table: of `estimates`: accuracy, precision, recall and corrected counts, each with its interval.
        sentences: on the accuracy, and on what the estimate leaves out.
        folder: with the sample (`items.csv`), the answers (`corrections.csv`), `predictions.csv` and `estimate.csv`.
    """

    table: pd.DataFrame
    sentences: tuple[str, ...]
    folder: Path

    def __repr__(self) -> str:
        of_class = self.table[(self.table["class_name"] != "") & (self.table["camera"] == "")]
        rows = {quantity: rows.set_index("class_name") for quantity, rows in of_class.groupby("quantity")}
        columns = {"predicted": rows[PRECISION]["N"]}
        for quantity, form in ((COUNT, ",.0f"), (PRECISION, ".2f"), (RECALL, ".2f")):
            columns[quantity] = rows[quantity].apply(_text, axis=1, form=form)
        return "\n".join([pd.DataFrame(columns).rename_axis(None).to_string(), *self.sentences])


def estimate(
    run: str | os.PathLike | Run,
    images: str | os.PathLike,
    *,
    check: int = 150,
    width: float | None = None,
    answers: str | os.PathLike | pd.DataFrame | None = None,
    hide_predictions: bool = False,
    demonstration: bool = False,
    folder: str | os.PathLike | None = None,
    seed: int = 0,
    log: Log | None = print,
) -> Estimate:
    """Predict a folder, let a person check a stratified random sample of it, and estimate how good the predictions are.

        >>> import marinecv as mcv
        >>> demo = mcv.demo_images()
        >>> run = mcv.train(demo, "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> labels = mcv.read_catalog(demo, log=None)
        >>> how = {"check": 40, "answers": labels, "demonstration": True, "log": None}
        >>> mcv.estimate(run, demo.root, **how).table["n_checked"].iloc[0].item()
        40

    The same call continues an estimate that was begun, with the same sample. See docs/estimate.md for how each interval
    is computed, and `estimates` for the columns of the table.

    Args:
        run: of a classifier, or its folder.
        images: folder; of the images below it, those that can be read are the batch that is estimated.
        check: number of images to check; a smaller folder is checked whole.
        width: of the 95% interval of the accuracy, 0 to 1: the page ends once it is as narrow, at 50, 75, 100 or more
            answers; None asks for all.
        answers: a CSV or DataFrame of `image_id` (path below the folder) or `path`, and `class_name`, in place of the
            page; images that are not in the sample are ignored.
        hide_predictions: do not show what the run predicts.
        demonstration: let a model of drawn pictures predict photographs.
        folder: for sample, answers and estimate; None: `estimates/RUN-IMAGES`.
        seed: of the sample.
        log: called with each line of text; None logs nothing.
    Returns:
        The estimate, also in `estimate.csv` of the folder.
    Raises:
        ValueError: there are no such images; the folder is of another run, sample or images; an answer is none; or
            what `predict` refuses.
    """
    log, run = log or silent, open_classifier(run)
    check_integer(check, "check", 1)
    if width is not None and not 0 < width < 1:
        raise ValueError(f"Expected width= between 0 and 1. Received: {width}.")
    place = Path(folder or review_place(run, images, ESTIMATES))
    opened = begun_review(run, images, place)
    if not opened:
        if (output := place / PREDICTIONS).exists():
            raise ValueError(
                f"{output} exists, perhaps of another run. Delete it, or name another folder with folder=."
            )
        predict(run, images, output=output, demonstration=demonstration, log=log)
    predictions = read_answers(place / PREDICTIONS)
    ids = ids_below(images, predictions["path"])
    batch = usable(predictions.assign(image_id=ids))
    opened = opened or new_sample(run, images, batch, check, seed, place, log)
    about = opened.about
    if (about.kind, about.seed, len(opened.items)) != (ESTIMATE, seed, min(check, len(batch))):
        found = f"{len(opened.items)} images with seed={about.seed}"
        raise ValueError(f"{place} has another sample: {found}. Name another folder with folder=.")
    if {*ids_below(images, find_images(images))} != {*ids}:
        raise ValueError(f"{images} has other images than when {place} was begun. Name another folder with folder=.")
    if changed := opened.changed():
        raise ValueError(f"{changed[0]} has changed since {place} was begun. Name another folder with folder=.")
    status = partial(progress, opened, batch, width)
    if answers is not None:
        opened.take(answers, ignore_others=True)
    elif not status()[1]:
        serve(opened, run, hide_predictions=hide_predictions, status=status, log=log)
    table = estimates(batch, true_classes(opened))
    write_table(place / TABLE, table)
    log(f"{place / TABLE}: accuracy, precision, recall and counts with their intervals")
    return Estimate(table, (status()[0] + ".", *remarks(opened, run, batch, len(predictions), table)), place)


def ids_below(folder: str | os.PathLike, paths: Iterable[str | os.PathLike]) -> list[str]:
    """Return the image id of each path: its end below a folder."""
    return [printable(os.path.relpath(path, folder)).replace(os.sep, "/") for path in paths]


def new_sample(run: Run, images, batch: pd.DataFrame, check: int, seed: int, place: Path, log: Log) -> ReviewFolder:
    """Draw the images to check from those of a folder that can be read."""
    if batch.empty:
        raise ValueError(f"No image of {images} can be read. The reasons are in {place / PREDICTIONS}.")
    batch = batch.assign(event=event_names(batch, EVENT_GAP), drawn=RANDOM, box="", split="", given_class="")
    items = draw_sample(batch, check, seed)[ITEM_COLUMNS]
    items["path"] = items["path"].map(os.path.abspath)
    about = {"kind": ESTIMATE, "run": str(run.folder.absolute()), "images": str(Path(images).absolute())}
    log(f"{len(items)} of {len(batch)} images to check, drawn at random by predicted class: {place / 'items.csv'}")
    return ReviewFolder.create(place, items, **about, class_names=run.class_names, seed=seed)


def true_classes(opened: ReviewFolder, first: int | None = None) -> pd.DataFrame:
    """Return `image_id, class_name` of the answers, or of the `first` ones in the order of the sample."""
    answers = opened.answered()[:first]
    return answers.loc[answers["answer"] != UNKNOWN, ["image_id", "class_name"]]


def progress(opened: ReviewFolder, predictions: pd.DataFrame, width: float | None) -> tuple[str, bool]:
    """Return a sentence on the accuracy so far, and whether enough is answered: all, or by `width`, at `LOOKS`."""
    answered, total = len(opened.answered()), len(opened.items)
    row = checked_sample.accuracy(predictions, true_classes(opened))
    is_enough = answered == total
    if width and answered >= LOOKS[0]:
        looked = LOOKS[(answered - LOOKS[0]) // LOOKS.step]
        then = checked_sample.accuracy(predictions, true_classes(opened, looked))
        is_enough |= bool(then["high"] - then["low"] <= width)  # JSON knows no bool of NumPy
    return f"accuracy {_text(row, '.2f') or row['method']} from {answered} of {total} checked", is_enough


def remarks(opened: ReviewFolder, run: Run, batch: pd.DataFrame, files: int, table: pd.DataFrame) -> list[str]:
    """Return sentences on what an estimate of so many files leaves out, and on images that the run knows."""
    answers, sentences, ids = true_classes(opened), [], opened.items["image_id"]
    last = ids.isin(opened.answered()["image_id"]).to_numpy().nonzero()[0].max(initial=-1)
    left_out = opened.items[: last + 1][~ids[: last + 1].isin(answers["image_id"])]
    if len(left_out):
        tables = [left_out.assign(class_name=name) for name in (left_out["predicted_class"], "")]
        right, wrong = (checked_sample.accuracy(batch, pd.concat([answers, more]))["value"] for more in tables)
        text = f"{len(left_out)} images passed over, or answered as unknown, are left out"
        if pd.notna(right):  # enough are checked
            text += f"; the accuracy would be {right:.2f} if all of them were right, {wrong:.2f} if all were wrong"
        sentences.append(f"{text}.")
    unknown = answers["class_name"][~answers["class_name"].isin(run.class_names)].value_counts()
    if len(unknown):
        names = ", ".join(f"{name} {count}" for name, count in unknown.items())
        sentences.append(f"Answers of classes that the run does not know count as errors: {names}.")
    if failed := files - len(batch):
        sentences.append(f"{failed} files cannot be read and are not part of the estimate.")
    counts = table[(table["quantity"] == COUNT) & (table["camera"] == "")]
    if few := counts["value"].isna().sum():
        sentences.append(f"{few} of {len(counts)} classes have too few checked images to be estimated; check more.")
    if known := known_images(run, batch["path"]):
        sentences.append(f"WARNING: {known} images are those of train and validation: too good for new images.")
    sentences.append(f"The intervals are of these {len(batch):,} images, not of another place or season.")
    return sentences


def known_images(run: Run, paths: pd.Series) -> int:
    """Return how many files have the bytes of a train or validation image of a run."""
    used = run.stamps[run.stamps["image_id"].isin(run.catalog.loc[run.catalog["split"] != "test", "image_id"])]
    sizes, hashes = {*used["bytes"]}, {*used["sha256"]}
    return sum(os.path.getsize(path) in sizes and sha256(path) in hashes for path in paths)


def _text(row: pd.Series | dict, form: str) -> str:
    """Return a value with its interval; "" without one."""
    text = "{value:{form}} ({low:{form}} to {high:{form}})" if has_interval(row) else ""
    return text.format(**row, form=form)
