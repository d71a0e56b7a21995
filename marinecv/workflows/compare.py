"""Tell whether runs differ by more than chance."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import pandas as pd

from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.figures import has_interval
from marinecv.evaluation.folds import fold_predictions
from marinecv.evaluation.groups import Groups, common_groups
from marinecv.evaluation.predictions import read_predictions
from marinecv.evaluation.seeds import compare_seeds, runs_by_recipe, seed_spread
from marinecv.runs import Run
from marinecv.studies import Study, resumable
from marinecv.workflows.opened import open_classifier

COLUMNS = ["first", "second", "accuracy_a", "accuracy_b", "difference", "low", "high", "n", "groups", "seeds", "p"]
BySeed, Tables = Mapping[int, list[Run]], Mapping[int, pd.DataFrame]
"""The runs of a recipe by seed, one of each or its folds, and their predictions."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` finds; printed, it is sentences.

    Attributes:
        table: one row a pair: `first` and `second` (folders, or names of recipes that have several seeds in common);
            `accuracy_a`, `accuracy_b` and their `difference`, 95% bounds `low` and `high` of it; `n` images in so many
            `groups`, NaN where no two are related; `seeds`; and `p` of McNemar's exact test, NaN of several seeds.
        sentences: of each recipe with several seeds, then of each pair.
    """

    table: pd.DataFrame
    sentences: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join(self.sentences)


def compare(*runs: str | os.PathLike | Run | Study, split: str = "validation") -> Comparison:
    """Compare the accuracies of runs on the same images: exact McNemar, paired bootstrap, and a plain sentence.

        >>> import marinecv as mcv
        >>> experiment = mcv.grid(mcv.demo_images(), "aquarium_four_conv", sizes=(16, 32), epochs=1, limit=24, log=None)
        >>> mcv.compare(experiment).table["n"].tolist()
        [24]

    Runs of one recipe with several seeds are taken together, and so are the folds of one seed.

    Args:
        *runs: finished runs or their folders; an experiment stands for its runs.
        split: which images to compare on.
    Returns:
        The comparison of each two.
    Raises:
        ValueError: there are fewer than two runs, one is not finished, an autoencoder's or of drawn images beside real
            ones, or they judge different images.
    """
    found = finished(runs)
    recipes = runs_by_recipe(found)
    check_folds(recipes, split)
    tables = {name: {seed: table_of(same) for seed, same in seeds.items()} for name, seeds in recipes.items()}
    check_splits(recipes, tables, split)
    first, *_ = next(iter(tables.values())).values()
    groups = common_groups([run.catalog for run in found], images_of(first, split))
    sentences = [
        f"{name} on {split}: {seed_spread(seeds, split)['sentence']}"
        for name, seeds in tables.items()
        if len(seeds) > 1
    ]
    pairs = combinations(recipes, 2)
    rows = [row for pair in pairs for row in differences(*pair, recipes, tables, split, groups)]
    sentences += [in_words(row, split) for row in rows]
    if split == "test":  # what was refused above has shown nothing of it
        for run in found:
            run.note("looked at test: compare")
    return Comparison(pd.DataFrame(rows, columns=COLUMNS), tuple(sentences))


def finished(named: Sequence[str | os.PathLike | Run | Study]) -> list[Run]:
    """Return the runs that are named, each once, with those of experiments; ValueErrors as of `compare`."""
    runs: list[Run] = []
    for each in named:
        opened = each if isinstance(each, (Run, Study)) else resumable(each)
        runs += opened.finished_runs.values() if isinstance(opened, Study) else [opened]
    runs = list({run.folder.resolve(): run for run in runs}.values())
    for run in map(open_classifier, runs):
        if not run.finished:
            raise ValueError(f'{run.folder} is not finished. Go on with resume("{run.folder}"), then compare.')
    if len(runs) < 2:
        raise ValueError(f"Expected two different runs or more to compare, finished ones. Received: {len(runs)}.")
    if len({run.demonstration for run in runs}) > 1:
        raise ValueError("A demonstration on drawn pictures cannot be compared with a run on real images.")
    return runs


def check_folds(recipes: Mapping[str, BySeed], split: str) -> None:
    """Raise ValueError for folds of one recipe and seed alone, or asked on another split than validation."""
    several = [same for seeds in recipes.values() for same in seeds.values()]
    if len(several) < 2:
        raise ValueError(
            f"These are {len(several[0])} folds of one recipe and one seed, which count as one run. Expected another "
            "recipe or seed beside them: name its study too."
        )
    if split != "validation" and (folds := [same[0] for same in several if same[0].fold]):
        raise ValueError(
            f"{folds[0].folder} is a fold, and folds are compared on validation, where each image is scored once. "
            f'Leave out split="{split}".'
        )


def table_of(same: list[Run]) -> pd.DataFrame:
    """Return the predictions of a run, or of folds together."""
    if same[0].fold:
        [table] = fold_predictions(same).values()
        return table
    return read_predictions(same[0].path("predictions.csv"), same[0].class_names)


def check_splits(recipes: Mapping[str, BySeed], tables: Mapping[str, Tables], split: str) -> None:
    """Raise ValueError for runs that were split in different ways, so that they judge different images."""
    (first, images, ours), *others = [
        (same[0], set(images_of(tables[name][seed], split)), hashes_of(same))
        for name, seeds in recipes.items()
        for seed, same in seeds.items()
    ]
    for other, theirs, hashes in others:
        if hashes != ours and images != theirs:
            raise ValueError(
                f"{first.folder} and {other.folder} were split in different ways: {len(images ^ theirs)} images of "
                f"{split} are in one alone. Expected the same images in both. Train both with split_by=NAME, where "
                f"NAME is one split for both, {first.path('split.csv')} for one."
            )


def images_of(table: pd.DataFrame, split: str) -> pd.Series:
    """Which images of a predictions table are of a split."""
    return table.loc[table["split"] == split, "image_id"]


def hashes_of(same: list[Run]) -> set[str | None]:
    """The hashes of the splits of some runs; older runs have none."""
    return {run.contract.split_sha256 for run in same}


def differences(
    a: str, b: str, recipes: Mapping[str, BySeed], tables: Mapping[str, Tables], split: str, groups: Groups
) -> list[dict]:
    """How two recipes differ: over the seeds that both have, or each run of one from each of the other."""
    common = [seed for seed in recipes[a] if seed in recipes[b]]
    if len(common) > 1:
        of_a, of_b = ({seed: tables[name][seed] for seed in common} for name in (a, b))
        accuracies = {"accuracy_a": seed_spread(of_a, split)["mean"], "accuracy_b": seed_spread(of_b, split)["mean"]}
        return [{"first": a, "second": b, **accuracies, **compare_seeds(of_a, of_b, split, groups=groups)}]
    return [
        {"first": label(recipes[a][i]), "second": label(recipes[b][j])}
        | {"seeds": 1, **compare_runs(tables[a][i], tables[b][j], split, groups=groups)}
        for i, j in product(recipes[a], recipes[b])
    ]


def label(same: list[Run]) -> str:
    """The folder of a run, or of the first of some folds."""
    return str(same[0].folder) + (f" and {len(same) - 1} folds more" if len(same) > 1 else "")


def in_words(row: dict, split: str) -> str:
    """Say how two runs, or two recipes over several seeds, differ."""
    sentence = f"{row['first']}\n  against {row['second']} on {split}: {row['sentence']}"
    if row["seeds"] > 1:
        return sentence
    over = f" over {row['groups']} groups" if "groups" in row else ""
    interval = f" (paired 95%{over} {row['low']:.3f} to {row['high']:.3f})" if has_interval(row) else ""
    return (
        f"{sentence}\n  accuracy {row['accuracy_a']:.3f} and {row['accuracy_b']:.3f} (n={row['n']}), difference "
        f"{row['difference']:.3f}{interval}"
    )
