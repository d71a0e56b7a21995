"""Predict files with a trained run: one row a file, in memory or in a CSV that is written chunk by chunk."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pandas as pd

from marinecv.console import Log, import_tensorflow, silent
from marinecv.data.crops import MIN_CONFIDENCE
from marinecv.data.places import with_places
from marinecv.data.stamps import files_hash
from marinecv.data.user_tables import usable
from marinecv.data.writers import write_csv
from marinecv.evaluation.calibration import temperature_sentence
from marinecv.evaluation.selective import review_sentence
from marinecv.evaluation.unknown import UNKNOWN, thresholds_of
from marinecv.files.atomic import whole_file, write_text
from marinecv.files.csv_tables import BOM, read_table, table_text
from marinecv.files.hashes import sha256
from marinecv.progress import is_interactive, progress_bar
from marinecv.run_records import Calibration
from marinecv.runs import Run, next_folder
from marinecv.schema import check_choice, check_integer
from marinecv.workflows.crops import PLACES, crops_of_files, predictions_of_crops
from marinecv.workflows.folders import resumable
from marinecv.workflows.outputs import count_lines, outputs_of, read_answers
from marinecv.workflows.ray_workers import import_ray, ray_workers
from marinecv.workflows.sources import Paths, find_images, open_classifier

OUTPUTS, TABLE = Path("predictions"), "predictions.csv"  # where nothing else is named
SHOWN = 3  # classes of a single image on the console
CHUNK = 256  # files that are read at a time, and that a stopped call may have to read again


def predict(
    run: str | os.PathLike | Run,
    paths: Paths,
    *,
    output: str | os.PathLike | None = None,
    review: bool = False,
    unknown: float | None = None,
    top: int = 1,
    formats: str | Sequence[str] = (),
    event_gap: str | None = None,
    sort_into: str | os.PathLike | None = None,
    deployments: str | os.PathLike | None = None,
    timezone: str | None = None,
    project: str | os.PathLike | None = None,
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
        unknown: give the class "unknown" to images of low probability, or far from the training images: such that at
            most this fraction, as 0.05, of images of known classes is lost, by the calibration images of the run.
        top: add `class_2`, `probability_2` and so on, up to this number of the most probable classes.
        formats: also write files to pass on, beside `output` and named after it: `"csv"` and `"xlsx"` (Excel) with
            `file` relative to the images' folder, `"megadetector"` (JSON, for Timelapse and AddaxAI), `"camtrapdp"`.
        event_gap: also write `events.csv` beside `output`: `events_of` with this gap, such as "30m".
        sort_into: a new folder to make, with a folder of links for each class; `undo_sort` takes it away.
        deployments, timezone, project: of Camtrap DP, which says what they are where they are missing.
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
        `p_<class>` of every class, those of `top`; `camera`, `taken_at` (local time, ISO) and `time_source`, "" where
        not known; `prediction_set` (classes not ruled out, joined by `|`) where the run has such sets, `doubt` and
        `review` where they are asked for, and `problem`: why a file cannot be read, else empty. With boxes, a
        photograph without an animal is of class "empty" and has the reason as its problem.
    Raises:
        ValueError: no such run, file, image or worker; the output exists; the run is an autoencoder's, its model takes
            more than an image, or it was trained on drawn pictures; or boxes are for a model of whole photographs.
    """
    if output is None and (formats or event_gap):
        raise ValueError("formats= and event_gap= write files beside the table. Name that with output=.")
    how = {name: value for name, value in locals().items() if name not in ("output", "log")}
    with TemporaryDirectory() as folder:
        path = Path(folder, TABLE) if output is None else Path(output)
        predict_to_csv(**how, output=path, log=log or silent, is_kept=output is not None)
        return read_answers(path)


