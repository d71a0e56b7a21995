"""Name the animals in files or folders with a trained run."""

import argparse
import csv
import hashlib
import random
import shutil
from contextlib import closing, suppress
from pathlib import Path

from marinecv.workflows.predict_files import texts_here, texts_on_ray
from marinecv.workflows.ray_workers import import_ray

from .. import options

HELP = "Predict files or folders (recursively). Classes and geometry come from the run, never from flags."
EXAMPLE = "predict runs/aquarium_four_conv-1 holiday_photos --output predictions.csv"
CHUNK = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and what to look at."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders")
    parser.add_argument(
        "--output", type=Path, default=Path("predictions.csv"), metavar="CSV", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=options.batch, default=32, metavar="N", help="images at a time (default: 32)"
    )
    parser.add_argument("--review", action="store_true", help="flag the images that somebody should look at")
    parser.add_argument("--limit", type=options.positive, metavar="N", help="N of the images, drawn by --seed")
    parser.add_argument("--seed", type=options.seed, default=0, help="of the draw (default: 0)")
    parser.add_argument("--demonstration", action="store_true", help="let a model of drawn pictures look at your files")
    options.add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Write a row an image; a file that cannot be read is a row with its reason. Stopped, the same command goes on."""
    from marinecv.atomic import whole_file, write_text
    from marinecv.progress import is_interactive, progress_bar
    from marinecv.workflows.resumable import at_work

    if args.workers:
        import_ray()
    trained = options.classifier(args.run)
    if trained.demonstration and not args.demonstration:
        raise ValueError(
            f"{args.run} was trained on drawn pictures, so what it says of photographs means nothing. Train on real "
            "images, or add --demonstration to try it all the same."
        )
    files = find_images(args.paths)
    if args.limit and args.limit < len(files):
        files = sorted(random.Random(args.seed).sample(files, args.limit))
    if args.output.exists():
        raise ValueError(f"{args.output} exists and is never overwritten. Name another with --output.")
    calibration = calibration_of(trained)
    parts = args.output.with_name(f"{args.output.name}.{key_of(trained, files, args.review)}.parts")
    chunks = {start: files[start : start + CHUNK] for start in range(0, len(files), CHUNK)}
    place = {start: parts / f"{start:09d}.csv" for start in chunks}
    left = (chunk for chunk in chunks.items() if not place[chunk[0]].is_file())
    opening = (args.run.absolute(), calibration, args.review, args.batch_size, Path.cwd())
    texts = (texts_on_ray if args.workers else texts_here)(left, *opening)
    parts.mkdir(parents=True, exist_ok=True)
    with at_work(parts, go_on="the same command again"), closing(texts):
        done = sum(len(chunks[start]) for start in chunks if place[start].is_file())
        with progress_bar(len(files), "predicting images", done=done) as show:
            for start, text in texts:
                write_text(place[start], text)
                done += len(chunks[start])
                show(done)
                if not is_interactive():
                    print(f"  {done}/{len(files)} images")
        with whole_file(args.output) as whole, open(whole, "wb") as out:
            for part in sorted(parts.glob("*.csv")):
                with open(part, "rb") as rows:
                    shutil.copyfileobj(rows, out)
    shutil.rmtree(parts)
    failed = count_filled(args.output, "problem")
    print(f"{args.output}: {len(files) - failed} predicted" + (f", {failed} failed (column problem)" if failed else ""))
    if args.review and calibration and calibration["review"]:
        from marinecv.evaluation.review import triage_sentence

        flagged = count_filled(args.output, "review")
        print(f"  {triage_sentence(flagged, len(files) - failed, calibration)}")
    elif args.review:
        print("  The column review is empty: which images to look at is not known without calibration images.")
    return 0 if failed < len(files) else 1


def calibration_of(trained) -> dict | None:
    """What the run knows of its probabilities, None where it is of an older version; it is said.

    Raises:
        ValueError: its file is broken or of another model.
    """
    if trained.own:
        print("probabilities are not calibrated: the model was trained elsewhere.")
        return None
    if not trained.path("calibration.json").is_file():
        print(
            f"probabilities are not calibrated: {trained.folder} has no calibration.json. To measure what is missing, "
            f"delete its metrics.json and go on with --resume {trained.folder}: the model stays."
        )
        return None
    calibration = trained.calibration
    if calibration["reason"]:
        print(f"probabilities are not calibrated: {calibration['reason']}. Train with more validation images.")
        return calibration
    from marinecv.evaluation.calibration import temperature_sentence

    seen = "" if calibration["unseen"] else ", by which the training stopped"
    print(temperature_sentence(calibration))
    print(f"checked on {calibration['n_held']} other images of validation{seen}")
    if sets := calibration["sets"]:
        print(
            f"prediction_set holds the true class of about {sets['coverage']:.0%} of images or more; with {sets['n']} "
            f"held out it may be {sets['low']:.0%} to {sets['high']:.0%} ({sets['meaning']})"
        )
    return calibration


def key_of(trained, files: list[Path], review: bool) -> str:
    """What the parts of a stopped prediction are known by: the model, what is asked of it, the files as they lie."""
    digest = hashlib.sha256(trained.path("model.keras").read_bytes())
    calibration = trained.path("calibration.json")
    digest.update((calibration.read_bytes() if calibration.is_file() else b"") + f"\0{review}\n".encode())
    for file in files:
        with suppress(OSError):  # a link that leads nowhere, a closed folder: a row in any case
            state = file.stat()
            digest.update(f"{state.st_mtime_ns}\0{state.st_size}".encode())
        digest.update(f"\0{file}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:8]


def count_filled(table: Path, column: str) -> int:
    """How many rows of a table have something in a column."""
    with open(table, encoding="utf-8", newline="") as file:
        return sum(row[column] != "" for row in csv.DictReader(file))


def find_images(paths: list[Path]) -> list[Path]:
    """Every file named, and every visible image file below a folder named, sorted.

    Raises:
        ValueError: a path is absent, or there is no image.
    """
    from marinecv.data.layouts import IMAGE_SUFFIXES, image_files

    found = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"There is no {path}. Expected an image file or a folder.")
        found += image_files(path, deep=True) if path.is_dir() else [path]
    if not found:
        raise ValueError(
            f"No image in {', '.join(map(str, paths))}. Expected files ending in {', '.join(IMAGE_SUFFIXES)}."
        )
    return found
