"""Hyper-parameter search: trials of one recipe, the best of them trained again, scored and reported."""

import argparse
from dataclasses import replace
from pathlib import Path

import marinecv as mcv
from marinecv import console
from marinecv.recipes.aquarium import BEST
from marinecv.recipes.own_data import head as own
from marinecv.recipes.registry import is_own, named
from marinecv.search.engines import ENGINES, check_engine
from marinecv.workflows.ray_workers import import_ray, ray_workers

from .. import options

HELP = "Search hyper-parameters of a recipe: learning rate, batch, optimiser, and the shape of a CNN from scratch."
EXAMPLE = "search --recipe aquarium_four_conv --trials 20"

TRIALS = 20
SHARED = "optuna"  # the engine whose search several processes can work on
POLL_S = 1.0
CANCEL_S = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which recipe, who suggests, how often, on which images."""
    algorithms = list(dict.fromkeys(name for names in ENGINES.values() for name in names))
    said = "; ".join(f"{engine}: {', '.join(names)}" for engine, names in ENGINES.items())
    parser.add_argument("--recipe", metavar="NAME", help="a recipe by name (`recipes`); default on your images: a head")
    parser.add_argument("--engine", choices=list(ENGINES), help="who suggests values (default: kerastuner)")
    parser.add_argument("--algorithm", choices=algorithms, help=f"how ({said}; default: the first)")
    parser.add_argument("--trials", type=options.trials, metavar="N", help=f"at most N trials (default: {TRIALS})")
    parser.add_argument(
        "--resume", type=Path, metavar="SEARCH", help="go on with a stopped search, or join one of Optuna's"
    )
    options.add_data(parser)
    options.add_output(parser, "the search")
    options.add_subset(parser)
    options.add_labels(parser)
    parser.add_argument("--epochs", type=options.epochs, metavar="N", help="at most N epochs a trial")
    parser.add_argument("--image-size", nargs="+", type=options.side, metavar="PX", help="side of the input; one")
    options.add_track(parser)
    options.add_workers(parser)
    parser.set_defaults(**options.UNASKED, batch_size=None)


def run(args: argparse.Namespace) -> int:
    """Begin a search, or go on with what `--resume` names."""
    if args.workers:
        import_ray()
    if args.resume:
        console.import_tensorflow()
        return go_on(args.resume, args.track, args.workers)
    manifest = options.located(args) if not args.recipe and (args.data or args.data_dir) else None
    is_other = manifest and is_own(manifest, BEST)
    if not (args.recipe or is_other):
        raise ValueError("Name a recipe with --recipe; the command recipes lists them.")
    recipe = own() if is_other else named(args.recipe, "search")
    if len(args.image_size or ()) > 1:
        raise ValueError(f"A search has one image size. Received {args.image_size}: begin a search of each.")
    engine = args.engine or (SHARED if args.workers else next(iter(ENGINES)))
    algorithm = args.algorithm or ENGINES[engine][0]
    check_engine(engine, algorithm)
    check_workers(engine, args.workers)
    console.import_tensorflow()
    folder = begin(recipe, engine, algorithm, args.trials or TRIALS, args, manifest)
    return go_on(folder, args.track, args.workers)


def check_workers(engine: str, workers: str | None) -> None:
    """Refuse several processes where an engine works in one alone.

    Raises:
        ValueError: there are workers, and it is such an engine.
    """
    if workers and engine != SHARED:
        raise ValueError(
            f"{engine} searches in one process alone, so workers cannot share its trials. Expected a search of "
            f"{SHARED}: begin one with --engine {SHARED}, or leave out --workers."
        )


def begin(recipe, engine: str, algorithm: str, trials: int, args: argparse.Namespace, manifest=None) -> Path:
    """Make the folder of a search, say the plan, and return the folder."""
    from marinecv.search.folder import Search
    from marinecv.search.space import space_of
    from marinecv.training.bank_choice import choose_bank
    from marinecv.workflows import prepare as plan
    from marinecv.workflows import train
    from marinecv.workflows.weights import settled

    asked, [recipe] = recipe.name, plan.sized([settled(recipe)], args.image_size)
    if recipe.name != asked:
        print(f"{asked}: no pretrained weights, so all of the network learns from random ones")
    name = recipe.name
    manifest, catalog, choice = plan.read_data(args, [recipe], manifest)
    if choice.name != recipe.data.name:
        name = f"{choice.name}_{name.removeprefix(recipe.report + '_')}"
    recipe = plan.adjusted(recipe, choice, args)
    class_names = mcv.class_names_of(catalog, manifest)
    # All trials share the frozen layers: their settings change nothing before the head.
    views, reason = choose_bank(recipe, plan.images_of(catalog), len(class_names), trials)
    recipe = recipe.with_training(bank=views)
    plan.announce({recipe.name: recipe}, catalog, class_names)
    print(f"  {reason}\n" if reason else "", f"  at most {trials} trials by {algorithm} ({engine})", sep="")
    demo = "demo-" if manifest.demonstration else ""
    folder = train.fresh_folder(args.output_dir or train.next_folder("runs", f"{demo}search-{name}"))
    with train.at_work(folder):
        train.start(folder / "base", recipe, catalog, manifest)
        Search.create(folder, engine, algorithm, trials, args.seed, space_of(recipe))
    return folder


def go_on(folder: Path, track: str | None, workers: str | None = None) -> int:
    """Train the trials that are not over yet, then the winner, and write the page."""
    from marinecv.report.search_page import write_search_report
    from marinecv.search.folder import Search
    from marinecv.training.distribution import device_sentence
    from marinecv.workflows.resumable import noting

    search = Search(folder)
    check_workers(search.engine, workers)
    with noting(folder, f"search --resume {folder}"):
        if not workers:
            print(device_sentence())
        if begun := len(search.trials):
            print(f"{sum(trial.over for trial in search.trials)} of {begun} trials that were begun are over")
        all_over = work_on_ray(search, track) if workers else work(search, track, lambda trial: tell(search, trial))
        if not all_over:
            print("The last trials run in another process, which will train the winner.")
            return 0
        if len(search.trials) < search.count:
            print(f"The space is exhausted: it holds {len(search.trials)} trials.")
        if search.best:
            train_winner(search, track)
        with search.held():
            print(f"search: {write_search_report(folder)}")
    if not search.best:
        reason = next((trial.reason for trial in search.trials if trial.reason), "there was none")
        raise ValueError(f"No trial of {folder} was trained to its end. The first: {reason}")
    return 0


def work(search, track: str | None, say=lambda trial: None) -> bool:
    """Train trials until there is none left to begin; several processes may do so at once.

    Returns:
        Whether all are over.
    """
    from marinecv.search.engines import open_engine
    from marinecv.search.loop import run_trials
    from marinecv.search.objective import trainer

    with open_engine(search) as engine:
        return run_trials(search, engine, trainer(search, print, track), say)


def work_apart(folder: Path, track: str | None) -> None:
    """What a worker of Ray does."""
    console.import_tensorflow()
    from marinecv.search.folder import Search

    work(Search(folder), track)


def work_on_ray(search, track: str | None) -> bool:
    """Have workers of Ray train the trials, and print a line for each that is over.

    Where a worker is killed, Ray starts it again, and it takes up the trial it left. When this is stopped, so are they.

    Returns:
        Whether all trials are over.
    """
    import ray

    from marinecv.search.objective import TRIES

    over = {trial.number for trial in search.trials if trial.over}
    if len(over) == search.count:
        return True
    with ray_workers(most=search.count - len(over)) as workers:
        remote = ray.remote(work_apart).options(**workers.each, max_retries=TRIES * search.count)
        tasks = [remote.remote(search.folder.absolute(), track) for _ in range(workers.count)]
        try:
            while tasks:
                ended, tasks = ray.wait(tasks, timeout=POLL_S)
                with search.held():
                    trials = search.trials
                for trial in trials:
                    if trial.over and trial.number not in over:
                        over.add(trial.number)
                        tell(search, trial, workers.count)
                ray.get(ended)
        finally:
            for task in tasks:
                ray.cancel(task)  # a trial that is stopped so has lost no try
            if tasks:
                ray.wait(tasks, num_returns=len(tasks), timeout=CANCEL_S)
    return all(trial.over for trial in search.trials)


def tell(search, trial, workers: int = 1) -> None:
    """Print a line for a trial that is over, with about how long the others will take."""
    from marinecv.progress import duration

    trials = search.trials
    seconds = [found.seconds for found in trials if found.over and found.seconds]
    left = sum(seconds) / max(1, len(seconds)) * (search.count - sum(found.over for found in trials)) / workers
    settings = [
        f"{name.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in reversed(trial.values.items())
    ]
    said = [] if trial.status == "done" else [trial.status]
    if trial.value is not None:
        said.append(f"validation {trial.value:.3f} in epoch {trial.best_epoch} of {trial.epochs}")
    said += [trial.reason] if trial.reason else []
    said += ["best so far"] if search.best and search.best.number == trial.number else []
    took = f"; {duration(trial.seconds)}" if trial.seconds else ""
    took += f", about {duration(left)} left" if left else ""
    print(f"[{trial.number}/{search.count}] {', '.join(said)}; {', '.join(settings)}{took}", flush=True)


def train_winner(search, track: str | None) -> None:
    """Train the best trial's recipe again, score and report it, in the folder `best`."""
    from marinecv.hold import hold
    from marinecv.search.space import recipe_of
    from marinecv.training.recipe import Recipe
    from marinecv.workflows import train

    folder, best = search.folder / "best", search.best
    folder.mkdir(exist_ok=True)
    with hold(folder, waiting=lambda: print("another process trains the winner; waiting for it")):
        recipe = recipe_of(Recipe.of(search.base), best.values)
        recipe = replace(recipe, title=f"{recipe.title}, trial {best.number} of {len(search.trials)}")
        train.finish(search.run_of(folder, recipe), track)
