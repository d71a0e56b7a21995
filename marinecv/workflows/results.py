"""The tables of a reproduction and of a learning curve: published figures beside ours, and what labels are worth."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log
from marinecv.data.user_tables import usable
from marinecv.evaluation.figures import interval_words
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.learning_curve import curve_table, line_differences
from marinecv.evaluation.photographs import SHARES, next_class, photographs_needed
from marinecv.evaluation.predictions import read_predictions
from marinecv.evaluation.restoration import ERRORS
from marinecv.evaluation.verdicts import attainable, verdict
from marinecv.inputs.synthesise import PREFIX
from marinecv.recipes.butterflies import PUBLISHED_METRICS
from marinecv.report.curve_page import write_curve_report
from marinecv.runs import Run
from marinecv.schema import convert, read_json
from marinecv.studies import CURVE, Study
from marinecv.tables import read_table, write_table
from marinecv.training.recipe import Recipe
from marinecv.workflows.train_runs import own_words

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
    """One row a recipe, split and metric: the mean over seeds, never pooled into a larger n, and their range."""
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


def write_curve(study: Study, log: Log) -> Path:
    """Write the tables and the page of a curve, and say what they come to; return the page."""
    runs = {cell: run for cell, run in study.finished_runs.items() if not run.restores}
    if not runs:
        raise ValueError(f"No classifier of {study.folder} is finished. Go on with --resume {study.folder}.")
    recipes = {cell: Recipe.of(run) for cell, run in runs.items()}
    told = [told_by(run, recipes[cell]) for cell, run in runs.items()]
    cells, counts = (pd.concat(parts, ignore_index=True) for parts in zip(*told, strict=True))
    splits = [split for split in SCORED_SPLITS if split in set(cells["split"])]
    catalogs, curve, differences = [run.catalog for run in runs.values()], {}, {}
    first, *others = dict.fromkeys(cells["line"])
    for split in splits:
        groups = common_groups(catalogs, cells["image_id"][cells["split"] == split].drop_duplicates())
        curve[split] = curve_table(cells, split, groups=groups)
        if others:
            differences[split] = line_differences(cells, first, split, groups=groups)
    goal = convert(read_json(study.folder / CURVE).get("goal"), float | None, f"The goal of {study.folder / CURVE}")
    needed = {
        line: photographs_needed(cells, counts[counts["line"] == line], line, goal)
        for line, part in cells.groupby("line", sort=False)
        if part["images"].nunique() >= SHARES
    }
    tables = {"curve": (curve, "split"), "differences": (differences, "split"), "photographs": (needed, "line")}
    for name, (parts, column) in tables.items():
        if parts:
            table = pd.concat([part.assign(**{column: key}) for key, part in parts.items()])
            write_table(study.folder / f"{name}.csv", table, float_format="%.6f")
    write_table(study.folder / "results.csv", results_of(runs, recipes))
    for sentence in sentences(curve["validation"], needed):
        log(f"  {sentence}")
    published = pd.DataFrame(published_rows(recipes.values()))
    return write_curve_report(
        study.folder, study.title, curve, differences, needed, published, demonstration=study.demonstration
    )


def sentences(table: pd.DataFrame, needed: dict[str, pd.DataFrame]) -> Iterator[str]:
    """What each line reaches with the most labels, and what more of them would bring."""
    for line, part in table[table["metric"] == "accuracy"].groupby("line", sort=False):
        most = part.iloc[-1]
        reached = f"{most['value']:.3f} ({interval_words(most)}, n={most['n']})"
        yield f"{line}: validation accuracy {reached} with {most['images']:.0f} labels"
    for line, laws in needed.items():
        law = laws.iloc[0]
        if law["said"]:
            yield f"{line}: how many more photographs cannot be told: {law['said']}"
        elif not law["more"]:
            yield f"{line}: the goal, an error of {law['goal']:.3f}, is reached"
        else:
            bounds = f"{law['low']:,.0f} to {law['high']:,.0f} in all"
            yield f"{line}: an error of {law['goal']:.3f} takes about {law['more']:,.0f} more photographs ({bounds})"
        if name := next_class(laws):
            yield f"{line}: the class to photograph next is {name}"


def told_by(run: Run, recipe: Recipe) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a cell predicts, and how many photographs of each class it had a label of."""
    train = usable(run.catalog).query("split == 'train'")
    train = train[~train["image_id"].isin(own_words(run)) & ~train["image_id"].str.startswith(f"{PREFIX}/")]
    cell = {"line": recipe.name, "labelled": recipe.data.labelled, "images": len(train), "seed": recipe.training.seed}
    predictions = read_predictions(run.path("predictions.csv"), run.class_names)
    counts = train["class_name"].value_counts().rename_axis("class_name").reset_index(name="images")
    beside = {name: value for name, value in cell.items() if name != "images"}
    return pd.concat([pd.DataFrame(cell, index=predictions.index), predictions], axis=1), counts.assign(**beside)


def published_rows(recipes: Iterable[Recipe]) -> Iterator[dict]:
    """A row a published figure: line, share, split, metric, value and n."""
    for recipe in {(recipe.name, recipe.data.labelled): recipe for recipe in recipes}.values():
        for split, figures in recipe.published.items():
            for metric in PUBLISHED_METRICS:
                if metric in figures:
                    row = {"line": recipe.name, "labelled": recipe.data.labelled, "split": split, "metric": metric}
                    yield row | {"value": figures[metric], "n": figures["n"]}


def results_of(runs: dict[str, Run], recipes: dict[str, Recipe]) -> pd.DataFrame:
    """A row a cell, split and metric, and one of all seeds, as `results/*.csv` has them."""
    parts = []
    for key in dict.fromkeys((recipe.name, recipe.data.labelled) for recipe in recipes.values()):
        own = [cell for cell, recipe in recipes.items() if (recipe.name, recipe.data.labelled) == key]
        rows = [row for cell in own for row in seed_lines(recipes[cell], runs[cell], PUBLISHED_METRICS)]
        lines = pd.DataFrame(rows)
        both = pd.concat([lines.astype(object), all_seeds(lines, {key[0]: recipes[own[0]]}).astype(object)])
        parts.append(both.assign(labelled=key[1]))
    return pd.concat(parts)[[*COLUMNS, "labelled"]]
