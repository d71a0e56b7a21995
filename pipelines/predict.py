"""Name the animals in files or folders with a trained run."""

import argparse
import csv
import hashlib
import random
import shutil
from pathlib import Path

from . import options, quiet

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
        "--batch-size", type=options.positive, default=32, metavar="N", help="images at a time (default: 32)"
    )
    parser.add_argument("--limit", type=options.positive, metavar="N", help="N of the images, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--demonstration", action="store_true", help="let a model of drawn pictures look at your files")


def run(args: argparse.Namespace) -> int:
    """Write a row an image; a file that cannot be read is a row with its reason. Stopped, the same command goes on."""
    from marinecv.atomic import whole_file, write_text
    from marinecv.evaluation.predict import check_inputs
    from marinecv.tables import table_text

    from .at_work import at_work

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
    quiet.import_tensorflow()
    model, spec, class_names, failed = trained.load_model(), trained.spec, trained.class_names, 0
    check_inputs(model)
    parts = args.output.with_name(f"{args.output.name}.{key_of(trained, files)}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    with at_work(parts, go_on="the same command again"):
        for start in range(0, len(files), CHUNK):
            part = parts / f"{start:09d}.csv"
            if not part.is_file():
                rows = predict_files(model, files[start : start + CHUNK], spec, class_names, args.batch_size)
                write_text(part, table_text(rows, header=not start, float_format="%.6f"))
            failed += failures(part, header=not start)
            print(f"  {min(start + CHUNK, len(files))}/{len(files)} images")
        with whole_file(args.output) as whole, open(whole, "wb") as out:
            for part in sorted(parts.glob("*.csv")):
                with open(part, "rb") as rows:
                    shutil.copyfileobj(rows, out)
    shutil.rmtree(parts)
    print(f"{args.output}: {len(files) - failed} predicted" + (f", {failed} failed (column problem)" if failed else ""))
    return 0 if failed < len(files) else 1


def key_of(trained, files: list[Path]) -> str:
    """What the parts of a stopped prediction are known by: the model, and the files as they lie there."""
    digest = hashlib.sha256(trained.path("model.keras").read_bytes())
    for file in files:
        state = file.stat()
        digest.update(f"{file}\0{state.st_mtime_ns}\0{state.st_size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:8]


def failures(part: Path, header: bool) -> int:
    """How many rows of a part have a problem, their last column."""
    with open(part, encoding="utf-8", newline="") as file:
        return sum(row[-1] != "" for row in csv.reader(file)) - header


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


def predict_files(model, files: list[Path], spec, class_names: tuple[str, ...], batch_size: int):
    """A row a file: path, predicted class, its probability, that of every class, and the problem if there was one."""
    import numpy as np
    import pandas as pd

    from marinecv.data.layouts import printable
    from marinecv.inputs.pixels import read_pixels

    pixels, reasons = read_pixels([str(file) for file in files], spec)
    good = [i for i in range(len(files)) if i not in reasons]
    rows = pd.DataFrame({"path": [printable(file.as_posix()) for file in files]})
    probabilities = np.full((len(files), len(class_names)), np.nan)
    if good:
        probabilities[good] = model.predict(pixels[good].astype(np.float32), batch_size=batch_size, verbose=0)
    names = np.array([*class_names, ""])
    best = np.where(np.isnan(probabilities[:, 0]), len(class_names), np.nan_to_num(probabilities).argmax(axis=1))
    rows["predicted_class"] = names[best]
    rows["probability"] = probabilities.max(axis=1)
    for column, name in enumerate(class_names):
        rows[f"p_{name}"] = probabilities[:, column]
    rows["problem"] = [reasons.get(i, "") for i in range(len(files))]
    return rows
