"""How long `pretrain --grid` takes, beside a plain Keras script that trains the same three networks.

    python benchmarks/pretrain_grid.py --data-dir ../shared/data/aquarium         also --epochs, --rounds, --output

The script is what `keras_script` writes of the recipes, put together: images are decoded once for all networks and
kept in memory, or decoded in every epoch; it scores validation and test and makes no page. The command runs in an
empty cache, then again in the same. Each whole command in a process of its own, in turn, round after round; medians.
The table goes to benchmarks/results/pretrain_grid.csv.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from machine import machine

import marinecv as mcv
from marinecv.data.manifests import manifest_of_folder
from marinecv.files.csv_tables import write_table
from marinecv.recipes.aquarium import GRID
from marinecv.recipes.keras_script import keras_script

RESULTS = Path(__file__).parent / "results" / "pretrain_grid.csv"
ROOT = Path(__file__).resolve().parents[1]
OURS, AGAIN, CACHED, UNCACHED = "pretrain --grid", "again", "keras script, images cached", "keras script"


def main() -> None:
    """Time each contestant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="the aquarium images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    seconds = {OURS: [], AGAIN: [], CACHED: [], UNCACHED: []}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        mcv.read_catalog(manifest_of_folder(args.data_dir)).to_csv(place / "catalog.csv", index=False)
        script = script_of_all(args.epochs)
        (place / "cached.py").write_text(script, encoding="utf-8")
        (place / "uncached.py").write_text(script.replace(".cache()", ""), encoding="utf-8")
        for number in range(args.rounds):
            for what, taken in seconds.items():
                environment = {"MARINECV_HOME": str(place / f"home{number}"), "TF_CPP_MIN_LOG_LEVEL": "3"}
                command = [ROOT / "run.py", "pretrain", "--grid", "--data-dir", args.data_dir, "--epochs", args.epochs]
                command += ["--output-dir", place / f"runs{number}-{what == AGAIN}"]
                if what in (CACHED, UNCACHED):
                    command = [place / ("cached.py" if what == CACHED else "uncached.py"), place / "catalog.csv"]
                started = time.perf_counter()
                subprocess.run(
                    [sys.executable, *map(str, command)],
                    stdout=subprocess.DEVNULL,
                    check=True,
                    env=os.environ | environment,
                )
                taken.append(time.perf_counter() - started)
                print(f"{what}: {taken[-1]:.1f} s", flush=True)
    medians = {what: statistics.median(taken) for what, taken in seconds.items()}
    ratios = {what: round(median / medians[CACHED], 2) for what, median in medians.items()}
    rows = [{"what": what, "seconds": round(median, 1), "ratio": ratios[what]} for what, median in medians.items()]
    table = pd.DataFrame(rows).assign(epochs=args.epochs, rounds=args.rounds, machine=machine())
    print(table.drop(columns="machine").to_string(index=False))
    write_table(args.output, table)


def script_of_all(epochs: int) -> str:
    """Return one script that trains every network of the grid on the same three datasets."""
    parts = []
    for recipe in GRID:
        before, _, after = keras_script(recipe.with_training(epochs=epochs)).partition("pixels = keras.Input")
        model, _, fit = after.partition("\ntrain, validation = ")
        fit = fit.partition("\n")[2].replace("evaluate(dataset(split)", "evaluate(splits[split]")
        parts += [f"pixels = keras.Input{model}", fit]
    datasets = 'splits = {split: dataset(split) for split in ("validation", "test")}\n'
    datasets += 'train, validation = dataset("train", training=True), splits["validation"]\n'
    return before + datasets + "".join(parts)


if __name__ == "__main__":
    main()
