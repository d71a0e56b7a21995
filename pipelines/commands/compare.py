"""Tell whether runs differ by more than chance."""

import argparse
from pathlib import Path

from .. import options

HELP = "Compare runs on the same images: exact McNemar, paired bootstrap, and a plain sentence."
EXAMPLE = "compare runs/aquarium_four_conv-1 runs/aquarium_mobilenet_p2-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Runs or studies, and a split."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs; a study stands for its runs")
    options.add_split(parser, default="validation")


def run(args: argparse.Namespace) -> int:
    """Print a line a recipe that has several seeds, then how each two of the recipes differ. Folds count as one run."""
    from itertools import combinations

    from marinecv.evaluation.groups import common_groups
    from marinecv.evaluation.seeds import runs_by_recipe, seed_spread

    runs = finished(args.runs)
    recipes = runs_by_recipe(runs)
    check_folds(recipes, args.on)
    tables = {name: {seed: table_of(same) for seed, same in seeds.items()} for name, seeds in recipes.items()}
    check_splits(recipes, tables, args.on)
    first, *_ = next(iter(tables.values())).values()
    groups = common_groups([each.catalog for each in runs], images_of(first, args.on))
    said = [
        f"{name} on {args.on}: {seed_spread(seeds, args.on)['sentence']}"
        for name, seeds in tables.items()
        if len(seeds) > 1
    ]
    for a, b in combinations(recipes, 2):
        said += differences(a, b, recipes, tables, args.on, groups)
    if args.on == "test":  # what was refused above has shown nothing of it
        for each in runs:
            each.note("looked at test: compare")
    print("\n".join(said))
    return 0


def finished(folders: list[Path]) -> list:
    """The runs that are named, each once, with those of studies: classifiers, trained, all on drawn images or none.

    Raises:
        ValueError: they are not, or there is one alone.
    """
    from marinecv.studies import Study, resumable

    runs = []
    for folder in folders:
        found = resumable(folder)
        runs += list(found.finished_runs.values()) if isinstance(found, Study) else [found]
    runs = list({run.folder.resolve(): run for run in runs}.values())
    for run in runs:
        options.classifier(run.folder)
        if not run.finished:
            raise ValueError(f"{run.folder} is not finished. Go on with --resume {run.folder}, then compare.")
    if len(runs) < 2:
        raise ValueError(f"Expected two different runs or more to compare, finished ones. Received: {len(runs)}.")
    if len({run.demonstration for run in runs}) > 1:
        raise ValueError("A demonstration on drawn pictures cannot be compared with a run on real images.")
    return runs


def check_folds(recipes: dict, split: str) -> None:
    """Refuse folds that leave nothing to compare.

    Raises:
        ValueError: they are all of one recipe and one seed, or their images of another split than validation are asked.
    """
    several = [same for seeds in recipes.values() for same in seeds.values()]
    if len(several) < 2:
        raise ValueError(
            f"These are {len(several[0])} folds of one recipe and one seed, which count as one run. Expected another "
            "recipe or seed beside them: name its study too."
        )
    if split != "validation" and (folds := [same[0] for same in several if same[0].fold]):
        raise ValueError(
            f"{folds[0].folder} is a fold, and folds are compared on validation, where each image is scored once. "
            f"Leave out --on {split}."
        )


def table_of(same: list):
    """The predictions of a run, or of folds together."""
    from marinecv.evaluation.folds import fold_predictions
    from marinecv.evaluation.predictions import read_predictions

    if same[0].fold:
        [table] = fold_predictions(same).values()
        return table
    return read_predictions(same[0].path("predictions.csv"), same[0].class_names)


def check_splits(recipes: dict, tables: dict, split: str) -> None:
    """Refuse runs that were split in different ways, so that they judge different images.

    Raises:
        ValueError: there are such.
    """
    (first, images, ours), *others = [
        (same[0], set(images_of(tables[name][seed], split)), hashes_of(same))
        for name, seeds in recipes.items()
        for seed, same in seeds.items()
    ]
    for other, theirs, hashes in others:
        if hashes != ours and images != theirs:
            raise ValueError(
                f"{first.folder} and {other.folder} were split in different ways: {len(images ^ theirs)} images of "
                f"{split} are in one alone. Expected the same images in both. Train both with --split-by NAME, where "
                f"NAME is one split for both, {first.path('split.csv')} for one."
            )


def images_of(table, split: str):
    """Which images of a predictions table are of a split."""
    return table.loc[table["split"] == split, "image_id"]


def hashes_of(same: list) -> set:
    """The hashes of the splits of some runs; older runs have none."""
    return {run.contract.split_sha256 for run in same}


def differences(a: str, b: str, recipes: dict, tables: dict, split: str, groups: dict | None) -> list[str]:
    """How two recipes differ: over the seeds that both have, or each run of one from each of the other."""
    from itertools import product

    from marinecv.evaluation.seeds import compare_seeds

    if len(recipes[a].keys() & recipes[b].keys()) > 1:
        found = compare_seeds(tables[a], tables[b], split, groups=groups)
        return [f"{a}\n  against {b} on {split}: {found['sentence']}"]
    return [
        difference(label(recipes[a][i]), label(recipes[b][j]), tables[a][i], tables[b][j], split, groups)
        for i, j in product(recipes[a], recipes[b])
    ]


def label(same: list) -> str:
    """The folder of a run, or of the first of some folds."""
    return str(same[0].folder) + (f" and {len(same) - 1} folds more" if len(same) > 1 else "")


def difference(first: str, second: str, a, b, split: str, groups: dict | None) -> str:
    """How two predictions tables differ, in words."""
    from marinecv.evaluation.compare import compare_runs
    from marinecv.evaluation.figures import has_interval

    found = compare_runs(a, b, split, groups=groups)
    over = f" over {found['groups']} groups" if "groups" in found else ""
    interval = f" (paired 95%{over} {found['low']:.3f} to {found['high']:.3f})" if has_interval(found) else ""
    return (
        f"{first}\n  against {second} on {split}: {found['sentence']}\n"
        f"  accuracy {found['accuracy_a']:.3f} and {found['accuracy_b']:.3f} (n={found['n']}), difference "
        f"{found['difference']:.3f}{interval}"
    )
