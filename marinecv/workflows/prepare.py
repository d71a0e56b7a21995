"""Plan runs: read and split the images, find pretrained weights, settle a recipe for each run, and log the plan."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import pandas as pd

from marinecv.audit.pairs import find_pairs
from marinecv.choices import FITTED_SPLITS, RANDOM_SPLITS, READING, SPLITS, WEIGHTS
from marinecv.console import Log
from marinecv.data.accounting import reading_lines
from marinecv.data.attributes import read_attributes
from marinecv.data.catalog import check_trainable, class_names_of, limit_catalog
from marinecv.data.download import network
from marinecv.data.groups import COPY, NEAR_COPY
from marinecv.data.manifests import Manifest
from marinecv.data.photos import is_of_crops, photos_of
from marinecv.data.splits.split_catalog import default_split_by, is_grouped, kfold, save_split, split_catalog
from marinecv.data.user_tables import is_usable, usable
from marinecv.inputs import synthesize
from marinecv.inputs.spec import ImageSpec
from marinecv.models.backbone_file import check_hash
from marinecv.models.backbone_table import WEIGHTS_URL, backbone_entry, backbone_path, backbones_here, weights_file
from marinecv.progress import duration
from marinecv.recipes.own_data import FOUR_CONV, until_it_stops_improving
from marinecv.recipes.registry import is_own, without_pretrained_weights
from marinecv.training.distribution import device_sentence
from marinecv.training.estimate import choose_cache, estimate_seconds
from marinecv.training.model_config import BackboneModel
from marinecv.training.recipe import DataConfig, Recipe, recipe_warnings
from marinecv.training.settings import IMAGE_SIZE, recipe_hash, settings_of, with_changes
from marinecv.workflows.choose import Candidates, choose
from marinecv.workflows.crops import cropped
from marinecv.workflows.leakage import MAX_IMAGES_SEARCHED
from marinecv.workflows.sources import Data, Source, check_weights_file, source_of

FETCHED = ("efficientnetv2b0", "mobilenetv3large", "mobilenet")  # one of these, where no weights are here
DEMONSTRATION_EPOCHS = 30  # enough for drawn pictures
CALIBRATION_FRACTION = 1 / 3  # of validation, on other images than a report's
MIN_VALIDATION_FOR_CALIBRATION = 60  # validation images: a third of them is the minimum for prediction sets
REPORT_PREFIX = re.compile("^(Aquarium|Animals|Birds|BirdCNN|Butterflies)[,:]? ")  # of a title, removed on other data
IMAGES_A_MINUTE = 3000  # that are read and searched for related ones, where the recipe is chosen in some minutes
MIN_FILLED_FRACTION = 0.25  # fraction of the input that an image fills
RECIPE_DATA_SETTINGS = ("attributes", "min_certainty", "pseudo_labels", "label_fraction", "synthetic")
"""Data settings that each recipe has for itself; all recipes of a plan read and split the images alike."""
TITLE_SETTINGS = ("model.", "training.head_epochs")  # changes that a title names
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Runs to be made: the recipe and the catalog of each, by the name of its folder."""

    manifest: Manifest
    runs: dict[str, tuple[Recipe, pd.DataFrame]]
    choices: dict[str, list[dict]]  # rows of `choice.csv`

    def folder_name(self, base: Recipe, default: str, command: str = "") -> str:
        """Return a name for the folder of these runs: by the recipe, with the data's name in place of a report's."""
        if self.manifest.demonstration:
            return f"demo-{command}{default}"
        if self.manifest.name != base.data.name:
            default = f"{self.manifest.name}_{default.removeprefix(base.report + '_')}"
        return command + default


