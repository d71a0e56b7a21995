"""Page of an experiment: its runs side by side."""

from pathlib import Path

import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.evaluation.cameras import camera_sentence
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.estimates import has_interval, interval_text
from marinecv.evaluation.folds import fold_cameras, fold_metrics, fold_words
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.metrics import confusion
from marinecv.evaluation.predictions import read_predictions
from marinecv.experiments import CHOSEN_ON_TEST, Experiment
from marinecv.files.csv_tables import check_columns
from marinecv.report.figures import comparison_curves
from marinecv.report.html import by_split, save_and_embed, write_page
from marinecv.runs import Run


def write_experiment_report(experiment_folder: str | Path) -> Path:
    """Write `report.html` and `figures/*.png` of an experiment that has a table; return the page."""
    experiment = Experiment(experiment_folder)
    table, demonstration = experiment.table, experiment.demonstration
    runs = {name: Run(experiment.cell_folder(name)) for name in table["name"]}
    predictions = {
        name: by_split(read_predictions(run.path("predictions.csv"), run.class_names))
        for name, run in runs.items()
        if not run.is_autoencoder
    }
    histories = {name: _history(run) for name, run in runs.items() if run.path("history.csv").is_file()}
    rows, drawn = _with_intervals(table), None
    if histories:
        drawn = save_and_embed(
            comparison_curves(histories, demonstration), experiment.folder / "figures" / "curves.png"
        )
    return write_page(
        experiment.folder / "report.html",
        "experiment.html",
        title=experiment.title,
        demonstration=demonstration,
        summary=_summary(table, runs, predictions, experiment.select_on),
        flattered=CHOSEN_ON_TEST if experiment.select_on == "test" else "",
        rows=rows.to_dict("records"),
        columns={column: column.replace("_", " ") for column in rows if column != "best"},
        curves=drawn,
        matrices={
            split: {name: confusion(tables[split]) for name, tables in predictions.items() if split in tables}
            for split in SCORED_SPLITS
        },
    )


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of an experiment with each accuracy and its 95% interval in one column."""
    for split in SCORED_SPLITS:
        names = [f"{split}_{part}" for part in ("accuracy", "low", "high")]
        if set(names) <= set(table):
            texts = [f"{value:.3f} ({low:.3f}\u00a0to\u00a0{high:.3f})" for value, low, high in table[names].to_numpy()]
            texts = [text.removesuffix(" (nan\u00a0to\u00a0nan)").replace("nan", "") for text in texts]
            table = table.assign(**{names[0]: texts}).drop(columns=names[1:])
            table = table.rename(columns={names[0]: f"{split} accuracy (95% CI)"})
    return table


def _history(run: Run) -> pd.DataFrame:
    """Return the history of a run; ValueError if it lacks the columns of the curves."""
    history = run.history
    with run.with_hint("history.csv"):
        check_columns(history, ["val_loss"] + ["val_accuracy"] * (not run.is_autoencoder), run.path("history.csv"))
    return history


def _summary(table: pd.DataFrame, runs: dict[str, Run], predictions: dict[str, dict], split: str) -> str:
    """Return the cross-validated accuracy of folds; else the best run on a split and its comparison with the next."""
    if folds := fold_metrics(runs.values()):
        parts = [
            f"{name}, {fold_words(runs.values())}: {metrics['accuracy']['value']:.1%} of {metrics['accuracy']['n']} "
            f"images ({interval_text(metrics['accuracy'], '.1%')}{_method(metrics['accuracy'])})"
            for name, metrics in folds.items()
        ]
        return "; ".join(parts) + (
            ". Each image counts once, predicted by a model that was not trained on it. The best epoch is chosen on "
            "the same images, which makes the estimate slightly optimistic."
            + "".join(f" {camera_sentence(table)}" for table in fold_cameras(runs.values()).values())
        )
    if not predictions:
        return "Mean squared errors, each in the output range of its model: compare only those of one range and size."
    judged = {name: tables[split] for name, tables in predictions.items() if split in tables}
    best = next((name for name in table["name"][table["best"].eq(True)] if name in judged), None)
    if best is None:
        return f"No run is marked as best on {split}."
    sentence = f"{best} is best on {split}: {_accuracy(judged[best]):.1%} of {len(judged[best])} images."
    if split == "test":
        sentence += f" It was {CHOSEN_ON_TEST}."
    others = sorted((name for name in judged if name != best), key=lambda name: -_accuracy(judged[name]))
    if not others:
        return sentence
    second = others[0]
    if set(judged[second]["image_id"]) != set(judged[best]["image_id"]):
        return f"{sentence} The next, {second}, was evaluated on other images, so the two are not compared."
    both = [runs[name] for name in (best, second) if runs[name].path("catalog.csv").is_file()]
    groups = common_groups([run.catalog for run in both], judged[best]["image_id"]) if len(both) == 2 else None
    comparison = compare_runs(judged[best], judged[second], split, groups=groups)
    return f"{sentence} Against the next, {second}: {comparison['sentence']}."


def _method(figure: dict) -> str:
    """Return the method of an interval that is not by image."""
    return f", {figure['method']}" if "groups" in figure and has_interval(figure) else ""


def _accuracy(table: pd.DataFrame) -> float:
    return (table["true_class"] == table["predicted_class"]).mean()
