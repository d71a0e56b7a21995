"""Labels of a million random boxes: processor seconds of each rule beside a plain pandas groupby, measured in turns.

    python benchmarks/labels.py            also --boxes, --rounds

    pandas groupby    areas in float64, `groupby([image_id, class_name])` summed and counted, the largest score kept
    dominant ...      `dominant_class` by each rule; it also checks every row and gives the dominance
    grid a group      a grid of its own for each (image, class), filled box by box

The union is measured on 20,000 boxes too, in 10,000 images and in one. Images are 1000 pixels wide and high;
corners are random, whole pixels but for the last row, whose grid would take 1.6 GB and so is left out. `ratio` is the
median, within each round, of an answer's seconds by those of the first row of the same boxes. The table goes to
benchmarks/results/labels.csv.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine

from marinecv.choices import LABEL_RULES
from marinecv.data.boxes import CORNERS
from marinecv.data.labels import dominant_class
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "labels.csv"
CLASSES = np.array(["crab", "eel", "fish", "jellyfish", "penguin", "ray", "shark", "starfish"])
FEW = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rules = {f"dominant_class, {rule}": lambda boxes, rule=rule: dominant_class(boxes, rule) for rule in LABEL_RULES}
    union = {"dominant_class, union": rules["dominant_class, union"]}
    many, one = random_boxes(FEW, FEW // 2), random_boxes(FEW, 1)
    tables = [
        measure(random_boxes(args.boxes, args.boxes // 5), {"pandas groupby": by_pandas, **rules}, args.rounds),
        measure(many, {"grid a group": by_grids, **union}, args.rounds),
        measure(one, {"grid a group": by_grids, **union}, args.rounds),
        measure(random_boxes(FEW, 1, whole=False), union, args.rounds),
    ]
    table = pd.concat(tables, ignore_index=True).assign(machine=machine())
    print(table.drop(columns="machine").to_string(index=False))
    write_table(RESULTS, table)


def random_boxes(boxes: int, images: int, whole: bool = True) -> pd.DataFrame:
    """As many in so many images, of eight classes, or of one where there is one image."""
    rng = np.random.default_rng(0)
    low, side = rng.random((boxes, 2)) * 800, 1 + rng.random((boxes, 2)) * 199
    corners = np.hstack([low, low + side])
    table = pd.DataFrame(np.ceil(corners).astype(int) if whole else corners, columns=CORNERS)
    names = CLASSES[rng.integers(0, len(CLASSES) if images > 1 else 1, boxes)]
    return table.assign(image_id=[f"{image:06}.jpg" for image in rng.integers(0, images, boxes)], class_name=names)


def by_pandas(boxes: pd.DataFrame) -> pd.DataFrame:
    area = ((boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])).astype(float)
    sums = boxes.assign(area=area).groupby(["image_id", "class_name"])["area"].agg(["sum", "size"])
    ranked = (sums["sum"] * sums["size"]).rename("score").reset_index()
    ranked = ranked.sort_values(["image_id", "score", "class_name"], ascending=[True, False, True])
    return ranked.drop_duplicates("image_id")


def by_grids(boxes: pd.DataFrame) -> pd.Series:
    """The union's scores as they were computed before."""
    by_class = boxes.groupby(["image_id", "class_name"])
    return pd.Series({key: grid_area(rows) * len(rows) for key, rows in by_class})


def grid_area(boxes: pd.DataFrame) -> float:
    x, y = (np.unique(boxes[[f"{axis}min", f"{axis}max"]]) for axis in "xy")
    covered = np.zeros((len(y) - 1, len(x) - 1), dtype=bool)
    for box in boxes.itertuples():
        rows = slice(*np.searchsorted(y, (box.ymin, box.ymax)))
        covered[rows, slice(*np.searchsorted(x, (box.xmin, box.xmax)))] = True
    return float((np.outer(np.diff(y), np.diff(x)) * covered).sum())


def measure(boxes: pd.DataFrame, ways: dict[str, Callable], rounds: int) -> pd.DataFrame:
    """A row a way; all of them in each round, one after the other."""
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, label in ways.items():
            start = time.process_time()
            label(boxes)
            seconds[name].append(time.process_time() - start)
    first = next(iter(seconds.values()))
    about = {"boxes": len(boxes), "images": boxes["image_id"].nunique()}
    about["corners"] = "whole" if boxes["xmin"].dtype.kind == "i" else "fractions"
    rows = [
        {
            **about,
            "labels": name,
            "seconds": f"{statistics.median(taken):.3f}",
            "ratio": f"{statistics.median(one / other for one, other in zip(taken, first, strict=True)):.3f}",
        }
        for name, taken in seconds.items()
    ]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
