"""Page of a hyperparameter search: its trials, the best one, and the importance of each hyperparameter."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from marinecv.evaluation.estimates import interval_text
from marinecv.language import local_number, recorded_text, tr
from marinecv.report.html import save_and_embed, write_page
from marinecv.report.style import ACCENT, COLORS, INK, TRAIN, new_figure, styled
from marinecv.runs import Run
from marinecv.search.folder import Search
from marinecv.search.importance import FEW_TRIALS, MIN_TRIALS, importance
from marinecv.search.space import Parameter

FIRST_COLUMNS = {"number": "trial", "status": "status", "value": "accuracy", "loss": "loss"}
LAST_COLUMNS = {"best_epoch": "best epoch", "epochs": "epochs", "seconds": "seconds"}
VALUE_LABEL = "validation accuracy"
DONE_COLOR = COLORS[0]


def write_search_report(search_folder: str | Path) -> Path:
    """Write `report.html` and `figures/*.png` of a search, finished or not; return the page."""
    search = Search(search_folder)
    table, best, demonstration = search.table(), search.best, search.base.demonstration
    figures, number = search.folder / "figures", best.number if best else None
    space = search.space[::-1]  # the most important parameters are last, for grid search
    names = {parameter.name: parameter.name.replace("_", " ") for parameter in space}
    drawn, importances = dict.fromkeys(("history", "slices")), importance(search)
    if best:
        drawn["history"] = save_and_embed(trials_figure(table, number, demonstration), figures / "trials.png")
        drawn["slices"] = save_and_embed(slice_figure(table, space, number, demonstration), figures / "slices.png")
    done = int((table["status"] == "done").sum())
    rows = [
        {name: float("nan") if value is None else value for name, value in row.items()}  # an empty cell
        | {"best": row["number"] == number, "seconds": round(row["seconds"])}
        | {"status": tr(row["status"]), "reason": recorded_text(row["reason"])}
        for row in table.to_dict("records")
    ]
    return write_page(
        search.folder / "report.html",
        "search.html",
        title=tr("Search: {title}", title=search.base.read("recipe.json")["title"]),
        demonstration=demonstration,
        summary=search_summary(search),
        rows=rows,
        columns={name: tr(text) for name, text in (FIRST_COLUMNS | names | LAST_COLUMNS).items()},
        reasons=[row for row in rows if row["reason"]],
        best_page="best/report.html" if (search.folder / "best" / "report.html").is_file() else None,
        space=[(tr(names[parameter.name]), _values_text(parameter, search.algorithm)) for parameter in space],
        importances=[] if importances is None else importances.to_dict("records"),
        done=done,
        fewest=MIN_TRIALS,
        is_rough=done < FEW_TRIALS,
        **drawn,
    )


def search_summary(search: Search) -> str:
    """Return the number of trials by status, the best trial and the score of the retrained winner."""
    trials = search.trials
    texts = {"done": "{n} done", "pruned": "{n} pruned", "failed": "{n} failed"}
    counts = {text: sum(trial.status == status for trial in trials) for status, text in texts.items()}
    counted = ", ".join(tr(text, n=count) for text, count in counts.items() if count)
    text = "{n} of at most {count} trials by {algorithm} ({engine}): {counted}."
    values = {"algorithm": search.algorithm, "engine": search.engine, "counted": counted or tr("none is finished yet")}
    summary = tr(text, n=len(trials), count=search.count, **values)
    best, winner = search.best, search.folder / "best"
    if best is None:
        return f"{summary} {tr('There is no best trial yet.')}"
    text = "Best is trial {number} with validation accuracy {value:.3f} in epoch {epoch}."
    summary += " " + tr(text, number=best.number, value=best.value, epoch=best.best_epoch)
    if (winner / "metrics.json").is_file():
        figure = Run(winner).metrics["validation"]["accuracy"]
        text = "Retrained, it has {value:.3f} ({interval}, n={n})."
        summary += " " + tr(text, value=figure["value"], interval=interval_text(figure), n=figure["n"])
    return summary


@styled
def trials_figure(trials: pd.DataFrame, best: int, demonstration: bool = False) -> Figure:
    """Draw the validation accuracy of the trials of `Search.table()` in order, and the best so far."""
    figure, axis = new_figure(6, 3.4, demonstration)
    done, pruned = trials[trials["status"] == "done"], trials[(trials["status"] == "pruned") & trials["value"].notna()]
    axis.scatter(done["number"], done["value"], s=22, color=DONE_COLOR, label=tr("done"), zorder=3)
    if len(pruned):
        axis.scatter(pruned["number"], pruned["value"], s=20, facecolors="none", edgecolors=TRAIN, label=tr("pruned"))
    best_so_far = done["value"].astype(float).cummax()
    axis.step(done["number"], best_so_far, where="post", color=INK, label=tr("best so far"), lw=1.2)
    row, label = done[done["number"] == best], tr("best: trial {best}", best=best)
    axis.scatter(row["number"], row["value"], s=90, facecolors="none", edgecolors=ACCENT, lw=1.8, label=label)
    axis.set_xlim(0.5, trials["number"].max() + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set(xlabel=tr("trial"), ylabel=tr(VALUE_LABEL))
    axis.grid(axis="y")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def slice_figure(trials: pd.DataFrame, space: Sequence[Parameter], best: int, demonstration: bool = False) -> Figure:
    """Draw validation accuracy by each hyperparameter, one panel each; a circle marks the best trial."""
    trials = trials[trials["value"].notna()]
    rows = -(-len(space) // 3)
    figure, axes = new_figure(8, 2.4 * rows, demonstration, rows, 3, sharey=True, squeeze=False)
    axes = axes.ravel()
    for axis, parameter in zip(axes, space, strict=False):
        used = trials[trials[parameter.name].notna()]
        values = used[parameter.name]
        if parameter.choices:
            values = values.map(parameter.choices.index)
            axis.set_xticks(range(len(parameter.choices)), list(map(str, parameter.choices)))
        axis.scatter(values, used["value"], s=18, color=DONE_COLOR, alpha=0.7)
        is_best = used["number"] == best
        axis.scatter(values[is_best], used["value"][is_best], s=90, facecolors="none", edgecolors=ACCENT, lw=1.8)
        if parameter.log:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(lambda value, _: local_number(f"{value:g}"))
            axis.minorticks_off()
        axis.set_title(tr(parameter.name.replace("_", " ")))
        axis.grid(axis="y")
    for axis in axes[len(space) :]:
        axis.axis("off")
    axes[0].set_ylabel(tr(VALUE_LABEL))
    return figure


def _values_text(parameter: Parameter, algorithm: str) -> str:
    """Return the values that a parameter can take."""
    choices = (parameter.grid if algorithm == "grid" else ()) or parameter.choices
    text = "{low:g} to {high:g}, logarithmic" if parameter.log else "{low:g} to {high:g}"
    values = ", ".join(map(str, choices)) if choices else tr(text, low=parameter.low, high=parameter.high)
    if not parameter.needs:
        return values
    name, value = parameter.needs
    return tr("{values} (where {name} is {value})", values=values, name=tr(name.replace("_", " ")), value=value)