def plan_runs(
    data: Data,
    recipes: Sequence[Recipe],
    changes: Changes,
    log: Log,
    *,
    sizes: Sequence[int] = (),
    folds: int | None = None,
    seeds: int | None = None,
    may_cache: bool = True,
    trials: int = 1,
    candidates: Candidates | None = None,
) -> Plan:
    """Read the images, settle recipe and catalog of each run, and log the plan.

    Runs are recipes x image sizes x folds, or x seeds. With `may_cache` the features of frozen layers are cached where
    that saves time over `trials` trainings of each run. With `candidates` each recipe is chosen by its train images.
    """
    if candidates:
        networks = networks_to_compare(recipes[0], changes, candidates.backbones)
    else:
        data, recipes = with_logged_weights(data, recipes, changes, log)
    log(device_sentence())
    most = int(IMAGES_A_MINUTE * candidates.minutes) if candidates else None
    manifest, catalog, choice = read_data(data, recipes, changes, log, most)
    seed = with_changes(recipes[0], changes).training.seed
    parts = {"": (choice, catalog, {})}
    if folds:
        parts = {name: (*part, {}) for name, part in folded(choice, catalog, folds, seed).items()}
    elif seeds:
        parts = {f"seed{n}": (choice, catalog, {"training.seed": n}) for n in range(seed, seed + seeds)}

    class_names = class_names_of(catalog, manifest)
    runs, choices = {}, {}
    for recipe in recipes:
        for size in sizes or [None]:
            base = replace(recipe, name=f"{recipe.name}_{size}px") if len(sizes) > 1 else recipe
            recipe_changes = changes if size is None else {**changes, IMAGE_SIZE: size}
            if recipe.model.has_backbone:  # whose weights are settled
                recipe_changes = {name: value for name, value in recipe_changes.items() if name != "model.weights"}
            for part, (data_choice, images, part_changes) in parts.items():
                name, validation = f"{base.name}-{part}" if part else base.name, count_images(images)["validation"]
                if recipe.name == FOUR_CONV.name:
                    base = until_it_stops_improving(base, count_images(images)["train"])
                adapted = adapted_recipe(base, data_choice, {**recipe_changes, **part_changes}, validation)
                if candidates:
                    named = recipe_changes.keys()
                    choice = choose(adapted, images, class_names, networks, candidates.minutes, log, named)
                    before, after = settings_of(adapted), settings_of(choice.recipe)
                    if idle := [name for name in named if name in before and before[name] != after.get(name)]:
                        log(f"note: what was chosen makes no use of {', '.join(idle)}")
                    adapted, images = choice.recipe, choice.catalog
                    name = f"{adapted.name}-{part}" if part else adapted.name
                    choices[name] = choice.table
                runs[name] = adapted, images
    recipes_by_run = {name: recipe for name, (recipe, _) in runs.items()}
    catalog = images if candidates and not folds else catalog  # perhaps fewer
    if may_cache and "training.cache_features" not in changes:
        recipes_by_run = with_feature_cache(recipes_by_run, catalog, class_names, log, trials)
    log_plan(recipes_by_run, catalog, class_names, log)
    return Plan(manifest, {name: (recipes_by_run[name], images) for name, (_, images) in runs.items()}, choices)


def networks_to_compare(recipe: Recipe, changes: Changes, names: Sequence[str]) -> list[BackboneModel]:
    """Return the networks of some names or files, else those whose weights are here, or one that can be fetched."""
    model = with_changes(recipe, {name: value for name, value in changes.items() if name.startswith("model.")}).model
    here = backbones_here()
    if not names and {"model.backbone", "model.weights", "model.alpha"} & {*changes}:
        names = [model.backbone]
    if not names and not here:
        names = [name for name in FETCHED if weights_host_answers()][:1]
    if not (names or here):
        file = weights_file(FETCHED[0])
        raise ValueError(
            f"No pretrained weights are here and {WEIGHTS_URL} does not answer. Put {file.name} into {file.parent}, or "
            "train a network without them: `marinecv pretrain`."
        )
    widths = {name: alpha for name, alpha in reversed(here)}  # the best that is here
    pairs = [(name, widths.get(name, 1.0)) for name in names] or here
    if "model.alpha" in changes:
        pairs = [(name, model.alpha) for name, _ in pairs]
    of_pairs = [replace(model, backbone=name, alpha=alpha) for name, alpha in pairs]
    return [with_available_weights(replace(recipe, model=each), needed=True).model for each in of_pairs]