def predict_to_csv(*, output: Path | None, log: Log, is_kept: bool = True, **arguments) -> bool:
    """Predict by the arguments of `predict`, one chunk in memory at a time, resumable if `is_kept`.

    Without `output` it is `predictions.csv` in the first free folder predictions/RUN-1, or in that of a stopped call.
    Returns whether any image was read.
    """
    how = SimpleNamespace(**arguments)
    check_choice((None, "ray"), workers=how.workers)
    check_choice((None, "flip"), tta=how.tta)
    check_integer(how.batch_size, "batch_size", 1)
    check_integer(how.top, "top", 1)
    if how.limit is not None:
        check_integer(how.limit, "limit", 1)
    if how.workers:
        import_ray()
    run = open_classifier(how.run)
    if run.demonstration and not how.demonstration:
        raise ValueError(f"{run.folder} was trained on drawn pictures. Use real images, or add demonstration=True.")
    files = find_images(how.paths, how.limit, how.seed)
    if how.boxes and how.unknown is not None:
        raise ValueError('"unknown" is measured for whole images. Leave out unknown=, or boxes=.')
    outputs = outputs_of(how, len(files))
    calibration = calibration_of(run, log)
    crops = crops_of_files(run, files, how, log)
    if crops is not None:
        files = [Path(path) for path in usable(crops)["path"]]
    thresholds = None if how.unknown is None else thresholds_of(run, calibration, how.unknown)
    key = key_of(run, files, how.review, how.tta, how.unknown, how.top) if is_kept else "new"
    output = output or output_of(run, key)
    parts = output.with_name(f"{output.name}.{key}.parts")
    others = parts / "others.txt"  # the files beside the table that this call has begun
    outputs.check_new(output, others.read_text(encoding="utf-8").splitlines() if others.is_file() else [])
    if how.tta:
        meaning = "mean of those of the image and its mirror image, after any calibration"
        log(f"each probability is the {meaning} (tta flip); temperature and sets were measured without")
    # At least one chunk: without a crop to predict there is a table, too.
    chunks = {start: files[start : start + CHUNK] for start in range(0, max(1, len(files)), CHUNK)}
    missing = {start: chunk for start, chunk in chunks.items() if not (parts / f"{start:09d}.csv").is_file()}
    answers = how.review, thresholds, bool(how.tta)
    opening = run.folder.absolute(), Path.cwd(), how.top, calibration, *answers, how.batch_size, len(files)
    # A model that cannot be opened makes no folder.
    texts = texts_on_ray(missing, *opening) if how.workers else texts_in_turn(missing, *open_model(*opening))
    parts.mkdir(parents=True, exist_ok=True)
    write_text(others, "\n".join(path.name for path in outputs.files(output)))
    done = len(files) - sum(map(len, missing.values()))
    with (
        resumable(parts, go_on="the same command again") if is_kept else nullcontext(),
        closing(texts),
        progress_bar(len(files), "predicting images", done=done) as show,
    ):
        for start, text in texts:
            write_text(parts / f"{start:09d}.csv", text)
            show(done := done + len(chunks[start]))
            if files and not is_interactive():
                log(f"  {done}/{len(files)} images")
        with whole_file(output) as whole_output:
            counts, flagged = join_parts(sorted(parts.glob("*.csv")), whole_output)
            photos, empty = None, 0
            if crops is not None:
                left = calibration.photo_temperature / calibration.temperature if calibration else 1.0
                predicted = read_answers(whole_output)
                of_crops, photos = predictions_of_crops(crops, predicted, run.class_names, left)
                write_csv(output.with_name(f"photo_{output.name}"), photos)
                write_csv(whole_output, of_crops)
                counts = counts_of(of_crops)
                empty = int(((of_crops["problem"] != "") & (of_crops["predicted_class"] != "")).sum())
            outputs.write(run, whole_output, output, photos, log)
    shutil.rmtree(parts)
    failed = sum(count for (_, name), count in counts.items() if not name)
    predicted = counts.total() - failed - empty
    for line in count_lines(counts_of(photos)) if how.boxes else summary_lines(counts, output, run.class_names):
        log(line)
    if how.unknown is not None:
        lost = f"at most {how.unknown:.1%} of known images like the {calibration.n_calibration} calibration images"
        found = sum(count for (_, name), count in counts.items() if name == UNKNOWN)
        log(f"  {found} of {predicted} are unknown, {lost} among them")
    if how.review and calibration and calibration.review:
        log(f"  {review_sentence(flagged, predicted, calibration)}")
    elif how.review:
        log("  The column review is empty: which images to look at is not known without calibration images.")
    message = f"{predicted} predicted" + (f", {empty} without an animal" if empty else "")
    message += f", {failed} failed (column problem)" if failed else ""
    log(f"{output}: {message}" if is_kept else message)
    return predicted > 0


