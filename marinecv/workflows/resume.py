"""Go on with what was stopped."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from marinecv.console import Log, quiet
from marinecv.studies import CURVE, REPRODUCTION, is_study
from marinecv.training.distribution import device_sentence
from marinecv.workflows.devices import follow, meet
from marinecv.workflows.learning_curve import LearningCurve, finish_curve
from marinecv.workflows.reproduce import Reproduction, finish_reproduction
from marinecv.workflows.resumable import at_work
from marinecv.workflows.run import Experiment, Run
from marinecv.workflows.search import Search, finish_search
from marinecv.workflows.train_runs import finish, finish_study

if TYPE_CHECKING:
    import keras

FINISH = {Search: finish_search, LearningCurve: finish_curve, Reproduction: finish_reproduction}
FINISH |= {Experiment: finish_study, Run: finish}
ARGUMENTS = {Search: ("track", "workers"), LearningCurve: ("track", "goal")}
"""What those that differ from a run take."""


def resume(
    folder: str | os.PathLike,
    *,
    track: str | None = None,
    distribute: str | None = None,
    workers: str | None = None,
    goal: float | None = None,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    log: Log | None = print,
) -> Run | Experiment | Search:
    """Go on with a run, an experiment or a search where it was stopped; one that is finished gets its page again.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.resume(run.folder, log=None).finished
        True

    Args:
        folder: of the run, the experiment (a grid, folds, a learning curve, a reproduction) or the search.
        track, distribute, callbacks, log: as `mcv.train` takes them.
        workers: of a search, as `mcv.search` takes it.
        goal: of a learning curve, another one.
    Returns:
        It, finished.
    Raises:
        ValueError: the folder is none of these, it cannot take an argument, or its model was trained elsewhere.
    """
    log, stopped = log or quiet, opened(Path(folder))
    how = {"track": track, "distribute": distribute, "workers": workers, "goal": goal, "callbacks": callbacks}
    how = {name: value for name, value in how.items() if value}
    known = ARGUMENTS.get(type(stopped), ("track", "distribute", "callbacks"))
    if unknown := [name for name in how if name not in known]:
        raise ValueError(f"{folder} has no use for {unknown[0]}=. Expected some of {', '.join(known)}, or none.")
    log(device_sentence())
    work = FINISH[type(stopped)]
    if isinstance(stopped, Search):  # in which several processes may work
        work(stopped, log, **how)
        return stopped
    is_one_classifier = isinstance(stopped, Run) and not stopped.restores
    if meet(distribute, folder, is_one_classifier).process:
        return Run(follow(folder, log).folder)
    with at_work(stopped.folder):
        work(stopped, log, **how)
    return stopped


def opened(folder: Path) -> Run | Experiment | Search:
    """Open what a folder holds.

    Raises:
        ValueError: nothing that can be gone on with.
    """
    if (folder / "search.json").is_file():
        return Search(folder)
    if not is_study(folder):
        return Run(folder)
    kinds = {CURVE: LearningCurve, REPRODUCTION: Reproduction}
    return next((kind for name, kind in kinds.items() if (folder / name).is_file()), Experiment)(folder)
