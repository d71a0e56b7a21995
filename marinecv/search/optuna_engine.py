"""Optuna suggests, ends trials below the median, and keeps a study in SQLite that several processes share."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from marinecv.search.folder import Search, Trial
from marinecv.search.space import Parameter

SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
FREE_TRIALS, FREE_EPOCHS = 5, 5  # so many end by themselves, and so many epochs of each, before one may be pruned
WAIT_S = 60
DAMAGED = (SQLAlchemyError, optuna.exceptions.StorageInternalError, LookupError, RuntimeError, ValueError)


class OptunaEngine:
    """Ask a study for values and tell it what came of them. `optuna.db` can be lost: the trials are told anew.

    All but the reports of a trial is done while the search folder is held. OSError where it cannot be read or written.
    """

    shared = True

    def __init__(self, search: Search):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.search, self.path = search, search.folder / "optuna.db"
        self.asked: dict[int, optuna.Trial] = {}
        with search.held(), self._storing():  # or two processes would make the tables
            self.storage = optuna.storages.RDBStorage("sqlite:///optuna.db", engine_kwargs=self._engine_options())
            self.study = optuna.create_study(
                study_name="search",
                storage=self.storage,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=FREE_TRIALS, n_warmup_steps=FREE_EPOCHS),
                direction="maximize",
                load_if_exists=True,
            )

    def close(self) -> None:
        """Close the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def learn(self, trials: Sequence[Trial]) -> None:
        """Tell the study of trials that are over, whoever trained them."""
        with self._storing():
            known = {found.user_attrs.get("number"): found for found in self.study.get_trials(deepcopy=False)}
            for trial in trials:
                found = known.get(trial.number)
                if trial.over and found is None:
                    self.study.add_trial(self._made(trial))
                elif trial.over and found.state == TrialState.RUNNING:
                    value = trial.value if trial.status == "done" else None
                    self.study.tell(found.number, value, STATES[trial.status])

    def ask(self, number: int) -> dict[str, Any]:
        """Suggest values. Two processes never suggest the same, and one that was killed suggests what it did."""
        with self._storing():
            self._give_up(number)
            seed = int(np.random.SeedSequence([self.search.seed, number]).generate_state(1)[0])
            self.study.sampler = SAMPLERS[self.search.algorithm](seed=seed)
            return self._ask(number)

    def watch(self, trial: Trial) -> Callable[[int, float], bool]:
        """Report to the study; a trial that a killed process left is begun there again, with its values."""
        if trial.number not in self.asked:
            with self._storing():
                self._give_up(trial.number)
                self.study.enqueue_trial(trial.values)
                self._ask(trial.number)
        asked = self.asked[trial.number]

        def report(epoch: int, value: float) -> bool:
            with self._storing():
                asked.report(value, epoch)
                return asked.should_prune()

        return report

    def _engine_options(self) -> dict[str, Any]:
        """How to open the file: a URL would be cut at a question mark in its path."""
        path = str(self.path)
        return {
            "creator": lambda: sqlite3.connect(path, timeout=WAIT_S, check_same_thread=False),
            "poolclass": NullPool,
        }

    def _ask(self, number: int) -> dict[str, Any]:
        asked = self.study.ask()
        values = {}
        for parameter in self.search.space:
            if parameter.plays(values):
                values[parameter.name] = _suggest(asked, parameter)
        asked.set_user_attr("number", number)
        self.asked[number] = asked
        return values

    def _give_up(self, number: int) -> None:
        """Close what a killed process has asked for and cannot end any more."""
        for found in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if found.user_attrs.get("number") in (None, number):
                self.study.tell(found.number, state=TrialState.FAIL)

    def _made(self, trial: Trial) -> optuna.trial.FrozenTrial:
        space = [parameter for parameter in self.search.space if parameter.name in trial.values]
        return optuna.trial.create_trial(
            state=STATES[trial.status],
            params=trial.values,
            distributions={parameter.name: _distribution(parameter) for parameter in space},
            value=trial.value if trial.status == "done" else None,
            intermediate_values={} if trial.value is None else {trial.best_epoch: trial.value},
            user_attrs={"number": trial.number},
        )

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except DAMAGED as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise OSError(
                f"{self.path} cannot be read or written: {reason}. Make room, or delete the file where it is damaged: "
                "it is made again from the trials."
            ) from error


def _suggest(asked: optuna.Trial, parameter: Parameter) -> Any:
    if parameter.choices:
        return asked.suggest_categorical(parameter.name, parameter.choices)
    return asked.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log)


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    if parameter.choices:
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
