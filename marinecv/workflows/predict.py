"""Predict files with a trained run: one row a file, in memory or in a CSV that is written chunk by chunk."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from marinecv.console import Log, import_tensorflow, silent
from marinecv.data.crops import MIN_CONFIDENCE
from marinecv.data.shards.records import photo_and_box
from marinecv.data.user_tables import usable
from marinecv.evaluation.calibration import temperature_sentence
from marinecv.evaluation.selective import review_sentence
from marinecv.files.atomic import whole_file, write_text
from marinecv.files.csv_tables import parse_numbers, read_table, write_table
from marinecv.progress import is_interactive, progress_bar
from marinecv.run_records import Calibration
from marinecv.runs import Run
from marinecv.schema import check_choice, check_integer
from marinecv.workflows.crops import crops_of_files, predictions_of_crops
from marinecv.workflows.folders import resumable
from marinecv.workflows.ray_workers import import_ray, ray_workers
from marinecv.workflows.sources import Paths, find_images, open_classifier

CHUNK = 256  # files that are read at a time, and that a stopped call may have to read again


def predict(
    run: str | os.PathLike | Run,
    paths: Paths,
    *,
    output: str | os.PathLike | None = None,
    review: bool = False,
    tta: str | None = None,
    batch_size: int = 32,
    limit: int | None = None,
    seed: int = 0,
    workers: str | None = None,
    demonstration: bool = False,
    boxes: str | os.PathLike | None = None,
    min_confidence: float = MIN_CONFIDENCE,
    crops: float | None = None,
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
        output: a CSV to be made, whole or not at all; the same call resumes a stopped one. None writes nothing.
        review: add the columns `doubt` and `review`, which flags the images that a person should look at.
        tta: test-time augmentation: `"flip"` gives the mean of the calibrated probabilities of each image and of its
            mirror image; calibration and prediction sets were measured without. None takes the image alone.
        batch_size: images at a time.
        limit: size of a random sample of the images, drawn with `seed`; None takes all.
        seed: of the sample.
        workers: `"ray"` shares the work among the workers of a Ray cluster (RAY_ADDRESS) or of this machine.
        demonstration: let a model of drawn pictures predict photographs.
        boxes: of a model of crops: a file of detections of one folder, as MegaDetector writes it. Each box of an animal
            is predicted; beside `output` the file `photo_<output>` has a row a photograph.
        min_confidence: of these detections.
        crops: margin of the crops, where the model was trained on files of crops; None takes the run's.
        log: called with each line of text; None logs nothing.
    Returns:
        DataFrame, one row a file, or a crop with its `box`: `path`, `predicted_class`, `probability` (0 to 1),
        `p_<class>` of every class, `prediction_set` (classes not ruled out, joined by `|`) where the run has such sets,
        `doubt` and `review` where they are asked for, and `problem`: why a file cannot be read, else empty. With boxes,
        a photograph without an animal is of class "empty" and has the reason as its problem.
    Raises:
        ValueError: no such run, file, image or worker; the output exists; the run is an autoencoder's, its model takes
            more than an image, or it was trained on drawn pictures; or boxes are for a model of whole photographs.
    """
    how = {"review": review, "tta": tta, "batch_size": batch_size, "limit": limit, "seed": seed, "workers": workers}
    how |= {"boxes": boxes, "min_confidence": min_confidence, "crops": crops}
    how |= {"demonstration": demonstration, "log": log or silent}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.csv" if output is None else Path(output)
        predict_to_csv(run, paths, path, **how, is_kept=output is not None)
        table = read_table(path)
        numbers = [column for column in table if column.startswith("p_") or column in ("probability", "doubt")]
        return parse_numbers(table, numbers, path)


def predict_to_csv(
    run: str | os.PathLike | Run,
    paths: Paths,
    output: str | os.PathLike,
    *,
    review: bool,
    tta: str | None,
    batch_size: int,
    limit: int | None,
    seed: int,
    workers: str | None,
    demonstration: bool,
    boxes: str | os.PathLike | None,
    min_confidence: float,
    crops: float | None,
    log: Log,
    is_kept: bool = True,
) -> bool:
    """Predict as `predict` does, one chunk in memory at a time, resumable if `is_kept`; return whether any was read."""
    check_choice((None, "ray"), workers=workers)
    check_choice((None, "flip"), tta=tta)
    check_integer(batch_size, "batch_size", 1)
    if limit is not None:
        check_integer(limit, "limit", 1)
    if workers:
        import_ray()
    run, output = open_classifier(run), Path(output)
    if run.demonstration and not demonstration:
        raise ValueError(f"{run.folder} was trained on drawn pictures. Use real images, or add demonstration=True.")
    files = find_images(paths, limit, seed)
    photo_output = output.with_name(f"photo_{output.name}")
    for path in (output, photo_output) if boxes else (output,):
        if path.exists():
            raise ValueError(f"{path} exists and is never overwritten. Name another with output=.")
    calibration = calibration_of(run, log)
    rows = crops_of_files(run, files, paths, boxes, min_confidence, crops, log)
    if rows is not None:
        files = [Path(path) for path in usable(rows)["path"]]
    if tta:
        meaning = "mean of those of the image and its mirror image, after any calibration"
        log(f"each probability is the {meaning} (tta flip); temperature and sets were measured without")
    chunks = {start: files[start : start + CHUNK] for start in range(0, len(files), CHUNK)}
    key = key_of(run, files, review, tta) if is_kept else "new"
    parts = output.with_name(f"{output.name}.{key}.parts")
    missing = {start: chunk for start, chunk in chunks.items() if not (parts / f"{start:09d}.csv").is_file()}
    model_arguments = (run.folder.absolute(), calibration, review, bool(tta), batch_size, len(files), Path.cwd())
    if workers:
        texts = texts_on_ray(missing, *model_arguments)
    else:
        texts = texts_in_turn(missing, *open_model(*model_arguments))  # before the folder is made
    parts.mkdir(parents=True, exist_ok=True)
    done = len(files) - sum(map(len, missing.values()))
    with (
        resumable(parts, go_on="the same command again") if is_kept else nullcontext(),
        closing(texts),
        progress_bar(len(files), "predicting images", done=done) as show,
    ):
        for start, text in texts:
            write_text(parts / f"{start:09d}.csv", text)
            show(done := done + len(chunks[start]))
            if not is_interactive():
                log(f"  {done}/{len(files)} images")
        with whole_file(output) as whole_output:
            with open(whole_output, "wb") as out:
                for part in sorted(parts.glob("*.csv")):
                    out.write(part.read_bytes())
            if rows is not None:
                found = read_table(whole_output) if files else None
                left = calibration.photo_temperature / calibration.temperature if calibration else 1.0
                of_crops, of_photos = predictions_of_crops(rows, found, run.class_names, left)
                write_table(photo_output, of_photos, float_format="%.6f")
                write_table(whole_output, of_crops, float_format="%.6f")
    shutil.rmtree(parts)
    columns = ("predicted_class", "problem", "review")
    table = pd.read_csv(output, usecols=lambda name: name in columns, dtype=str, keep_default_na=False)
    problems, flagged = table[table["problem"] != ""], (table["review"] != "").sum() if "review" in table else 0
    predicted, empty = len(table) - len(problems), (problems["predicted_class"] != "").sum()
    failed = len(problems) - empty
    message = f"{predicted} predicted" + (f", {empty} without an animal" if empty else "")
    message += f", {failed} failed (column problem)" if failed else ""
    log(f"{output}: {message}" if is_kept else message)
    if review and calibration and calibration.review:
        log(f"  {review_sentence(flagged, predicted, calibration)}")
    elif review:
        log("  The column review is empty: which images to look at is not known without calibration images.")
    return predicted > 0


