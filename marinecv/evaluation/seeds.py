"""Runs of one recipe over several seeds: the spread of its score, and two recipes compared seed by seed."""

import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import t

from marinecv.evaluation.compare import difference_bounds, paired
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.intervals import LEVEL
from marinecv.runs import Run

MIN_SEEDS = 3
"""Common seeds, below which there is no interval over seeds."""


def runs_by_recipe(runs: Iterable[Run]) -> dict[str, dict[int, list[Run]]]:
    """Sort runs by recipe, then seed, in the order given: one run each, or the folds of one folder.

    Two runs have the same recipe where their `recipe.json` differs only in the seed, in the name of the split or in the
    number of the fold; folds of one folder also where one was chosen for each. A run that repeats recipe and seed of
    another, or has no seed, counts as another recipe. The key of a recipe is its name, or the folder of its run where
    the name is taken.
    """
    names_by_recipe, runs_by_name = {}, {}
    for run in runs:
        recipe = run.read("recipe.json")
        training = recipe.get("training")
        seed = training.pop("seed", None) if isinstance(training, dict) else None
        if run.fold:
            recipe["data"]["fold"] = run.fold.partition("/")[2]
            if run.path("choice.csv").is_file():
                recipe = {"name": recipe["name"], "folder": str(run.folder.parent)}
        elif "data" in recipe:  # a split may be named or be the file of the first seed: `paired` compares the images
            recipe["data"].pop("split_by", None)
        names = names_by_recipe.setdefault(json.dumps(recipe, sort_keys=True), []) if isinstance(seed, int) else []
        for name in names:
            same = runs_by_name[name].setdefault(seed, [])
            if all(other.fold != run.fold and other.folder.parent == run.folder.parent for other in same):
                same.append(run)  # the first one of this seed, or another fold
                break
        else:
            name = str(recipe.get("name"))
            name = str(run.folder) if name in runs_by_name else name
            names.append(name)
            runs_by_name[name] = {seed if isinstance(seed, int) else 0: [run]}
    return runs_by_name


def seed_spread(tables: Mapping[int, pd.DataFrame], split: str) -> dict:
    """Return `mean, lowest, highest` of the accuracies over seeds, `seeds`, `n` and a `sentence`.

    `tables` are predictions by seed. The range is no interval: other images are not in it.
    """
    first, *others = tables.values()
    right = [paired(first, table, split)["b"] for table in (first, *others)]
    scores, n = [float(each.mean()) for each in right], len(right[0])
    mean, lowest, highest = sum(scores) / len(scores), min(scores), max(scores)
    sentence = f"mean {mean:.3f}, {lowest:.3f} to {highest:.3f} over {len(scores)} seeds (n={n}, the same images)"
    return {"mean": mean, "lowest": lowest, "highest": highest, "seeds": len(scores), "n": n, "sentence": sentence}


def interval_over_seeds(gaps: pd.Series) -> tuple[float, float]:
    """Return the 95% interval (low, high) of the mean of paired differences, one a seed, by Student's t."""
    half = t.ppf((1 + LEVEL) / 2, len(gaps) - 1) * gaps.to_numpy().std(ddof=1) / np.sqrt(len(gaps))
    return float(gaps.to_numpy().mean() - half), float(gaps.to_numpy().mean() + half)


def compare_seeds(
    a: Mapping[int, pd.DataFrame], b: Mapping[int, pd.DataFrame], split: str, seed: int = 0, groups: Groups = None
) -> dict:
    """Compare the accuracies of two recipes, whose predictions are given by seed, on the same images.

    Returns `n` (images, each counted once), `seeds` (common ones), `difference` (mean of a - b), `lowest, highest`
    (over seeds), `low, high` (95% for other images, by a paired bootstrap over images or groups), `seeds_low,
    seeds_high` (95% for other seeds, by Student's t; None with fewer than `MIN_SEEDS`), `ahead` (seeds in which the
    first is better), `distinguishable` (neither interval holds 0 and every seed agrees) and a `sentence`.
    """
    common = [number for number in a if number in b]
    if not common:
        raise ValueError(f"The seeds {sorted(a)} and {sorted(b)} have none in common. Expected runs of the same seeds.")
    correct = [paired(a[number], b[number], split) for number in common]
    by_seed = pd.concat([pair["a"].astype(float) - pair["b"] for pair in correct], axis=1)  # (n, seeds), by image
    gaps, of_images = by_seed.mean(), by_seed.mean(axis=1)
    low, high = difference_bounds(of_images, group_numbers(of_images.index.to_series(), groups), seed)
    ahead, behind = int((gaps > 0).sum()), int((gaps < 0).sum())
    seeds_low, seeds_high, of_seeds = None, None, f"fewer than {MIN_SEEDS} seeds give no interval over seeds"
    if len(gaps) >= MIN_SEEDS:
        seeds_low, seeds_high = interval_over_seeds(gaps)
        of_seeds = f"over seeds {seeds_low:.3f} to {seeds_high:.3f}"
    on_these = (low > 0 and ahead == len(common)) or (high < 0 and behind == len(common))
    apart = on_these and seeds_low is not None and (seeds_low > 0 or seeds_high < 0)
    better, times = ("second", behind) if gaps.mean() < 0 else ("first", ahead)
    verdict = "distinguishable on these seeds alone" if on_these else "not distinguishable"
    verdict = "distinguishable" if apart else verdict
    over = f"over the same {len(of_images)} images"
    interval = f"95% {over} {low:.3f} to {high:.3f}" if low == low else f"{over}, of few groups, no interval"
    sentence = (
        f"{abs(gaps.mean()):.3f} apart on average ({gaps.min():.3f} to {gaps.max():.3f}), the {better} is better in "
        f"{times} of {len(common)} seeds; {verdict} ({interval}, {of_seeds})"
    )
    mean, lowest, highest = float(gaps.mean()), float(gaps.min()), float(gaps.max())
    result = {"n": len(of_images), "seeds": len(common), "difference": mean, "lowest": lowest, "highest": highest}
    result |= {"low": low, "high": high, "seeds_low": seeds_low, "seeds_high": seeds_high, "ahead": ahead}
    return {**result, "distinguishable": apart, "sentence": sentence}
