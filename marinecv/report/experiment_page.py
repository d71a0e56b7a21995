"""Page of an experiment: its runs side by side."""

from pathlib import Path
from urllib.parse import quote

import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.evaluation.cameras import camera_sentence
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.estimates import few_groups_note, has_interval, interval_text
from marinecv.evaluation.folds import fold_cameras, fold_metrics, fold_words
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.intervals import RESAMPLES
from marinecv.evaluation.metrics import confusion
from marinecv.experiments import CHOSEN_ON_TEST, Experiment
from marinecv.files.csv_tables import check_columns
from marinecv.language import tr
from marinecv.report.figures import comparison_curves
from marinecv.report.html import flatten_settings, labeled_predictions, save_and_embed, write_page
from marinecv.runs import Run

NO_SETTINGS = ("name", "title", "published", "base_hash", "claim", "assumptions")
"""Entries of a recipe that describe it."""


def write_experiment_report(experiment_folder: str | Path) -> Path:
    """Write `report.html` and `figures/*.png` of an experiment that has a table; return the page."""
    experiment = Experiment(experiment_folder)
    table, demonstration = experiment.table, experiment.demonstration
    runs = {name: Run(experiment.cell_folder(name)) for name in table["name"]}
    predictions = {name: labeled_predictions(run) for name, run in runs.items() if not run.is_autoencoder}
    missing, summary = len(experiment.cells) - len(table), _summary(table, runs, predictions, experiment.select_on)
    if missing:
        summary += " " + tr("{n} of {total} runs are not finished.", n=missing, total=len(experiment.cells))
    histories = {name: _history(run) for name, run in runs.items() if run.path("history.csv").is_file()}
    settings = _settings(runs)
    accuracies, drawn = [s for s in SCORED_SPLITS[::-1] if set(_accuracy_columns(s)) <= set(table)], None
    if histories:
        path = experiment.folder / "figures" / "curves.png"
        drawn = save_and_embed(comparison_curves(histories, demonstration), path)
    return write_page(
        experiment.folder / "report.html",
        "experiment.html",
        title=experiment.title,
        demonstration=demonstration,
        summary=summary,
        flattered=tr(CHOSEN_ON_TEST) if experiment.select_on == "test" else "",
        rows=table.to_dict("records"),
        links={name: _link(experiment, name) for name in table["name"]},
        accuracies=accuracies,
        columns=_differing(table, accuracies),
        settings=settings.to_dict("records"),
        settings_columns={"run": tr("run")} | {column: column for column in settings if column != "run"},
        curves=drawn,
        matrices={
            split: {name: confusion(tables[split]) for name, tables in predictions.items() if split in tables}
            for split in SCORED_SPLITS
        },
    )


def _link(experiment: Experiment, name: str) -> str:
    """Return the address of a run's page from that of the experiment; empty where it has none."""
    has_page = (experiment.cell_folder(name) / "report.html").is_file()
    return quote(f"{Path(experiment.cells[name]).as_posix()}/report.html") if has_page else ""


def _accuracy_columns(split: str) -> list[str]:
    return [f"{split}_{part}" for part in ("accuracy", "low", "high")]


def _differing(table: pd.DataFrame, drawn: list[str]) -> dict[str, str]:
    """Return the columns in which runs differ, and their headings, but for the accuracies of the splits `drawn`."""
    table = table.drop(columns=["name", "best", *(column for split in drawn for column in _accuracy_columns(split))])
    kept = [column for column in table if len(table) == 1 or table[column].nunique(dropna=False) > 1]
    return {column: tr(column.replace("_", " ")) for column in kept}


def _settings(runs: dict[str, Run]) -> pd.DataFrame:
    """Return the settings in which the recipes of the runs differ, one row a run; empty where none does."""
    recipes = ({**run.read("recipe.json"), **dict.fromkeys(NO_SETTINGS)} for run in runs.values())
    table = pd.DataFrame([dict(flatten_settings(recipe)) for recipe in recipes]).fillna("")
    table = table.loc[:, table.nunique() > 1]
    return table.assign(run=list(runs)) if len(table.columns) else pd.DataFrame()


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
            tr(
                "{name}, {folds}: {value:.1%} of {n} images ({interval}{method})",
                name=name,
                folds=fold_words(runs.values()),
                value=metrics["accuracy"]["value"],
                n=metrics["accuracy"]["n"],
                interval=interval_text(metrics["accuracy"], ".1%"),
                method=_method(metrics["accuracy"]),
            )
            for name, metrics in folds.items()
        ]
        once = tr(
            "Each image counts once, predicted by a model that was not trained on it. The best epoch is chosen on the "
            "same images, which makes the estimate slightly optimistic."
        )
        cameras = map(camera_sentence, fold_cameras(runs.values()).values())
        return " ".join([f"{'; '.join(parts)}.", once, *cameras])
    if not predictions:
        return tr(
            "Mean squared errors, each in the output range of its model: compare only those of one range and size."
        )
    judged = {name: tables[split] for name, tables in predictions.items() if split in tables}
    best = next((name for name in table["name"][table["best"].eq(True)] if name in judged), None)
    if best is None:
        return tr("No run is marked as best on {split}.", split=tr(split))
    text, value = "{name} is best on {split}: {value:.1%} of {n} images.", _accuracy(judged[best])
    sentence = tr(text, name=best, split=tr(split), value=value, n=len(judged[best]))
    if split == "test":
        sentence += " " + tr("It was {how}.", how=tr(CHOSEN_ON_TEST))
    others = [name for name in judged if name != best]
    if not others:
        return sentence
    second = max(others, key=lambda name: _accuracy(judged[name]))
    if set(judged[second]["image_id"]) != set(judged[best]["image_id"]):
        text = "The next, {name}, was evaluated on other images, so the two are not compared."
        return f"{sentence} {tr(text, name=second)}"
    both = [runs[name] for name in (best, second) if runs[name].path("catalog.csv").is_file()]
    groups = common_groups([run.catalog for run in both], judged[best]["image_id"]) if len(both) == 2 else None
    comparison = compare_runs(judged[best], judged[second], split, groups=groups)
    return f"{sentence} {tr('Against the next, {name}: {result}.', name=second, result=comparison['sentence'])}"


def _method(figure: dict) -> str:
    """Return the method of an interval that is not by image."""
    if "groups" not in figure or not has_interval(figure):
        return ""
    few = few_groups_note(figure) and tr("; few groups ({n}), the interval may be too narrow", n=figure["groups"])
    return ", " + tr("bootstrap over groups of related images, {n} resamples", n=RESAMPLES) + few


def _accuracy(table: pd.DataFrame) -> float:
    return (table["true_class"] == table["predicted_class"]).mean()
