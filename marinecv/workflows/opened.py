"""A finished run, by its folder or as it was opened."""

import os

from marinecv.runs import Run


def open_classifier(run: str | os.PathLike | Run) -> Run:
    """Open the run of a classifier.

    Raises:
        ValueError: it is no run, or an autoencoder's.
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.restores:
        raise ValueError(
            f"{run.folder} is the run of an autoencoder, which names no animal. Expected a run of pretrain or finetune."
        )
    return run
