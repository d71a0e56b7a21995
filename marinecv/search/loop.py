"""Ask for a trial, train it and save it until there are no more: the same for every engine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec.structs import replace

from marinecv.files.lock import lock_folder
from marinecv.search.folder import Search, Trial
from marinecv.search.kerastuner_engine import KerasTunerEngine
from marinecv.search.space import are_same

if TYPE_CHECKING:
    from marinecv.search.optuna_engine import OptunaEngine

Report = Callable[[int, float], bool]


@contextmanager
def open_engine(search: Search) -> "Iterator[KerasTunerEngine | OptunaEngine]":
    """Yield the engine of a search, which knows no trial yet.

    An engine has `learn(trials)`, which tells it of the trials that are over; `ask(number)`, which suggests the values
    of the next one, or None; `watch(trial)`, which returns a function that takes each epoch's value and returns whether
    to end the trial; and `shared`, whether several processes may work on the search.
    """
    if search.engine == "optuna":
        from marinecv.search.optuna_engine import OptunaEngine

        yield OptunaEngine(search)
        return
    with TemporaryDirectory() as scratch:
        yield KerasTunerEngine(search, Path(scratch))


def run_trials(
    search: Search,
    engine: "KerasTunerEngine | OptunaEngine",
    train: Callable[[Trial, Report], Trial],
    log: Callable[[Trial], None] | None = None,
) -> bool:
    """Train the trials of a search that are not over, first those that a killed process left.

    Values that were suggested before are not trained again. Returns whether all trials are over; otherwise other
    processes train the last ones. ValueError if another process works on a search that is not shared.
    """
    with nullcontext() if engine.shared else lock_folder(search.folder):
        while True:
            with ExitStack() as holding:
                with search.locked():
                    engine.learn(search.trials)
                    search.write_table()
                    trial = _left_behind(search, holding) or _next(search, engine, holding)
                    if trial is None:
                        return all(each.over for each in search.trials)
                    report = engine.watch(trial) if not trial.over else None
                if report:
                    trial = _train(trial, train, report)
                search.write_trial(trial)
                if log:
                    log(trial)


def _train(trial: Trial, train: Callable[[Trial, Report], Trial], report: Report) -> Trial:
    """Train a trial and return it with the values that it reported."""
    reported = {}

    def noted(epoch: int, value: float) -> bool:
        reported[epoch] = value
        return report(epoch, value)

    return replace(train(trial, noted), reported=tuple(reported.items()))


def _left_behind(search: Search, holding: ExitStack) -> Trial | None:
    """A trial that is not over and that no process holds any more; held now."""
    for trial in search.trials:
        if not trial.over:
            try:
                holding.enter_context(lock_folder(search.trial_folder(trial.number)))
            except ValueError:
                continue
            trial = search.trial(trial.number)  # the process that held it may just have ended it
            if not trial.over:
                return trial
    return None


def _next(search: Search, engine: "KerasTunerEngine | OptunaEngine", holding: ExitStack) -> Trial | None:
    """A new trial, held and saved before anything is trained; None if there are no more."""
    trials = search.trials
    number = len(trials) + 1
    values = engine.ask(number) if number <= search.count else None
    if values is None:
        return None
    folder = search.trial_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    holding.enter_context(lock_folder(folder))
    trial = Trial(number=number, values=values)
    if twin := next((other for other in trials if are_same(values, other.values)), None):
        status, reason = twin.status if twin.over else "pruned", f"the values of trial {twin.number}, not trained again"
        blank = {"epochs": 0, "seconds": 0.0, "tries": 0, "reported": ()}
        trial = replace(twin, number=number, status=status, reason=reason, **blank)
    search.write_trial(trial)
    return trial
