"""`results/*.csv`: published figures beside ours, a row a seed and one of all seeds, or one of all folds."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.data.user_tables import usable
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.restoration import ERRORS
from marinecv.evaluation.verdicts import attainable, verdict
from marinecv.runs import Run
from marinecv.schema import convert
from marinecv.studies import Study
from marinecv.tables import read_table, write_table
from marinecv.training.recipe import Recipe

METRICS = ("accuracy", "macro_f1")
ENOUGH_SEEDS = 3  # to call an order of two recipes by them
COLUMNS = [
    *("recipe", "seed", "split", "metric", "published", "ours", "n", "low", "high", "verdict", "epochs", "image_size"),
    *("n_train", "command", "commit", "train_seconds", "device", "parameters", "latency_ms"),
]
KEYS = ["recipe", "split", "metric"]
OWN_FOLDERS = ("--output-dir", "--results-dir")


def write_results(study: Study, families: dict[str, dict[str, Recipe]], folder: Path) -> list[Path]:
    """Write `<family>.csv` of the finished runs of a study, and return these files; other recipes in them are kept."""
    runs = [(Recipe.of(run), run) for run in study.finished_runs.values()]
    written = []
    for family, recipes in families.items():
        own = [(recipe, run) for recipe, run in runs if recipe.name.removesuffix("_untrained") in recipes]
        if not own:
            continue
        lines = pd.DataFrame(fold_lines(own) or [line for recipe, run in own for line in seed_lines(recipe, run)])
        parts = [lines]
        if not own[0][0].data.fold:
            parts.append(all_seeds(lines, {recipe.name: recipe for recipe, _ in own}))
        path = Path(folder) / f"{family}.csv"
        if path.is_file():
            before = read_table(path)
            again = before["recipe"].isin(set(lines["recipe"])) & (by_folds(before) == by_folds(lines).any())
            parts.insert(0, before[~again & (before["ours"] != "")])
        present = {name for part in parts for name in part["recipe"]}
        absent = [recipe for recipe in recipes.values() if recipe.name not in present]
        parts.append(pd.DataFrame(not_run(absent), columns=COLUMNS))
        table = pd.concat([part.astype(object) for part in parts])  # whole numbers stay whole beside empty cells
        place = {name: number for number, name in enumerate(recipes)}
        table = table.sort_values(
            "recipe", key=lambda name: name.str.removesuffix("_untrained").map(place), kind="stable"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table[COLUMNS])
        written.append(path)
    return written


def by_folds(table: pd.DataFrame) -> pd.Series:
    """Which rows stand on all folds of the images."""
    return table["seed"].str.endswith("folds")


def fold_lines(runs: list[tuple[Recipe, Run]]) -> list[dict]:
    """A row a metric of each recipe over its folds; nothing where the runs are no folds."""
    lines = []
    for name, metrics in fold_metrics(run for _, run in runs).items():
        own = [(recipe, run) for recipe, run in runs if recipe.name == name]
        costs = pd.DataFrame([line for recipe, run in own for line in seed_lines(recipe, run)])
        cost = {column: costs[column].median() for column in ("epochs", "train_seconds", "latency_ms", "n_train")}
        for metric in METRICS:
            key = {"recipe": name, "seed": f"{len(own)} folds", "split": "validation", "metric": metric}
            lines.append(
                {**costs.iloc[0], **key, **figures_of(own[0][0], "validation", metric, metrics[metric]), **cost}
            )
    return lines


def seed_lines(recipe: Recipe, run: Run, names: Sequence[str] = METRICS) -> list[dict]:
    """A row a split and metric of one run, with the figure's own 95% interval; of an autoencoder its errors."""
    metrics, timing, environment = run.metrics, run.timing, run.environment
    cost = {
        "epochs": timing.epochs,
        "image_size": recipe.image.height,
        "n_train": int((usable(run.catalog)["split"] == "train").sum()),
        "command": without_places(environment.command),
        "commit": environment.commit,
        "train_seconds": timing.train_seconds,
        "device": timing.device,
        "parameters": timing.parameters,
        "latency_ms": timing.latency_ms_per_image,
    }
    lines = []
    for split in SCORED_SPLITS:
        for name in () if split not in metrics else ERRORS if run.restores else names:
            with run.mending("metrics.json"):
                figure = convert(metrics[split].get(name), dict, f"'{split}.{name}' of {run.path('metrics.json')}")
            key = {"recipe": recipe.name, "seed": str(recipe.training.seed), "split": split, "metric": name}
            lines.append({**key, **figures_of(recipe, split, name, figure), **cost})
    return lines


