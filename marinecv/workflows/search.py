"""Search hyper-parameters: train trials of one recipe; train the best again, score and report it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from marinecv.console import Log, link, silent
from marinecv.files.lock import lock_folder
from marinecv.progress import duration
from marinecv.recipes.registry import recipe_named
from marinecv.report.search_page import write_search_report
from marinecv.runs import fresh_folder, next_folder
from marinecv.search import folder as search_folder
from marinecv.search.engines import settled_engine
from marinecv.search.folder import MAX_TRIALS, Trial
from marinecv.search.loop import open_engine, run_trials
from marinecv.search.objective import MAX_KILLS, trainer
from marinecv.search.space import recipe_of, space_of
from marinecv.training.recipe import Recipe
from marinecv.training.settings import full_names
from marinecv.workflows.folders import resumable, with_resume_note
from marinecv.workflows.prepare import Changes, plan_runs
from marinecv.workflows.ray_workers import import_ray, ray_workers
from marinecv.workflows.run import Run
from marinecv.workflows.sources import Data
from marinecv.workflows.train import RecipeLike, with_recipe
from marinecv.workflows.train_runs import finish, start

TRIALS = 20
POLL_INTERVAL_S = 1.0
CANCEL_TIMEOUT_S = 10


class Search(search_folder.Search):
    """A folder of trials of one recipe, the best of them trained again; ValueError where it is none.

    >>> import marinecv as mcv
    >>> search = mcv.search(mcv.demo_images(), "aquarium_four_conv", trials=1, epochs=1, limit=24, log=None)
    >>> len(mcv.Search(search.folder).table())
    1
    """

    @property
    def best_run(self) -> Run | None:
        """The best trial, trained again, scored and reported; None before that."""
        folder = self.folder / "best"
        return Run(folder) if (folder / "metrics.json").is_file() else None

    @property
    def report(self) -> Path:
        """The path of its page."""
        return self.folder / "report.html"


def search(
    data: Data = None,
    recipe: RecipeLike = None,
    *,
    engine: str | None = None,
    algorithm: str | None = None,
    trials: int = TRIALS,
    folder: str | os.PathLike | None = None,
    workers: str | None = None,
    track: str | None = None,
    changes: Changes | None = None,
    log: Log | None = print,
    **settings: Any,
) -> Search:
    """Search learning rate, batch size and optimizer of a recipe, and the shape of a CNN; return the finished search.

        >>> import marinecv as mcv
        >>> search = mcv.search(mcv.demo_images(), "aquarium_four_conv", trials=1, epochs=1, limit=24, log=None)
        >>> search.best_run.finished
        True

    Trials are ranked on validation; the best is trained again, scored and reported. `mcv.resume` resumes a stopped
    search; several processes may work on one of Optuna.

    Args:
        data: images, see `mcv.train`.
        recipe: see `mcv.train`; None takes the one for these images.
        engine: library that suggests the values: `"kerastuner"` (the default) or `"optuna"`, which `workers` need.
        algorithm: of Keras Tuner `"bayesian"`, `"random"` or `"grid"`, of Optuna `"tpe"` or `"random"`; None takes the
            first.
        trials: maximum number of trials, from 1 to 9999.
        folder: to be made for the search; None takes the next free one below `runs/`.
        workers: `"ray"` shares the trials among all CPUs or GPUs of a Ray cluster, or of this machine.
        track, changes, log, **settings: of all trials alike, see `mcv.train`.
    Raises:
        ValueError: see `mcv.train`; or there is no such engine or algorithm, or no trial was trained to its end.
    """
    log = log or silent
    if workers:
        import_ray()
    engine, algorithm = settled_engine(engine, algorithm, workers)
    if not 1 <= trials <= MAX_TRIALS:
        raise ValueError(f"Expected 1 to {MAX_TRIALS} trials. Received: trials={trials}.")
    if recipe is None and data is None:
        raise ValueError("Name a recipe with recipe=; the command recipes lists them.")
    data, recipe = with_recipe(data, recipe, changes, settings, log)
    recipe = recipe_named(recipe, "search")
    # All of validation ranks the trials: nothing is held out to calibrate on.
    changes = {"training.calibration": recipe.training.calibration, **full_names(recipe, changes, **settings)}
    plan = plan_runs(data, [recipe], changes, log, trials=trials)
    [(name, (planned, catalog))] = plan.runs.items()
    log(f"  max {trials} trials by {algorithm} ({engine})")
    folder = fresh_folder(folder or next_folder("runs", plan.folder_name(recipe, name, "search-")))
    with resumable(folder):
        start(folder / "base", planned, catalog, plan.manifest, log)
        new_search = Search.create(folder, engine, algorithm, trials, planned.training.seed, space_of(planned))
    finish_search(new_search, log, track=track, workers=workers)
    return new_search


def finish_search(search: Search, log: Log, *, track: str | None = None, workers: str | None = None) -> None:
    """Train the trials that are not over, then the best again, and write the page."""
    if workers:
        import_ray()
    with with_resume_note(search.folder, f'resume("{search.folder}")'):
        if begun := len(search.trials):
            log(f"{sum(trial.over for trial in search.trials)} of {begun} trials that were begun are over")
        all_over = run_trials_on_ray(search, track, log) if workers else run_all_trials(search, track, log)
        if not all_over:
            log("The last trials run in another process, which will train the winner.")
            return
        if len(search.trials) < search.count:
            log(f"The space is exhausted: it holds {len(search.trials)} trials.")
        if search.best:
            train_winner(search, track, log)
        with search.locked():
            log(f"search: {link(write_search_report(search.folder))}")
    if not search.best:
        reason = next((trial.reason for trial in search.trials if trial.reason), "there was none")
        raise ValueError(f"No trial of {search.folder} was trained to its end. The first: {reason}")


def run_all_trials(search: search_folder.Search, track: str | None, log: Log) -> bool:
    """Train trials until there is none left to begin, maybe beside other processes; return whether all are over."""
    with open_engine(search) as engine:
        return run_trials(search, engine, trainer(search, log, track), lambda trial: log(trial_line(search, trial)))


def work_apart(folder: Path, track: str | None) -> None:
    """Work on a search as a worker of Ray."""
    run_all_trials(search_folder.Search(folder), track, silent)


def run_trials_on_ray(search: Search, track: str | None, log: Log) -> bool:
    """Train the trials in workers of Ray, which restarts killed ones; log each that is over; return whether all are."""
    over = {trial.number for trial in search.trials if trial.over}
    if len(over) == search.count:
        return True
    with ray_workers(most=search.count - len(over)) as (count, each):
        ray = import_ray()
        remote = ray.remote(work_apart).options(**each, max_retries=MAX_KILLS * search.count)
        tasks = [remote.remote(search.folder.absolute(), track) for _ in range(count)]
        try:
            while tasks:
                ended, tasks = ray.wait(tasks, timeout=POLL_INTERVAL_S)
                with search.locked():
                    trials = search.trials
                for trial in trials:
                    if trial.over and trial.number not in over:
                        over.add(trial.number)
                        log(trial_line(search, trial, count))
                ray.get(ended)
        finally:
            for task in tasks:
                ray.cancel(task)  # which costs a trial no try
            if tasks:
                ray.wait(tasks, num_returns=len(tasks), timeout=CANCEL_TIMEOUT_S)
    return all(trial.over for trial in search.trials)


def trial_line(search: search_folder.Search, trial: Trial, workers: int = 1) -> str:
    """Return the result of a trial that is over, its values, and about how long the other trials will take."""
    over = [other for other in search.trials if other.over]
    seconds = [other.seconds for other in over if other.seconds]
    seconds_left = sum(seconds) / max(1, len(seconds)) * (search.count - len(over)) / workers
    values = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in trial.values.items()}
    settings = [f"{name.replace('_', ' ')} {value}" for name, value in reversed(values.items())]
    score = trial.value is not None and f"validation {trial.value:.3f} in epoch {trial.best_epoch} of {trial.epochs}"
    best = search.best and search.best.number == trial.number and "best so far"
    result = [trial.status != "done" and trial.status, score, trial.reason, best]
    duration_text = f"; {duration(trial.seconds)}" if trial.seconds else ""
    duration_text += f", about {duration(seconds_left)} left" if seconds_left else ""
    return f"[{trial.number}/{search.count}] {', '.join(filter(None, result))}; {', '.join(settings)}{duration_text}"


def train_winner(search: Search, track: str | None, log: Log) -> None:
    """Train the recipe of the best trial again, score and report it, in the folder `best`."""
    folder, best = search.folder / "best", search.best
    folder.mkdir(exist_ok=True)
    with lock_folder(folder, waiting=lambda: log("another process trains the winner; waiting for it")):
        recipe = recipe_of(Recipe.of(search.base), best.values)
        recipe = replace(recipe, title=f"{recipe.title}, trial {best.number} of {len(search.trials)}")
        finish(search.run_of(folder, recipe), log, track=track)
