"""Keras Tuner suggests; its oracle lives as long as the process, for our own files say what was tried."""

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

FREE_TRIALS = 5  # drawn by chance before a Bayesian search has something to learn from


class KerasTunerEngine:
    """Ask an oracle for values and tell it what came of them.

    Another oracle with the same seed that is told the same gives the same values: so a search that was killed goes on.
    In the empty folder `scratch` lies what the oracle writes and nobody reads.
    """

    shared = False

    def __init__(self, search: Search, scratch: Path):
        self.folder = search.folder
        # By itself it would draw three trials a hyper-parameter by chance first, which is all of a short search.
        own = {"num_initial_points": max(FREE_TRIALS, search.count // 4)} if search.algorithm == "bayesian" else {}
        self.oracle = ORACLES[search.algorithm](
            **own,
            objective=keras_tuner.Objective("value", "max"),
            max_trials=search.count,
            seed=search.seed + 1,  # 0 would be taken for none
            hyperparameters=hyperparameters(search.space, is_grid=search.algorithm == "grid"),
            allow_new_entries=False,
            max_consecutive_failed_trials=search.count + 1,  # a failed trial is a row and not the end
        )
        self.oracle.verbose = 0
        builds_nothing = {"hypermodel": lambda values: None, "project_name": "oracle"}
        keras_tuner.Tuner(self.oracle, directory=scratch, **builds_nothing)  # an oracle gets its folder by a tuner
        self.asked, self.told = [], set()

    def learn(self, trials: Sequence[Trial]) -> None:
        """Ask for the values of each trial as it was asked for the first time, and tell the figures.

        Raise ValueError where the oracle suggests other values than it did.
        """
        for trial in trials:
            if trial.number > len(self.asked) and not are_same(values := self.ask(trial.number) or {}, trial.values):
                raise ValueError(
                    f"Keras Tuner suggests {values} for trial {trial.number} of {self.folder}, which was trained with "
                    f"{trial.values}. Expected the same: another version of Keras Tuner or another machine began this "
                    "search. Go on with those, or start another search."
                )
            if trial.over and trial.number not in self.told:
                self._tell(trial)

    def ask(self, number: int) -> dict[str, Any] | None:
        """Suggest values; None where all were tried."""
        suggested = self.oracle.create_trial("marinecv")
        if suggested.status != "RUNNING":
            return None
        self.asked.append(suggested)
        return dict(suggested.hyperparameters.values)

    def watch(self, trial: Trial) -> Callable[[int, float], bool]:
        """Never end a trial early."""
        return lambda epoch, value: False

    def _tell(self, trial: Trial) -> None:
        suggested = self.asked[trial.number - 1]
        suggested.status = "COMPLETED" if trial.status == "done" else "FAILED"
        if trial.status == "done":
            self.oracle.update_trial(suggested.trial_id, {"value": trial.value})
        self.oracle.end_trial(suggested)
        self.told.add(trial.number)


def hyperparameters(space: Sequence[Parameter], is_grid: bool = False) -> keras_tuner.HyperParameters:
    """Return a space as Keras Tuner knows it."""
    found = keras_tuner.HyperParameters()
    for parameter in space:
        with found.conditional_scope(parameter.needs[0], [parameter.needs[1]]) if parameter.needs else nullcontext():
            if choices := (parameter.grid if is_grid else ()) or parameter.choices:
                found.Choice(parameter.name, list(choices))
            else:
                sampling = "log" if parameter.log else "linear"
                found.Float(parameter.name, parameter.low, parameter.high, sampling=sampling)
    return found
