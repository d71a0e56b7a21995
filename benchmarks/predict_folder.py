"""`marinecv predict` on a folder of photographs, with and without LiteRT, beside a Keras script of ten lines.

    python benchmarks/predict_folder.py                     the aquarium images if at hand, else drawn ones
    python benchmarks/predict_folder.py --data-dir FOLDER   your own images; also --run, --images, --rounds, --output

The script is `keras_script` below: `image_dataset_from_directory(pad_to_aspect_ratio=True)` and `model.predict` with
the same model, a MobileNet 0.75 at 224 pixels unless `--run` names another. Each contestant runs in a process of its
own, in turn, round after round. `seconds` is from the start of the process to its end, `seconds_after_import` is
without the import of TensorFlow, and `cpu_seconds` is of all cores, which other work on the machine disturbs less. The
ratios are Keras' seconds over those of the contestant, medians of the ratios within each round. The last two rows are
the start: `import tensorflow` alone, and the prediction of one image, whose ratios are its seconds over those of that
import. `fastest` and `slowest` are rounds: tf.data's autotuning keeps all cores busy in one round, and not in another.
Goals: 2 with LiteRT, 1.4 without, a start of 1.3, and a peak of memory that does not grow with the images. The table
goes to benchmarks/results/predict_folder.csv. Needs Unix.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "predict_folder.csv"
ROOT = Path(__file__).resolve().parents[1]
MARK = "\x1emark "
KERAS, WITH, WITHOUT = "keras script", "marinecv", "marinecv without LiteRT"
IMPORT, ONE = "import tensorflow", "marinecv, one image"
SIDE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of JPEG images, in any layout")
    parser.add_argument("--run", type=Path, help="of a classifier at 224 pixels that pads to a square")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    import pandas as pd
    from machine import machine

    from marinecv.data.cache_dir import cache_path
    from marinecv.data.demo.dataset import write_demo_images
    from marinecv.files.csv_tables import write_table

    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        reef = write_demo_images(place / "reef")
        run = args.run or train(reef, place / "run")
        aquarium = cache_path("data", "aquarium")
        sources = sorted((args.data_dir or (aquarium if aquarium.exists() else reef)).rglob("*.jpg"))
        rows = [row for count in args.images for row in measure(run, sources, count, place, args.rounds)]
        rows += measure_start(run, sources[0], place, args.rounds)
    table = pd.DataFrame(rows).assign(rounds=args.rounds, machine=machine())
    print(table.drop(columns="machine").to_string(index=False))
    write_table(args.output, table)


def train(reef: Path, folder: Path) -> Path:
    """A MobileNet 0.75, trained for one epoch on few images: its weights change no time."""
    from marinecv.models.backbones import weights_file

    weights = "imagenet" if weights_file("mobilenet", 0.75).is_file() else "none"
    words = ["--recipe", "aquarium_mobilenet_p2", "--weights", weights, "--epochs", "1", "--limit", "32"]
    command = [sys.executable, ROOT / "run.py", "finetune", *words, "--data-dir", reef, "--output-dir", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def measure(run: Path, sources: list[Path], count: int, place: Path, rounds: int) -> list[dict]:
    """Time all contestants on so many links; one row each."""
    photos = place / f"photos{count}"
    photos.mkdir()
    for number in range(count):
        (photos / f"{number:06d}.jpg").symlink_to(sources[number % len(sources)].resolve())
    seen = {KERAS: [], WITH: [], WITHOUT: []}
    for number in range(rounds):
        for what, runs in seen.items():
            runs.append(child_of(what, run, photos, place / f"{what} {count} {number}.csv"))
            print(f"{what}, {count} images: {runs[-1]}", flush=True)
    return [summary(what, count, runs, seen[KERAS]) for what, runs in seen.items()]


def measure_start(run: Path, image: Path, place: Path, rounds: int) -> list[dict]:
    """Time the import of TensorFlow, and the prediction of one image."""
    seen = {IMPORT: [], ONE: []}
    for number in range(rounds):
        for what, runs in seen.items():
            runs.append(child_of(what, run, image, place / f"one {number}.csv"))
    return [summary(what, 1, runs, seen[IMPORT]) for what, runs in seen.items()]


def child_of(what: str, run: Path, photos: Path, output: Path) -> dict:
    """Run one contestant in a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, __file__, MARK, what, str(run), str(photos), str(output)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - start
    said = json.loads(ended.stdout.rpartition(MARK)[2])
    return {"seconds": seconds, "seconds_after_import": seconds - said.pop("import"), **said}


def summary(what: str, count: int, runs: list[dict], keras: list[dict]) -> dict:
    """A row of the table."""
    ratios = {  # of the start: own seconds over those of the import
        f"ratio_{name}": statistics.median(
            own[name] / theirs[name] if count == 1 else theirs[name] / own[name]
            for own, theirs in zip(runs, keras, strict=True)
        )
        for name in ("seconds", "seconds_after_import", "cpu_seconds")
    }
    numbers = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    seconds = [run["seconds"] for run in runs]
    numbers = {"seconds": numbers["seconds"], "fastest": min(seconds), "slowest": max(seconds)} | numbers | ratios
    return {"what": what, "images": count, **{name: round(value, 2) for name, value in numbers.items()}}


def child(what: str, run: str, photos: str, output: str) -> None:
    """One contestant; print how long the import of TensorFlow took, the seconds of all cores and the peak of memory."""
    sys.path.insert(0, str(ROOT))
    start = time.perf_counter()
    import tensorflow  # noqa: F401

    imported = time.perf_counter() - start
    if what == KERAS:
        keras_script(run, photos, output)
    elif what != IMPORT:
        if what == WITHOUT:
            sys.modules["ai_edge_litert"] = None
        from pipelines.cli import main as command

        if code := command(["predict", run, photos, "--demonstration", "--output", output]):
            sys.exit(code)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = used.ru_utime + used.ru_stime
    print(MARK + json.dumps({"import": imported, "cpu_seconds": cpu_seconds, "peak_mib": used.ru_maxrss / 1024}))


def keras_script(run: str, photos: str, output: str) -> None:
    """What one would write without this library."""
    import keras
    import pandas as pd

    model = keras.models.load_model(f"{run}/model.keras")
    images = keras.utils.image_dataset_from_directory(
        photos, labels=None, image_size=(SIDE, SIDE), shuffle=False, pad_to_aspect_ratio=True, verbose=False
    )
    probabilities = model.predict(images, verbose=0)
    names = json.loads(Path(run, "preprocessing.json").read_text(encoding="utf-8"))["class_names"]
    table = pd.DataFrame(probabilities, columns=names).assign(path=images.file_paths)
    table.to_csv(output, index=False)


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == [MARK] else main()
