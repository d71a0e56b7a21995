"""The page of a search: its trials, the best of them, and what mattered."""

from pathlib import Path

from marinecv.evaluation.figures import interval_words
from marinecv.report.html import write_page
from marinecv.report.parts import shown
from marinecv.report.search_figures import importance_figure, parallel_figure, trials_figure
from marinecv.runs import Run
from marinecv.search.folder import Search
from marinecv.search.importance import FEWEST, ROUGH_BELOW, importance
from marinecv.search.space import Parameter

FIRST = {"number": "trial", "status": "status", "value": "accuracy", "loss": "loss"}
LAST = {"best_epoch": "best epoch", "epochs": "epochs", "seconds": "seconds"}


def write_search_report(search_folder: str | Path) -> Path:
    """Write `report.html` and `figures/*.png` of a search, finished or not; return the page."""
    search = Search(search_folder)
    table, best, demonstration = search.table(), search.best, search.base.demonstration
    figures, number = search.folder / "figures", best.number if best else None
    space = search.space[::-1]  # what matters most stands last in it, for the sake of grids, and first on a page
    names = {parameter.name: parameter.name.replace("_", " ") for parameter in space}
    drawn = dict.fromkeys(("history", "parallel", "importances"))
    mattered = importance(search)
    if best:
        drawn["history"] = shown(trials_figure(table, number, demonstration), figures / "trials.png")
        lines = parallel_figure(table, space, number, demonstration)
        drawn["parallel"] = shown(lines, figures / "parallel.png")
    if mattered is not None:
        drawn["importances"] = shown(importance_figure(mattered, demonstration), figures / "importance.png")
    done = int((table["status"] == "done").sum()) if len(table) else 0
    return write_page(
        search.folder / "report.html",
        "search.html",
        title=f"Search: {search.base.read('recipe.json')['title']}",
        demonstration=demonstration,
        summary=search_summary(search),
        rows=[
            {name: float("nan") if value is None else value for name, value in row.items()}  # an empty cell
            | {"best": row["number"] == number, "seconds": round(row["seconds"])}
            for row in table.to_dict("records")
        ],
        columns=FIRST | names | LAST,
        reasons=[row for row in table.to_dict("records") if row["reason"]],
        best_page="best/report.html" if (search.folder / "best" / "report.html").is_file() else None,
        space=[(names[parameter.name], _said(parameter, search.algorithm)) for parameter in space],
        done=done,
        fewest=FEWEST,
        is_rough=done < ROUGH_BELOW,
        **drawn,
    )


def search_summary(search: Search) -> str:
    """Say how far the search is, what is best, and how the winner scored."""
    trials = search.trials
    counts = {status: sum(trial.status == status for trial in trials) for status in ("done", "pruned", "failed")}
    counted = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none is over yet"
    said = [f"{len(trials)} of at most {search.count} trials by {search.algorithm} ({search.engine}): {counted}."]
    best, winner = search.best, search.folder / "best"
    if best is None:
        return f"{said[0]} There is no best one yet."
    said.append(f"Best is trial {best.number} with validation accuracy {best.value:.3f} in epoch {best.best_epoch}.")
    if (winner / "metrics.json").is_file():
        figure = Run(winner).metrics["validation"]["accuracy"]
        said.append(
            f"Trained again and scored from its predictions: {figure['value']:.3f} "
            f"({interval_words(figure)}, n={figure['n']})."
        )
    return " ".join(said)


def _said(parameter: Parameter, algorithm: str) -> str:
    """What a parameter may be, in words."""
    choices = (parameter.grid if algorithm == "grid" else ()) or parameter.choices
    if choices:
        said = ", ".join(map(str, choices))
    else:
        said = f"{parameter.low:g} to {parameter.high:g}{', logarithmic' if parameter.log else ''}"
    return f"{said} (where {parameter.needs[0]} is {parameter.needs[1]})" if parameter.needs else said
