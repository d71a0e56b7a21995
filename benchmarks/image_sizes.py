"""What small images cost: one recipe from scratch at several input sizes, all else equal.

    python benchmarks/image_sizes.py --output-dir runs/sizes                 aquarium_four_conv at 64, 96, 128, 224 px
    python benchmarks/image_sizes.py ... --sizes 64 96 128 --seeds 3         also --recipe, --epochs

Writes results/image_sizes.csv: a row a size, seed and split with the accuracy and its 95% interval over images; of all
seeds the mean, between the smallest and the largest, and the difference from the first size, seed by seed, with its 95%
interval over seeds (Student). Stopped, the same command goes on. Half an hour a seed on two cores; at 64, 96 and 128 px
a third of it.
"""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine
from scipy.stats import t

import marinecv as mcv
from marinecv.environment import commit
from marinecv.files.csv_tables import write_table
from marinecv.recipes.registry import RECIPES
from marinecv.runs import is_begun
from marinecv.training.recipe import Recipe
from marinecv.training.settings import recipe_hash
from marinecv.workflows.results import without_output_folders

RESULTS = Path(__file__).resolve().parents[1] / "results" / "image_sizes.csv"


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="aquarium_four_conv")
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 96, 128, 224], metavar="PX")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="at most: a shortened run")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="where the runs go")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows, changes = [], {"epochs": args.epochs} if args.epochs else {}
    for seed in range(args.seeds):
        folder = args.output_dir / f"seed{seed}"
        if is_begun(folder):
            experiment = mcv.resume(folder)
        else:
            experiment = mcv.grid(recipes=args.recipe, sizes=args.sizes, seed=seed, folder=folder, **changes)
        rows += [row for run in experiment.runs.values() for row in run_rows(args.recipe, run)]
    table = pd.DataFrame(rows)
    table = pd.concat([table, pd.DataFrame(of_all_seeds(table, args.sizes[0]))])
    command = without_output_folders(shlex.join(["python", *sys.argv]))
    about = {"commit": commit(), "recipe_hash": recipe_hash(RECIPES[args.recipe]), "machine": machine()}
    write_table(args.output, table.assign(command=command, **about))
    print(table.to_string(index=False))


def run_rows(name: str, run: mcv.Run) -> list[dict]:
    """Return a row a split."""
    timing, recipe = run.timing, Recipe.of(run)
    about = {"recipe": name, "image_size": recipe.image.height, "seed": str(recipe.training.seed)}
    costs = {name: getattr(timing, name) for name in ("epochs", "best_epoch", "train_seconds", "parameters")}
    return [
        {**about, "split": split, "metric": "accuracy", "ours": of["value"], **{n: of[n] for n in ("n", "low", "high")}}
        | costs
        for split, of in ((split, run.metrics[split]["accuracy"]) for split in ("validation", "test"))
    ]


def of_all_seeds(table: pd.DataFrame, first: int) -> list[dict]:
    """Return the mean of each size and split over seeds, and its difference from the first size."""
    rows = []
    for (recipe, split), part in table.groupby(["recipe", "split"], sort=False):
        accuracies = part.pivot(index="seed", columns="image_size", values="ours")
        for size, ours in accuracies.items():
            about = {"recipe": recipe, "image_size": size, "seed": "all", "split": split, "n": part["n"].iloc[0]}
            rows.append({**about, "metric": "accuracy", "ours": ours.mean(), "low": ours.min(), "high": ours.max()})
            gain = (ours - accuracies[first]).to_numpy()
            reach = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
            bounds = {"low": gain.mean() - reach, "high": gain.mean() + reach}
            if size != first:
                rows.append({**about, "metric": f"difference from {first} px", "ours": gain.mean(), **bounds})
    return rows


if __name__ == "__main__":
    main()
