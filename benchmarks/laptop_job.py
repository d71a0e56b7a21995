"""A large job on a small machine: 20,000 images, `mobilenet` 0.75, 20 epochs; minutes, disk and memory.

    python benchmarks/laptop_job.py                         links to the drawn reef
    python benchmarks/laptop_job.py --data-dir FOLDER       to your own images
    python benchmarks/laptop_job.py --images 60 --epochs 2 --image-size 96      a quick look

Goal: under 30 minutes on 2 cores with all of the network frozen and each image seen as it is.

The images are linked into class folders again and again under other names, so that every one is read and decoded at its
own size. Then the command is run as a person runs it, from its first import to its report:

    finetune --recipe aquarium_mobilenet_p2 --trainable-layers N --split-by stratified --epochs 20 --cache-features auto

with three differences: the schedule is that of the aquarium report's row, no row stops early, and where the table says
`none` under `moves` the training images are not moved, for which the command has no flag. `--cache-features auto`
itself chooses how many views of an image to keep; `views` has its choice, 0 where it computes the frozen layers anew.
Each job has a store of its own, so all is decoded and computed.

`minutes_decode` is reading all images into pixels, `minutes_features` the frozen layers computed beforehand,
`minutes_epochs` the epochs, `minutes_predict` the scoring of every image with the whole network at the end, which knows
no bank; what is left of `minutes_total` is start-up, reading the folder, the estimate, checkpoints and the report.
`disk_gb` is what pixels and bank take in the store, in 10^9 bytes. The memory is the largest of the process, asked for
ten times a second: `resident`, and what of it is `private` (the rest are pages of files, which the system takes back
when it needs them).

Pretrained weights are taken where they are at hand (KERAS_HOME); else a file of random ones, with which a step takes as
long, and `weights` says so. Links to the same images share no work, but they make the accuracy worthless. The table
goes to benchmarks/results/laptop_job.csv, anew after each job. Needs Linux.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from machine import machine
from memory import Watch, link_often

from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "laptop_job.csv"
BACKBONE, ALPHA = "mobilenet", 0.75
SAID = "\x1esaid "
JOBS = {  # as a person would name them: layers that learn, and whether training images are moved
    "frozen, still": (0, False),
    "last 20, still": (20, False),
    "frozen, moved": (0, True),
    "last 20, moved": (20, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of images, in any layout")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS), help="these alone")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        data = link_often(args.data_dir, Path(place) / "images", args.images)
        weights, kind = weights_at_hand(Path(place))
        print(f"{args.images} links to {data}, {kind} weights, {args.epochs} epochs, {machine()}", flush=True)
        about = {"images": args.images, "image_size": args.image_size, "weights": kind}
        about |= {"data": data, "machine": machine()}
        for job in args.jobs:
            words = ["--data-dir", f"{place}/images", "--split-by", "stratified", "--weights", weights]
            words += ["--epochs", str(args.epochs), "--image-size", str(args.image_size)]
            rows.append(measure(job, words, Path(place) / job) | about)
            write_table(args.output, pd.DataFrame(rows))
    print(pd.DataFrame(rows).drop(columns=list(about)).to_string(index=False))


def weights_at_hand(place: Path) -> tuple[str, str]:
    """What `--weights` is given, and of which kind it is."""
    command = [sys.executable, __file__, "--weights", str(place / "random.weights.h5")]
    shown = subprocess.run(command, env=calm(), stdout=subprocess.PIPE, text=True, check=True).stdout
    return ("imagenet", "imagenet") if "imagenet" in shown else (command[-1], "random")


def measure(job: str, words: list[str], place: Path) -> dict:
    """Run a job in a process of its own with a store of its own; one row of the table."""
    trainable, moved = JOBS[job]
    command = [sys.executable, __file__, "--child", "finetune", "--recipe", f"aquarium_{BACKBONE}_p2"]
    command += ["--alpha", str(ALPHA), "--trainable-layers", str(trainable), "--cache-features", "auto", *words]
    command += ["--set", "training.early_stop_patience=1000000"] + ["training.augmentation=none"] * (not moved)
    said = {}
    started = time.monotonic()
    with subprocess.Popen(
        [*command, "--output-dir", f"{place}/run"],
        env=calm() | {"MARINECV_HOME": f"{place}/store"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith(SAID):
                said = json.loads(line.removeprefix(SAID))
            else:
                print(f"  {job}: {line}", end="", flush=True)
    if process.returncode:
        raise RuntimeError(f"The job {job!r} ended with code {process.returncode}.")
    seconds = {"total": time.monotonic() - started, **said["seconds"]}
    kept = [file for part in ("pixels", "features") for file in (place / "store" / part).rglob("*.npy")]
    row = {"what": f"{BACKBONE} {ALPHA}", "trainable": f"last {trainable}" if trainable else "none"}
    row |= {"moves": "anew each epoch" if moved else "none", "views": said["views"], "epochs": said["epochs"]}
    if moved and said["views"]:
        row["moves"] = f"{said['views']} drawn views"
    row |= {f"minutes_{name}": round(number / 60, 2) for name, number in seconds.items()}
    row["disk_gb"] = round(sum(file.stat().st_blocks * 512 for file in kept) / 1e9, 3)
    row |= {"peak_resident_mib": said["peaks"][0], "peak_private_mib": said["peaks"][1]}
    shutil.rmtree(place)  # the next job needs the room
    return row


def calm() -> dict[str, str]:
    """The environment of a process that does not print TensorFlow's remarks."""
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def child(words: list[str]) -> int:
    """The command, which says at its end how long its parts took and how large it was."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    watch = Watch()
    from marinecv import console as silent
    from pipelines.cli import main as command

    silent.import_tensorflow()
    from marinecv.training import fit, fit_inputs
    from marinecv.training.checkpoint import Checkpoint
    from marinecv.workflows import train_runs

    seconds = dict.fromkeys(("decode", "features", "epochs", "predict"), 0.0)
    seen = {"views": 0, "epochs": 0}

    def timed(name, function):
        def wrapper(*args, **options):
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                seconds[name] += time.perf_counter() - start

        return wrapper

    whole_begin, whole_end = Checkpoint.on_epoch_begin, Checkpoint.on_epoch_end

    def on_epoch_begin(history, epoch, logs=None):
        seen["started"] = time.perf_counter()
        whole_begin(history, epoch, logs)

    def on_epoch_end(history, epoch, logs=None):
        whole_end(history, epoch, logs)
        seconds["epochs"] += time.perf_counter() - seen["started"]
        seen["epochs"] = epoch + 1

    open_cache = timed("features", fit_inputs.open_cache)

    def open_and_count(extractor, rows, pixels, spec, views, **options):
        seen["views"] = max(seen["views"], views.count)
        return open_cache(extractor, rows, pixels, spec, views, **options)

    fit_inputs.open_cache = open_and_count
    fit.load_pixels = timed("decode", fit.load_pixels)
    train_runs.predict_table = timed("predict", train_runs.predict_table)
    Checkpoint.on_epoch_begin, Checkpoint.on_epoch_end = on_epoch_begin, on_epoch_end
    code = command(words)
    said = {"views": seen["views"], "epochs": seen["epochs"], "seconds": seconds, "peaks": watch.peaks}
    print(SAID + json.dumps(said), flush=True)
    return code


def random_weights(path: str) -> None:
    """Say that there are pretrained weights, or write random ones."""
    from marinecv import console as silent

    silent.import_tensorflow()
    from marinecv.models.backbones import weights_file

    if weights_file(BACKBONE, ALPHA).is_file():
        print("imagenet")
        return
    import keras

    base = keras.applications.MobileNet(input_shape=(224, 224, 3), alpha=ALPHA, include_top=False, weights=None)
    base.save_weights(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(sys.argv[2:]))
    random_weights(sys.argv[2]) if sys.argv[1:2] == ["--weights"] else main()