def calibration_of(run: Run, log: Log) -> Calibration | None:
    """Return the calibration of a run and log what it means; None where the run has none."""
    reason = "probabilities are not calibrated"
    if run.is_external:
        log(f"{reason}: the model was trained elsewhere.")
        return None
    if not run.path("calibration.json").is_file():
        log(f'{reason}: no calibration.json; delete its metrics.json and go on with resume("{run.folder}").')
        return None
    calibration = run.calibration
    if calibration.reason:
        log(f"{reason}: {calibration.reason}. Train with more validation images.")
        return calibration
    log(temperature_sentence(calibration))
    chose = "" if calibration.unseen else ", which also chose the model"
    log(f"checked on {calibration.n_calibration} other images of validation{chose}")
    if sets := calibration.sets:
        log(
            f"prediction_set holds the true class of about {sets.coverage:.0%} of images or more; with {sets.n} "
            f"held out it may be {sets.low:.0%} to {sets.high:.0%} ({sets.meaning})"
        )
    return calibration


def key_of(run: Run, files: list[Path], review: bool, tta: str | None) -> str:
    """Return a hash of model, calibration, `review`, `tta` and the state of the files: only equal calls share parts."""
    digest = hashlib.sha256(run.path("model.keras").read_bytes())
    calibration = run.path("calibration.json")
    digest.update((calibration.read_bytes() if calibration.is_file() else b"") + f"\0{review}\0{tta}\n".encode())
    for file in files:
        with suppress(OSError):  # a dead link or a closed folder: a row in any case
            state = os.stat(photo_and_box(file)[0])
            digest.update(f"{state.st_mtime_ns}\0{state.st_size}".encode())
        digest.update(f"\0{file}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:8]


def texts_in_turn(chunks: dict[int, list[Path]], read: Callable, text_of: Callable) -> Iterator[tuple[int, str]]:
    """Yield start and rows of every chunk; while one is predicted, a thread decodes the next."""
    with ThreadPoolExecutor(1) as decoder:
        reading = ((start, files, decoder.submit(read, files)) for start, files in chunks.items())
        following = next(reading, None)
        while following:
            (start, files, pixels_and_reasons), following = following, next(reading, None)
            yield start, text_of(start, files, *pixels_and_reasons.result())


def texts_on_ray(chunks: dict[int, list[Path]], *opening) -> Iterator[tuple[int, str]]:
    """Yield start and rows of every chunk as workers finish; the chunk of a killed worker is predicted again."""
    items = [{"start": start, "files": [str(file) for file in files]} for start, files in chunks.items()]
    if not items:
        return
    with ray_workers(most=len(items)) as (count, each):
        data = import_ray().data
        texts = data.from_items(items, override_num_blocks=len(items)).map_batches(
            RayWorker, fn_constructor_args=opening, batch_size=1, compute=data.ActorPoolStrategy(size=count), **each
        )
        for row in texts.iter_rows():
            yield row["start"], row["text"]


class RayWorker:
    """Callable for `map_batches`, which opens the run at its first chunk, so that an error is raised as it is."""

    def __init__(self, *opening):
        self.functions = cache(partial(open_model, *opening))

    def __call__(self, batch: dict) -> dict:
        """Return start and rows of the one chunk of a batch."""
        [start], [files] = batch["start"], batch["files"]
        [(_, text)] = texts_in_turn({start: [Path(file) for file in files]}, *self.functions())
        return {"start": [start], "text": [text]}


def open_model(*opening) -> tuple[Callable, Callable]:
    """Import TensorFlow and open the model, once all arguments are checked."""
    import_tensorflow()
    from marinecv.workflows.predictor import chunk_predictor

    return chunk_predictor(*opening)
