"""Ask for a trial, train it, keep it, until there are no more: the same for every engine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec.structs import replace

from marinecv.hold import hold
from marinecv.search.folder import Search, Trial
from marinecv.search.kerastuner_engine import KerasTunerEngine
from marinecv.search.space import are_same

if TYPE_CHECKING:
    from marinecv.search.optuna_engine import OptunaEngine

Report = Callable[[int, float], bool]


@contextmanager
def open_engine(search: Search) -> "Iterator[KerasTunerEngine | OptunaEngine]":
    """Open the engine of a search; it knows no trial yet.

    An engine has `learn(trials)`, which tells it of all trials that it does not know yet; `ask(number)`, which
    suggests the values of the next one, or None where there are no others; `watch(trial)`, which returns what each
    epoch's value is reported to, and which says whether to end there; and `shared`, whether several processes may
    work on the search.
    """
    if search.engine == "optuna":
        from marinecv.search.optuna_engine import OptunaEngine

        with closing(OptunaEngine(search)) as engine:
            yield engine
        return
    with TemporaryDirectory() as scratch:
        yield KerasTunerEngine(search, Path(scratch))


def run_trials(
    search: Search,
    engine: "KerasTunerEngine | OptunaEngine",
    train: Callable[[Trial, Report], Trial],
    say: Callable[[Trial], None] | None = None,
) -> bool:
    """Train the trials of a search that are not over yet, those first that a killed process left.

    Nothing is trained twice: values that were suggested before get the figures they have. Returns whether all are over;
    otherwise other processes are at work on the last. ValueError where another works on one that is not shared.
    """
    with nullcontext() if engine.shared else hold(search.folder):
        while True:
            with ExitStack() as holding:
                with search.held():
                    engine.learn(search.trials)
                    search.write_table()
                    trial = _left_behind(search, holding) or _next(search, engine, holding)
                    if trial is None:
                        return all(found.over for found in search.trials)
                    report = engine.watch(trial) if not trial.over else None
                if report:
                    trial = train(trial, report)
                search.write_trial(trial)
                if say:
                    say(trial)


def _left_behind(search: Search, holding: ExitStack) -> Trial | None:
    """A trial that is not over and that no process holds any more; held now."""
    for trial in search.trials:
        if not trial.over:
            try:
                holding.enter_context(hold(search.trial_folder(trial.number)))
            except ValueError:
                continue
            trial = search.trial(trial.number)  # the one that held it may just have ended it
            if not trial.over:
                return trial
    return None


def _next(search: Search, engine: "KerasTunerEngine | OptunaEngine", holding: ExitStack) -> Trial | None:
    """A new trial, held and kept before anything is trained; None where there are no more."""
    trials = search.trials
    number = len(trials) + 1
    values = engine.ask(number) if number <= search.count else None
    if values is None:
        return None
    folder = search.trial_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    holding.enter_context(hold(folder))
    twin = next((trial for trial in trials if are_same(values, trial.values)), None)
    trial = _repeated(twin, number) if twin else Trial(number=number, values=values)
    search.write_trial(trial)
    return trial


def _repeated(twin: Trial, number: int) -> Trial:
    """A trial with the values of an earlier one, and its figures where they are known."""
    status, reason = twin.status if twin.over else "pruned", f"the values of trial {twin.number}, not trained again"
    return replace(twin, number=number, status=status, epochs=0, seconds=0.0, tries=0, reason=reason)
