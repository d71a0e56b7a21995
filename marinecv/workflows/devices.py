"""A training command on several devices: who leads, and what the other processes do."""

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from marinecv import console

if TYPE_CHECKING:
    from marinecv.inputs.share import Share


def prepare(args: argparse.Namespace) -> "Share":
    """Import TensorFlow, and have Keras on JAX where that is asked for; meet the other processes of the training.

    Returns:
        Who this process is among them. Process 0 leads; the others `follow`.
    Raises:
        ValueError: JAX is not there, or several processes are asked for what one run is not.
    """
    if args.distribute == "data-parallel" and importlib.util.find_spec("jax") is None:
        raise ValueError("JAX is not installed. Install it with: pip install 'marinecv[jax]'")
    if args.distribute == "data-parallel" and "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"
    console.import_tensorflow()
    from marinecv.studies import Study, resumable
    from marinecv.training.distribution import join

    with console.silence(1):  # where processes meet, Gloo says so
        share = join(args.distribute)
    if share.processes > 1:
        several = args.grid or args.folds or len(args.image_size or ()) > 1
        stopped = resumable(args.resume) if args.resume else None
        if several or isinstance(stopped, Study) or (stopped and stopped.restores):
            raise ValueError(
                f"The {share.processes} processes train one classifier together. Leave out --grid and --folds, name "
                "one --image-size, and resume one run of a study."
            )
        if not (args.resume or args.output_dir):
            raise ValueError(
                "Name the folder of the run with --output-dir: one that every machine sees at the same place."
            )
    return share


def follow(folder: Path) -> int:
    """Take part in the training that process 0 begins, or goes on with, in a folder; nothing is written."""
    from marinecv.inputs.pixels import load_pixels
    from marinecv.runs import Run, is_begun
    from marinecv.training.distribution import distributed, leave, wait_for_all
    from marinecv.training.fit import fit_recipe
    from marinecv.training.recipe import Recipe

    if is_begun(folder) and Run(folder).finished:
        print(f"{folder} is finished")
        leave()
        return 0
    print("waiting for process 0 to read the images", flush=True)
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
    print(f"process {share.process} of {share.processes} has trained with the others; process 0 scores {folder}")
    return 0