def with_logged_weights(data: Data, recipes: Sequence[Recipe], changes: Changes, log: Log) -> tuple[Data, list[Recipe]]:
    """Return images, and recipes with available weights; log which have none, a ValueError on a user's own images."""
    data = data if data is None else source_of(data, data_choice(recipes[0], changes), log)
    needed = data is not None and (is_own(data.manifest, recipes[0]) or not recipes[0].report)
    available = [with_available_weights(recipe, changes, needed=needed) for recipe in recipes]
    pairs = [(now.model, before.model) for now, before in zip(available, recipes, strict=True) if now is not before]
    without = [now.backbone for now, before in pairs if now.weights == "none" != before.weights]
    for name in dict.fromkeys(changes.get("model.backbone", each) for each in without):
        log(f"{name}: no pretrained weights, so this is no fine-tuning. Use a network or weights=PATH.")
    return data, available


def data_choice(recipe: Recipe, changes: Changes) -> DataConfig:
    """Return the data part of a recipe with the changes of it."""
    return with_changes(recipe, {name: value for name, value in changes.items() if name.startswith("data.")}).data


def with_available_weights(recipe: Recipe, changes: Changes | None = None, *, needed: bool = False) -> Recipe:
    """Return a recipe with weights of ImageNet or a file, else without; ValueError if those are named or `needed`."""
    if not recipe.model.has_backbone:
        return recipe
    changes = changes or {}
    network_changes = {name: changes[name] for name in ("model.backbone", "model.alpha") if name in changes}
    model, asked = with_changes(recipe, network_changes).model, changes.get("model.weights")
    if path := backbone_path(model.backbone):
        settled = {"backbone": str(path), "backbone_sha256": check_hash(path, model.backbone_sha256)}
        if asked not in (None, str(path)) or "model.alpha" in changes:
            raise ValueError(f"{path} has its own weights and width. Leave out weights= and alpha=.")
        return recipe.with_model(**settled, weights=str(path), alpha=1.0)
    if "model.alpha" in changes and not backbone_entry(model.backbone).alphas:
        raise ValueError(f"{model.backbone} has no width multiplier. Leave out alpha={model.alpha}.")
    weights = asked or model.weights
    if weights not in WEIGHTS:
        check_weights_file(weights)
        return recipe.with_model(weights=str(Path(weights).resolve()))
    if weights == "none":
        return without_pretrained_weights(recipe) if asked else recipe
    file = weights_file(model.backbone, model.alpha)
    if file.is_file() or weights_host_answers():
        return recipe.with_model(weights="imagenet")
    if asked or needed:
        raise ValueError(
            f"The ImageNet weights of {model.backbone} are not at hand and {WEIGHTS_URL} does not answer. Put "
            f"{file.name} into {file.parent}, choose another network (`finetune --backbone list` shows whose weights "
            'are here), or train without: --set model.weights=none, or changes={"model.weights": "none"}.'
        )
    return without_pretrained_weights(recipe)


@functools.cache
def weights_host_answers() -> bool:
    """Return whether the host of Keras' weights can be reached; asked once in a process."""
    return network.reachable(WEIGHTS_URL)


