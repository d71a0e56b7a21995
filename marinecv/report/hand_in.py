"""What is handed in of a run or an experiment: tables, vector figures and a paragraph on the methods."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from marinecv.choices import SCORED_SPLITS
from marinecv.data.writers.xlsx import check_xlsx, write_sheets
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.metrics import confusion, per_class_metrics
from marinecv.experiments import Experiment
from marinecv.files.atomic import write_text
from marinecv.language import local_number, tr
from marinecv.report.figures import comparison_curves, confusion_figure, curves, reliability_figure, save_vector
from marinecv.report.html import labeled_predictions
from marinecv.report.latex import WIDEST, document, escape_latex, preamble, table_latex
from marinecv.report.methods import experiment_methods, run_methods
from marinecv.report.run_page import METRIC_NAMES, calibration_of, leakage_of, published_rows, title_of, valid_recipe
from marinecv.runs import Run

FOLDER = "hand_in"
NAMES = METRIC_NAMES | {
    "mse": "Mean squared error",
    "mse_of_input": "Mean squared error of the network input",
    "mse_of_mean": "Mean squared error of the mean train image",
}


@dataclass
class Table:
    """Rows of numbers: the column `key` is called `titles[key]` and may have a 95% interval `key_low`, `key_high`."""

    caption: str
    rows: pd.DataFrame
    titles: Mapping[str, str]
    digits: int = 3

    def numbers(self) -> pd.DataFrame:
        """Return the table with the bounds in columns of their own."""
        columns = {}
        for key, title in self.titles.items():
            columns[key] = title
            if f"{key}_low" in self.rows:
                columns[f"{key}_low"] = tr("{name}, 95% low", name=title)
                columns[f"{key}_high"] = tr("{name}, 95% high", name=title)
        return self.rows[list(columns)].set_axis(list(columns.values()), axis=1)

    def texts(self) -> pd.DataFrame:
        """Return the table as text in the language of the block, each number with its interval."""
        texts = self.rows[list(self.titles)].astype(object).map(self._text)
        for key in (key for key in self.titles if f"{key}_low" in self.rows):
            columns = texts[key], self.rows[f"{key}_low"], self.rows[f"{key}_high"]
            texts[key] = [text and f"{text} {self._interval(*ends)}" for text, *ends in zip(*columns, strict=True)]
        return texts.set_axis(list(self.titles.values()), axis=1)

    def _text(self, value: object) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return ""
        return local_number(f"{value:,}" if isinstance(value, Integral) else f"{value:.{self.digits}f}")

    def _interval(self, low: float | None, high: float | None) -> str:
        if pd.isna(low):
            return tr("[no interval]")
        return tr("[{low:.{digits}f}, {high:.{digits}f}]", low=low, high=high, digits=self.digits)


def write_hand_in(work: Run | Experiment, formats: Iterable[str]) -> Path:
    """Write tables, figures and methods into the folder `hand_in` of a finished run or experiment; return the folder.

    `formats` has `"latex"`, `"xlsx"` or both. All words are in the language of the block.
    """
    if "xlsx" in formats:
        check_xlsx(1)
    if isinstance(work, Experiment):
        title, runs = work.title, work.finished_runs
        tables, figures = _experiment_tables(work, runs), _experiment_figures(work, runs)
        methods = [*experiment_methods(work, runs)]
    else:
        title, methods = title_of(work, valid_recipe(work)), [*run_methods(work)]
        predictions = {} if work.is_autoencoder else labeled_predictions(work)
        predictions.pop("train", None)  # what the model learned from
        tables, figures = _run_tables(work, predictions), _run_figures(work, predictions)
    folder = work.folder / FOLDER
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    captions = {}
    for name, caption, figure in figures:
        save_vector(figure, folder / "figures" / name)
        captions[name] = caption
    write_text(folder / "methods.txt", " ".join(methods) + "\n")
    if "latex" in formats:
        (folder / "tables").mkdir(exist_ok=True)
        texts = {name: table.texts() for name, table in tables.items() if len(table.titles) <= WIDEST}
        for name, text in texts.items():
            write_text(folder / "tables" / f"{name}.tex", table_latex(text, tables[name].caption, name))
        write_text(folder / "methods.tex", escape_latex(" ".join(methods)) + "\n")
        words = [title, *methods, *captions.values(), *(table.caption for table in tables.values())]
        words += [str(word) for text in texts.values() for word in (*text, *text.to_numpy().ravel())]
        write_text(folder / "preamble.tex", preamble(words))
        write_text(folder / "hand_in.tex", document(title, texts, captions))
    if "xlsx" in formats:
        about = pd.DataFrame({tr("sheet"): tables.keys(), tr("content"): [table.caption for table in tables.values()]})
        sheets = {name: table.numbers() for name, table in tables.items()}
        write_sheets(folder / "tables.xlsx", {tr("content"): about, **sheets})
    return folder


def _run_tables(run: Run, predictions: Mapping[str, pd.DataFrame]) -> dict[str, Table]:
    tables = {"metrics": metric_table(dict(reversed(run.metrics.items())))}  # test first
    for split, part in predictions.items():
        where, name = {"split": tr(split), "n": len(part)}, re.sub(r"\W", "_", split)
        tables[f"classes_{name}"] = class_table(split, part)
        counts = confusion(part)
        numbered = counts.set_axis(range(len(counts)), axis=1).reset_index(names="true")
        titles = {"true": tr("true class"), **dict(enumerate(counts.columns))}
        caption = tr("Confusion matrix, {split} (n = {n}): true classes in rows, predicted ones in columns.", **where)
        tables[f"confusion_{name}"] = Table(caption, numbered, titles)
    if (rows := leakage_of(run)) is not None:
        rows = rows[rows["metric"] == "accuracy"].rename(columns={"low": "value_low", "high": "value_high"})
        rows = rows.assign(**{name: list(map(tr, rows[name])) for name in ("subset", "split")})
        titles = {"subset": tr("images"), "split": tr("split"), "value": tr("accuracy"), "n": "n"}
        caption = tr("Leakage check: accuracy on all images and on those without a related image in train.")
        tables["leakage"] = Table(caption, rows, titles)
    return tables | _published_table({"": run})


def _experiment_tables(experiment: Experiment, runs: Mapping[str, Run]) -> dict[str, Table]:
    rows, metric = experiment.table, "mse" if any(run.is_autoencoder for run in runs.values()) else "accuracy"
    titles = {"name": tr("run")}
    for split in (split for split in SCORED_SPLITS if f"{split}_{metric}" in rows):
        rows = rows.rename(columns={f"{split}_{end}": f"{split}_{metric}_{end}" for end in ("low", "high")})
        rows[f"{split}_n"] = rows[f"{split}_n"].astype("Int64")
        name = tr("accuracy") if metric == "accuracy" else tr("mean squared error")
        titles |= {f"{split}_{metric}": f"{name}, {tr(split)}", f"{split}_n": "n"}
    titles |= {"epochs": tr("epochs"), "parameters": tr("parameters")}
    tables = {"runs": Table(tr("The runs of the experiment, with 95% intervals."), rows, titles)}
    if folds := fold_metrics(runs.values()):
        table, caption = metric_table(folds), tr("Cross-validated metrics of all folds, with 95% intervals.")
        tables["metrics"] = replace(table, caption=caption, titles={**table.titles, "split": tr("recipe")})
    return tables | _published_table(runs)


def class_table(split: str, predictions: pd.DataFrame) -> Table:
    """Return the metrics of each class, see `per_class_metrics`."""
    where = {"split": tr(split), "n": len(predictions)}
    caption = tr("Metrics of each class against the rest, {split} (n = {n}), with 95% intervals by image.", **where)
    titles = {"class_name": tr("class"), "precision": tr("precision"), "recall": tr("recall")}
    titles |= {"specificity": tr("specificity"), "f1": "F1", "support": "n"}
    return Table(caption, per_class_metrics(predictions), titles)


def metric_table(metrics: Mapping[str, dict]) -> Table:
    """Return the metrics of each split, see `classification_metrics`."""
    keys = {"value": "value", "low": "value_low", "high": "value_high", "n": "n"}
    rows = [
        {"split": tr(split), "metric": tr(NAMES[name]), **{keys[key]: figure[key] for key in keys}}
        for split, of in metrics.items()
        for name, figure in of.items()
        if name in NAMES
    ]
    titles = {"split": tr("split"), "metric": tr("metric"), "value": tr("value"), "n": "n"}
    digits = 4 if any("mse" in of for of in metrics.values()) else 3
    return Table(tr("Metrics by split, with 95% intervals."), pd.DataFrame(rows), titles, digits)


def _published_table(runs: Mapping[str, Run]) -> dict[str, Table]:
    rows = []
    for name, run in runs.items():
        rows += [{"run": name, **row} for row in published_rows(valid_recipe(run), run.metrics, run.demonstration)]
    if not rows:
        return {}
    titles = {"run": tr("run")} if len(runs) > 1 else {}
    titles |= {"split": tr("split"), "metric": tr("metric"), "published": tr("published"), "published_n": "n"}
    titles |= {"ours": tr("here"), "n": tr("n here"), "verdict": tr("comparison")}
    return {"published": Table(tr("Comparison with published metrics."), pd.DataFrame(rows), titles)}


def _run_figures(run: Run, predictions: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str, Figure]]:
    if run.path("history.csv").is_file() and len(run.history) > 1:
        yield "curves", tr("Training by epoch."), curves(run.history, run.timing.best_epoch, run.demonstration)
    for split, part in predictions.items():
        caption = tr("Confusion matrix, {split} (n = {n}).", split=tr(split), n=len(part))
        figure = confusion_figure(confusion(part), demonstration=run.demonstration)
        yield "confusion_" + re.sub(r"\W", "_", split), caption, figure
    if (calibration := calibration_of(run)) and not calibration.reason:
        before, after = calibration.reliability.before, calibration.reliability.after
        after = None if calibration.temperature == 1 else after
        caption = tr("Accuracy by confidence, n = {n}, with 95% intervals by image.", n=calibration.n_calibration)
        yield "reliability", caption, reliability_figure(before, after, run.demonstration)


def _experiment_figures(experiment: Experiment, runs: Mapping[str, Run]) -> Iterator[tuple[str, str, Figure]]:
    histories = {name: run.history for name, run in runs.items() if run.path("history.csv").is_file()}
    if histories:
        yield "curves", tr("Training by epoch, all runs."), comparison_curves(histories, experiment.demonstration)
