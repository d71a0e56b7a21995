"""List the recipes with their published metrics and ours, show one, or reproduce a report over several seeds."""

import argparse
import csv
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from marinecv import console
from marinecv.choices import SCORED_SPLITS
from marinecv.recipes.registry import QUICK, RECIPES, REPORTS, command_of, is_stale, recipe_named

from .. import options

EXAMPLE = "recipes show aquarium_four_conv --keras"

RESULTS = Path(__file__).resolve().parents[2] / "results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    verbs.add_parser("list", help="all recipes (default)")
    show = verbs.add_parser("show", help="print a recipe as TOML, for --recipe FILE.toml, or as a Keras script")
    name = "recipe by name, its .toml or .json file, or the folder of a run"
    show.add_argument("name", type=options.run_folder, metavar="NAME", help=name)
    show.add_argument("--keras", action="store_true", help="a Keras script without marinecv: same data, same model")
    reproduce = verbs.add_parser("reproduce", help="run a report's recipes over seeds and write results/*.csv")
    reproduce.add_argument("report", choices=REPORTS, help=f"one of {', '.join(REPORTS)}")
    times = reproduce.add_mutually_exclusive_group()
    times.add_argument("--seeds", type=options.seeds, default=1, metavar="N", help="seeds 0 to N-1 (default: 1)")
    options.add(times, "--folds", help="K-fold cross-validation instead of seeds")
    reproduce.add_argument(
        "--recipes", nargs="+", metavar="WHAT", help="pretrain, finetune, autoencode, or recipe names"
    )
    options.add(reproduce, "--resume", metavar="EXPERIMENT", help="continue a stopped experiment")
    reproduce.add_argument("--results-dir", type=Path, metavar="DIR", help="(default: results)")
    quick = f"shortened run: at most {QUICK['training.epochs']} epochs and {QUICK['data.limit']} images a split"
    reproduce.add_argument("--quick", action="store_true", help=quick)
    options.add(reproduce, "--epochs", help="at most N epochs: a shortened run")
    options.add(reproduce, "--limit", help="at most N images a split: a shortened run")
    options.add(reproduce, "--image-size", help="side of the input")
    options.add(reproduce, *options.DATA, "--accept-changes")
    options.add_output(reproduce, "the experiment")


def run(args: argparse.Namespace) -> int:
    if args.verb == "reproduce":
        return reproduce(args)
    if args.verb == "show":
        return show(recipe_named(args.name), args.keras)
    print_list(RESULTS)
    return 0


def show(recipe, keras: bool) -> int:
    """Print a recipe as TOML, its metrics as comments, or as a Keras script."""
    if keras:
        console.import_tensorflow()
        from marinecv.recipes.keras_script import keras_script

        print(keras_script(recipe), end="")
        return 0
    from marinecv.training.settings import to_toml

    for line in recipe_lines(recipe, read_accuracies(RESULTS)):
        print("#", *line.splitlines())
    print(f"\n{to_toml(recipe)}", end="")
    return 0


def print_list(folder: Path) -> None:
    """Print every recipe in two columns, by report and command: published validation accuracy and ours."""
    measured, blocks = read_accuracies(folder), {}
    for recipe in RECIPES.values():
        name, digits = ("mse", 4) if recipe.model.is_autoencoder else ("accuracy", 3)
        heading = f"{recipe.report} {command_of(recipe)}{' (MSE)' * (name == 'mse')}"
        [line, *_] = measured.get((recipe.name, "validation"), [{"ours": ""}])
        ours = line["ours"] and f"{float(line['ours']):.{digits}f}"
        ours += "*" * (line.get("verdict") in ("shortened run", "not comparable"))
        ours += "~" * bool(line["ours"] and is_stale(line))
        published = recipe.published.get("validation", {}).get(name, "")
        blocks.setdefault(heading, [f"{heading:<30}{'px':>4}{'report':>7}{'ours':>8}"])
        blocks[heading].append(f"{recipe.name:<30}{recipe.image.height:>4}{published:>7}{ours:>8}")
    columns = [[line for block in part for line in (*block, "")] for part in _halves(list(blocks.values()))]
    for left, right in zip_longest(*columns, fillvalue=""):
        print(f"{left:<51}{right}".rstrip())
    print("report: published validation accuracy; ours: mean of seeds or folds, * shorter or on other data,")
    print("~ stale: older than its recipe. To run these again, with the hours of training that they took:")
    print(*stale_lines(folder), sep="\n")
    print("`recipes show NAME` prints a recipe and its metrics, `recipes show NAME --keras` its Keras script")


