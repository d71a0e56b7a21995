"""The table of what was compared before a recipe was chosen: `choice.csv` of a run."""

from collections.abc import Sequence

import pandas as pd

from marinecv.files.csv_tables import read_number_table, write_table
from marinecv.runs import Run

CHOICE_COLUMNS = ["step", "network", "image_size", "pooling", "mirrored", "head_l2"]
CHOICE_COLUMNS += ["log_loss", "accuracy", "n", "judged_on", "seconds", "chosen"]
"""A candidate, its log loss in nats and accuracy on `n` images of `judged_on`, and whether it was chosen."""
NUMBERS = ("log_loss", "accuracy", "n")


def add_choices(run: Run, rows: Sequence[dict]) -> None:
    """Add rows to the table of a run, in place of those of the same steps."""
    table, new = read_choices(run), pd.DataFrame(rows)
    table = pd.concat([table[~table["step"].isin(new["step"])], new]).reindex(columns=CHOICE_COLUMNS)
    write_table(run.path("choice.csv"), table)


def read_choices(run: Run) -> pd.DataFrame:
    """Read the table of a run, empty where nothing was compared; ValueError where it is damaged."""
    path = run.path("choice.csv")
    if not path.is_file():
        return pd.DataFrame(columns=CHOICE_COLUMNS)
    with run.with_hint("choice.csv"):
        return read_number_table(path, CHOICE_COLUMNS, NUMBERS).astype({"n": int})
