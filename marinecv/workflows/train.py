"""Train a classifier or an autoencoder, or several runs on the same images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from marinecv.console import Log, import_tensorflow, silent
from marinecv.data.user_tables import usable
from marinecv.experiments import CHOSEN_ON_TEST
from marinecv.recipes.butterflies import DENOISE
from marinecv.recipes.own_data import FOUR_CONV, PROBE, head
from marinecv.recipes.registry import is_own, recipe_for, recipe_named
from marinecv.runs import check_fresh, fresh_folder, next_folder
from marinecv.training.recipe import Recipe
from marinecv.training.settings import full_names
from marinecv.workflows.choose import Candidates, log_pretrained
from marinecv.workflows.corrections import train_corrected
from marinecv.workflows.folders import resumable
from marinecv.workflows.prepare import plan_runs
from marinecv.workflows.run import Experiment, Run
from marinecv.workflows.sources import Data, source_of, with_columns
from marinecv.workflows.train_runs import finish, finish_experiment, follow_process_0, join_processes, start

MINUTES = 10.0
RecipeLike = Recipe | str | os.PathLike | None


def train(
    data: Data = None,
    recipe: RecipeLike = None,
    *,
    folder: str | os.PathLike | None = None,
    backbone: str | Sequence[str] | None = None,
    minutes: float = MINUTES,
    changes: Mapping[str, Any] | None = None,
    track: str | None = None,
    distribute: str | None = None,
    corrections: str | os.PathLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    log: Log | None = print,
    **settings: Any,
) -> Run:
    """Train a classifier, score it, write its page and return the finished run.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> sorted(run.metrics)
        ['test', 'train', 'validation']

    Args:
        data: a folder or archive of images, the name of a data set, a manifest or a catalog; None takes the recipe's.
        recipe: a recipe, its name (`recipes list`), a `.toml` or `.json` file of one, or a run's folder; None takes the
            report's for its images, and chooses one for your own.
        backbone: a pretrained network by name (`backbones_table`), Keras file or preset of KerasHub (a folder, `hf://`
            or `kaggle://`); of several the best is chosen on your images. None compares those whose weights are here.
        minutes: how long choosing and training may take, by the speed of this machine, where the recipe is chosen.
        folder: to be made for the run; None takes the next free one below `runs/`.
        changes: other settings of the recipe by their names, such as `{"training.lr_patience": 3}`.
        track: `"tensorboard"` or `"wandb"`: log the training there too.
        distribute: `"mirrored"` trains on all GPUs of this machine, `"data-parallel"` on several machines, on JAX.
        corrections: the `corrections.csv` of a `review`: its run is trained again with the same recipe and split, and
            the answers as labels; both runs are compared on the images of the review that were drawn at random.
        callbacks: Keras callbacks in addition to the recipe's.
        log: called with each line of text; None logs nothing.
        **settings: other settings by the last part of their names, such as `epochs=5`.
    Raises:
        ValueError: there are no such images, recipe or settings, the folder is in use, or nothing can be trained.
    """
    log = log or silent
    if corrections is not None:
        if any(argument is not None for argument in (data, recipe, backbone, distribute)):
            raise ValueError(
                "corrections= has images and recipe of its run. Leave out data, recipe, backbone, distribute."
            )
        import_tensorflow()
        how = {"settings": settings, "track": track, "callbacks": callbacks}
        return Run(train_corrected(corrections, folder, changes, log, **how).folder)
    if join_processes(distribute, folder, is_one_classifier=True).process:
        return Run(follow_process_0(folder, log).folder)
    if folder is not None:
        check_fresh(folder)
    asked = candidates_of(minutes, backbone)
    data, recipe, changes, candidates = with_default(data, recipe, changes, settings, asked, distribute, log)
    plan = plan_runs(data, [recipe], changes, log, may_cache=not distribute, candidates=candidates)
    [(name, (planned, catalog))] = plan.runs.items()
    folder = fresh_folder(folder or next_folder("runs", plan.folder_name(recipe, name)))
    with resumable(folder):
        run = start(folder, planned, catalog, plan.manifest, log, choices=plan.choices.get(name, ()))
        finish(run, log, track=track, distribute=distribute, callbacks=callbacks)
        if recipe.name == FOUR_CONV.name:
            log_pretrained(run, log)
    return Run(folder)


def autoencode(data: Data = None, recipe: RecipeLike = None, **options: Any) -> Run:
    """Train an autoencoder, measure its reconstruction error, save its encoder and decoder, and return the run.

        >>> import marinecv as mcv
        >>> mcv.autoencode(mcv.demo_images(), epochs=1, limit=24, size=32, log=None).finished
        True

    Args:
        data, **options: see `train`, as are the errors.
        recipe: of an autoencoder; None takes a denoiser.
    """
    chosen = recipe_named(recipe or DENOISE, "autoencode")
    if recipe is None and data is not None:
        choice = with_columns(chosen.data, options.get("changes"), options)
        data = source_of(data, choice, options.get("log", print) or silent)
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
    backbone: str | Sequence[str] | None = None,
    minutes: float = MINUTES,
    name: str = "grid",
    title: str = "Grid",
    changes: Mapping[str, Any] | None = None,
    track: str | None = None,
    distribute: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    log: Log | None = print,
    **settings: Any,
) -> Experiment:
    """Train runs of several recipes, image sizes or folds on the same images, compare them and return the experiment.

        >>> import marinecv as mcv
        >>> experiment = mcv.grid(mcv.demo_images(), "aquarium_four_conv", sizes=(16, 32), epochs=1, limit=24, log=None)
        >>> list(experiment.runs)
        ['aquarium_four_conv_16px', 'aquarium_four_conv_32px']

    Args:
        data: images, see `train`.
        recipes: one or several, see `train`.
        sizes: of the input in pixels; each recipe is trained at each.
        folds: number of folds; each recipe is trained on each, so that each image is in validation once.
        select_on: the split that the best run is chosen on; `"test"` biases its test score, and is recorded.
        folder: to be made; None takes the next free one below `runs/`.
        name: of the experiment, and of its folder where several recipes are trained.
        title: of its page.
        backbone, minutes, changes, track, distribute, callbacks, log, **settings: see `train`, which chooses a recipe
            for each run.
    Raises:
        ValueError: see `train`; or the arguments make a single run, or there is no split to choose on.
    """
    log = log or silent
    join_processes(distribute, folder, is_one_classifier=False)
    if folder is not None:
        check_fresh(folder)
    first, *others = as_list(recipes)
    asked = candidates_of(minutes, backbone)
    data, first, changes, candidates = with_default(data, first, changes, settings, asked, distribute, log)
    bases = [first, *map(recipe_named, others)]
    is_one_recipe = len(bases) * max(1, len(sizes)) == 1
    if is_one_recipe and (folds or 1) == 1:
        hint = ' Leave out select_on="test", which chooses between runs.' if select_on == "test" else ""
        raise ValueError(
            f"One recipe at one size makes one run. Expected several recipes, several image sizes or folds=5.{hint}"
        )
    how = {"sizes": sizes, "folds": folds, "may_cache": not distribute, "candidates": candidates}
    plan = plan_runs(data, bases, changes, log, **how)
    if select_on == "test":
        if not all((usable(catalog)["split"] == "test").any() for _, catalog in plan.runs.values()):
            raise ValueError('select_on="test" needs test images. Leave it out to select on validation.')
        log(f'WARNING: the best row will be {CHOSEN_ON_TEST}. To keep test for the end, leave out select_on="test".')
    planned, _ = next(iter(plan.runs.values()))
    name = planned.name if is_one_recipe else f"{first.report}_{name}".removeprefix("_")
    folder = fresh_folder(folder or next_folder("runs", plan.folder_name(first, name)))
    with resumable(folder):
        for cell, (recipe, catalog) in plan.runs.items():
            start(folder / cell, recipe, catalog, plan.manifest, log, select_on, plan.choices.get(cell, ()))
        title = f"{title}: {plan.manifest.name}"
        experiment = Experiment.create(folder, name, title, list(plan.runs), plan.manifest.demonstration, select_on)
        finish_experiment(experiment, log, track=track, distribute=distribute, callbacks=callbacks)
    return experiment


def as_list(recipes: RecipeLike | Sequence[RecipeLike]) -> list[RecipeLike]:
    """Return one recipe or several as a list; ValueError where there is none."""
    if recipes is None or isinstance(recipes, (Recipe, str, os.PathLike)):
        return [recipes]
    if not recipes:
        raise ValueError(f"Expected one recipe or several. Received: {recipes!r}.")
    return list(recipes)


def with_recipe(
    data: Data, recipe: RecipeLike, changes: Mapping[str, Any] | None, settings: Mapping[str, Any], log: Log
) -> tuple[Data, Recipe]:
    """Return images and recipe; without a recipe the one for these images."""
    if recipe is not None:
        return data, recipe_named(recipe)
    source = source_of(data, with_columns(recipe_for(None).data, changes, settings), log)
    return source, recipe_for(source.manifest)


def candidates_of(minutes: float, backbone: str | Sequence[str] | None) -> Candidates:
    """Return how a recipe is chosen where none is named: of one backbone, several, or (None) those at hand."""
    return Candidates(minutes, (backbone,) if isinstance(backbone, str) else tuple(backbone or ()))


def with_default(
    data: Data,
    recipe: RecipeLike,
    changes: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    asked: Candidates,
    distribute: str | None,
    log: Log,
) -> tuple[Data, Recipe, dict[str, Any], Candidates | None]:
    """Return images, recipe, changes by full name and, where no recipe is named for own images, how to choose it."""
    is_named = recipe is not None
    data, recipe = with_recipe(data, recipe, changes, settings, log)
    is_open = not is_named and is_own(data.manifest, recipe)
    if is_open:
        of_probe = full_names(PROBE, changes, **settings)
        if not distribute and of_probe.get("training.head_l2") != 0 and of_probe.get("model.weights") != "none":
            if of_probe.get("training.cache_features") == 0:
                raise ValueError("A head is solved from cached features. Leave out cache_features=0, or add head_l2=0.")
            if {"image.height", "image.width"} & of_probe.keys():
                raise ValueError("A recipe that is chosen has a square input. Expected image.size, or a named recipe.")
            return data, PROBE, of_probe, asked
    if len(asked.backbones) > 1:
        raise ValueError(
            "Of several backbones the best is chosen where the recipe is chosen. Expected one with a recipe, "
            'weights="none", head_l2=0 or distribute.'
        )
    if asked.minutes != MINUTES:
        log("note: minutes= acts only where a recipe is chosen for your own images")
    if is_open:
        log("nothing is chosen: a head on a frozen network is trained step by step")
        recipe = head(*asked.backbones)
        return data, recipe, full_names(recipe, changes, **settings), None
    named = {"model.backbone": asked.backbones[0]} if asked.backbones else {}
    return data, recipe, {**full_names(recipe, changes, **settings), **named}, None
