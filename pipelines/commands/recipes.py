"""The reports' recipes: listed with what they published and what we measured, and replayed over seeds or folds."""

import argparse
from pathlib import Path

from marinecv import console
from marinecv.checked import no_such
from marinecv.choices import SCORED_SPLITS
from marinecv.recipes import birdcnn
from marinecv.recipes.registry import FAMILIES, RECIPES, REPORTS, command_of, for_another

from .. import options

HELP = "List the recipes with their published figures and ours; `replay` runs a report's over several seeds."
EXAMPLE = "recipes replay birdcnn --seeds 3"

RESULTS = Path(__file__).resolve().parents[2] / "results"
BUDGET = {"epochs": 2, "limit": 120}  # what `--budget` leaves of a recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list` (the default) and `replay`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    verbs.add_parser("list", help="all recipes (default)")
    replay = verbs.add_parser("replay", help="run a report's recipes over seeds and write results/*.csv")
    replay.add_argument("report", choices=REPORTS, help=f"whose recipes: {', '.join(REPORTS)}")
    times = replay.add_mutually_exclusive_group()
    times.add_argument("--seeds", type=options.seeds, default=1, metavar="N", help="seeds 0 to N-1 (default: 1)")
    times.add_argument("--folds", type=options.several, metavar="K", help="K folds of the images instead of seeds")
    replay.add_argument("--only", nargs="+", metavar="WHAT", help="pretrain, finetune, autoencode, or recipes by name")
    replay.add_argument("--resume", type=Path, metavar="STUDY", help="go on with a stopped replay")
    replay.add_argument("--results-dir", type=Path, metavar="DIR", help="(default: results)")
    replay.add_argument(
        "--budget",
        action="store_true",
        help=f"a quick look: at most {BUDGET['epochs']} epochs and {BUDGET['limit']} images a split",
    )
    replay.add_argument("--epochs", type=options.epochs, metavar="N", help="at most N epochs: a reduced budget")
    replay.add_argument(
        "--limit", type=options.positive, metavar="N", help="at most N images a split: a reduced budget"
    )
    options.add_sizes(replay)
    options.add_data(replay)
    options.add_output(replay, "the study")


def run(args: argparse.Namespace) -> int:
    """List or replay."""
    if args.verb == "replay":
        return replay(args)
    print_figures(list(RECIPES.values()), RESULTS)
    return 0


def print_figures(recipes: list, folder: Path) -> None:
    """Print a line a recipe and split: published beside ours."""
    measured = read_accuracies(folder)
    for recipe in recipes:
        claim = f"; the report: {recipe.claim}" if recipe.claim else ""
        about = f"{command_of(recipe)}, report: {recipe.report or 'none'}, data: {recipe.data.name}{claim}"
        print(f"{recipe.name}  ({about})")
        for split in SCORED_SPLITS:
            figure = recipe.published.get(split, {})
            theirs = "not in the report"
            if "mse" in figure:
                theirs = f"published mean squared error {figure['mse']}"
            elif figure:
                theirs = f"published {figure['accuracy']} (n={figure['n']})"
            lines = measured.get((recipe.name, split), [None])
            if split == "validation" or figure or lines[0]:
                for line in lines:
                    print(f"    {split:<10} {theirs}; {here(line)}")


