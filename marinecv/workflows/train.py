"""Train a classifier or an autoencoder, or several beside each other."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from marinecv.console import Log, quiet
from marinecv.data.user_tables import usable
from marinecv.recipes.butterflies import DENOISE
from marinecv.recipes.registry import is_own, recipe_for, recipe_named
from marinecv.runs import check_fresh, fresh_folder, next_folder
from marinecv.studies import FLATTERED
from marinecv.training.recipe import Recipe
from marinecv.training.settings import named_changes
from marinecv.workflows.devices import follow, meet
from marinecv.workflows.prepare import Plan, plan_runs
from marinecv.workflows.resumable import at_work
from marinecv.workflows.run import Experiment, Run
from marinecv.workflows.sources import Data, Source, source_of
from marinecv.workflows.train_runs import finish, finish_study, start

RecipeLike = Recipe | str | os.PathLike | None


def train(
    data: Data = None,
    recipe: RecipeLike = None,
    *,
    folder: str | os.PathLike | None = None,
    changes: Mapping[str, Any] | None = None,
    track: str | None = None,
    distribute: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    log: Log | None = print,
    **settings: Any,
) -> Run:
    """Train a classifier, score it and write its page.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> sorted(run.metrics)
        ['test', 'train', 'validation']

    Args:
        data: a folder or archive of images, the name of a data set, a manifest or a catalog; None takes the recipe's.
        recipe: a recipe, its name (`recipes list`), a `.toml` or `.json` file of one, or a run's folder; None takes the
            one for these images: a head on a frozen MobileNet on your own.
        folder: to be made for the run; None takes the next free one below `runs/`.
        changes: other settings of the recipe by their names, such as `{"training.lr_patience": 3}`.
        track: `"tensorboard"` or `"wandb"`: follow the training there too.
        distribute: `"mirrored"` trains on all GPUs of this machine, `"data-parallel"` on several machines, on JAX.
        callbacks: of your own, beside the recipe's.
        log: called with each line of text; None tells nothing.
        **settings: other settings by the last part of their names, such as `epochs=5`.
    Returns:
        The finished run.
    Raises:
        ValueError: there are no such images, recipe or settings, the folder is in use, or nothing can be trained.
    """
    log = log or quiet
    if meet(distribute, folder, is_one_classifier=True).process:
        return Run(follow(folder, log).folder)
    if folder is not None:
        check_fresh(folder)
    data, recipe = settled(data, recipe, log)
    changes = named_changes(recipe, changes, **settings)
    plan = plan_runs(data, [recipe], changes, log, may_cache=not distribute)
    [(name, (planned, catalog))] = plan.runs.items()
    folder = folder_of(plan, folder, recipe, name)
    with at_work(folder):
        run = start(folder, planned, catalog, plan.manifest, log)
        finish(run, log, track=track, distribute=distribute, callbacks=callbacks)
    return Run(folder)


def autoencode(data: Data = None, recipe: RecipeLike = None, **options: Any) -> Run:
    """Train an autoencoder, measure what it gives back, and keep its encoder and decoder.

        >>> import marinecv as mcv
        >>> mcv.autoencode(mcv.demo_images(), epochs=1, limit=24, size=32, log=None).finished
        True

    Args:
        data: as `train` takes it.
        recipe: likewise, of an autoencoder; None takes a denoiser.
        **options: the other arguments of `train`.
    Returns:
        The finished run.
    Raises:
        ValueError: as `train`, or the recipe is of a classifier.
    """
    chosen = recipe_named(recipe or DENOISE, "autoencode")
    if recipe is None and data is not None:
        data = source_of(data, chosen.data, options.get("log", print) or quiet)
        if is_own(data.manifest, chosen):
            chosen = replace(chosen, name="denoise")
    return train(data, chosen, **options)


def grid(
    data: Data = None,
    recipes: RecipeLike | Sequence[RecipeLike] = None,
    *,
    sizes: Sequence[int] = (),
    folds: int | None = None,
    select_on: str = "validation",
    folder: str | os.PathLike | None = None,
    name: str = "grid",
    title: str = "Grid",
    changes: Mapping[str, Any] | None = None,
    track: str | None = None,
    distribute: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    log: Log | None = print,
    **settings: Any,
) -> Experiment:
    """Train several runs on the same images, and compare them: recipes, image sizes, folds, or all of these.

        >>> import marinecv as mcv
        >>> experiment = mcv.grid(mcv.demo_images(), "aquarium_four_conv", sizes=(16, 32), epochs=1, limit=24, log=None)
        >>> list(experiment.runs)
        ['aquarium_four_conv_16px', 'aquarium_four_conv_32px']

    Args:
        data: as `train` takes it.
        recipes: one or several, each as `train` takes it.
        sizes: of the input, in pixels: each recipe at each.
        folds: train each so many times, so that each image is in validation once.
        select_on: the split that the best run is chosen on; `"test"` flatters it, and is recorded.
        folder: to be made; None takes the next free one below `runs/`.
        name: of the experiment, and of its folder where several recipes are trained.
        title: of its page.
        changes, track, distribute, callbacks, log, **settings: as `train` takes them.
    Returns:
        The finished experiment.
    Raises:
        ValueError: as `train`, all this makes one run alone, or there is no split to choose on.
    """
    log = log or quiet
    meet(distribute, folder, is_one_classifier=False)
    if folder is not None:
        check_fresh(folder)
    first, *others = listed(recipes)
    data, first = settled(data, first, log)
    rows = [first, *map(recipe_named, others)]
    changes = named_changes(first, changes, **settings)
    if len(rows) * max(1, len(sizes)) * (folds or 1) == 1:
        if select_on == "test":
            raise ValueError(
                'select_on="test" chooses between runs, and this is one. Leave it out, or train several recipes, sizes '
                "or folds."
            )
        raise ValueError("One recipe at one size makes one run. Expected several recipes, sizes=(64, 128) or folds=5.")
    plan = plan_runs(data, rows, changes, log, sizes=sizes, folds=folds, may_cache=not distribute)
    if select_on == "test":
        choose_on_test(plan, log)
    first = next(iter(plan.recipes.values()))
    name = first.name if len(rows) * max(1, len(sizes)) == 1 else f"{rows[0].report}_{name}".removeprefix("_")
    folder = folder_of(plan, folder, rows[0], name)
    with at_work(folder):
        for cell, (recipe, catalog) in plan.runs.items():
            start(folder / cell, recipe, catalog, plan.manifest, log, select_on)
        title = f"{title}: {plan.manifest.name}"
        experiment = Experiment.create(folder, name, title, list(plan.runs), plan.manifest.demonstration, select_on)
        finish_study(experiment, log, track=track, distribute=distribute, callbacks=callbacks)
    return experiment


def listed(recipes: RecipeLike | Sequence[RecipeLike]) -> list[RecipeLike]:
    """Return recipes as a list, of one or several."""
    return [recipes] if recipes is None or isinstance(recipes, (Recipe, str, os.PathLike)) else list(recipes)


def settled(data: Data, recipe: RecipeLike, log: Log) -> tuple[Data, Recipe]:
    """Return the images and the recipe; without one that for these images."""
    if recipe is not None:
        return data, recipe_named(recipe)
    default = recipe_for(None)
    source: Source = source_of(data, default.data, log)
    return source, recipe_for(source.manifest)


def folder_of(plan: Plan, folder: str | os.PathLike | None, base: Recipe, name: str) -> Path:
    """Make and return the folder that is asked for, or the next free one."""
    return fresh_folder(folder or next_folder("runs", plan.name(base, name)))


def choose_on_test(plan: Plan, log: Log) -> None:
    """Say loudly what choosing on test costs; refuse it where there is no test split to do it on."""
    if not all((usable(catalog)["split"] == "test").any() for _, catalog in plan.runs.values()):
        raise ValueError(
            'select_on="test" needs test images, and there are none here (folds have no test split either). Leave it '
            "out: the best row is then chosen on validation."
        )
    log(f'WARNING: the best row will be {FLATTERED}. To keep test for the end, leave out select_on="test".')
