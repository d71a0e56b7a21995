"""The page of a study: its runs side by side."""

import re
from pathlib import Path

import pandas as pd

from marinecv.atomic import write_text
from marinecv.choices import SCORED_SPLITS
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.figures import has_interval, interval_words
from marinecv.evaluation.folds import fold_metrics, fold_words
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.predictions import read_predictions
from marinecv.report.figures import comparison_curves
from marinecv.report.html import number_text, write_page
from marinecv.report.parts import by_split, matrix, shown
from marinecv.runs import Run
from marinecv.studies import FLATTERED, Study
from marinecv.tables import check_columns

_MARKUP = re.compile(r"[\\`*\[\]<>|]")


def write_study_report(study_folder: str | Path) -> Path:
    """Write `report.html`, `table.md` and `figures/*.png` of a study with a table; return the page."""
    study = Study(study_folder)
    folder, table, demonstration = study.folder, study.table, study.demonstration
    runs = {name: Run(study.cell_folder(name)) for name in table["name"]}
    predictions = {
        name: by_split(read_predictions(run.path("predictions.csv"), run.class_names))
        for name, run in runs.items()
        if not run.restores
    }
    histories = {name: _history(run) for name, run in runs.items() if run.path("history.csv").is_file()}
    figures = folder / "figures"
    page = write_page(
        folder / "report.html",
        "study.html",
        title=study.title,
        demonstration=demonstration,
        summary=_summary(table, runs, predictions, study.select_on),
        flattered=FLATTERED if study.select_on == "test" else "",
        rows=table.to_dict("records"),
        columns={column: column.replace("_", " ") for column in table.columns if column != "best"},
        curves=shown(comparison_curves(histories, demonstration), figures / "curves.png") if histories else None,
        matrices=[
            {
                "split": split,
                "cells": [
                    {
                        "name": name,
                        **matrix(tables[split], figures / f"confusion_{split}_{number}.png", False, demonstration),
                    }
                    for number, (name, tables) in enumerate(predictions.items(), start=1)
                    if split in tables
                ],
            }
            for split in SCORED_SPLITS
            if any(split in tables for tables in predictions.values())
        ],
    )
    write_text(folder / "table.md", _markdown(table))
    return page


def _history(run: Run) -> pd.DataFrame:
    """The history of a run, with what the curves show."""
    history = run.history
    with run.mending("history.csv"):
        check_columns(history, ["val_loss"] + ["val_accuracy"] * (not run.restores), run.path("history.csv"))
    return history


def _summary(
    table: pd.DataFrame, runs: dict[str, Run], predictions: dict[str, dict[str, pd.DataFrame]], split: str
) -> str:
    """All folds together; else which row is best on a split, and whether that can be told from the next."""
    if folds := fold_metrics(runs.values()):
        figures = {name: metrics["accuracy"] for name, metrics in folds.items()}
        parts = [
            f"{name}, {fold_words(runs.values())}: {figure['value']:.1%} of {figure['n']} images "
            f"({interval_words(figure, '.1%')}{_by_groups(figure)})"
            for name, figure in figures.items()
        ]
        return "; ".join(parts) + (
            ". Each image counts once, judged by a model that has not learned from it. Which epoch is kept goes by the "
            "same images, which flatters a little."
        )
    if not predictions:
        return "Mean squared errors, each in the range of its network: only those of one range and size compare."
    judged = {name: tables[split] for name, tables in predictions.items() if split in tables}
    best = next((name for name in table["name"][table["best"].eq(True)] if name in judged), None)
    if best is None:
        return f"No row is marked as best on {split}."
    sentence = f"{best} is best on {split}: {_accuracy(judged[best]):.1%} of {len(judged[best])} images."
    if split == "test":
        sentence += f" It was {FLATTERED}."
    others = sorted((name for name in judged if name != best), key=lambda name: -_accuracy(judged[name]))
    if not others:
        return sentence
    second = others[0]
    if set(judged[second]["image_id"]) != set(judged[best]["image_id"]):
        return f"{sentence} The next, {second}, was judged on other images, so the two are not compared."
    both = [runs[name] for name in (best, second) if runs[name].path("catalog.csv").is_file()]
    groups = common_groups([run.catalog for run in both], judged[best]["image_id"]) if len(both) == 2 else None
    comparison = compare_runs(judged[best], judged[second], split, groups=groups)
    return f"{sentence} Against the next, {second}: {comparison['sentence']}."


def _by_groups(figure: dict) -> str:
    """How the interval was come by, where images were not resampled one by one."""
    return f", {figure['method']}" if "groups" in figure and has_interval(figure) else ""


def _accuracy(table: pd.DataFrame) -> float:
    return (table["true_class"] == table["predicted_class"]).mean()


def _markdown(table: pd.DataFrame) -> str:
    """The comparison as a Markdown table, the best row in bold."""
    columns = [column for column in table.columns if column != "best"]
    lines = [[_plain(column) for column in columns], ["---"] * len(columns)]
    for row in table.to_dict("records"):
        mark = "**" if row["best"] is True else ""
        cells = [_plain(number_text(row[column])) for column in columns]
        lines.append([f"{mark}{cell}{mark}" if cell else "" for cell in cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in one cell of a table."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