def read_data(
    data: Data, recipes: Sequence[Recipe], changes: Changes, log: Log, most: int | None = None
) -> tuple[Manifest, pd.DataFrame, DataConfig]:
    """Return manifest, catalog with splits, and the data part of recipes for both; ValueError if not trainable.

    Of more images than `most` that have no split yet a random sample is used, whose saved split the data part names.
    """
    first = recipes[0]
    choice = data_choice(first, changes)
    source = source_of(data, choice, log)
    reading = {name: value for name, value in choice.reading.items() if f"data.{name}" in changes}
    manifest = replace(source.manifest, **reading)
    if manifest.root and manifest != source.manifest:  # found before the changes were known
        source = Source(manifest)
    if manifest.name != choice.name:  # other images are not split as the recipe's own
        default = {"split_by": None, "fractions": DataConfig.fractions, "boxes": None}
        choice = replace(choice, **{name: value for name, value in default.items() if f"data.{name}" not in changes})
    reading = ("name", *READING, "demonstration")
    choice = replace(choice, **{name: getattr(manifest, name) for name in reading})
    (catalog, boxes), seed = source.read_with_boxes(choice, log), with_changes(first, changes).training.seed
    for line in reading_lines(manifest, catalog):
        log(line)
    if choice.boxes:
        choice = replace(choice, boxes=str(Path(choice.boxes).absolute()))
    catalog = cropped(catalog, manifest, choice, log, boxes)
    choice = replace(choice, split_by=choice.split_by or default_split_by(catalog))
    count, is_ours = len(usable(catalog)), choice.split_by in RANDOM_SPLITS
    is_sample = most and is_ours and not choice.limit and count > most
    if is_sample:
        log(f"{count:,} images: a random sample of {most:,} is used; more minutes= use more")
        catalog = limit_catalog(catalog.assign(split=""), most, seed)
    pairs = find_pairs(catalog, choice.frame_order, log=log) if is_grouped(choice.split_by) else None
    catalog = split_catalog(catalog, choice.split_by, seed, choice.fractions, pairs, log=log)
    if is_ours:
        name = save_split(catalog, f"{manifest.name}-{choice.split_by}")
        log(f'split {name} (split_by="{name}" takes it again)')
        choice = replace(choice, split_by=name) if is_sample else choice
    if choice.limit:
        catalog = limit_images(catalog, choice.limit, seed, log)
    check_trainable(catalog)
    changed = [with_changes(recipe, changes) for recipe in recipes]
    for recipe in changed:
        if recipe.model.takes_attributes:
            attributes_by_image(recipe, catalog, manifest)  # ValueError where the data have none
    if any(recipe.data.synthetic for recipe in changed) and synthesize.candidates(catalog, boxes).empty:
        raise ValueError("No train image has boxes of two classes, the second not a fish. Leave out synthetic=True.")
    if not first.model.is_autoencoder:
        if pairs is None and len(usable(photos_of(catalog))) <= MAX_IMAGES_SEARCHED:
            pairs = find_pairs(catalog, choice.frame_order, log=log)
        for note in label_notes(catalog, pairs):
            log(f"note: {note}")
    return manifest, catalog, choice


def limit_images(catalog: pd.DataFrame, limit: int, seed: int, log: Log) -> pd.DataFrame:
    """Return at most `limit` images a split, and log where these are too few for every class."""
    if (classes := usable(catalog)["class_name"].nunique()) > limit:
        log(f"limit={limit} keeps the {limit} largest of {classes} classes")
    return limit_catalog(catalog, limit, seed)


def label_notes(catalog: pd.DataFrame, pairs: pd.DataFrame | None) -> Iterator[str]:
    """Yield notes: classes that a split lacks, and an image that has two labels."""
    rows = usable(catalog)
    counts = pd.crosstab(rows["class_name"], rows["split"])
    for split in counts.columns.intersection(SPLITS):
        names = shorten(", ".join(counts.index[counts[split] == 0]), 100, placeholder=" ...")
        effect = "it can never be predicted" if split == "train" else f"the {split} score says nothing of it"
        if names:
            yield f"no {split} image of {names}: {effect}"
    if pairs is not None:
        conflicts = pairs[pairs["kind"].isin((COPY, NEAR_COPY))]
        classes = photos_of(catalog).set_index("image_id")["class_name"]
        first, second = conflicts["image_a"].map(classes), conflicts["image_b"].map(classes)
        conflicts = conflicts[(first != second) & first.notna() & second.notna()]
        for pair in conflicts.head(1).itertuples():
            more = f" ({len(conflicts) - 1} more pairs; audit shows them)" if len(conflicts) > 1 else ""
            yield f"one picture under two labels: {pair.image_a} and {pair.image_b}{more}"


