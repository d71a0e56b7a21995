"""The reports' recipes: listed with what they published and what we measured, and replayed over seeds."""

import argparse
from pathlib import Path

from . import finetune, options, pretrain, quiet

HELP = "List the recipes with their published figures and ours; `replay` runs a report's over several seeds."
EXAMPLE = "recipes replay aquarium --only pretrain --seeds 5"

FAMILIES = {"pretrain": pretrain, "finetune": finetune}
RESULTS = Path(__file__).resolve().parent.parent / "results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list` (the default) and `replay`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    verbs.add_parser("list", help="all recipes (default)")
    replay = verbs.add_parser("replay", help="run a report's recipes over seeds and write results/*.csv")
    replay.add_argument("report", choices=("aquarium",), help="whose recipes")
    replay.add_argument("--seeds", type=options.positive, default=1, metavar="N", help="seeds 0 to N-1 (default: 1)")
    replay.add_argument("--only", nargs="+", metavar="WHAT", help="pretrain, finetune, or recipes by name")
    replay.add_argument("--resume", type=Path, metavar="STUDY", help="go on with a stopped replay")
    replay.add_argument("--results-dir", type=Path, metavar="DIR", help="(default: results)")
    replay.add_argument("--epochs", type=options.positive, metavar="N", help="at most N epochs: a reduced budget")
    replay.add_argument(
        "--limit", type=options.positive, metavar="N", help="at most N images a split: a reduced budget"
    )
    options.add_data(replay)
    options.add_output(replay, "the study")


def run(args: argparse.Namespace) -> int:
    """List or replay."""
    return replay(args) if args.verb == "replay" else show()


def show() -> int:
    """Print a line a recipe and split: published beside ours."""
    import csv

    measured = {}
    for path in sorted(RESULTS.glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                if line.get("metric") == "accuracy" and line["seed"] in ("all", ""):  # bank.csv is another table
                    measured[line["recipe"], line["split"]] = line
    for family, module in FAMILIES.items():
        for recipe in module.RECIPES.values():
            print(f"{recipe.name}  ({family}, report: {recipe.report or 'none'}, data: {recipe.data.name})")
            for split in ("validation", "test"):
                figure = recipe.published.get(split, {})
                theirs = f"published {figure['accuracy']} (n={figure['n']})" if figure else "not in the report"
                print(f"    {split:<10} {theirs}; {here(measured.get((recipe.name, split)))}")
    return 0


def here(line: dict | None) -> str:
    """Our figure of a results line, or why there is none."""
    if line is None:
        return "not run here"
    if not line["ours"]:
        return line["verdict"]
    low, high = float(line["low"]), float(line["high"])
    return f"ours {float(line['ours']):.3f} (n={line['n']}, seeds {low:.3f} to {high:.3f}) {line['verdict']}".rstrip()


def replay(args: argparse.Namespace) -> int:
    """Run the recipes a seed at a time, as one study, then write a results file a family."""
    if (args.epochs or args.limit) and not args.results_dir:
        raise ValueError("A reduced budget would overwrite whole results. Name another folder with --results-dir.")
    quiet.import_tensorflow()
    from . import train
    from .results import write_results

    study = train.Study(args.resume) if args.resume else prepare(args)
    with train.at_work(study.folder):
        train.finish_study(study)
    for path in write_results(study, FAMILIES, args.results_dir or Path("results")):
        print(f"results: {path}")
    return 0


def prepare(args: argparse.Namespace):
    """Make the study: a run a recipe and seed."""
    import marinecv as mcv

    from . import train

    recipes = chosen(args.report, args.only)
    flags = argparse.Namespace(
        **{name: None for name in ("label_rule", "no_box", "split_by", "batch_size", "jit_compile")},
        **{name: False for name in ("synthetic", "class_weights", "balanced", "mixed_precision")},
        **{name: getattr(args, name) for name in ("data_dir", "limit", "epochs")},
        data=args.data or recipes[0].data.name,  # named, so that no network is an error and not a demonstration
        seed=0,
    )
    manifest, catalog, choice = train.read_data(flags, recipes)
    if manifest.demonstration:
        raise ValueError("A replay needs the real images: the demonstration never enters the results.")
    adjusted = {}
    for recipe in recipes:
        for seed in range(args.seeds):
            cell = train.adjusted(recipe, choice, argparse.Namespace(**{**vars(flags), "seed": seed}))
            adjusted[f"{recipe.name}-seed{seed}"] = cell
    train.announce(adjusted, catalog, mcv.class_names_of(catalog, manifest))
    folder = train.fresh_folder(args.output_dir or train.next_folder("runs", f"replay-{args.report}"))
    with train.at_work(folder):
        for cell, recipe in adjusted.items():
            train.start(folder / cell, recipe, catalog, manifest)
        title = f"Replay of the {args.report} report, {args.seeds} seeds"
        return train.Study.create(folder, f"replay-{args.report}", title, list(adjusted))


def chosen(report: str, only: list[str] | None) -> list:
    """The recipes of a report whose weights can be had, by family or name."""
    by_family = {family: list(module.RECIPES.values()) for family, module in FAMILIES.items()}
    every = {recipe.name: recipe for recipes in by_family.values() for recipe in recipes if recipe.report == report}
    names = []
    for word in only or FAMILIES:
        if word not in by_family and word not in every:
            raise ValueError(
                f"There is nothing called {word!r} to replay. Expected one of {', '.join([*by_family, *every])}."
            )
        names += [recipe.name for recipe in by_family[word]] if word in by_family else [word]
    return [settled(every[name]) for name in dict.fromkeys(names)]


def settled(recipe):
    """The recipe with its weights, or without where there are none to be had."""
    return finetune.with_weights(recipe, None) if hasattr(recipe.model, "weights") else recipe
