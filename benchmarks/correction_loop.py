"""The circle of corrections on a real data set: wrong labels, `review`, `train --corrections` and the proof.

    python benchmarks/correction_loop.py --data-dir FOLDER ...      also --reviewed, --wrong, --minutes, --output

A tenth of all labels is changed at random, and `train` is given the images with these. In the order of `review` a
person, here the true labels, answers the first images; `train --corrections` takes the answers. `found` of the `wrong`
labels are among the `reviewed` images, of which at random `by_chance` would be. `accuracy` before and after is on test
by the true labels, which the runs do not know, with McNemar's p; `proof` is the sentence of the command, on the images
that were drawn at random. Seconds are those of each command after the other, on a machine of the column. The table goes
to benchmarks/results/correction_loop.csv.
"""

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import marinecv as mcv
from marinecv.data.user_tables import usable
from marinecv.environment import commit
from marinecv.evaluation.compare import compare_runs
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "correction_loop.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, nargs="+", required=True, help="data sets")
    parser.add_argument("--reviewed", type=int, default=200, help="images that are looked at")
    parser.add_argument("--wrong", type=float, default=0.1, help="fraction of labels that are changed")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    from machine import machine

    rows = []
    for folder in args.data_dir:
        with tempfile.TemporaryDirectory() as place:
            rows.append({"data": folder.name, **loop(folder, Path(place), args)})
        print(pd.Series(rows[-1]).to_string(), flush=True)
    about = {"minutes": args.minutes, "command": shlex.join(["python", *sys.argv]), "commit": commit()}
    write_table(args.output, pd.DataFrame(rows).assign(**about, machine=machine()), float_format="%.4g")


def loop(folder: Path, place: Path, args: argparse.Namespace) -> dict:
    """Return what one circle finds and costs."""
    catalog = mcv.read_catalog(mcv.find_data(data_dir=folder, log=None), log=None)
    truth = usable(catalog).set_index("image_id")["class_name"]
    rng, names = np.random.default_rng(0), np.unique(truth)
    wrong = rng.choice(len(truth), round(args.wrong * len(truth)), replace=False)
    shifted = (np.searchsorted(names, truth.iloc[wrong]) + rng.integers(1, len(names), len(wrong))) % len(names)
    given = truth.copy()
    given.iloc[wrong] = names[shifted]
    catalog["class_name"] = catalog["image_id"].map(given).fillna("")

    clock, seconds = time.perf_counter(), {}

    def lap(name: str) -> None:
        nonlocal clock
        seconds[f"{name}_s"], clock = round(time.perf_counter() - clock, 1), time.perf_counter()

    how = {"minutes": args.minutes, "backbone": "mobilenet", "log": print}
    split = {} if catalog["split"].any() else {"split_by": "grouped"}
    before = mcv.train(catalog, folder=place / "before", **how, **split)
    lap("train")
    review = mcv.review(before, page=False)
    lap("review")
    shown = review.items.head(args.reviewed)
    answers = shown[["image_id"]].assign(class_name=shown["image_id"].map(truth))
    answers.to_csv(place / "answers.csv", index=False)
    review.take(place / "answers.csv")
    clock = time.perf_counter()
    after = mcv.train(corrections=review.corrections, folder=place / "after")
    lap("train_again")
    tables = []
    for run in (after, before):
        table = mcv.read_predictions(run.path("predictions.csv"))
        tables.append(table.assign(true_class=table["image_id"].map(truth)))
    result = compare_runs(*tables, "test", groups=after.catalog.set_index("image_id")["group"])
    is_wrong = given[shown["image_id"]] != truth[shown["image_id"]]
    total = (given[review.items["image_id"]] != truth[review.items["image_id"]]).sum()
    return {
        "images": len(review.items),
        "wrong": int(total),
        "reviewed": len(shown),
        "found": int(is_wrong.sum()),
        "by_chance": round(total * len(shown) / len(review.items), 1),
        "n_test": result["n"],
        "accuracy_before": result["accuracy_b"],
        "accuracy_after": result["accuracy_a"],
        "p": result["p"],
        **seconds,
        "proof": after.correction_sentences[-1],
    }


if __name__ == "__main__":
    main()
