"""Name the animals in files or folders with a trained run."""

import argparse
import random
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
    """Write a row an image as it goes; a file that cannot be read is a row with its reason."""
    import marinecv as mcv

    trained = mcv.Run(args.run)
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
    model, spec, failed = trained.load_model(), trained.spec, 0
    with open(args.output, "w", encoding="utf-8", newline="") as out:
        for start in range(0, len(files), CHUNK):
            rows = predict_files(model, files[start : start + CHUNK], spec, trained.class_names, args.batch_size)
            rows.to_csv(out, index=False, header=not start, float_format="%.6f", lineterminator="\n")
            out.flush()
            failed += int((rows["problem"] != "").sum())
            print(f"  {min(start + CHUNK, len(files))}/{len(files)} images")
    print(f"{args.output}: {len(files) - failed} predicted" + (f", {failed} failed (column problem)" if failed else ""))
    return 0 if failed < len(files) else 1


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

    from marinecv.inputs.pixels import read_pixels

    pixels, reasons = read_pixels([str(file) for file in files], spec)
    good = [i for i in range(len(files)) if i not in reasons]
    rows = pd.DataFrame({"path": [file.as_posix() for file in files]})
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
