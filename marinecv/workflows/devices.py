"""A training on several devices: who leads, and what the other processes do."""

import os
from pathlib import Path

from marinecv.console import Log, import_tensorflow, silence
from marinecv.inputs.pipeline import Share
from marinecv.inputs.pixels import load_pixels
from marinecv.runs import Run, is_begun
from marinecv.training.distribution import distributed, join, leave, wait_for_all
from marinecv.training.fit import fit_recipe
from marinecv.training.recipe import Recipe


def meet(distribute: str | None, folder: str | os.PathLike | None, is_one_classifier: bool) -> Share:
    """Meet the other processes of a training, and return who this one is: process 0 leads, the others `follow`."""
    import_tensorflow()  # whose remarks on each model of a grid are none of a fault
    with silence(1):  # where processes meet, Gloo says so
        share = join(distribute)
    if share.processes > 1 and not is_one_classifier:
        raise ValueError(
            f"The {share.processes} processes train one classifier together. Leave out grid and folds, name one image "
            "size, and resume one run of a study."
        )
    if share.processes > 1 and not folder:
        raise ValueError("Name the folder of the run with folder=: one that every machine sees at the same place.")
    return share


def follow(folder: str | os.PathLike, log: Log) -> Run:
    """Take part in the training that process 0 begins, or goes on with, in a folder; nothing is written."""
    folder = Path(folder)
    if is_begun(folder) and Run(folder).finished:
        log(f"{folder} is finished")
        leave()
        return Run(folder)
    log("waiting for process 0 to read the images")
    with distributed("data-parallel") as share:
        wait_for_all("ready")
        run = Run(folder)
        if not run.trained:
            recipe = Recipe.of(run)
            before = run.catalog
            pixels, catalog = load_pixels(before, recipe.image)
            unread = catalog[catalog["problem"] != before["problem"]]
            if len(unread):
                raise ValueError(
                    f"{len(unread)} images that process 0 has read cannot be read here, the first is "
                    f"{unread['path'].iloc[0]}: {unread['problem'].iloc[0]}. Every machine must see the same files at "
                    "the same places."
                )
            fit_recipe(recipe, run, pixels)
    leave()
    log(f"process {share.process} of {share.processes} has trained with the others; process 0 scores {folder}")
    return run
