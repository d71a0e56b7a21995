"""How long the default takes on 1,000 images of 500 pixels, beside decoding and one forward pass of plain Keras.

    python benchmarks/default_speed.py                 generated images; also --data-dir FOLDER, --rounds, --output

The unit is a Keras script: `image_dataset_from_directory(pad_to_aspect_ratio=True)` and `predict` of the same network,
MobileNet 0.75 at 224 pixels, from the end of its imports. `mcv.train(folder, backbone="mobilenet")` at that size, in a
cache of its own, is timed from the end of its imports to the first cross-validated accuracy (goal: 1.5 units), to the
end without fine-tuning (goal: 4 units and 30 s), and with a second size of 320 pixels; then the first command again in
the same cache (goal: 20 s). Each runs in a process of its own, in turn, round after round; medians.
The table goes to benchmarks/results/default_speed.csv. Needs weights of ImageNet in KERAS_HOME.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "default_speed.csv"
ROOT = Path(__file__).resolve().parents[1]
MARK = "\x1emark "
SCRIPT, DEFAULT, TWO_SIZES, AGAIN = "keras script", "default", "default, two sizes", "default again"
IMAGES, SIDE = 1000, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="class folders of images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    import pandas as pd
    from machine import machine

    from marinecv.files.csv_tables import write_table

    seen = {SCRIPT: [], DEFAULT: [], AGAIN: [], TWO_SIZES: []}
    with tempfile.TemporaryDirectory() as place:
        folder = args.data_dir or write_images(Path(place) / "images")
        for number in range(args.rounds):
            for what, runs in seen.items():
                home = Path(place) / f"home{number}{what == TWO_SIZES}"
                runs.append(child_of(what, folder, home))
                print(f"{what}: {runs[-1]}", flush=True)
    unit = statistics.median(run["whole"] for run in seen[SCRIPT])
    rows = []
    for what, runs in seen.items():
        seconds = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        row = {"what": what, **{f"seconds_{name}": round(value, 1) for name, value in seconds.items()}}
        rows.append(row | {f"units_{name}": round(value / unit, 2) for name, value in seconds.items()})
    table = pd.DataFrame(rows).assign(images=IMAGES, rounds=args.rounds, machine=machine())
    print(table.drop(columns="machine").to_string(index=False))
    write_table(args.output, table)


def write_images(folder: Path) -> Path:
    """Ten classes of generated photographs: blobs of a class' color on noise that compresses like a photograph."""
    import numpy as np
    from PIL import Image, ImageFilter

    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        place = folder / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (SIDE * 3 // 4 // 5, SIDE // 5, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((SIDE, SIDE * 3 // 4), Image.Resampling.BICUBIC)
        color = tuple(int(part) for part in np.random.default_rng(number % 10).integers(0, 256, 3))
        picture.paste(color, (50, 50, 150 + int(rng.integers(100)), 200))
        picture.filter(ImageFilter.GaussianBlur(1)).save(place / f"{number}.jpg", quality=90)
    return folder


def child_of(what: str, folder: Path, home: Path) -> dict:
    """Run one contestant in a process of its own with a cache of its own."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "MARINECV_HOME": str(home)}
    command = [sys.executable, __file__, MARK, what, str(folder)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(ended.stdout.rpartition(MARK)[2])


def child(what: str, folder: str) -> None:
    """One contestant; print its seconds to the first accuracy and in all, without imports."""
    sys.path.insert(0, str(ROOT))
    import keras

    import marinecv as mcv
    from marinecv.models.backbones import backbone_classifier
    from marinecv.workflows import choose

    mcv.train  # noqa: B018  imports it
    started, first = time.perf_counter(), []

    def note(line: str) -> None:
        if "by cross-validation" in line:
            first.append(time.perf_counter() - started)

    if what == SCRIPT:
        options = {"image_size": (224, 224), "pad_to_aspect_ratio": True, "shuffle": False, "verbose": False}
        images = keras.utils.image_dataset_from_directory(folder, labels=None, **options)
        backbone_classifier((224, 224, 3), 10, backbone="mobilenet", alpha=0.75).predict(images, verbose=0)
    else:
        size = {} if what == TWO_SIZES else {"size": 224}
        choose.SIZES = choose.SIZES[:2]  # of four that fit into the time
        with tempfile.TemporaryDirectory() as runs:
            how = {"backbone": "mobilenet", "alpha": 0.75, "epochs": 1, "log": note, **size}
            mcv.train(folder, folder=Path(runs) / "run", **how)
    whole = time.perf_counter() - started
    print(MARK + json.dumps({"first": first[0] if first else whole, "whole": whole}))


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == [MARK] else main()
