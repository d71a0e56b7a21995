"""Tables of a reproduction (published metrics beside ours) and of a learning curve."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log
from marinecv.data.user_tables import usable
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.learning_curve import curve_table, line_differences
from marinecv.evaluation.metrics import class_scores
from marinecv.evaluation.predictions import read_predictions
from marinecv.evaluation.published_comparison import attainable, compare_with_published
from marinecv.evaluation.reconstruction import ERRORS
from marinecv.evaluation.sample_size import MIN_TRAIN_SIZES, estimate_sample_size
from marinecv.evaluation.seeds import MIN_SEEDS, compare_seeds, interval_over_seeds, runs_by_recipe
from marinecv.experiments import CURVE, Experiment
from marinecv.files.csv_tables import read_table, write_table
from marinecv.inputs.synthesize import PREFIX
from marinecv.recipes.butterflies import PUBLISHED_METRICS
from marinecv.report.curve_page import sample_size_sentences, write_curve_report
from marinecv.runs import Run
from marinecv.schema import convert, read_json
from marinecv.training.recipe import Recipe
from marinecv.workflows.compare import predictions_of
from marinecv.workflows.train_runs import pseudo_labeled_ids

METRICS = ("accuracy", "macro_f1")
BEST_EPOCH = "best_epoch"  # of validation
COLUMNS = [
    *("recipe", "seed", "split", "metric", "published", "ours", "n", "low", "high", "verdict", "epochs", "image_size"),
    *("n_train", "command", "commit", "recipe_hash", "train_seconds", "device", "parameters", "latency_ms"),
]
COSTS = ("epochs", "train_seconds", "latency_ms")
OUTPUT_FLAGS = ("--output-dir", "--results-dir")
Runs = list[tuple[Recipe, Run]]


def write_results(experiment: Experiment, families: dict[str, dict[str, Recipe]], folder: Path) -> list[Path]:
    """Write `<family>.csv` of an experiment's finished runs; rows of other recipes in it stay. Return the files."""
    runs = [(Recipe.of(run), run) for run in experiment.finished_runs.values()]
    written = []
    for family, recipes in families.items():
        order = {name: number for number, name in enumerate(recipes)}
        family_runs = [(recipe, run) for recipe, run in runs if recipe.name.removesuffix("_untrained") in order]
        if not family_runs:
            continue
        parts = [lines := pd.DataFrame(fold_rows(family_runs) or run_rows(family_runs))]
        if not family_runs[0][0].data.fold:
            parts.append(seed_summary(lines, family_runs))
        path = Path(folder) / f"{family}.csv"
        if path.is_file():
            earlier_rows = read_table(path)
            is_same_kind = earlier_rows["seed"].str.endswith("folds") == bool(family_runs[0][0].data.fold)
            is_replaced = earlier_rows["recipe"].isin(lines["recipe"]) & is_same_kind
            parts.insert(0, earlier_rows[~is_replaced & (earlier_rows["ours"] != "")])
        present = {name for part in parts for name in part["recipe"]}
        missing = rows_without_run([recipe for name, recipe in recipes.items() if name not in present])
        parts.append(pd.DataFrame(missing, columns=COLUMNS))
        table = pd.concat([part.astype(object) for part in parts])  # whole numbers stay whole beside empty cells
        rank = table["recipe"].str.removesuffix("_untrained").map(order)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table.assign(rank=rank).sort_values("rank", kind="stable")[COLUMNS])
        written.append(path)
    return written


def fold_rows(runs: Runs) -> list[dict]:
    """Return a row a metric of each recipe over its folds; nothing where the runs are no folds."""
    lines = []
    for name, metrics in fold_metrics(run for _, run in runs).items():
        own = [(recipe, run) for recipe, run in runs if recipe.name == name]
        costs = pd.DataFrame(run_rows(own))
        cost = {column: costs[column].median() for column in (*COSTS, "n_train")}
        for metric in METRICS:
            key = {"recipe": name, "seed": f"{len(own)} folds", "split": "validation", "metric": metric}
            ours = metric_row(own[0][0], "validation", metric, metrics[metric], [metrics[metric]["value"]])
            lines.append({**costs.iloc[0], **key, **ours, **cost})
    return lines


