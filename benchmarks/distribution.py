"""One training on several devices beside the same on one: is it the same, and what does it cost?

    python benchmarks/distribution.py                       the aquarium CNN at 64 px, 6 epochs
    python benchmarks/distribution.py --data-dir FOLDER     on your own images; also --epochs

Each way is a training in processes of its own, on this machine: one device of TensorFlow, one of JAX, two logical
devices of TensorFlow (mirrored), two processes of JAX on loopback (data-parallel), and the same two with process 1
killed after half of the epochs and both started again. The cores that one process has are shared by two here, so what
is measured is not what several GPUs bring: it is that the training is the same, and what the talk between them costs.

    seconds_per_epoch       median of all epochs but the first, which compiles
    to_one_device           that over the one of one device and the same backend
    first_epoch             validation loss after an epoch, relative to that of one device and the same backend less 1;
                            of the killed training to that of the one that was not
    last_epoch              the same after the last
    gone_s                  seconds from the kill to the end of the process that was left

The optimizer is SGD and there is no dropout: RMSprop's first steps make much of the last digits of a gradient, and
mirrored draws dropout by device. Sums over devices have other last digits than sums over a batch, and a training makes
more of them from epoch to epoch, as it does of another number of threads. The table goes to
benchmarks/results/distribution.csv. Needs JAX and Unix. Quiet the machine first.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from machine import machine

RESULTS = Path(__file__).parent / "results" / "distribution.csv"
WAYS = {  # way -> how, devices, processes, beside which way it stands
    "tensorflow": (None, 1, 1, None),
    "mirrored": ("mirrored", 2, 1, "tensorflow"),
    "jax": ("data-parallel", 1, 1, None),
    "data-parallel": ("data-parallel", 2, 2, "jax"),
    "killed": ("data-parallel", 2, 2, "data-parallel"),
}


def main() -> None:
    """Measure every way and write the table; as a child, train once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, metavar="PATH", help="your own images (default: the aquarium)")
    parser.add_argument("--epochs", type=int, default=6, metavar="N")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        train(*args.child)
    else:
        measure(args.data_dir, args.epochs)


def measure(data_dir: Path | None, epochs: int) -> None:
    """Train in every way, each in its own processes."""
    from marinecv.files.csv_tables import write_table
    from marinecv.runs import Run

    rows = []
    with tempfile.TemporaryDirectory() as place:
        for way, (how, devices, processes, beside) in WAYS.items():
            folder = Path(place) / way
            make_run(folder, data_dir, epochs)
            gone = kill_one(folder, epochs) if way == "killed" else None
            for process in start(how, folder, processes):
                said, _ = process.communicate()
                if process.returncode:
                    raise SystemExit(said)
            history = Run(folder).history
            row = {"way": way, "devices": devices, "processes": processes}
            row["seconds_per_epoch"] = round(float(history["seconds"].iloc[1:].median()), 3)
            if beside:
                other = Run(Path(place) / beside).history
                alone = "jax" if how == "data-parallel" else "tensorflow"
                base = next(found for found in rows if found["way"] == alone)["seconds_per_epoch"]
                row["to_one_device"] = round(row["seconds_per_epoch"] / base, 2)
                for name, number in (("first_epoch", 0), ("last_epoch", -1)):
                    row[name] = float(f"{history['val_loss'].iloc[number] / other['val_loss'].iloc[number] - 1:.1e}")
            rows.append({**row, "gone_s": gone})
            print(rows[-1], flush=True)
    write_table(RESULTS, pd.DataFrame(rows).assign(machine=machine()))


def make_run(folder: Path, data_dir: Path | None, epochs: int) -> None:
    """A run that is not trained yet."""
    import marinecv as mcv
    from marinecv.data.manifests import manifest_of_folder
    from marinecv.recipes.aquarium import BEST

    manifest = manifest_of_folder(data_dir) if data_dir else mcv.find_data("aquarium")
    catalog = mcv.read_catalog(manifest)
    recipe = BEST.with_model(dropout=0.0).with_training(optimizer="sgd", learning_rate=0.01, epochs=epochs)
    folder.mkdir()
    mcv.Run.create(folder, recipe.to_dict(), recipe.preprocessing(mcv.class_names_of(catalog, manifest)), catalog)


def train(how: str, folder: str) -> None:
    """Train a run, or go on with it."""
    if how == "mirrored":
        import tensorflow as tf

        processors = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processors[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    import marinecv as mcv
    from marinecv.training.distribution import distributed
    from marinecv.training.fit import fit_recipe, load_run

    run = mcv.Run(folder)
    recipe = mcv.Recipe.of(run)
    with distributed(None if how == "None" else how):
        fit_recipe(recipe, run, load_run(run, recipe))


def start(how: str | None, folder: Path, processes: int) -> list[subprocess.Popen]:
    """Train a run in so many processes, as so many machines would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = dict(os.environ, KERAS_BACKEND="jax" if how == "data-parallel" else "tensorflow")
    if processes > 1:
        common |= {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes)}
    return [
        subprocess.Popen(
            [sys.executable, __file__, "--child", str(how), folder],
            env={**common, "KERAS_DISTRIBUTION_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(processes)
    ]


def kill_one(folder: Path, epochs: int) -> float:
    """Begin a training in two processes, kill the second, and return after how many seconds the first has ended."""
    leads, follows = start("data-parallel", folder, 2)
    history = folder / "history.csv"
    while not (history.is_file() and len(pd.read_csv(history)) >= epochs // 2):
        if leads.poll() is not None:
            raise SystemExit(leads.communicate()[0])
        time.sleep(0.02)
    follows.send_signal(signal.SIGKILL)
    at = time.perf_counter()
    for process in (leads, follows):
        process.communicate()
    return round(time.perf_counter() - at, 1)


if __name__ == "__main__":
    main()
