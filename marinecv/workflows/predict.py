"""Predict files with a trained run: a row a file, in memory, or in a CSV that is written some files at a time."""

import csv
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from marinecv.atomic import whole_file, write_text
from marinecv.console import Log, import_tensorflow, quiet
from marinecv.evaluation.calibration import temperature_sentence
from marinecv.evaluation.review import triage_sentence
from marinecv.progress import is_interactive, progress_bar
from marinecv.runs import Run
from marinecv.schema import one_of, whole
from marinecv.tables import numbers, parse_table, read_table
from marinecv.workflows.ray_workers import import_ray, ray_workers
from marinecv.workflows.resumable import at_work
from marinecv.workflows.sources import Paths, find_images, open_classifier

CHUNK = 256  # files that are read at a time, and that a stopped call may have to read again
Chunk = tuple[int, list[Path]]
"""Files of a prediction, and the index of the first of them among all."""


def predict(
    run: str | os.PathLike | Run,
    paths: Paths,
    *,
    output: str | os.PathLike | None = None,
    review: bool = False,
    batch_size: int = 32,
    limit: int | None = None,
    seed: int = 0,
    workers: str | None = None,
    demonstration: bool = False,
    log: Log | None = print,
) -> pd.DataFrame:
    """Predict image files with the model of a run, with calibrated probabilities where the run has any.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.predict(run, run.catalog["path"].tolist()[:2], demonstration=True, log=None).columns[:3].tolist()
        ['path', 'predicted_class', 'probability']

    Args:
        run: of a classifier, or its folder.
        paths: image files and folders, one or several; of a folder every visible image below it.
        output: a CSV to be made, whole or not at all; the same call goes on where one was stopped. None writes nothing.
        review: add the columns `doubt` and `review`, which flags the images that a person should look at.
        batch_size: images at a time.
        limit: so many of the images, drawn by `seed`; None takes all.
        seed: of the draw.
        workers: `"ray"` shares the work among the workers of a Ray cluster (RAY_ADDRESS) or of this machine.
        demonstration: let a model of drawn pictures predict photographs.
        log: called with each line of text; None tells nothing.
    Returns:
        DataFrame, a row a file: `path`, `predicted_class`, `probability` (0 to 1), `p_<class>` of every class,
        `prediction_set` (classes not ruled out, joined by `|`) where the run has such sets, `doubt` and `review` where
        they are asked for, and `problem`: why a file cannot be read, else empty.
    Raises:
        ValueError: no such run, file, image or worker; the output exists; the run is an autoencoder's, its model takes
            more than an image, or it was trained on drawn pictures.
    """
    how = {"review": review, "batch_size": batch_size, "limit": limit, "seed": seed, "workers": workers}
    how |= {"demonstration": demonstration, "log": log or quiet}
    if output is not None:
        predict_to_csv(run, paths, output, **how)
        return with_numbers(read_table(Path(output)), output)
    work = Work(run, paths, **how)
    texts = dict(work.texts(work.chunks))
    table = parse_table("".join(texts[start] for start in sorted(texts)).encode(), "the prediction")
    work.tell(*((table[name] != "").sum() if name in table else 0 for name in ("problem", "review")))
    return with_numbers(table, "the prediction")


def predict_to_csv(run: str | os.PathLike | Run, paths: Paths, output: str | os.PathLike, **how) -> bool:
    """Predict as `predict` does, with never more than some files in memory; return whether any file could be read."""
    output = Path(output)
    work = Work(run, paths, output=output, **how)
    parts = output.with_name(f"{output.name}.{key_of(work.run, work.files, work.review)}.parts")
    place = {start: parts / f"{start:09d}.csv" for start in work.chunks}
    texts = work.texts([start for start in work.chunks if not place[start].is_file()])
    parts.mkdir(parents=True, exist_ok=True)
    with at_work(parts, go_on="the same command again"), closing(texts):
        for start, text in texts:
            write_text(place[start], text)
        with whole_file(output) as whole, open(whole, "wb") as out:
            for part in sorted(parts.glob("*.csv")):
                with open(part, "rb") as rows:
                    shutil.copyfileobj(rows, out)
    shutil.rmtree(parts)
    failed, flagged = count_filled(output, "problem", "review")
    work.tell(failed, flagged, f"{output}: ")
    return failed < len(work.files)


