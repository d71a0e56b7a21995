"""Go on with what was stopped."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from marinecv.console import Log, quiet
from marinecv.studies import Study, resumable
from marinecv.training.distribution import device_sentence
from marinecv.workflows.devices import follow, meet
from marinecv.workflows.resumable import at_work
from marinecv.workflows.run import Experiment, Run
from marinecv.workflows.train_runs import finish, finish_study

if TYPE_CHECKING:
    import keras


def resume(
    folder: str | os.PathLike,
    *,
    track: str | None = None,
    distribute: str | None = None,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    log: Log | None = print,
) -> Run | Experiment:
    """Go on with a run or an experiment where it was stopped; one that is finished gets its page again.

        run = mcv.resume("runs/my_photos_mobilenet_head-1")

    Args:
        folder: of the run or the experiment.
        track, distribute, callbacks, log: as `mcv.train` takes them.
    Returns:
        It, finished.
    Raises:
        ValueError: the folder is neither, or its model was trained elsewhere.
    """
    log, folder = log or quiet, Path(folder)
    stopped = resumable(folder)
    is_study = isinstance(stopped, Study)
    if meet(distribute, folder, is_one_classifier=not (is_study or stopped.restores)).process:
        return Run(follow(folder, log).folder)
    log(device_sentence())
    how = {"track": track, "distribute": distribute, "callbacks": callbacks}
    with at_work(folder):
        if is_study:
            finish_study(stopped, log, **how)
        else:
            finish(stopped, log, **how)
    return Experiment(folder) if is_study else Run(folder)
