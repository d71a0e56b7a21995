"""What variants of each image cost and bring: none, one (simple) or three (quadruple) beside the image itself.

    python benchmarks/augmentation.py                       birds_customcnn at 96 px, 8 epochs, seeds 0 to 2
    python benchmarks/augmentation.py --seeds 5 --epochs 50 --image-size 224     the recipe itself

The birds report trains on x2 and finds it enough; x4 it calls too dear in time and memory. Here a variant is an index
and some numbers that move the image when its batch is made, so that memory stays the same: `peak_mib` is the largest
private memory of the process. `same steps` trains on the images alone for twice the epochs: as many steps as simple.

Each cell is a process of its own. The table goes to results/augmentation.csv: a row a cell, and one of all seeds, with
mean, smallest and largest validation accuracy. Needs Linux.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
from machine import machine
from memory import Watch

from marinecv.environment import commit
from marinecv.files.csv_tables import write_table
from marinecv.recipes.birds import CUSTOM_CNN, SIMPLE
from marinecv.training.settings import recipe_hash

RESULTS = Path(__file__).resolve().parent.parent / "results" / "augmentation.csv"
WAYS = ("none", "same steps", "simple", "quadruple")
SAID = "\x1esaid "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cell:
        child(args.cell[0], int(args.cell[1]), args.epochs, args.image_size)
        return
    rows = []
    for seed in range(args.seeds):
        for way in WAYS:
            command = [sys.executable, __file__, "--cell", way, str(seed)]
            command += ["--epochs", str(args.epochs), "--image-size", str(args.image_size)]
            shown = subprocess.run(command, env=os.environ, stdout=subprocess.PIPE, text=True, check=True).stdout
            said = next(line for line in shown.split("\n") if line.startswith(SAID))
            rows.append({"variants": way, "seed": str(seed), **json.loads(said.removeprefix(SAID))})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    for _, group in table.groupby("variants", sort=False):
        accuracy = group["validation_accuracy"]
        means = group[["seconds_per_epoch", "seconds", "peak_mib"]].median().round(1)
        spread = {"validation_accuracy": accuracy.mean(), "low": accuracy.min(), "high": accuracy.max()}
        rows.append({**group.iloc[0], "seed": "all", **means, **spread})
    about = {"recipe": CUSTOM_CNN.name, "commit": commit(), "recipe_hash": recipe_hash(CUSTOM_CNN)}
    write_table(args.output, pd.DataFrame(rows).assign(machine=machine(), **about))
    print(pd.DataFrame(rows).query("seed == 'all'").to_string(index=False))


def child(way: str, seed: int, epochs: int, side: int) -> None:
    """Train one cell and say what it cost and reached."""
    watch = Watch()
    from marinecv import console as silent

    silent.import_tensorflow()
    import tempfile

    import marinecv as mcv
    from marinecv.data.user_tables import usable
    from marinecv.inputs.spec import NONE
    from marinecv.training.fit import fit_recipe, load_run
    from marinecv.workflows.train_runs import start

    variants = {"simple": SIMPLE, "quadruple": replace(SIMPLE, variants="quadruple")}.get(way, NONE)
    recipe = replace(CUSTOM_CNN, image=replace(CUSTOM_CNN.image, height=side, width=side), published={})
    epochs = 2 * epochs if way == "same steps" else epochs
    recipe = recipe.with_training(
        augmentation=variants, epochs=epochs, seed=seed, early_stop_reductions=0, lr_patience=50
    )
    manifest = mcv.find_data(recipe.data.name)
    catalog = mcv.read_catalog(manifest)
    catalog = mcv.split_catalog(catalog, recipe.data.split_by, fractions=recipe.data.fractions)
    with tempfile.TemporaryDirectory() as place:
        run = start(Path(place) / "run", recipe, catalog, manifest, print)
        fit_recipe(recipe, run, load_run(run, recipe), log=lambda line: None)
        best = run.history["val_accuracy"].max()
        seconds, every = run.timing.train_seconds, run.timing.seconds_per_epoch
    n = int((usable(catalog)["split"] == "validation").sum())
    said = {"epochs": epochs, "image_size": side, "validation_accuracy": round(best, 4), "n": n}
    said |= {"seconds_per_epoch": every, "seconds": seconds, "peak_mib": watch.peaks[1]}
    print(SAID + json.dumps(said))


if __name__ == "__main__":
    main()