def run_rows(runs: Runs, names: Sequence[str] = (*METRICS, BEST_EPOCH)) -> list[dict]:
    """Return a row a run, split and metric, named or published, with its 95% interval; of an autoencoder its errors."""
    lines = []
    for recipe, run in runs:
        metrics, timing, environment = run.metrics, run.timing, run.environment
        n_train = int((usable(run.catalog)["split"] == "train").sum())
        cost = {"epochs": timing.epochs, "image_size": recipe.image.height, "n_train": n_train}
        cost |= {"command": without_output_folders(environment.command), "commit": environment.commit}
        cost |= {"recipe_hash": recipe.base_hash, "train_seconds": timing.train_seconds, "device": timing.device}
        cost |= {"parameters": timing.parameters, "latency_ms": timing.latency_ms_per_image}
        for split in [split for split in SCORED_SPLITS if split in metrics]:
            best_epoch = {"value": timing.best_epoch, "n": metrics[split].get("n"), "low": None, "high": None}
            wanted = [*(ERRORS if run.is_autoencoder else names), *recipe.published.get(split, {})]
            left_out = {"n"} if split == "validation" else {"n", BEST_EPOCH}
            scores = metrics[split] | {BEST_EPOCH: best_epoch}
            if any("[" in name for name in wanted):
                predictions = read_predictions(run.path("predictions.csv"), run.class_names)
                scores |= class_scores(predictions[predictions["split"] == split])
            for name in [name for name in dict.fromkeys(wanted) if name not in left_out]:
                with run.with_hint("metrics.json"):
                    metric = convert(scores.get(name), dict, f"'{split}.{name}' of {run.path('metrics.json')}")
                key = {"recipe": recipe.name, "seed": str(recipe.training.seed), "split": split, "metric": name}
                lines.append({**key, **metric_row(recipe, split, name, metric), **cost})
    return lines


def without_output_folders(command: str) -> str:
    """Return a command without the folders it wrote to, which exist on one machine alone."""
    words = shlex.split(command)
    folders = {index + part for index, word in enumerate(words) if word in OUTPUT_FLAGS for part in (0, 1)}
    return shlex.join(word for index, word in enumerate(words) if index not in folders)


