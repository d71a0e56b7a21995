"""The circle of corrections on real data sets: `train`, `review`, `train --corrections` and the proof.

    python benchmarks/correction_loop.py --data-dir FOLDER ...      also --reviewed, --wrong, --minutes, --output

- `wrong labels`: a tenth of all labels is changed at random, and `train` is given the images with these. `found` of the
  `wrong` labels are among the `reviewed` images, of which at random `by_chance` would be.
- `new images`: `train` is given eight train images a class, validation and test; the other train images are a folder.

In the order of `review` a person, here the true labels, answers the first images; `train --corrections` takes them.
`accuracy` before and after is on test by the true labels, with McNemar's p; `proof` is the sentence of the command, on
the images that were drawn at random. The table goes to benchmarks/results/correction_loop.csv.
"""

import argparse
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

KNOWN_A_CLASS = 8
RESULTS = Path(__file__).parent / "results" / "correction_loop.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, nargs="+", required=True, help="data sets")
    parser.add_argument("--reviewed", type=int, default=200, help="images that are looked at")
    parser.add_argument("--wrong", type=float, default=0.1, help="fraction of labels that are changed")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    from machine import command, machine

    rows = []
    for folder in args.data_dir:
        with tempfile.TemporaryDirectory() as place:
            for scenario in (wrong_labels, new_images):
                (within := Path(place) / scenario.__name__).mkdir()
                rows.append({"data": folder.name, "scenario": scenario.__name__.replace("_", " ")})
                rows[-1] |= scenario(folder, within, args)
                print(pd.Series(rows[-1]).to_string(), flush=True)
    about = {"minutes": args.minutes, "command": command(), "commit": commit()}
    write_table(args.output, pd.DataFrame(rows).assign(**about, machine=machine()), float_format="%.4g")


def wrong_labels(folder: Path, place: Path, args: argparse.Namespace) -> dict:
    """Return what one circle on own images with wrong labels finds and costs."""
    catalog, truth = read(folder)
    rng, names = np.random.default_rng(0), np.unique(truth)
    wrong = rng.choice(len(truth), round(args.wrong * len(truth)), replace=False)
    shifted = (np.searchsorted(names, truth.iloc[wrong]) + rng.integers(1, len(names), len(wrong))) % len(names)
    given = truth.copy()
    given.iloc[wrong] = names[shifted]
    catalog["class_name"] = catalog["image_id"].map(given).fillna("")
    result, review = circle(catalog, None, truth, place, args)
    shown = [given[each["image_id"]] != truth[each["image_id"]] for each in (review.items, review.answered())]
    total, found = (int(each.sum()) for each in shown)
    return {"wrong": total, "found": found, "by_chance": round(total * len(shown[1]) / len(shown[0]), 1), **result}


def new_images(folder: Path, place: Path, args: argparse.Namespace) -> dict:
    """Return what one circle on a folder of new images costs and gains."""
    catalog, truth = read(folder)
    split_by = "published" if catalog["split"].any() else "grouped"
    rows = usable(mcv.split_catalog(catalog, split_by, pairs=mcv.find_pairs(catalog)))
    train = rows[rows["split"] == "train"].sample(frac=1, random_state=0)
    is_new = rows["image_id"].isin(train[train.groupby("class_name").cumcount() >= KNOWN_A_CLASS]["image_id"])
    (photos := place / "new").mkdir()
    for row in rows[is_new].itertuples():
        (photos / row.image_id.replace("/", "_")).symlink_to(row.path)
    truth = pd.concat([truth, truth.set_axis(truth.index.str.replace("/", "_"))])
    return circle(rows[~is_new], photos, truth[~truth.index.duplicated()], place, args)[0]


def read(folder: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Return the catalog of a data set and its labels by image."""
    catalog = mcv.read_catalog(mcv.find_data(data_dir=folder, log=None), log=None)
    return catalog, usable(catalog).set_index("image_id")["class_name"]


def circle(
    catalog: pd.DataFrame, images: Path | None, truth: pd.Series, place: Path, args: argparse.Namespace
) -> tuple[dict, mcv.ReviewFolder]:
    """Train, review, train again; return scores by the true labels, seconds and the proof, and the review."""
    clock, seconds = time.perf_counter(), {}

    def lap(name: str) -> None:
        nonlocal clock
        seconds[f"{name}_s"], clock = round(time.perf_counter() - clock, 1), time.perf_counter()

    split = {} if catalog["split"].any() else {"split_by": "grouped"}
    before = mcv.train(catalog, folder=place / "before", minutes=args.minutes, backbone="mobilenet", **split)
    lap("train")
    review = mcv.review(before, images, folder=place / "review", page=False)
    lap("review")
    shown = review.items.head(args.reviewed)
    shown[["image_id"]].assign(class_name=shown["image_id"].map(truth)).to_csv(place / "answers.csv", index=False)
    review.take(place / "answers.csv")
    clock = time.perf_counter()
    after = mcv.train(corrections=review.corrections, folder=place / "after")
    lap("train_again")
    tables = []
    for run in (after, before):
        table = mcv.read_predictions(run.path("predictions.csv")).query("split == 'test'")
        tables.append(table.assign(true_class=table["image_id"].map(truth)))
    result = compare_runs(*tables, "test", groups=after.catalog.set_index("image_id")["group"])
    scores = {"n_test": result["n"], "accuracy_before": result["accuracy_b"], "accuracy_after": result["accuracy_a"]}
    about = {"images": len(review.items), "reviewed": len(shown), **scores, "p": result["p"], **seconds}
    return about | {"proof": after.correction_sentences[-1]}, review


if __name__ == "__main__":
    main()
