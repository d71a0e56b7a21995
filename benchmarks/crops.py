"""Accuracy of photographs by a model of crops beside one of whole photographs, on the same splits.

Run:    python benchmarks/crops.py --data FOLDER
Needs:  aquarium/ and cub_x20/ in the folder, and the weights of MobileNet; about half an hour on two cores.
Writes: benchmarks/results/crops.csv

Both are logistic regression on frozen features of MobileNet at 224 or 320 pixels, pooling and penalty chosen by
cross-validation in train. Accuracies are of the `n` of all `photos` in a split that have a usable crop, by their
label, which boxes give where no folder does. `difference` is crops minus whole, with its paired interval over groups of
related photographs. `crops` is their number in the split.
"""

import argparse
from pathlib import Path

import pandas as pd
from machine import machine

import marinecv as mcv
from marinecv.data.catalog import limit_catalog
from marinecv.data.photos import photos_of
from marinecv.data.readers import reader_of
from marinecv.data.user_tables import usable
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.predictions import read_predictions
from marinecv.files.csv_tables import write_table
from marinecv.runs import Run

TABLE = Path(__file__).parent / "results" / "crops.csv"
SETS = ("aquarium", "cub_x20")
MARGIN, MINUTES = 0.1, 20.0
FILES = ("predictions.csv", "photo_predictions.csv")
COLUMNS = ["data", "split", "n", "photos", "crops", "whole_accuracy", "whole_low", "whole_high"]
COLUMNS += ["crops_accuracy", "crops_low", "crops_high", "difference", "low", "high", "groups", "machine"]


def main() -> None:
    """Train both models on each set and write a row a set and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/crops"), metavar="DIR", help="where the runs go")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N photographs a split, to try it")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the split")
    args = parser.parse_args()
    rows = []
    for name in SETS:
        whole = trained(args, name, None)
        rows += compared(name, whole, trained(args, name, MARGIN))
    table = pd.DataFrame(rows, columns=COLUMNS)
    print(table.drop(columns="machine").round(3).to_string(index=False))
    if not args.limit:
        write_table(TABLE, table, float_format="%.4f")


def trained(args: argparse.Namespace, name: str, crops: float | None) -> Run:
    """Return the run of a linear probe of MobileNet, trained unless it is there."""
    folder = args.output_dir / f"{name}-{'whole' if crops is None else 'crops'}"
    if not (folder / "metrics.json").is_file():
        manifest = mcv.find_data(data_dir=args.data / name)
        rows = mcv.split_catalog(mcv.read_catalog(manifest), "published", seed=args.seed)
        if args.limit:
            rows = limit_catalog(rows, args.limit, args.seed)
        if crops is not None:
            class_from = "box" if reader_of(manifest.layout).class_from_boxes else "image"
            rows = mcv.crop_catalog(rows, mcv.read_boxes(manifest), crops, class_from)
        settings = {"backbone": "mobilenet", "trainable_layers": 0, "minutes": MINUTES, "seed": args.seed}
        mcv.train(rows, folder=folder, crops=crops, **settings)
    return Run(folder)


def compared(name: str, whole: Run, crops: Run) -> list[dict]:
    """Return a row for validation and for test."""
    tables = [read_predictions(run.path(file)) for run, file in zip((whole, crops), FILES, strict=True)]
    groups, rows = photos_of(crops.catalog).set_index("image_id")["group"], []
    for split in ("validation", "test"):
        first, second = (table[table["split"] == split] for table in tables)
        photos = len(first)
        if not photos:
            continue
        first = first[first["image_id"].isin(second["image_id"])]
        scores = [mcv.classification_metrics(table, groups=groups)["accuracy"] for table in (first, second)]
        found = compare_runs(second, first, split, groups=groups)
        row = {"data": name, "split": split, "n": len(first), "photos": photos, "machine": machine()}
        row["crops"] = int((usable(crops.catalog)["split"] == split).sum())
        for kind, score in zip(("whole", "crops"), scores, strict=True):
            row |= {f"{kind}_accuracy": score["value"], f"{kind}_low": score["low"], f"{kind}_high": score["high"]}
        rows.append(row | {key: found.get(key) for key in ("difference", "low", "high", "groups")})
    return rows


if __name__ == "__main__":
    main()