def read_accuracies(folder: Path) -> dict[tuple[str, str], list[dict]]:
    """The lines of results files for all seeds or all folds of a recipe, with the most labels, by recipe and split."""
    import csv

    measured = {}
    for path in sorted(folder.glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                if (
                    line.get("metric") in ("accuracy", "mse") and not line["seed"].isdigit()
                ):  # bank.csv is another table
                    measured.setdefault((line["recipe"], line["split"]), []).append(line)
    most = {key: max(labelled(line) for line in lines) for key, lines in measured.items()}
    return {key: [line for line in lines if labelled(line) == most[key]] for key, lines in measured.items()}


def labelled(line: dict) -> float:
    """The share of the labels that a line stands on, where its file has several."""
    return float(line.get("labelled") or 1)


def here(line: dict | None) -> str:
    """Our figure of a results line, or why there is none."""
    if line is None:
        return "not run here"
    if not line["ours"]:
        return line["verdict"]
    digits = 4 if line["metric"] == "mse" else 3
    ours, low, high = (line[name] and f"{float(line[name]):.{digits}f}" for name in ("ours", "low", "high"))
    spread = f"{low} to {high}" if low else "no interval: few groups"
    spread = f"seeds {spread}" if line["seed"] == "all" else f"{line['seed']}, {spread}"
    share = f" with {labelled(line):.0%} of the labels" if labelled(line) < 1 else ""
    return f"ours {ours}{share} (n={line['n']}, {spread}) {line['verdict']}".rstrip()


def replay(args: argparse.Namespace) -> int:
    """Run the recipes a seed or a fold at a time, as one study, then write a results file a family."""
    if args.budget:
        args.epochs, args.limit = args.epochs or BUDGET["epochs"], args.limit or BUDGET["limit"]
    smaller = args.epochs or args.limit or args.image_size
    if smaller and not (args.results_dir or args.budget):
        raise ValueError("A reduced budget would overwrite whole results. Name another folder with --results-dir.")
    if len(args.image_size or ()) > 1:
        raise ValueError(f"A replay has one image size. Received {args.image_size}: replay each by itself.")
    console.import_tensorflow()
    from marinecv.workflows import train
    from marinecv.workflows.results import order_sentences, write_results

    study = train.Study(args.resume) if args.resume else prepare(args)
    with train.at_work(study.folder):
        train.finish_study(study)
    folder = args.results_dir or (study.folder / "results" if args.budget else Path("results"))
    for path in write_results(study, FAMILIES, folder):
        print(f"results: {path}")
        for sentence in order_sentences(path, birdcnn.ORDER):
            print(f"  {sentence}")
    names = {train.Recipe.of(run).name: None for run in study.finished_runs.values()}
    print_figures([RECIPES[name.removesuffix("_untrained")] for name in names], folder)
    return 0


def prepare(args: argparse.Namespace):
    """Make the study: a run a recipe and seed, or fold."""
    import marinecv as mcv
    from marinecv.workflows import prepare as plan
    from marinecv.workflows import train

    recipes = chosen(args.report, args.only)
    flags = argparse.Namespace(
        **{name: None for name in ("label_rule", "no_box", "split_by", "batch_size")},
        **options.UNASKED,
        **{name: getattr(args, name) for name in ("limit", "epochs", "class_level", "merge_case")},
        seed=0,
    )
    cells, absent = {}, []
    for name, told in dict.fromkeys((recipe.data.name, recipe.data.attributes) for recipe in recipes):
        own = [recipe for recipe in recipes if (recipe.data.name, recipe.data.attributes) == (name, told)]
        own = plan.sized(own, args.image_size)
        # named, so that no network is an error and not a demonstration
        place = argparse.Namespace(**vars(flags), data=args.data or name, data_dir=args.data_dir)
        try:
            manifest, catalog, choice = plan.read_data(place, own)
        except (ConnectionError, ValueError) as error:  # of several data sets one may be at hand
            absent.append(error)
            print(f"{', '.join(recipe.name for recipe in own)}: not run here. {error}")
            continue
        if manifest.demonstration:
            raise ValueError("A replay needs the real images: the demonstration never enters the results.")
        folds = plan.folded(choice, catalog, args.folds, seed=0)
        times = folds or {f"seed{n}": (choice, catalog) for n in range(args.seeds)}
        of_set = {}
        for recipe in own:
            for number, (word, (part, images)) in enumerate(times.items()):
                seed = 0 if args.folds else number
                cell = plan.adjusted(recipe, part, argparse.Namespace(**{**vars(place), "seed": seed}))
                of_set[f"{recipe.name}-{word}"] = cell, images, manifest
        class_names = mcv.class_names_of(catalog, manifest)
        plan.announce({cell: recipe for cell, (recipe, *_) in of_set.items()}, catalog, class_names)
        cells |= of_set
    if not cells:
        raise absent[0]
    folder = train.fresh_folder(args.output_dir or train.next_folder("runs", f"replay-{args.report}"))
    with train.at_work(folder):
        for cell, parts in cells.items():
            train.start(folder / cell, *parts)
        how = f"{args.folds} folds" if args.folds else f"{args.seeds} seeds"
        title = f"Replay of the {args.report} report, {how}"
        return train.Study.create(folder, f"replay-{args.report}", title, list(cells))


def chosen(report: str, only: list[str] | None) -> list:
    """The recipes of a report, by command or name; one whose weights are not to be had by name only, without them."""
    from marinecv.workflows.weights import settled

    every = {name: recipe for name, recipe in RECIPES.items() if recipe.report == report}
    commands, found = ("pretrain", "finetune", "autoencode"), {}
    for word in only or commands:
        if word in every:
            if command_of(every[word]) not in commands:  # at shares of the labels, on an encoder trained before
                raise ValueError(for_another(every[word]))
            found[word] = settled(every[word])
        elif word in commands:
            for recipe in (recipe for recipe in every.values() if command_of(recipe) == word):
                if settled(recipe).name == recipe.name:
                    found[recipe.name] = settled(recipe)
                else:
                    print(f"{recipe.name}: not run here, its weights are not to be had")
        else:
            raise ValueError(no_such("recipe or command", word, [*commands, *every]))
    if not found:
        raise ValueError(f"No recipe of the {report} report can be replayed here. Name one with --only.")
    return list(found.values())
