"""`exports.csv`: the exports of a run beside its Keras model."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.export.parity import PARITY_FILE
from marinecv.files.csv_tables import parse_numbers, read_table, write_table
from marinecv.runs import Run
from marinecv.schema import read_json

ORIGINAL = "keras"
EXPORTS, EXPORTS_FILE = "exports", "exports.csv"
METRICS = ("accuracy", "agreement")
COLUMNS = [
    *("export", "bytes", "latency_ms", "threads", "accuracy_n"),
    *(f"{figure}_{part}" for figure in METRICS for part in ("value", "low", "high")),
    *("largest_difference", "problem"),
]


def export_folders(run: Run) -> list[Path]:
    """Return the folder of each export of a run, sorted by name."""
    return sorted(path for path in run.path(EXPORTS).glob("[!.]*") if path.is_dir())


def write_exports(run: Run, original: dict, latency_ms: dict[str, float], refused: Sequence[dict] = ()) -> None:
    """Write `exports/exports.csv`: `original`, the Keras model of a run, its exports, and those that were refused.

    `latency_ms` is by export, measured at once; a refused one has none, and its row stays until it is written.
    """
    rows = [{"export": ORIGINAL, **original}, *(read_json(folder / PARITY_FILE) for folder in export_folders(run))]
    table = pd.json_normalize([{"problem": "", **row} for row in (*rows, *refused)], sep="_")
    with suppress(ValueError):  # a broken table is written anew
        older = read_exports(run)
        table = table if older is None else pd.concat([table, older[older["problem"] != ""]], ignore_index=True)
    table = table.drop_duplicates("export").reindex(columns=COLUMNS)
    table["latency_ms"] = table["export"].map(latency_ms)
    write_table(run.path(EXPORTS, EXPORTS_FILE), table, float_format="%.9g")


def read_exports(run: Run) -> pd.DataFrame | None:
    """Read the table of `write_exports`: `COLUMNS`, NaN for what the Keras model or a refused export lacks, or None."""
    path = run.path(EXPORTS, EXPORTS_FILE)
    if not path.is_file():
        return None
    try:
        table = parse_numbers(read_table(path), COLUMNS[1:-1], path)
        fractions = table.filter(regex="^(accuracy|agreement)_(value|low|high)$").fillna(0)
        if not {"export", "problem"} <= {*table} or not (fractions.ge(0) & fractions.le(1)).all(axis=None):
            raise ValueError(
                f"{path} lacks the column 'export' or 'problem', or has a fraction that is not from 0 to 1."
            )
        return table[COLUMNS]
    except ValueError as error:
        raise ValueError(f"{error} Delete it; `export` writes it again.") from error


def exports_text(exports: pd.DataFrame) -> str:
    """Format the table of `read_exports` for a reader."""
    names = exports["export"] + exports["problem"].map({"": ""}).fillna(" (refused)")
    shown = pd.DataFrame(
        {"export": names, "MB": (exports["bytes"] / 1e6).round(2), "ms": exports["latency_ms"].round(1)}
    )
    for figure in METRICS:
        shown[figure] = [
            "-" if value != value else f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low == low else "")
            for value, low, high in exports[[f"{figure}_{part}" for part in ("value", "low", "high")]].to_numpy()
        ]
    shown["largest difference"] = exports["largest_difference"].map("{:.4f}".format, na_action="ignore").fillna("-")
    threads, n = exports.loc[0, ["threads", "accuracy_n"]].astype(int)
    few = np.isnan(exports["accuracy_low"][0])
    interval = "fewer than six groups of related images: no interval"
    interval = interval if few else "95% CI, over groups where images are related"
    return (
        f"{shown.to_string(index=False, na_rep='-')}\nms: median of one image on this processor, {threads} threads. "
        f"Accuracy and agreement with keras: n={n} validation images, {interval}."
    )
