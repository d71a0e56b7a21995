"""Optuna suggests values and ends trials below the median; its study is made of the trial files in each process."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from marinecv.search.folder import Search, Trial
from marinecv.search.space import Parameter

SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
FREE_TRIALS, FREE_EPOCHS = 5, 5  # trials that are not pruned, and epochs of each other trial


class OptunaEngine:
    """Suggest values by Optuna; see `open_engine`."""

    shared = True

    def __init__(self, search: Search):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=FREE_TRIALS, n_warmup_steps=FREE_EPOCHS)
        self.study = optuna.create_study(pruner=pruner, direction="maximize")
        self.search = search
        self.asked: dict[int, optuna.Trial] = {}
        self.known: set[int] = set()

    def learn(self, trials: Sequence[Trial]) -> None:
        """Tell the study of trials that are over, whoever trained them."""
        for trial in trials:
            if trial.over and trial.number not in self.known:
                self.known.add(trial.number)
                value = trial.value if trial.status == "done" else None
                if trial.number in self.asked:
                    self.study.tell(self.asked[trial.number], value, STATES[trial.status])
                else:
                    self.study.add_trial(self._made(trial, value))

    def ask(self, number: int) -> dict[str, Any]:
        """Suggest values; they depend on the number and the trials before, so two processes suggest different ones."""
        seed = int(np.random.SeedSequence([self.search.seed, number]).generate_state(1)[0])
        self.study.sampler = SAMPLERS[self.search.algorithm](seed=seed)
        return self._ask(number)

    def watch(self, trial: Trial) -> Callable[[int, float], bool]:
        """Report to the study; a trial that a killed process left is asked for again, with its values."""
        if trial.number not in self.asked:
            self.study.enqueue_trial(trial.values)
            self._ask(trial.number)
        asked = self.asked[trial.number]

        def report(epoch: int, value: float) -> bool:
            asked.report(value, epoch)
            return asked.should_prune()

        return report

    def _ask(self, number: int) -> dict[str, Any]:
        asked = self.asked[number] = self.study.ask()
        for parameter in self.search.space:
            if not parameter.plays(asked.params):
                continue
            if parameter.choices:
                asked.suggest_categorical(parameter.name, parameter.choices)
            else:
                asked.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log)
        return asked.params

    def _made(self, trial: Trial, value: float | None) -> optuna.trial.FrozenTrial:
        space = [parameter for parameter in self.search.space if parameter.name in trial.values]
        return optuna.trial.create_trial(
            state=STATES[trial.status],
            params=trial.values,
            distributions={parameter.name: _distribution(parameter) for parameter in space},
            value=value,
            intermediate_values=dict(trial.reported),
        )


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.choices:
        return CategoricalDistribution(parameter.choices)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
