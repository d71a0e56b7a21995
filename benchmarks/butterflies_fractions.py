"""Put the results of learning curves into results/butterflies_fractions.csv.

    python benchmarks/butterflies_fractions.py runs/curve-a runs/curve-b1      folders that `learning-curve` has made

Rows of other recipes stay; those of a recipe, label fraction and image size that a curve has are replaced.
"""

import argparse
from pathlib import Path

import pandas as pd

from marinecv.files.csv_tables import read_table, write_table

RESULTS = Path(__file__).resolve().parents[1] / "results" / "butterflies_fractions.csv"
KEY = ["recipe", "label_fraction", "image_size"]


def main() -> None:
    """Read the tables of the curves and write theirs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="+", type=Path, metavar="CURVE")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    new = pd.concat([read_table(folder / "results.csv") for folder in args.curves])
    before = read_table(args.output)
    is_replaced = pd.MultiIndex.from_frame(before[KEY]).isin(pd.MultiIndex.from_frame(new[KEY]))
    table = pd.concat([before[~is_replaced], new])
    write_table(args.output, table.sort_values("recipe", kind="stable", key=rank(list(before["recipe"].unique()))))
    print(f"{len(new)} rows of {', '.join(new['recipe'].unique())} in {args.output}")


def rank(names: list[str]):
    """Return a sort key that keeps the order of recipes, with new ones at the end."""
    return lambda column: column.map({name: number for number, name in enumerate(names)}).fillna(len(names))


if __name__ == "__main__":
    main()
