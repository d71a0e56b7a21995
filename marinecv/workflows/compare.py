"""Comparison of finished runs on the same images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import pandas as pd

from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.estimates import has_interval
from marinecv.evaluation.folds import fold_predictions
from marinecv.evaluation.groups import Groups, common_groups
from marinecv.evaluation.predictions import read_predictions
from marinecv.evaluation.seeds import compare_seeds, runs_by_recipe, seed_spread
from marinecv.experiments import Experiment, resumable
from marinecv.runs import Run
from marinecv.workflows.sources import open_classifier

COLUMNS = ["run_a", "run_b", "accuracy_a", "accuracy_b", "difference", "low", "high", "n", "groups", "seeds", "p"]
BySeed, Tables = Mapping[int, list[Run]], Mapping[int, pd.DataFrame]
"""The runs of a recipe by seed, one of each or its folds, and their predictions."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `compare`; printed, it is sentences.

    Attributes:
        table: one row a pair: `run_a` and `run_b` (folders, or names of recipes with several common seeds);
            `accuracy_a`, `accuracy_b`, their `difference` and its 95% bounds `low` and `high`; `n` images in so many
            `groups`, NaN where no two are related; `seeds`; `p` of McNemar's exact test, NaN with several seeds.
        sentences: one for each recipe with several seeds, then one for each pair.
    """

    table: pd.DataFrame
    sentences: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join(self.sentences)


def compare(*runs: str | os.PathLike | Run | Experiment, split: str = "validation") -> Comparison:
    """Compare the accuracies of runs on the same images by McNemar's exact test and a paired bootstrap.

        >>> import marinecv as mcv
        >>> experiment = mcv.grid(mcv.demo_images(), "aquarium_four_conv", sizes=(16, 32), epochs=1, limit=24, log=None)
        >>> mcv.compare(experiment).table["n"].tolist()
        [24]

    Seeds of one recipe are compared together, and so are the folds of one seed.

    Args:
        *runs: finished runs or their folders; an experiment stands for its runs.
        split: which images to compare on.
    Returns:
        The comparison of each two.
    Raises:
        ValueError: there are fewer than two runs, one is not finished, an autoencoder's or of generated images beside
            real ones, or they were scored on different images.
    """
    finished = finished_runs(runs)
    recipes = runs_by_recipe(finished)
    _check_folds([same for seeds in recipes.values() for same in seeds.values()], split)
    tables = {name: {seed: predictions_of(same) for seed, same in seeds.items()} for name, seeds in recipes.items()}
    first = next(iter(next(iter(tables.values())).values()))
    groups = common_groups([run.catalog for run in finished], first.loc[first["split"] == split, "image_id"])
    pairs = combinations(recipes, 2)
    rows = [row for pair in pairs for row in _differences(*pair, recipes, tables, split, groups)]
    several = {name: seeds for name, seeds in tables.items() if len(seeds) > 1}
    sentences = [f"{name} on {split}: {seed_spread(seeds, split)['sentence']}" for name, seeds in several.items()]
    sentences += [_sentence(row, split) for row in rows]
    if split == "test":  # not before: what is refused above has shown no test score
        for run in finished:
            run.note("test evaluation: compare")
    return Comparison(pd.DataFrame(rows, columns=COLUMNS), tuple(sentences))


def finished_runs(named: Sequence[str | os.PathLike | Run | Experiment]) -> list[Run]:
    """Return the runs that are named or belong to a named experiment, each once; or raise ValueError."""
    runs: list[Run] = []
    for each in named:
        opened = each if isinstance(each, (Run, Experiment)) else resumable(each)
        runs += opened.finished_runs.values() if isinstance(opened, Experiment) else [opened]
    runs = list({run.folder.resolve(): run for run in runs}.values())
    for run in map(open_classifier, runs):
        if not run.finished:
            raise ValueError(f'{run.folder} is not finished. Go on with resume("{run.folder}") first.')
    if len(runs) < 2:
        raise ValueError(f"Expected two different finished runs or more. Received: {len(runs)}.")
    if len({run.demonstration for run in runs}) > 1:
        raise ValueError("A demonstration on generated images cannot be compared with a run on real images.")
    return runs


def _check_folds(several: list[list[Run]], split: str) -> None:
    """Raise ValueError for folds of one recipe and seed alone, or on another split than validation."""
    if len(several) < 2:
        raise ValueError(
            f"These are {len(several[0])} folds of one recipe and one seed, which count as one run. Expected another "
            "recipe or seed beside them: name its experiment too."
        )
    if split != "validation" and (folds := [same[0] for same in several if same[0].fold]):
        raise ValueError(
            f"{folds[0].folder} is a fold, and folds are compared on validation, where each image is scored once. "
            f'Leave out split="{split}".'
        )


def predictions_of(same: list[Run]) -> pd.DataFrame:
    """Return the predictions of a run, or of folds together."""
    if same[0].fold:
        return next(iter(fold_predictions(same).values()))
    return read_predictions(same[0].path("predictions.csv"), same[0].class_names)


def _differences(
    a: str, b: str, recipes: Mapping[str, BySeed], tables: Mapping[str, Tables], split: str, groups: Groups
) -> list[dict]:
    """Compare two recipes over their common seeds, if there are several, or each run of one with each of the other."""
    common = [seed for seed in recipes[a] if seed in recipes[b]]
    if len(common) > 1:
        of_a, of_b = ({seed: tables[name][seed] for seed in common} for name in (a, b))
        accuracies = {"accuracy_a": seed_spread(of_a, split)["mean"], "accuracy_b": seed_spread(of_b, split)["mean"]}
        return [{"run_a": a, "run_b": b, **accuracies, **compare_seeds(of_a, of_b, split, groups=groups)}]
    rows = []
    for i, j in product(recipes[a], recipes[b]):
        names = {"run_a": _label(recipes[a][i]), "run_b": _label(recipes[b][j])}
        try:
            rows.append(names | {"seeds": 1, **compare_runs(tables[a][i], tables[b][j], split, groups=groups)})
        except ValueError as error:
            raise ValueError(f"{names['run_a']} and {names['run_b']}: {error}") from error
    return rows


def _label(same: list[Run]) -> str:
    return str(same[0].folder) + (f" and {len(same) - 1} more folds" if len(same) > 1 else "")


def _sentence(row: dict, split: str) -> str:
    sentence = f"{row['run_a']}\n  against {row['run_b']} on {split}: {row['sentence']}"
    if row["seeds"] > 1:
        return sentence
    over = f" over {row['groups']} groups" if "groups" in row else ""
    interval = f" (paired 95%{over} {row['low']:.3f} to {row['high']:.3f})" if has_interval(row) else ""
    return (
        f"{sentence}\n  accuracy {row['accuracy_a']:.3f} and {row['accuracy_b']:.3f} (n={row['n']}), difference "
        f"{row['difference']:.3f}{interval}"
    )