def output_of(run: Run, key: str) -> Path:
    """Return `predictions.csv` in the folder below `predictions` of a stopped call with this key, else in a new one."""
    for parts in sorted(OUTPUTS.glob(f"*/{TABLE}.{key}.parts")):
        if not (parts.parent / TABLE).exists():
            return parts.parent / TABLE
    return next_folder(OUTPUTS, run.folder.resolve().name) / TABLE


def join_parts(parts: list[Path], output: Path) -> tuple[Counter[tuple[str, str]], int]:
    """Write the rows of all parts as one table for people, with the time and place of each file.

    Returns the number of files by camera and predicted class ("" of files with a problem), and of those to review.
    """
    files = pd.concat([read_table(part)[["path", "exif_time"]] for part in parts], ignore_index=True)
    places = with_places(files.rename(columns={"path": "image_id"}).assign(class_name="", group=""))[PLACES]
    counts, flagged, start = Counter(), 0, 0
    with open(output, "wb") as out:
        out.write(BOM.encode())
        for part in parts:
            rows = read_table(part)
            of_rows = places.iloc[start : start + len(rows)].set_index(rows.index)
            for column in PLACES:
                rows.insert([*rows].index("exif_time"), column, of_rows[column])
            out.write(table_text(rows.drop(columns="exif_time"), header=not start).encode())
            counts += counts_of(rows)
            flagged += (rows["review"] != "").sum() if "review" in rows else 0
            start += len(rows)
    return counts, int(flagged)


def counts_of(table: pd.DataFrame) -> Counter[tuple[str, str]]:
    """Return the number of rows by camera and predicted class."""
    return Counter(zip(table["camera"], table["predicted_class"], strict=True))


def summary_lines(counts: Counter[tuple[str, str]], output: Path, class_names: Sequence[str]) -> list[str]:
    """Return the most probable classes of the only image, or the number of images by class and camera."""
    if sum(count for (_, name), count in counts.items() if name) != 1:
        return count_lines(counts)
    row = read_table(output).query("problem == ''").iloc[0]
    best = sorted(((float(row[f"p_{name}"]), name) for name in class_names), key=lambda pair: -pair[0])[:SHOWN]
    lead = f"{UNKNOWN}; most probable: " if row["predicted_class"] == UNKNOWN else ""
    return [f"  {lead}{', '.join(f'{name} {value:.1%}' for value, name in best)}"]


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


def key_of(run: Run, files: list[Path], *answers: object) -> str:
    """Return a hash of model, calibration, answers and the state of the files: only equal calls share parts."""
    hashes = [sha256(path) for name in ("model.keras", "calibration.json") if (path := run.path(name)).is_file()]
    return files_hash(map(str, files), (hashes, answers))[:8]


def texts_in_turn(chunks: dict[int, list[Path]], read: Callable, text_of: Callable) -> Iterator[tuple[int, str]]:
    """Yield start and rows of every chunk; while one is predicted, a thread decodes the next."""
    with ThreadPoolExecutor(1) as decoder:
        reading = ((start, files, decoder.submit(read, files)) for start, files in chunks.items())
        following = next(reading, None)
        while following:
            (start, files, pixels_and_reasons), following = following, next(reading, None)
            yield start, text_of(files, *pixels_and_reasons.result())


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
