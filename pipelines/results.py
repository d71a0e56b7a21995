"""`results/*.csv`: published figures beside ours, a row a seed and one of all seeds."""

from pathlib import Path

import pandas as pd

from marinecv.checked import take
from marinecv.data.catalog import usable
from marinecv.evaluation.verdicts import attainable, verdict
from marinecv.runs import Run
from marinecv.studies import Study
from marinecv.tables import read_table, write_table
from marinecv.training.recipe import Recipe

METRICS = ("accuracy", "macro_f1")
COLUMNS = [
    *("recipe", "seed", "split", "metric", "published", "ours", "n", "low", "high", "verdict", "epochs", "image_size"),
    *("n_train", "command", "commit", "train_seconds", "device", "parameters", "latency_ms"),
]
KEYS = ["recipe", "split", "metric"]


def write_results(study: Study, families: dict, folder: Path) -> list[Path]:
    """Write `<report>_<family>.csv` of the finished runs of a study; rows of other recipes in the file are kept.

    Args:
        study: a run a recipe and seed.
        families: by name, modules with `RECIPES`.
        folder: where the files lie.
    Returns:
        The files written.
    """
    runs = [(Recipe.of(run), run) for run in study.finished_runs.values()]
    written = []
    for family, module in families.items():
        own = [(recipe, run) for recipe, run in runs if recipe.name.removesuffix("_untrained") in module.RECIPES]
        if not own:
            continue
        seeds = pd.DataFrame([line for recipe, run in own for line in seed_lines(recipe, run)])
        parts = [seeds, all_seeds(seeds, dict((recipe.name, recipe) for recipe, _ in own))]
        path = Path(folder) / f"{own[0][0].report}_{family}.csv"
        if path.is_file():
            before = read_table(path)
            parts.insert(0, before[~before["recipe"].isin(set(seeds["recipe"])) & (before["ours"] != "")])
        present = {name for part in parts for name in part["recipe"]}
        absent = [recipe for recipe in module.RECIPES.values() if recipe.name not in present]
        parts.append(pd.DataFrame(not_run(absent), columns=COLUMNS))
        table = pd.concat([part.astype(object) for part in parts])  # whole numbers stay whole beside empty cells
        place = {name: number for number, name in enumerate(module.RECIPES)}
        table = table.sort_values(
            "recipe", key=lambda name: name.str.removesuffix("_untrained").map(place), kind="stable"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table[COLUMNS])
        written.append(path)
    return written


def seed_lines(recipe: Recipe, run: Run) -> list[dict]:
    """A row a split and metric of one run, with the figure's own 95% interval."""
    metrics, timing, environment = run.metrics, run.timing, run.read("environment.json")
    with run.mending("environment.json"):
        command, commit = (
            take(environment, name, kind=str, what=run.path("environment.json")) for name in ("command", "commit")
        )
    cost = {
        "epochs": timing["epochs"],
        "image_size": recipe.image.height,
        "n_train": int((usable(run.catalog)["split"] == "train").sum()),
        "command": command,
        "commit": commit,
        "train_seconds": timing["train_seconds"],
        "device": timing["device"],
        "parameters": timing["parameters"],
        "latency_ms": timing["latency_ms_per_image"],
    }
    lines = []
    for split in ("validation", "test"):
        for name in METRICS if split in metrics else ():
            with run.mending("metrics.json"):
                figure = take(metrics, split, name, kind=dict, what=run.path("metrics.json"))
            key = {"recipe": recipe.name, "seed": str(recipe.training.seed), "split": split, "metric": name}
            figures = {"ours": figure["value"], "n": figure["n"], "low": figure["low"], "high": figure["high"]}
            lines.append({**key, **figures, **judged(recipe, split, name, figure["value"], figure["n"]), **cost})
    return lines


def all_seeds(lines: pd.DataFrame, recipes: dict[str, Recipe]) -> pd.DataFrame:
    """One row a recipe, split and metric: the mean over seeds, their range as low and high.

    Seeds are never pooled into a larger n.
    """
    rows = []
    for (name, split, metric), group in lines.groupby(KEYS, sort=False):
        ours, n = group["ours"].mean(), int(group["n"].iloc[0])
        spread = {"ours": ours, "low": group["ours"].min(), "high": group["ours"].max()}
        cost = {column: group[column].median() for column in ("epochs", "train_seconds", "latency_ms")}
        verdict_of_mean = judged(recipes[name], split, metric, ours, n)
        rows.append({**group.iloc[0], "seed": "all", **spread, **cost, **verdict_of_mean})
    return pd.DataFrame(rows)


def judged(recipe: Recipe, split: str, metric: str, ours: float, n: int) -> dict:
    """The published figure and the verdict; both empty where the report has none."""
    theirs = recipe.published.get(split, {})
    if metric not in theirs:
        return {"published": "", "verdict": "reduced budget" if recipe.budget else ""}
    word = "reduced budget" if recipe.budget else verdict(theirs[metric], theirs["n"], ours, n)["verdict"]
    return {"published": theirs[metric], "verdict": word}


def not_run(recipes: list[Recipe]) -> list[dict]:
    """A row a published figure of recipes that were not run; one that no k of n gives is called so all the same."""
    return [
        {"recipe": recipe.name, "split": split, "metric": "accuracy", "published": theirs["accuracy"]}
        | {"verdict": "not run here" if attainable(theirs["accuracy"], theirs["n"]) else "not attainable"}
        for recipe in recipes
        for split, theirs in recipe.published.items()
    ]
