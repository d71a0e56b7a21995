"""Accuracy with and without the feature cache: the same recipe and seeds, also with the cache in half precision.

    python benchmarks/feature_cache.py                      aquarium_mobilenet_p2, seeds 0 to 4, 8 drawn views an image
    python benchmarks/feature_cache.py --seeds 3 --views 4  also --recipe, --ways, --output-dir

The augmentation is continuous, so the cache holds a few random views of each image and uses them in turn, where
ordinary training draws new ones each epoch. A stopped benchmark resumes with the same command. The table goes to
results/feature_cache.csv: a row a run, and for each way one of all seeds, with mean, smallest and largest; rows of ways
that are not run this time stay. The time saved is measured by benchmarks/finetune_epoch.py.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
from machine import machine

import marinecv as mcv
from marinecv import console as silent
from marinecv.environment import commit
from marinecv.files.csv_tables import read_table, write_table
from marinecv.runs import Run
from marinecv.training.settings import recipe_hash

RESULTS = Path(__file__).resolve().parent.parent / "results" / "feature_cache.csv"


WAYS = ["off", "float32", "float16"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="aquarium_mobilenet_p2")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="these alone")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/bank"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    silent.import_tensorflow()
    from marinecv.recipes.aquarium import PRETRAINED as RECIPES
    from marinecv.workflows.train_runs import finish, start

    recipe = RECIPES[args.recipe]
    manifest = mcv.find_data(recipe.data.name)
    catalog = mcv.split_catalog(mcv.read_catalog(manifest))
    before, rows = [], []
    if args.output.is_file():
        kept = read_table(args.output)
        before = [kept[(kept["recipe"] != recipe.name) | ~kept["cache_features"].isin(args.ways)]]
    for seed in range(args.seeds):
        for way in args.ways:
            views = 0 if way == "off" else args.views
            changes = {"cache_features": views} | ({"cache_dtype": way} if views else {})
            cell = replace(recipe.with_training(seed=seed, **changes), published={})
            folder = args.output_dir / f"{recipe.name}-{way}-{views}-seed{seed}"
            begun = (folder / "recipe.json").is_file()
            run = Run(folder) if begun else start(folder, cell, catalog, manifest, print)
            if not run.finished:
                finish(run, print)
            rows.append({"recipe": recipe.name, "cache_features": way, "views": views, "seed": seed, **figures(run)})
            table = pd.DataFrame([*rows, *of_all_seeds(pd.DataFrame(rows))])
            about = {
                "data": manifest.name,
                "commit": commit(),
                "recipe_hash": recipe_hash(recipe),
                "machine": machine(),
            }
            table = pd.concat([*before, table.assign(**about)])
            write_table(args.output, table)
    print(table.to_string(index=False))


def figures(run: Run) -> dict:
    """Accuracy with its interval on validation and test, and the epochs."""
    accuracies = {split: run.metrics[split]["accuracy"] for split in ("validation", "test")}
    named = {
        f"{split}_{name}": figure[key]
        for split, figure in accuracies.items()
        for name, key in (("accuracy", "value"), ("low", "low"), ("high", "high"), ("n", "n"))
    }
    return named | {"epochs": run.timing.epochs}


def of_all_seeds(table: pd.DataFrame) -> list[dict]:
    """A row a way: the mean over seeds, between the smallest and the largest."""
    rows = []
    for (recipe, way, views), runs in table.groupby(["recipe", "cache_features", "views"], sort=False):
        row = {"recipe": recipe, "cache_features": way, "views": views, "seed": "all"}
        for split in ("validation", "test"):
            accuracy = runs[f"{split}_accuracy"]
            row |= {f"{split}_accuracy": accuracy.mean(), f"{split}_low": accuracy.min()}
            row |= {f"{split}_high": accuracy.max(), f"{split}_n": runs[f"{split}_n"].iloc[0]}
        rows.append(row | {"epochs": runs["epochs"].mean()})
    return rows


if __name__ == "__main__":
    main()