def adapted_recipe(recipe: Recipe, choice: DataConfig, changes: Changes, validation: int = 0) -> Recipe:
    """Return a recipe with changes, for images that `choice` describes; its `shortened` names what was reduced.

    On other data than the recipe's own, a third of `validation` images is held out to calibrate on if they are many.
    """
    if backbone_path(str(changes.get("model.backbone", ""))):
        changes = {**changes, "model.backbone": recipe.model.backbone}  # settled: its absolute path
    if "model.trainable_layers" in changes and recipe.model.has_backbone:
        changes = {"model.trainable_blocks": (), **changes}
    changed = with_changes(recipe, changes)
    base_training, training, image = recipe.training, changed.training, changed.image
    if choice.demonstration and "training.epochs" not in changes:
        training = replace(training, epochs=min(base_training.epochs, DEMONSTRATION_EPOCHS))
    is_other = choice.name != recipe.data.name
    if is_other and validation >= MIN_VALIDATION_FOR_CALIBRATION and "training.calibration" not in changes:
        training = replace(training, calibration=0.0 if recipe.model.is_autoencoder else CALIBRATION_FRACTION)
    reductions = [
        recipe.shortened,
        f"{image.height} of {recipe.image.height} pixels" if image.height < recipe.image.height else "",
        f"{training.epochs} of {base_training.epochs} epochs" if training.epochs < base_training.epochs else "",
        f"at most {choice.limit} images a split" if choice.limit else "",
    ]
    data = replace(choice, **{name: getattr(changed.data, name) for name in RECIPE_DATA_SETTINGS})
    named = {name.rpartition(".")[2]: value for name, value in changes.items() if name.startswith(TITLE_SETTINGS)}
    title_changes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in named.items() if value != ())
    title = f"{recipe.title}; here {title_changes}" if title_changes else recipe.title
    if is_other:
        title = REPORT_PREFIX.sub("", title)
        title = f"{title[:1].upper()}{title[1:]} (data: {data.name})"
    may_differ = {name: getattr(training, name) for name in ("seed", "epochs", "cache_features", "cache_dtype")}
    as_published = replace(
        recipe,
        data=replace(recipe.data, limit=data.limit, split_by=recipe.data.split_by or "published"),
        image=replace(recipe.image, height=min(image.height, recipe.image.height), width=image.width),
        training=replace(base_training, **may_differ),
    )
    adapted = replace(changed, data=data, image=image, training=training)
    published = changed.published if adapted == as_published else {}
    report, shortened = "" if is_other else recipe.report, ", ".join(filter(None, reductions))
    about = {"title": title, "report": report, "published": published, "shortened": shortened}
    return replace(adapted, **about, base_hash=recipe_hash(recipe))


def folded(choice: DataConfig, catalog: pd.DataFrame, folds: int, seed: int) -> dict[str, tuple]:
    """Return data part and catalog by name of a fold, each image in validation once, in one order for all folds."""
    by = "grouped" if is_grouped(choice.split_by) else "stratified"
    parts = enumerate((part.sort_values("image_id") for part in kfold(catalog, folds, seed, by)), start=1)
    return {f"fold{n}": (replace(choice, split_by=by, fold=f"{n}/{folds}"), part) for n, part in parts}