@dataclass(kw_only=True)
class Work:
    """A prediction as `predict` is asked for it, all checked that can be before anything heavy is imported."""

    run: str | os.PathLike | Run = field(kw_only=False)
    paths: Paths = field(kw_only=False)
    output: Path | None = None
    review: bool
    batch_size: int
    limit: int | None
    seed: int
    workers: str | None
    demonstration: bool
    log: Log

    def __post_init__(self):
        one_of((None, "ray"), workers=self.workers)
        whole(self.batch_size, "batch_size", 1)
        if self.limit is not None:
            whole(self.limit, "limit", 1)
        if self.workers:
            import_ray()
        self.run = open_classifier(self.run)
        if self.run.demonstration and not self.demonstration:
            raise ValueError(
                f"{self.run.folder} was trained on drawn pictures, so what it says of photographs means nothing. Train "
                "on real images, or add demonstration=True to try it all the same."
            )
        self.files = find_images(self.paths, self.limit, self.seed)
        if self.output and self.output.exists():
            raise ValueError(f"{self.output} exists and is never overwritten. Name another with output=.")
        self.calibration = calibration_of(self.run, self.log)
        starts = range(0, len(self.files), CHUNK)
        self.chunks = {start: self.files[start : start + CHUNK] for start in starts}

    def texts(self, starts: Collection[int]) -> Iterator[tuple[int, str]]:
        """Predict some of the chunks: give the index and the rows, as CSV, of each, and say how far it is."""
        opening = (self.run.folder.absolute(), self.calibration, self.review, self.batch_size, Path.cwd())
        left = {start: self.chunks[start] for start in starts}
        if self.workers:
            texts = texts_on_ray(left.items(), *opening)
        else:
            text_of = open_model(*opening)  # at once
            texts = ((chunk[0], text_of(chunk)) for chunk in left.items())
        return self._counted(texts, len(self.files) - sum(map(len, left.values())))

    def _counted(self, texts: Iterator[tuple[int, str]], done: int) -> Iterator[tuple[int, str]]:
        with closing(texts), progress_bar(len(self.files), "predicting images", done=done) as show:
            for start, text in texts:
                yield start, text
                done += len(self.chunks[start])
                show(done)
                if not is_interactive():
                    self.log(f"  {done}/{len(self.files)} images")

    def tell(self, failed: int, flagged: int, where: str = "") -> None:
        """Say how many were predicted, and how many somebody should look at."""
        predicted = len(self.files) - failed
        self.log(f"{where}{predicted} predicted" + (f", {failed} failed (column problem)" if failed else ""))
        if self.review and self.calibration and self.calibration.review:
            self.log(f"  {triage_sentence(flagged, predicted, self.calibration)}")
        elif self.review:
            self.log("  The column review is empty: which images to look at is not known without calibration images.")


def calibration_of(run: Run, log: Log) -> Mapping | None:
    """What a run knows of its probabilities, None where it is of an older version; it is said."""
    if run.own:
        log("probabilities are not calibrated: the model was trained elsewhere.")
        return None
    if not run.path("calibration.json").is_file():
        log(
            f"probabilities are not calibrated: {run.folder} has no calibration.json. To measure what is missing, "
            f'delete its metrics.json and go on with resume("{run.folder}"): the model stays.'
        )
        return None
    calibration = run.calibration
    if calibration.reason:
        log(f"probabilities are not calibrated: {calibration.reason}. Train with more validation images.")
        return calibration
    seen = "" if calibration.unseen else ", by which the training stopped"
    log(temperature_sentence(calibration))
    log(f"checked on {calibration.n_held} other images of validation{seen}")
    if sets := calibration.sets:
        log(
            f"prediction_set holds the true class of about {sets.coverage:.0%} of images or more; with {sets.n} "
            f"held out it may be {sets.low:.0%} to {sets.high:.0%} ({sets.meaning})"
        )
    return calibration


def key_of(run: Run, files: list[Path], review: bool) -> str:
    """What the parts of a stopped prediction are known by: the model, what is asked of it, the files as they lie."""
    digest = hashlib.sha256(run.path("model.keras").read_bytes())
    calibration = run.path("calibration.json")
    digest.update((calibration.read_bytes() if calibration.is_file() else b"") + f"\0{review}\n".encode())
    for file in files:
        with suppress(OSError):  # a link that leads nowhere, a closed folder: a row in any case
            state = file.stat()
            digest.update(f"{state.st_mtime_ns}\0{state.st_size}".encode())
        digest.update(f"\0{file}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:8]


def count_filled(table: Path, *columns: str) -> list[int]:
    """How many rows of a table have something in each column; none in one that it has not."""
    counts = dict.fromkeys(columns, 0)
    with open(table, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for column in columns:
                counts[column] += row.get(column, "") != ""
    return list(counts.values())


def with_numbers(table: pd.DataFrame, name: object) -> pd.DataFrame:
    """Return a prediction that was read with its numbers as numbers."""
    columns = [column for column in table if column.startswith("p_") or column in ("probability", "doubt")]
    return numbers(table, columns, name)


def texts_on_ray(chunks: Iterable[Chunk], *opening) -> Iterator[tuple[int, str]]:
    """Give index and rows of every chunk, as workers are done with them; of one that is killed it is done again."""
    items = [{"place": place, "files": [str(file) for file in files]} for place, files in chunks]
    if not items:
        return
    with ray_workers(most=len(items)) as workers:
        data = import_ray().data
        texts = data.from_items(items, override_num_blocks=len(items)).map_batches(
            RayWorker,
            fn_constructor_args=opening,
            batch_size=1,
            compute=data.ActorPoolStrategy(size=workers.count),
            **workers.each,
        )
        for row in texts.iter_rows():
            yield row["place"], row["text"]


class RayWorker:
    """What `map_batches` calls: it opens the run at its first chunk, so that an error there is told as it is."""

    def __init__(self, *opening):
        self.opening = opening

    @cached_property
    def text_of(self) -> Callable[[Chunk], str]:
        """The run, opened."""
        return open_model(*self.opening)

    def __call__(self, batch: dict) -> dict:
        """Return index and rows of the one chunk of a batch."""
        [place], [files] = batch["place"], batch["files"]
        return {"place": [place], "text": [self.text_of((place, [Path(file) for file in files]))]}


def open_model(*opening) -> Callable[[Chunk], str]:
    """Import TensorFlow, where the images are predicted and no earlier, and open the model."""
    import_tensorflow()
    from marinecv.workflows.predictor import open_run

    return open_run(*opening)
