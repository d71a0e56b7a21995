"""Keras Tuner suggests values; its oracle is made of the trial files in each process."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner import oracles

from marinecv.search.folder import Search, Trial
from marinecv.search.space import Parameter, are_same

ORACLES = {
    "bayesian": oracles.BayesianOptimizationOracle,
    "random": oracles.RandomSearchOracle,
    "grid": oracles.GridSearchOracle,
}
FREE_TRIALS = 5  # random ones before a Bayesian search


class KerasTunerEngine:
    """Suggest values by an oracle of Keras Tuner, which writes into the folder `scratch`; see `open_engine`.

    An oracle with the same seed and the same trials suggests the same values, so a killed search can be resumed.
    """

    shared = False

    def __init__(self, search: Search, scratch: Path):
        self.folder = search.folder
        # By default three random trials a hyperparameter come first, which is all of a short search.
        first = {"num_initial_points": max(FREE_TRIALS, search.count // 4)} if search.algorithm == "bayesian" else {}
        self.oracle = ORACLES[search.algorithm](
            **first,
            objective=keras_tuner.Objective("value", "max"),
            max_trials=search.count,
            seed=search.seed + 1,  # 0 means none
            hyperparameters=hyperparameters(search.space, is_grid=search.algorithm == "grid"),
            allow_new_entries=False,
            max_consecutive_failed_trials=search.count + 1,  # a failed trial is a row and not the end
        )
        self.oracle.verbose = 0
        # An oracle gets its folder by a tuner, which builds nothing here.
        keras_tuner.Tuner(self.oracle, directory=scratch, hypermodel=lambda values: None, project_name="oracle")
        self.asked, self.reported_trials = [], set()

    def learn(self, trials: Sequence[Trial]) -> None:
        """Ask for the values of each trial again and tell the results; ValueError if it suggests other values."""
        for trial in trials:
            if trial.number > len(self.asked) and not are_same(values := self.ask(trial.number) or {}, trial.values):
                other = f"{values} for trial {trial.number} of {self.folder}, which was trained with {trial.values}"
                hint = "Use the version of Keras Tuner and the machine that began this search, or start another."
                raise ValueError(f"Keras Tuner suggests {other}. {hint}")
            if trial.over and trial.number not in self.reported_trials:
                suggested = self.asked[trial.number - 1]
                suggested.status = "COMPLETED" if trial.status == "done" else "FAILED"
                if trial.status == "done":
                    self.oracle.update_trial(suggested.trial_id, {"value": trial.value})
                self.oracle.end_trial(suggested)
                self.reported_trials.add(trial.number)

    def ask(self, number: int) -> dict[str, Any] | None:
        """Suggest values; None if all were tried."""
        suggested = self.oracle.create_trial("marinecv")
        if suggested.status != "RUNNING":
            return None
        self.asked.append(suggested)
        return dict(suggested.hyperparameters.values)

    def watch(self, trial: Trial) -> Callable[[int, float], bool]:
        """Never end a trial early."""
        return lambda epoch, value: False


def hyperparameters(space: Sequence[Parameter], is_grid: bool = False) -> keras_tuner.HyperParameters:
    """Convert a space for Keras Tuner."""
    space_of_tuner = keras_tuner.HyperParameters()
    for parameter in space:
        needed, value = parameter.needs or (None, None)
        with space_of_tuner.conditional_scope(needed, [value]) if needed else nullcontext():
            if choices := (parameter.grid if is_grid else ()) or parameter.choices:
                space_of_tuner.Choice(parameter.name, list(choices))
            else:
                sampling = "log" if parameter.log else "linear"
                space_of_tuner.Float(parameter.name, parameter.low, parameter.high, sampling=sampling)
    return space_of_tuner