def with_feature_cache(
    recipes: dict[str, Recipe], catalog: pd.DataFrame, class_names: tuple[str, ...], log: Log, trials: int = 1
) -> dict[str, Recipe]:
    """Return the recipes with a feature cache of the frozen layers where that saves time, and log why."""
    images, cached_recipes = count_images(catalog), dict(recipes)
    frozen = {name: (r.model, r.image, r.training.augmentation, r.training.seed) for name, r in recipes.items()}
    sharing = Counter(frozen.values())
    for name, recipe in recipes.items():
        if recipe.is_linear_probe:  # its features are cached already
            continue
        views, reason = choose_cache(recipe, images, len(class_names), trials * sharing[frozen[name]])
        cached_recipes[name] = recipe.with_training(cache_features=views)
        if reason:
            log(f"  {name}: {reason}")
    return cached_recipes


def count_images(catalog: pd.DataFrame) -> dict[str, int]:
    """Return the numbers of usable images in train and validation."""
    good = usable(catalog)
    return {split: int((good["split"] == split).sum()) for split in FITTED_SPLITS}


def log_plan(recipes: dict[str, Recipe], catalog: pd.DataFrame, class_names: tuple[str, ...], log: Log) -> None:
    """Log images, recipes, settings that cannot act, and about how long the training takes."""
    usable_rows, unusable_rows = usable(catalog), catalog[~is_usable(catalog)]
    counts = ", ".join(f"{split} {n}" for split, n in usable_rows["split"].value_counts(sort=False).items())
    unusable = f"; {len(unusable_rows)} cannot be used, the first, " if len(unusable_rows) else ""
    for row in unusable_rows.head(1).itertuples():
        unusable += f"{row.image_id}: {row.problem} (the report names all)"
    noun = "crops" if is_of_crops(catalog) else "images"
    log(f"{len(usable_rows)} {noun} ({counts}) of {len(class_names)} classes{unusable}")
    images = count_images(catalog)
    seeds, total = Counter(recipe.name for recipe in recipes.values()), 0.0
    for recipe in {recipe.name: recipe for recipe in recipes.values()}.values():
        seconds = estimate_seconds(recipe, images["train"], images["validation"], len(class_names))
        total += seconds * seeds[recipe.name]
        times = f"{seeds[recipe.name]} runs, each " if seeds[recipe.name] > 1 else ""
        budget = f"; shortened run: {recipe.shortened}" if recipe.shortened else ""
        length = "no epochs" if recipe.is_linear_probe else f"max {recipe.training.epochs} epochs"
        log(f"  {recipe.name}: {times}{length}, about {duration(seconds)}{budget}")
        for sentence in recipe_warnings(recipe):
            log(f"    note: {sentence}")
    if note := margin_note([recipe.image for recipe in recipes.values()], usable_rows):
        log(f"  note: {note}")
    if len(recipes) > 1:
        log(f"  in all about {duration(total)}; early stopping mostly ends sooner")


def margin_note(specs: Iterable[ImageSpec], rows: pd.DataFrame) -> str:
    """Return a note where the median image fills less than a quarter of the input of one of the specs."""
    area, longer = rows["width"] * rows["height"], rows[["width", "height"]].max(axis=1)
    for px in {spec.letterbox_px or 1 for spec in specs if spec.fit == "pad"}:
        if (fraction := (area / longer.clip(lower=px) ** 2).median()) < MIN_FILLED_FRACTION:
            side = f"{px} pixels" if px > 1 else "its longer side"
            return f"the median image fills {fraction:.1%} of the input: it is centered on a black square of {side}"
    return ""


def attributes_by_image(recipe: Recipe, catalog: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return the attributes that a multimodal recipe takes of each usable image, by `image_id`."""
    choice, good = recipe.data, usable(catalog)
    attributes = read_attributes(manifest, choice.attributes, min_certainty=choice.min_certainty)
    if attributes.shape[1] != recipe.model.attributes:
        wanted, there = recipe.model.attributes, attributes.shape[1]
        raise ValueError(f"{recipe.name} takes {wanted} attributes, and {manifest.name} has {there}.")
    rows = attributes.loc[good["image_id" if choice.attributes == "image" else "class_name"]]
    return rows.set_axis(pd.Index(good["image_id"], name="image_id"))
