"""The default on the real sets: scores of images that neither trained nor chose anything.

    python benchmarks/default_results.py --data ../shared/data --output-dir runs/default
    python benchmarks/default_results.py ... --minutes 3 --sets animals10_small          a part of it

`mcv.train` with `--minutes` (3): aquarium as published; butterflies20 as published, by fractions of the train labels;
animals10_small, birds (cub_x20) and aquarium in five grouped folds, in each of which the recipe is chosen anew by the
other four (nested cross-validation). Validation of a published split tells whether fine-tuning is kept; test chooses
nothing. Columns: accuracy, 95% interval over groups of related images (else Wilson), n, `trials`: how many settings
(network, size, pooling, mirror images, penalty) the cross-validation within train compared, at most in one fold.
Stopped, the same command goes on. Writes results/default.csv. Needs weights of ImageNet in KERAS_HOME; an hour on two
cores.
"""

import argparse
from pathlib import Path

import keras
import pandas as pd
from machine import machine

import marinecv as mcv
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.splits.label_fractions import keep_labels
from marinecv.environment import commit
from marinecv.evaluation.folds import fold_metrics
from marinecv.files.csv_tables import write_table
from marinecv.runs import is_begun
from marinecv.training.choice_table import read_choices
from marinecv.training.linear_head import PENALTIES
from marinecv.training.recipe import Recipe

RESULTS = Path(__file__).resolve().parents[1] / "results" / "default.csv"
FRACTIONS = (0.1, 0.25, 0.5, 1.0)
FOLDS = 5


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the real sets")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="where the runs go")
    parser.add_argument("--sets", nargs="+", default=["animals10_small", "butterflies20", "aquarium", "cub_x20"])
    parser.add_argument("--minutes", type=float, default=3.0)
    args = parser.parse_args()
    rows = []
    for name in args.sets:
        manifest = mcv.find_data(name, args.data / name) if name == "cub_x20" else manifest_of_folder(args.data / name)
        if name in ("aquarium", "butterflies20"):
            rows += published(name, manifest, args)
        if name != "butterflies20":
            rows += nested(name, manifest, args)
        write_table(args.output_dir / "default.csv", pd.DataFrame(rows))
        keras.utils.clear_session()
    about = {"recipe": "", "commit": commit(), "recipe_hash": ""}  # chosen anew in each fold
    table = pd.DataFrame(rows).assign(minutes=args.minutes, machine=machine(), **about)
    write_table(RESULTS, table)
    print(table.drop(columns="machine").to_string(index=False))


def published(name: str, manifest: mcv.Manifest, args: argparse.Namespace) -> list[dict]:
    """Train on the published train split, of butterflies20 also with fewer labels."""
    rows = []
    for fraction in FRACTIONS if name == "butterflies20" else (1.0,):
        folder, catalog = args.output_dir / f"{name}-{fraction}", mcv.read_catalog(manifest)
        if not is_begun(folder):
            catalog = keep_labels(catalog, fraction, 0)
            mcv.train(catalog[catalog["split"] != ""], folder=folder, minutes=args.minutes)
        run = mcv.resume(folder, log=None)
        for split in ("validation", "test"):
            words = f"published {split}, {fraction:.0%} of the labels"
            rows.append(row(name, words, run.metrics[split]["accuracy"], network(run), trials(run)))
    return rows


def nested(name: str, manifest: mcv.Manifest, args: argparse.Namespace) -> list[dict]:
    """Choose and train in grouped folds."""
    folder = args.output_dir / f"{name}-folds"
    if not is_begun(folder):
        catalog = mcv.read_catalog(manifest)  # not by its name, for which there are the report's recipes
        mcv.grid(catalog, folds=FOLDS, split_by="grouped", folder=folder, minutes=args.minutes)
    experiment = mcv.resume(folder, log=None)
    chosen = " ".join(sorted({network(run) for run in experiment.runs.values()}))
    [metrics] = fold_metrics(experiment.runs.values()).values()
    most = max(map(trials, experiment.runs.values()))
    return [row(name, f"{FOLDS} nested grouped folds", metrics["accuracy"], chosen, most)]


def trials(run: mcv.Run) -> int:
    """Return how many settings were compared by cross-validation in train."""
    return len(PENALTIES) * int((read_choices(run)["step"] == "cross-validation").sum())


def network(run: mcv.Run) -> str:
    """Return network, input size and whether fine-tuning was kept."""
    recipe = Recipe.of(run)
    tuned = "" if recipe.is_linear_probe else ", fine-tuned"
    return f"{recipe.model.backbone} {recipe.model.alpha:g} {recipe.image.height} px{tuned};"


def row(name: str, judged: str, accuracy: dict, chosen: str, compared: int) -> dict:
    """Return a row of the table."""
    bounds = accuracy.get("by_image", accuracy)  # of few groups there is no other interval
    numbers = {"accuracy": accuracy["value"], "low": bounds["low"], "high": bounds["high"], "n": accuracy["n"]}
    return {"data": name, "judged_on": judged, **numbers, "chosen": chosen, "trials": compared}


if __name__ == "__main__":
    main()
