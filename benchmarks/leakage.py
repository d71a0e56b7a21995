"""Leakage check of the published split of the aquarium set: as split, without related train images, in folds.

Each image is scored twice by a model that was not trained on it, in stratified and in grouped folds: the same images,
as many to train on, and nothing differs but whether related images are among these. Their difference is paired.

Run:    python benchmarks/leakage.py --output-dir runs/leakage
Needs:  the aquarium images and the weights of MobileNet; an hour on two cores. Stopped, the same command goes on.
Writes: results/leakage.csv
"""

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

from marinecv.audit.leakage_findings import nearest_neighbor_baseline
from marinecv.audit.thumbnails import load_thumbs, tiny_pixels
from marinecv.data.user_tables import usable
from marinecv.environment import commit
from marinecv.evaluation.leakage import leakage_index, read_leakage_scores
from marinecv.files.csv_tables import write_table
from marinecv.recipes.registry import RECIPES
from marinecv.runs import Run, is_begun
from marinecv.training.settings import recipe_hash
from marinecv.workflows.compare import compare

PROJECT = Path(__file__).resolve().parents[1]
TRAINED = {"aquarium_four_conv": "pretrain", "aquarium_mobilenet_640": "finetune"}
FOLDS = 5


def main() -> None:
    """Train, score and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="where the runs go")
    folder = parser.parse_args().output_dir
    tables = []
    for recipe, command in TRAINED.items():
        run = folder / recipe
        if not is_begun(run):
            marinecv(command, "--recipe", recipe, "--output-dir", run)
        elif not Run(run).finished:
            marinecv(command, "--resume", run)
        marinecv("evaluate", run, "--split", "test", "--folds", FOLDS)
        tables.append(read_leakage_scores(run / "leakage.csv").assign(model=recipe))
        stratified = folder / f"{recipe}_stratified"
        if is_begun(stratified):
            marinecv(command, "--resume", stratified)
        else:
            marinecv(command, "--recipe", recipe, "--folds", FOLDS, "--output-dir", stratified)
        tables.append(gain_of_leakage(stratified, run / f"grouped-{FOLDS}-folds").assign(model=recipe))
    table = pd.concat([*tables, thumbnails(Run(folder / recipe))], ignore_index=True)
    hashes = {name: recipe_hash(RECIPES[name]) for name in TRAINED}
    names = table["model"].where(table["model"].isin(hashes), "")
    table = table.assign(recipe=names, commit=commit(), recipe_hash=names.map(hashes).fillna(""))
    write_table(PROJECT / "results" / "leakage.csv", table[["model", *table.columns.drop("model")]])
    print(table.drop(columns="method").round(3).to_string(index=False))


def marinecv(*words: object) -> None:
    """Run a command of the project."""
    subprocess.run([sys.executable, PROJECT / "run.py", *map(str, words)], check=True)


def gain_of_leakage(stratified: Path, grouped: Path) -> pd.DataFrame:
    """Return the accuracy in stratified folds, and by how much it is above that in grouped folds, image by image."""
    [row] = compare(stratified, grouped).table.to_dict("records")
    bounds = {name: row[name] for name in ("low", "high")}
    rows = [
        {"subset": "stratified folds", "value": row["accuracy_a"]},
        {"subset": "stratified less grouped folds", "value": row["difference"], **bounds, "method": "paired bootstrap"},
    ]
    return pd.DataFrame(rows).assign(split="all", metric="accuracy", n=row["n"], groups=row["groups"])


def thumbnails(run: Run) -> pd.DataFrame:
    """Return the scores of the nearest-neighbor baseline on 16x16 thumbnails, with the images and groups of a run."""
    thumbs, catalog = load_thumbs(run.catalog)
    scores = leakage_index(nearest_neighbor_baseline(usable(catalog), tiny_pixels(thumbs)))["scores"]
    names = {"majority class": "most frequent class"}
    return scores.assign(model=scores["subset"].map(names).fillna("nearest 16x16 thumbnail"))


if __name__ == "__main__":
    main()