def _halves(blocks: list) -> tuple[list, list]:
    """Split blocks of lines, in order, so that the longer half is as short as possible."""
    cuts = [(blocks[:cut], blocks[cut:]) for cut in range(len(blocks) + 1)]
    return min(cuts, key=lambda halves: max(sum(map(len, half)) for half in halves))


def recipe_lines(recipe, measured: dict) -> Iterator[str]:
    """Yield a line on the recipe, then a line a split: published metrics and ours."""
    claim = f"; the report: {recipe.claim}" if recipe.claim else ""
    yield f"{recipe.name}  ({command_of(recipe)}, report: {recipe.report or 'none'}, data: {recipe.data.name}{claim})"
    for split in SCORED_SPLITS:
        figure, published = recipe.published.get(split, {}), "not in the report"
        if "mse" in figure:
            published = f"published mean squared error {figure['mse']}"
        elif figure:
            published = f"published {figure['accuracy']} (n={figure['n']})"
        lines = measured.get((recipe.name, split), [])
        if split == "validation" or figure or lines:
            for line in lines or [None]:
                yield f"    {split:<10} {published}; {our_metric(line)}"


def stale_lines(folder: Path) -> Iterator[str]:
    """Yield the commands of stale results, each with the hours that its stale runs took."""
    seconds_by_command = {}
    for line in read_results(folder):
        if line["ours"] and line["seed"] != "all" and is_stale(line):
            run, folds = (line["recipe"], line["seed"], labeled(line)), line["seed"].removesuffix(" folds")
            times = 1 if folds == line["seed"] else int(folds)
            seconds_by_command.setdefault(line["command"], {})[run] = times * float(line["train_seconds"])
    for command, seconds in seconds_by_command.items():
        words = f"{sum(seconds.values()) / 3600:5.2f} h  {command}"
        yield textwrap.fill(words, 100, subsequent_indent=" " * 9, break_on_hyphens=False)


def read_results(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of results/*.csv that are of one metric and one run, or of all seeds or folds of a recipe."""
    for path in sorted(folder.glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            yield from (line for line in csv.DictReader(file) if line.keys() >= {"ours", "metric", "recipe_hash"})


def read_accuracies(folder: Path) -> dict[tuple[str, str], list[dict]]:
    """Return rows of results/*.csv for all seeds or folds of a recipe with most labels, by (recipe, split)."""
    measured = {}
    for line in read_results(folder):
        if line["metric"] in ("accuracy", "mse") and not line["seed"].isdigit():
            measured.setdefault((line["recipe"], line["split"]), []).append(line)
    most = {key: max(map(labeled, lines)) for key, lines in measured.items()}
    return {key: [line for line in lines if labeled(line) == most[key]] for key, lines in measured.items()}


def labeled(line: dict) -> float:
    """Return the label fraction of a row of results, 1 by default."""
    return float(line.get("label_fraction") or 1)


def our_metric(line: dict | None) -> str:
    """Return our metric in a row of results as text, or why there is none."""
    if line is None:
        return "not run here"
    if not line["ours"]:
        return line["verdict"]
    digits = 4 if line["metric"] == "mse" else 3
    ours, low, high = (line[name] and f"{float(line[name]):.{digits}f}" for name in ("ours", "low", "high"))
    spread = f"{low} to {high}" if low else "no interval: few groups"
    spread = f"seeds {spread}" if line["seed"] == "all" else f"{line['seed']}, {spread}"
    fraction = f" with {labeled(line):.0%} of the labels" if labeled(line) < 1 else ""
    return f"ours {ours}{fraction} (n={line['n']}, {spread}) {line['verdict']}".rstrip() + "; stale" * is_stale(line)


def reproduce(args: argparse.Namespace) -> int:
    """Run the recipes of a report over seeds or folds as one experiment, and print published metrics and ours."""
    from .. import opened

    options.one_size(args)
    mcv = options.library()
    if args.resume:
        done = mcv.resume(args.resume, accept_changes=args.accept_changes, log=options.print_line)
    else:
        how = {"seeds": args.seeds, "folds": args.folds, "recipes": args.recipes, "quick": args.quick}
        how |= {"data": opened.source(args) if args.data else args.data_dir, "folder": args.output_dir}
        how |= {"results_dir": args.results_dir, "changes": options.changes(args), "log": options.print_line}
        done = mcv.reproduce(args.report, **how)
    measured = read_accuracies(done.results_dir)
    for recipe in done.recipes:
        print(*recipe_lines(recipe, measured), sep="\n")
    return 0
