"""The tables and the page of a learning curve, from its finished runs."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log
from marinecv.data.user_tables import usable
from marinecv.evaluation.figures import interval_words
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.learning_curve import curve_table, line_differences
from marinecv.evaluation.photographs import SHARES, next_class, photographs_needed
from marinecv.evaluation.predictions import read_predictions
from marinecv.inputs.synthesise import PREFIX
from marinecv.recipes.butterflies import PUBLISHED_METRICS
from marinecv.report.curve_page import write_curve_report
from marinecv.runs import Run
from marinecv.schema import convert, read_json
from marinecv.studies import CURVE, Study
from marinecv.tables import write_table
from marinecv.training.recipe import Recipe
from marinecv.workflows.results import COLUMNS, all_seeds, seed_lines
from marinecv.workflows.train_runs import own_words


def write_curve(study: Study, log: Log) -> Path:
    """Write the tables and the page of a curve, and say what they come to; return the page.

    Raises:
        ValueError: none of its classifiers is finished, or a file of one is broken.
    """
    runs = {cell: run for cell, run in study.finished_runs.items() if not run.restores}
    if not runs:
        raise ValueError(f"No classifier of {study.folder} is finished. Go on with --resume {study.folder}.")
    recipes = {cell: Recipe.of(run) for cell, run in runs.items()}
    told = [told_by(run, recipes[cell]) for cell, run in runs.items()]
    cells, counts = (pd.concat(parts, ignore_index=True) for parts in zip(*told, strict=True))
    splits = [split for split in SCORED_SPLITS if split in set(cells["split"])]
    catalogs = [run.catalog for run in runs.values()]
    groups = {
        split: common_groups(catalogs, cells["image_id"][cells["split"] == split].drop_duplicates()) for split in splits
    }
    curve = {split: curve_table(cells, split, groups=groups[split]) for split in splits}
    first, *others = dict.fromkeys(cells["line"])
    differences = (
        {split: line_differences(cells, first, split, groups=groups[split]) for split in splits} if others else {}
    )
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