def seed_summary(lines: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """Return a row a recipe, split and metric: mean, minimum and maximum over seeds; n is never summed."""
    rows, recipes = [], {recipe.name: recipe for recipe, _ in runs}
    for (name, split, metric), group in lines.groupby(["recipe", "split", "metric"], sort=False):
        ours = group["ours"]
        figure = {"value": ours.mean(), "n": int(group["n"].iloc[0]), "low": ours.min(), "high": ours.max()}
        cost = {column: group[column].median() for column in COSTS}
        row = metric_row(recipes[name], split, metric, figure, list(ours))
        rows.append({**group.iloc[0], "seed": "all", **cost, **row})
    return pd.DataFrame(rows)


def metric_row(recipe: Recipe, split: str, metric: str, figure: dict, seeds: Sequence[float] = ()) -> dict:
    """Return our metric, the published one and their comparison by `seeds`, our values; empty where there are none."""
    published, comparison = recipe.published.get(split, {}), "shortened run" if recipe.shortened else ""
    if seeds and not comparison and metric == "accuracy" and metric in published:
        is_same = recipe.data.split_by in (None, "published")
        comparison = compare_with_published(published[metric], published["n"], seeds, figure["n"], is_same)["verdict"]
    ours = {name: figure[name] for name in ("n", "low", "high")}
    return {"published": published.get(metric, ""), "ours": figure["value"], **ours, "verdict": comparison}


def rows_without_run(recipes: list[Recipe]) -> list[dict]:
    """Return a row a published metric of recipes without a run; an accuracy that no k of n gives is not attainable."""
    return [
        {"recipe": recipe.name, "split": split, "metric": name, "published": of[name]}
        | {"verdict": "not run here" if name != "accuracy" or attainable(of[name], of["n"]) else "not attainable"}
        for recipe in recipes
        for split, of in recipe.published.items()
        for name in of
        if name != "n"
    ]


def order_sentences(path: Path, order: tuple[tuple[str, str], ...], runs: Iterable[Run] = ()) -> list[str]:
    """Return for each two recipes whether the first has the higher validation accuracy, as published.

    By `compare_seeds`, over seeds and images, where both are among `runs`; else by the seeds of a results file alone.
    """
    lines = read_table(path).query("metric == 'accuracy' and split == 'validation' and seed.str.isdigit()")
    accuracies = lines.astype({"ours": float}).pivot(index="seed", columns="recipe", values="ours")
    recipes, sentences = runs_by_recipe(run for run in runs if not run.fold), []
    for better, worse in [pair for pair in order if {*pair} <= set(accuracies)]:
        ahead, sign, why = (accuracies[better] - accuracies[worse]).dropna(), 0, "no seed of both"
        if {better, worse} <= set(recipes):
            a, b = ({seed: predictions_of(same) for seed, same in recipes[name].items()} for name in (better, worse))
            catalogs = [run.catalog for name in (better, worse) for same in recipes[name].values() for run in same]
            ids = catalogs[0].loc[catalogs[0]["split"] == "validation", "image_id"]
            found = compare_seeds(a, b, "validation", groups=common_groups(catalogs, ids))
            sign, why = found["distinguishable"] * found["difference"], found["sentence"]
        elif len(ahead):
            why = f"by {ahead.mean():+.3f} on average of {len(ahead)} seeds ({ahead.min():+.3f} to {ahead.max():+.3f})"
            if len(ahead) >= MIN_SEEDS:
                low, high = interval_over_seeds(ahead)
                sign, why = (low > 0) - (high < 0), f"{why}, 95% over seeds alone {low:+.3f} to {high:+.3f}"
        word = "holds" if sign > 0 else "does not hold" if sign < 0 else "undecided"
        sentences.append(f"{better} above {worse}: {word}; {why}")
    return sentences


def write_curve(experiment: Experiment, log: Log) -> Path:
    """Write the tables and the page of a learning curve and log a summary; return the page."""
    runs = [(Recipe.of(run), run) for run in experiment.finished_runs.values() if not run.is_autoencoder]
    if not runs:
        raise ValueError(f'No classifier of {experiment.folder} is finished. Go on with resume("{experiment.folder}").')
    cells, counts = (pd.concat(parts, ignore_index=True) for parts in zip(*map(cell_tables, runs), strict=True))
    catalogs, curve, differences = [run.catalog for _, run in runs], {}, {}
    first, *others = dict.fromkeys(cells["recipe"])
    for split in [split for split in SCORED_SPLITS if split in set(cells["split"])]:
        groups = common_groups(catalogs, cells["image_id"][cells["split"] == split].drop_duplicates())
        curve[split] = curve_table(cells, split, groups=groups)
        if others:
            differences[split] = line_differences(cells, first, split, groups=groups)
    path = experiment.folder / CURVE
    goal = convert(read_json(path).get("goal"), float | None, f"The goal of {path}")
    needed = {
        line: estimate_sample_size(cells, counts[counts["recipe"] == line], line, goal)
        for line, part in cells.groupby("recipe", sort=False)
        if part["images"].nunique() >= MIN_TRAIN_SIZES
    }
    tables = {"curve": (curve, "split"), "differences": (differences, "split"), "sample_size": (needed, "recipe")}
    for name, (parts, column) in tables.items():
        if parts:
            table = pd.concat([part.assign(**{column: key}) for key, part in parts.items()])
            write_table(experiment.folder / f"{name}.csv", table, float_format="%.6f")
    results, published = curve_results(runs)
    write_table(experiment.folder / "results.csv", results)
    for sentence in curve_sentences(curve["validation"], needed):
        log(f"  {sentence}")
    tables = (curve, differences, needed, published)
    return write_curve_report(experiment.folder, experiment.title, *tables, demonstration=experiment.demonstration)


def curve_sentences(table: pd.DataFrame, needed: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Yield what each line reaches with the most labels, and how many additional images its goal takes."""
    for line, part in table[table["metric"] == "accuracy"].groupby("recipe", sort=False):
        most = part.iloc[-1]
        accuracy = f"{most['value']:.3f} ({interval_text(most)}, n={most['n']})"
        yield f"{line}: validation accuracy {accuracy} with {most['images']:.0f} labels"
    for line, laws in needed.items():
        yield from sample_size_sentences(line, laws)


def cell_tables(recipe_and_run: tuple[Recipe, Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of a run of a curve, and the number of labeled train images of each class."""
    recipe, run = recipe_and_run
    train = usable(run.catalog).query("split == 'train'")
    train = train[~train["image_id"].isin(pseudo_labeled_ids(run)) & ~train["image_id"].str.startswith(f"{PREFIX}/")]
    cell = {"recipe": recipe.name, "label_fraction": recipe.data.label_fraction, "seed": recipe.training.seed}
    predictions = read_predictions(run.path("predictions.csv"), run.class_names)
    counts = train["class_name"].value_counts().rename_axis("class_name").reset_index(name="images")
    cells = pd.DataFrame({**cell, "images": len(train)}, index=predictions.index)
    return pd.concat([cells, predictions], axis=1), counts.assign(**cell)


def curve_results(runs: Runs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of `results.csv` (a run, split and metric, and one of all seeds), and the published metrics."""
    parts, published, by_line = [], [], {}
    for recipe, run in runs:
        by_line.setdefault((recipe.name, recipe.data.label_fraction), []).append((recipe, run))
    for (name, labeled), line_runs in by_line.items():
        lines = pd.DataFrame(run_rows(line_runs, PUBLISHED_METRICS))
        both = pd.concat([lines.astype(object), seed_summary(lines, line_runs).astype(object)])
        parts.append(both.assign(label_fraction=labeled))
        for split, theirs in line_runs[0][0].published.items():
            row = {"recipe": name, "label_fraction": labeled, "split": split, "n": theirs["n"]}
            metrics = [metric for metric in PUBLISHED_METRICS if metric in theirs]
            published += [{**row, "metric": metric, "value": theirs[metric]} for metric in metrics]
    return pd.concat(parts)[[*COLUMNS, "label_fraction"]], pd.DataFrame(published)
