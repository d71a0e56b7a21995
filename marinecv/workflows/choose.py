"""Choose the recipe for your own images: a linear probe, by cross-validation in train, and how to fine-tune it."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.audit.pairs import find_pairs
from marinecv.choices import SPLITS
from marinecv.console import Log
from marinecv.data.catalog import check_trainable, limit_catalog
from marinecv.data.groups import group_catalog, put_back
from marinecv.data.photos import photos_of
from marinecv.data.splits.split_catalog import is_grouped
from marinecv.data.user_tables import usable
from marinecv.features.cache import fill_cache
from marinecv.inputs.pipeline import label_indices
from marinecv.inputs.pixel_cache import load_pixels, read_pixels
from marinecv.inputs.spec import NONE, Augmentation, ImageSpec
from marinecv.inputs.to_rgb import find_white
from marinecv.models.backbone_table import backbones_here, is_preset
from marinecv.progress import duration
from marinecv.recipes.own_data import PROBE
from marinecv.runs import Run
from marinecv.training.build import backbone_of, build_model
from marinecv.training.choice_table import CHOICE_COLUMNS
from marinecv.training.estimate import BACKWARD, measure
from marinecv.training.fit import linear_probe, solve_in_place
from marinecv.training.linear_head import (
    PENALTIES,
    VIEWS,
    cross_validate_head,
    fold_numbers,
    log_losses,
    pooled_features,
    pooled_widths,
)
from marinecv.training.model_config import BackboneModel
from marinecv.training.recipe import Recipe
from marinecv.training.settings import IMAGE_SIZE
from marinecv.workflows.leakage import MAX_IMAGES_SEARCHED

SIZES = (224, 320, 448, 640)  # of the input: each where the median image is larger than the one before it
MAX_NETWORKS = 3
MAX_CROSS_VALIDATED = 5000  # train images
IMAGE_CLASSES_PER_S = 1000  # images times classes to cross-validate for each second there is: a few percent of the time
MIN_IMAGES_TO_COMPARE = 30  # of validation: fewer cannot tell whether fine-tuning helps
MIN_EPOCHS = 2  # of fine-tuning
FEATURES_FRACTION, TUNING_FRACTION = 0.5, 0.4  # of the time
IMAGES_TO_TIME = 16


@dataclass(frozen=True)
class Candidates:
    """How a recipe is chosen: in how many minutes, among which networks; by name or file, none for those at hand."""

    minutes: float
    backbones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is computed: networks at the first size, the best at larger ones while that helps, epochs."""

    models: list[BackboneModel]
    mirrored: bool
    limit: int | None  # images a split
    judged: int  # train images in the cross-validation, at most
    validation: int  # images
    epochs: dict[int, int]  # of fine-tuning, by size; the sizes ascend


@dataclass(frozen=True)
class Choice:
    """A recipe, the images that it takes, and the rows of `choice.csv` that led to it."""

    recipe: Recipe
    catalog: pd.DataFrame
    table: list[dict]