def without_places(command: str) -> str:
    """The command without the folders it wrote to, which are one machine's own."""
    words = shlex.split(command)
    folders = {place + part for place, word in enumerate(words) if word in OWN_FOLDERS for part in (0, 1)}
    return shlex.join(word for place, word in enumerate(words) if place not in folders)


def all_seeds(lines: pd.DataFrame, recipes: dict[str, Recipe]) -> pd.DataFrame:
    """One row a recipe, split and metric: the mean over seeds, their range as low and high.

    Seeds are never pooled into a larger n.
    """
    rows = []
    for (name, split, metric), group in lines.groupby(KEYS, sort=False):
        ours, n = group["ours"].mean(), int(group["n"].iloc[0])
        figure = {"value": ours, "n": n, "low": group["ours"].min(), "high": group["ours"].max()}
        cost = {column: group[column].median() for column in ("epochs", "train_seconds", "latency_ms")}
        rows.append({**group.iloc[0], "seed": "all", **cost, **figures_of(recipes[name], split, metric, figure)})
    return pd.DataFrame(rows)


def figures_of(recipe: Recipe, split: str, metric: str, figure: dict) -> dict:
    """Our figure, the published one and the verdict; both empty where the report has none."""
    theirs, word = recipe.published.get(split, {}), "reduced budget" if recipe.budget else ""
    if not word and metric == "accuracy" and metric in theirs:  # the test is one of two accuracies
        word = verdict(theirs[metric], theirs["n"], figure["value"], figure["n"])["verdict"]
    ours = {"ours": figure["value"], "n": figure["n"], "low": figure["low"], "high": figure["high"]}
    return {"published": theirs.get(metric, ""), **ours, "verdict": word}


def not_run(recipes: list[Recipe]) -> list[dict]:
    """A row a published figure of recipes that were not run; one that no k of n gives is called so all the same."""
    return [
        {"recipe": recipe.name, "split": split, "metric": name, "published": theirs[name]}
        | {"verdict": "not run here" if name == "mse" or attainable(theirs[name], theirs["n"]) else "not attainable"}
        for recipe in recipes
        for split, theirs in recipe.published.items()
        for name in ("accuracy", "mse")
        if name in theirs
    ]


def order_sentences(path: Path, order: tuple[tuple[str, str], ...]) -> list[str]:
    """Whether the first of each two recipes is above the other, as their report says, seed by seed on validation."""
    lines = read_table(path).query("metric == 'accuracy' and split == 'validation' and seed.str.isdigit()")
    accuracies = lines.astype({"ours": float}).pivot(index="seed", columns="recipe", values="ours")
    sentences = []
    for better, worse in order:
        if {better, worse} <= set(accuracies):
            ahead = (accuracies[better] - accuracies[worse]).dropna()
            wins, word = int((ahead > 0).sum()), "undecided"
            if len(ahead) >= ENOUGH_SEEDS and wins in (0, len(ahead)):
                word = "holds" if wins else "does not hold"
            by = f"by {ahead.mean():+.3f} on average ({ahead.min():+.3f} to {ahead.max():+.3f})"
            sentences.append(f"{better} above {worse}: {word}; in {wins} of {len(ahead)} seeds, {by}")
    return sentences