def choose(
    recipe: Recipe,
    catalog: pd.DataFrame,
    class_names: tuple[str, ...],
    models: Sequence[BackboneModel],
    minutes: float,
    log: Log,
    named: Collection[str] = (),
) -> Choice:
    """Choose network, input size, pooling and penalty of a linear probe, and the epochs of fine-tuning after it.

    Args:
        recipe: of a solved head, with the settings that are `named`.
        catalog: with splits; those of validation and test choose nothing.
        class_names: of the outputs.
        models: networks to compare, the most promising first.
        minutes: how long all may take, by the times measured here.
        log: called with a line for each network and size.
        named: settings by full name that stay as they are.
    """
    recipe = replace(recipe, image=replace(recipe.image, white=find_white(catalog)))
    rows = _scored(catalog)
    side = rows[["width", "height"]].max(axis=1).median()
    smaller = [size for size in SIZES if size < side]
    sizes = [recipe.image.height] if IMAGE_SIZE in named else SIZES[: 1 + len(smaller)]
    if "model.trainable_layers" not in named:
        models = [replace(model, trainable_layers=0) if is_preset(model.backbone) else model for model in models]
    plan = draw_plan(models, sizes, rows, recipe, len(class_names), 60 * minutes)
    epochs = dict.fromkeys(sizes, recipe.training.epochs - 1) if "training.epochs" in named else plan.epochs
    if recipe.model.trainable_layers == 0:
        epochs = {}
    elif int(plan.validation * (1 - recipe.training.calibration)) < MIN_IMAGES_TO_COMPARE and any(epochs.values()):
        log(f"no fine-tuning: whether it helps is judged on {MIN_IMAGES_TO_COMPARE} or more validation images")
        epochs = {}
    if plan.limit and not recipe.data.limit:
        limit = max(1, plan.limit * len(photos_of(rows)) // len(rows))  # of photographs, which have several crops
        log(f"{len(rows):,} images do not fit into {minutes:g} minutes: at most {limit:,} a split are used")
        catalog = limit_catalog(catalog, limit, recipe.training.seed)
        recipe = replace(recipe, data=replace(recipe.data, limit=limit))
    if not plan.mirrored:
        recipe = recipe.with_training(augmentation=without_flips(recipe))
    groups, table = _groups(catalog, recipe, log), []

    def probe(model: BackboneModel, size: int) -> tuple[dict, BackboneModel, int, Callable[[dict], None]]:
        probed = replace(recipe, model=model, image=replace(recipe.image, height=size, width=size))
        found, keep_features = _probe(probed, catalog, groups, class_names, plan.judged, named, log)
        table.extend(found)
        return min(found, key=itemgetter("log_loss")), model, size, keep_features

    def loss(probed: tuple) -> float:
        return probed[0]["log_loss"]

    first, *others = plan.epochs
    best = min((probe(model, first) for model in plan.models), key=loss)
    for size in [] if is_preset(best[1].backbone) else others:  # many presets are for one size
        larger = probe(best[1], size)
        if loss(larger) >= loss(best):
            break
        best = larger
    row, model, size, keep_features = best
    keep_features(row)
    row["chosen"], epochs = True, epochs.get(size, 0)
    if is_preset(model.backbone) and epochs:
        log("no fine-tuning: a preset of KerasHub is frozen; it needs a network of keras.applications or a Keras file")
        epochs = 0
    own_name = f"{network_name(model)}_{size}px".replace(" ", "_")
    chosen = replace(
        recipe,
        name=recipe.name if recipe.data.fold else own_name,  # folds are scored together by their name
        title=f"{network_name(model)} at {size} px (data: {recipe.data.name})",
        shortened=f"at most {recipe.data.limit} images a split" if recipe.data.limit else "",
        image=replace(recipe.image, height=size, width=size),
        model=replace(model, pooling=row["pooling"], trainable_layers=recipe.model.trainable_layers),
    ).with_training(
        head_l2=row["head_l2"],
        epochs=1 + epochs,
        augmentation=recipe.training.augmentation if row["mirrored"] else without_flips(recipe),
    )
    result = f"log loss {row['log_loss']:.3f}, accuracy {row['accuracy']:.3f}"
    log(f"  chosen: {network_name(model)} at {size} px, pooling {row['pooling']}: {result}")
    return Choice(chosen if epochs else linear_probe(chosen), catalog, table)


def draw_plan(
    models: Sequence[BackboneModel],
    sizes: Sequence[int],
    rows: pd.DataFrame,
    recipe: Recipe,
    classes: int,
    seconds: float,
) -> Plan:
    """Return what fits into some seconds, by the time that a few images and a batch take on this machine.

    Where not even one network fits, mirror images are left out, and then images.
    """
    image, batch = replace(recipe.image, height=sizes[0], width=sizes[0]), recipe.training.batch_size
    decoding = time_decoding(rows["path"], image)
    times = {model: measure(model, image, batch, classes)[:2] for model in models}
    counts, budget = rows["split"].value_counts(), FEATURES_FRACTION * seconds
    for views in (2, 1) if recipe.training.has_flips else (1,):
        cost = {model: len(rows) * views * sum(times[model]) for model in models}
        left, chosen = budget - len(rows) * decoding, []
        for model in models:
            if cost[model] <= left and len(chosen) < MAX_NETWORKS:
                chosen.append(model)
                left -= cost[model]
        if chosen:
            break
    limit = None
    if not chosen:
        chosen, left = [min(models, key=cost.get)], 0.0
        limit = max(classes, int(budget / (decoding + cost[chosen[0]] / len(rows)) / len(counts)))
        counts = counts.clip(upper=limit)
    others = []
    for size in sizes[1:]:
        needed = counts.sum() * decoding + max(cost[model] for model in chosen) * (size / sizes[0]) ** 2
        if needed <= left:
            others.append(size)
            left -= needed
    frozen, trained = (max(times[model][part] for model in chosen) for part in (0, 1))  # of the slowest
    train, val = counts.get("train", 0), counts.get("validation", 0)
    computing, epoch = frozen * (2 * train + val), trained * (train * (1 + BACKWARD) + val)
    epochs = {}
    for size in (sizes[0], *others):
        scale = (size / sizes[0]) ** 2
        fitting = int(min((TUNING_FRACTION * seconds / scale - computing) / epoch, recipe.training.epochs - 1))
        epochs[size] = fitting if fitting >= MIN_EPOCHS else 0
    judged = max(classes, min(MAX_CROSS_VALIDATED, int(IMAGE_CLASSES_PER_S * seconds / classes)))
    return Plan(chosen, views > 1, limit, judged, val, epochs)


def time_decoding(paths: pd.Series, image: ImageSpec) -> float:
    """Return the seconds that an image takes to be decoded and fitted."""
    paths = paths.sample(min(IMAGES_TO_TIME, len(paths)), random_state=0).tolist()
    read_pixels(paths[:1], image)  # the first call traces
    started = time.perf_counter()
    read_pixels(paths, image)
    return (time.perf_counter() - started) / len(paths)


def without_flips(recipe: Recipe) -> Augmentation:
    """Return the augmentation of a recipe but for horizontal flips."""
    return replace(recipe.training.augmentation or NONE, flip=0.0)


def _probe(
    recipe: Recipe,
    catalog: pd.DataFrame,
    groups: pd.Series,
    class_names: tuple[str, ...],
    judged: int,
    named: Collection[str],
    log: Log,
) -> tuple[list[dict], Callable[[dict], None]]:
    """Return a row for each pooling of a network at a size, cross-validated in train; none is `chosen` yet.

    Only the features of train are computed. The function that is returned too computes those of the other images for
    a chosen row, and puts all into the cache, where the training finds them.
    """
    started, image, training = time.perf_counter(), recipe.image, recipe.training
    pixels, catalog = load_pixels(_scored(catalog), image, log=log)
    check_trainable(catalog)
    rows = usable(catalog)
    frozen = replace(recipe.model, pooling="avg_max", trainable_layers=0)
    extractor = backbone_of(frozen.build(image.shape, len(class_names)))
    widths = pooled_widths(extractor)
    train = np.random.default_rng(training.seed).permutation(np.flatnonzero(rows["split"] == "train"))
    train = np.sort(train[:judged])
    of_train = rows.iloc[train].assign(group=rows["image_id"].iloc[train].map(groups).fillna(""))
    labels, folds = label_indices(of_train, class_names), fold_numbers(of_train, training.seed)
    penalties = [training.head_l2] if "training.head_l2" in named else PENALTIES
    options = {"balanced": training.class_weights or training.balanced}
    steps = [(False, "avg"), (training.has_flips, "avg"), (training.has_flips, "avg_max")]
    if "model.pooling" in named:
        steps = [(mirrored, recipe.model.pooling) for mirrored, _ in steps]

    def values_of(pooling: str) -> slice:
        return slice(widths[0] if pooling == "max" else 0, widths[0] if pooling == "avg" else None)

    found, features = [], None
    for mirrored, pooling in dict.fromkeys(steps):
        if features is None or len(features) < 1 + mirrored:
            features = pooled_features(extractor, rows, pixels, image, mirrored=mirrored, chosen=train, log=log)
        options["widths"] = widths if pooling == "avg_max" else widths[:1]
        probabilities = cross_validate_head(
            features[..., values_of(pooling)], labels, len(class_names), folds, penalties, **options
        )
        losses = [log_losses(of_penalty, labels).mean() for of_penalty in probabilities]
        place, seconds = int(np.argmin(losses)), round(time.perf_counter() - started, 1)
        accuracy = float((probabilities[place].argmax(axis=1) == labels).mean())
        network, settings = network_name(recipe.model), (pooling, mirrored, penalties[place])
        values = ("cross-validation", network, image.height, *settings, losses[place], accuracy, len(train), "train")
        found.append(dict(zip(CHOICE_COLUMNS, (*values, seconds, False), strict=True)))
        if len(found) == 1:
            result = f"{accuracy:.3f} of {len(train)} train images by cross-validation, after {duration(seconds)}"
            log(f"  {network} at {image.height} px: {result}")
        started = time.perf_counter()

    def keep_features(row: dict) -> None:
        part = {"mirrored": row["mirrored"], "log": log}
        parts = train, np.setdiff1d(np.arange(len(rows)), train)
        features = [pooled_features(extractor, rows, pixels, image, chosen=chosen, **part) for chosen in parts]
        of_rows = np.concatenate(features, axis=1)[:, np.concatenate(parts).argsort()]
        network = extractor
        if name := {"avg": "average", "max": "largest"}.get(row["pooling"]):
            network = keras.Model(extractor.input, extractor.get_layer(name).output)
        of_rows = of_rows[:, rows["image_id"].to_numpy().argsort(), values_of(row["pooling"])]
        for view, of_view in zip(VIEWS, of_rows, strict=False):
            fill_cache(network, rows, image, view, of_view)

    return found, keep_features


def _scored(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the usable rows that are in a split."""
    rows = usable(catalog)
    return rows[rows["split"].isin(SPLITS)]


def _groups(catalog: pd.DataFrame, recipe: Recipe, log: Log) -> pd.Series:
    """Return the group of related images of each image by `image_id`, where they are few enough to search."""
    if len(usable(photos_of(catalog))) <= MAX_IMAGES_SEARCHED or is_grouped(recipe.data.split_by):
        catalog = group_catalog(catalog, find_pairs(put_back(catalog), recipe.data.frame_order, log=log))
    return catalog.set_index("image_id")["group"]


def log_pretrained(run: Run, log: Log) -> None:
    """Log what a linear probe of a pretrained network gives on the images of a run, if one is at hand."""
    for name, alpha in backbones_here()[:1]:
        recipe = PROBE.with_model(backbone=name, alpha=alpha, trainable_layers=0)
        pixels, _ = load_pixels(run.catalog, recipe.image, log=log)
        model = build_model(recipe, len(run.class_names))
        rows, _, is_right = solve_in_place(model, recipe, run, pixels, log)
        val = is_right[rows["split"] == "validation"]
        network = f"logistic regression on features of {network_name(recipe.model)} at {recipe.image.height} px"
        log(f"  on the same images, {network}: validation accuracy {val.mean():.3f} (n={len(val)}); `train` makes it")


def network_name(model: BackboneModel) -> str:
    """Return the name of a backbone, with its width if that is not 1."""
    name = Path(model.backbone).stem
    return name if model.alpha == 1 else f"{name} {model.alpha:g}"
