"""What will be trained: the images, a recipe for each run, and what is said before it begins."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

import pandas as pd

from marinecv.audit.links import find_links
from marinecv.choices import FITTED_SPLITS, MADE, SPLITS
from marinecv.console import Log
from marinecv.data.accounting import reading_lines
from marinecv.data.attributes import read_attributes
from marinecv.data.catalog import check_trainable, class_names_of, limit_catalog, read_boxes
from marinecv.data.groups import COPY, NEAR_COPY
from marinecv.data.manifests import Manifest
from marinecv.data.splits import default_split_by, is_grouped, keep_split, kfold, split_catalog
from marinecv.data.user_tables import is_usable, usable
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.synthesise import candidates
from marinecv.progress import duration
from marinecv.training.bank_choice import choose_bank
from marinecv.training.distribution import device_sentence
from marinecv.training.estimate import estimate_seconds
from marinecv.training.lint import lint
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.training.settings import SIZE, with_changes
from marinecv.workflows.leakage import MOST
from marinecv.workflows.sources import Data, Source, source_of
from marinecv.workflows.weights import with_available_weights

DEMONSTRATION_EPOCHS = 30  # drawn pictures show the way; they are not worth a longer wait
CALIBRATION_FRACTION = 1 / 3  # of validation, where a report does not say what all of it is for
CALIBRATION_FROM = 60  # images of validation: a third of them is the least that prediction sets are stated on
REPORT = re.compile("^(Aquarium|Animals|Birds|BirdCNN|Butterflies)[,:]? ")  # of a title, which other data do not name
LITTLE = 0.25  # of the input that a picture fills
PER_RECIPE = ("attributes", "min_certainty", "pseudo_labels", "labelled", "synthetic")
"""Settings of the data that each recipe has for itself, while all of them read and split the images alike."""
NAMED = ("model.", "training.head_epochs")  # changes that a title names
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Runs to be made: a recipe and the catalog it is trained on, by the name of the run's folder."""

    manifest: Manifest
    catalog: pd.DataFrame
    class_names: tuple[str, ...]
    runs: dict[str, tuple[Recipe, pd.DataFrame]]

    @property
    def recipes(self) -> dict[str, Recipe]:
        """The recipes alone."""
        return {name: recipe for name, (recipe, _) in self.runs.items()}

    def name(self, base: Recipe, default: str) -> str:
        """How a folder is called that holds these runs: by the recipe that stands for them, or by the data."""
        return f"demo-{default}" if self.manifest.demonstration else self.name_of_data(base, default)

    def name_of_data(self, base: Recipe, default: str) -> str:
        """A name that begins with the data in place of the report, where they are not the recipe's."""
        if self.manifest.name == base.data.name:
            return default
        return f"{self.manifest.name}_{default.removeprefix(base.report + '_')}"


def plan_runs(
    data: Data,
    recipes: Sequence[Recipe],
    changes: Changes,
    log: Log,
    *,
    sizes: Sequence[int] = (),
    folds: int | None = None,
    may_cache: bool = True,
    trials: int = 1,
) -> Plan:
    """Read the images, and settle every choice of the runs that recipes, image sizes and folds make together.

    What will run, what of it cannot act, and about how long it takes is said. `trials` is how often each run is trained
    on the same frozen layers, which with `may_cache` are computed beforehand where that pays.
    """
    log(device_sentence())
    recipes = with_weights_at_hand(recipes, changes, log)
    manifest, catalog, choice = read_data(data, recipes, changes, log)
    parts = folded(choice, catalog, folds, with_changes(recipes[0], changes).training.seed)
    runs = {}
    for recipe in recipes:
        for size in sizes or [None]:
            base = replace(recipe, name=f"{recipe.name}_{size}px") if len(sizes) > 1 else recipe
            asked = changes if size is None else {**changes, SIZE: size}
            if recipe.model.has_backbone:  # whose weights are settled
                asked = {name: value for name, value in asked.items() if name != "model.weights"}
            for fold, (part, images) in (parts or {"": (choice, catalog)}).items():
                name = f"{base.name}-{fold}" if fold else base.name
                runs[name] = adjusted(base, part, asked, images_of(images)["validation"]), images
    class_names = class_names_of(catalog, manifest)
    settled = {name: recipe for name, (recipe, _) in runs.items()}
    if may_cache and "training.bank" not in changes:
        settled = with_feature_cache(settled, catalog, class_names, log, trials)
    announce(settled, catalog, class_names, log)
    return Plan(manifest, catalog, class_names, {name: (settled[name], images) for name, (_, images) in runs.items()})


def with_weights_at_hand(recipes: Sequence[Recipe], changes: Changes, log: Log) -> list[Recipe]:
    """Return recipes with the weights that are to be had, and say where there are none."""
    settled = [with_available_weights(recipe, changes) for recipe in recipes]
    pairs = [(now.model, before.model) for now, before in zip(settled, recipes, strict=True) if now.model.has_backbone]
    for name in dict.fromkeys(now.backbone for now, before in pairs if now.weights == "none" != before.weights):
        log(
            f"{name}: no pretrained weights, so this is no fine-tuning and its score is no measure of one. With a "
            "network they come by themselves; without, name a file with weights=PATH."
        )
    return settled


def read_data(
    data: Data, recipes: Sequence[Recipe], changes: Changes, log: Log
) -> tuple[Manifest, pd.DataFrame, DataChoice]:
    """Return the manifest of the images, their catalog, and the data part of the recipes that says how it was made."""
    first = recipes[0]
    choice = with_changes(first, {name: value for name, value in changes.items() if name.startswith("data.")}).data
    source = source_of(data, choice, log)
    reading = {name: getattr(choice, name) for name in ("class_level", "merge_case") if f"data.{name}" in changes}
    manifest = replace(source.manifest, **reading)
    if manifest.root and manifest != source.manifest:  # it was found before the changes were known
        source = Source(manifest)
    if manifest.name != choice.name:  # how the recipe's own images are split says nothing of others
        default = {"split_by": None, "fractions": DataChoice.fractions}
        choice = replace(choice, **{name: value for name, value in default.items() if f"data.{name}" not in changes})
    reading = ("name", "class_level", "merge_case", "demonstration")
    choice = replace(choice, **{name: getattr(manifest, name) for name in reading})
    catalog, seed = source.read(choice, log), with_changes(first, changes).training.seed
    for line in reading_lines(manifest, catalog) if manifest.root else ():
        log(line)
    choice = replace(choice, split_by=choice.split_by or default_split_by(catalog))
    links = find_links(catalog, choice.frames, say=log) if is_grouped(choice.split_by) else None
    catalog = split_catalog(catalog, choice.split_by, seed, choice.fractions, links, log=log)
    if choice.split_by in MADE:
        name = keep_split(catalog, f"{manifest.name}-{choice.split_by}")
        log(f'split {name} (split_by="{name}" takes it again)')
    if choice.limit:
        catalog = limited(catalog, choice.limit, seed, log)
    check_trainable(catalog)
    changed = [with_changes(recipe, changes) for recipe in recipes]
    for recipe in changed:
        if recipe.model.takes_attributes:
            attributes_by_image(recipe, catalog, manifest)  # before anything is made: the data may have none
    if any(recipe.data.synthetic for recipe in changed) and candidates(catalog, read_boxes(manifest)).empty:
        raise ValueError(
            "No train image can give a synthetic one: that takes boxes of two classes, the second other than fish. "
            "Leave out synthetic=True."
        )
    if not first.model.is_autoencoder:
        if links is None and len(usable(catalog)) <= MOST:
            links = find_links(catalog, choice.frames, say=log)
        for note in label_notes(catalog, links):
            log(f"note: {note}")
    return manifest, catalog, choice


def limited(catalog: pd.DataFrame, limit: int, seed: int, log: Log) -> pd.DataFrame:
    """Return at most so many images a split, and say where these are too few for every class."""
    if (classes := usable(catalog)["class_name"].nunique()) > limit:
        log(f"limit={limit} keeps the {limit} largest of {classes} classes")
    return limit_catalog(catalog, limit, seed)


def label_notes(catalog: pd.DataFrame, links: pd.DataFrame | None) -> Iterator[str]:
    """Say which classes a split lacks, and which picture is there under two labels."""
    rows = usable(catalog)
    counts = pd.crosstab(rows["class_name"], rows["split"])
    for split in counts.columns.intersection(SPLITS):
        lacking = counts[counts[split] == 0]
        names = shorten(", ".join(lacking.index), 100, placeholder=" ...")
        if names and split == "train":
            yield f"no train image of {names}: its other images ({lacking.to_numpy().sum()}) cannot be predicted right"
        elif names:
            yield f"no {split} image of {names}, of which the {split} score says nothing"
    if links is not None:
        pairs = links[links["kind"].isin((COPY, NEAR_COPY))]
        classes = catalog.set_index("image_id")["class_name"]
        first, second = pairs["first"].map(classes), pairs["second"].map(classes)
        pairs = pairs[(first != second) & first.notna() & second.notna()]
        for pair in pairs.head(1).itertuples():
            more = f" ({len(pairs) - 1} more pairs; audit shows them)" if len(pairs) > 1 else ""
            yield f"one picture under two labels: {pair.first} and {pair.second}{more}"


def adjusted(recipe: Recipe, choice: DataChoice, changes: Changes, validation: int = 0) -> Recipe:
    """Return a recipe on these images and with these changes; what makes it smaller than it was is said in `budget`.

    Of other data than the recipe's own some of the `validation` images are held out where they are many.
    """
    if "model.trainable_layers" in changes and recipe.model.has_backbone:
        changes = {"model.trainable_blocks": (), **changes}
    changed = with_changes(recipe, changes)
    whole, training, image = recipe.training, changed.training, changed.image
    if choice.demonstration and "training.epochs" not in changes:
        training = replace(training, epochs=min(whole.epochs, DEMONSTRATION_EPOCHS))
    is_other = choice.name != recipe.data.name
    if is_other and validation >= CALIBRATION_FROM and "training.calibration" not in changes:
        training = replace(training, calibration=0.0 if recipe.model.is_autoencoder else CALIBRATION_FRACTION)
    less = [
        recipe.budget,
        f"{image.height} of {recipe.image.height} pixels" if image.height < recipe.image.height else "",
        f"{training.epochs} of {whole.epochs} epochs" if training.epochs < whole.epochs else "",
        f"at most {choice.limit} images a split" if choice.limit else "",
    ]
    data = replace(choice, **{name: getattr(changed.data, name) for name in PER_RECIPE})
    named = [
        f"{name.rpartition('.')[2].replace('_', ' ')} {value}"
        for name, value in changes.items()
        if name.startswith(NAMED) and value != ()
    ]
    title = "; here ".join(filter(None, [recipe.title, ", ".join(named)]))
    if is_other:
        title = REPORT.sub("", title)
        title = f"{title[:1].upper()}{title[1:]} (data: {data.name})"
    smaller = replace(
        recipe,
        data=replace(recipe.data, limit=data.limit, split_by=recipe.data.split_by or "published"),
        image=replace(recipe.image, height=min(image.height, recipe.image.height), width=image.width),
        training=replace(whole, **{name: getattr(training, name) for name in ("seed", "epochs", "bank", "bank_dtype")}),
    )
    now = replace(changed, data=data, image=image, training=training)
    return replace(
        now,
        title=title,
        report="" if is_other else recipe.report,
        published=changed.published if now == smaller else {},  # another experiment is not held against the report's
        budget=", ".join(filter(None, less)),
    )


def folded(
    choice: DataChoice, catalog: pd.DataFrame, folds: int | None, seed: int
) -> dict[str, tuple[DataChoice, pd.DataFrame]]:
    """The images split anew, a fold a time, each in validation once; nothing where no folds are asked for."""
    if not folds:
        return {}
    by = "grouped" if is_grouped(choice.split_by) else "stratified"
    # In one order of the images, so that all folds share their pixels.
    parts = enumerate((part.sort_values("image_id") for part in kfold(catalog, folds, seed, by)), start=1)
    return {f"fold{n}": (replace(choice, split_by=by, fold=f"{n}/{folds}"), part) for n, part in parts}


def with_feature_cache(
    recipes: dict[str, Recipe], catalog: pd.DataFrame, class_names: tuple[str, ...], log: Log, trials: int = 1
) -> dict[str, Recipe]:
    """The recipes with the frozen layers computed beforehand where that pays, which is said."""
    images, chosen = images_of(catalog), {}

    def frozen(recipe: Recipe) -> tuple:
        return recipe.model, recipe.image, recipe.training.augmentation, recipe.training.seed

    sharing = Counter(map(frozen, recipes.values()))
    for name, recipe in recipes.items():
        views, reason = choose_bank(recipe, images, len(class_names), trials * sharing[frozen(recipe)])
        chosen[name] = recipe.with_training(bank=views)
        if reason:
            log(f"  {name}: {reason}")
    return chosen


def images_of(catalog: pd.DataFrame) -> dict[str, int]:
    """How many usable images train and validation hold."""
    good = usable(catalog)
    return {split: int((good["split"] == split).sum()) for split in FITTED_SPLITS}


def announce(recipes: dict[str, Recipe], catalog: pd.DataFrame, class_names: tuple[str, ...], log: Log) -> None:
    """Say what will run, what of it cannot act, and about how long it takes."""
    good, bad = usable(catalog), catalog[~is_usable(catalog)]
    counts = ", ".join(f"{split} {n}" for split, n in good["split"].value_counts(sort=False).items())
    first = "; ".join(f"{row.image_id}: {row.problem}" for row in bad.head(1).itertuples())
    log(
        f"{len(good)} images ({counts}) of {len(class_names)} classes"
        + (f"; {len(bad)} cannot be used, the first, {first} (the report names all)" if first else "")
    )
    images = images_of(catalog)
    seeds, total = Counter(recipe.name for recipe in recipes.values()), 0.0
    for recipe in {recipe.name: recipe for recipe in recipes.values()}.values():
        seconds = estimate_seconds(recipe, images["train"], images["validation"], len(class_names))
        total += seconds * seeds[recipe.name]
        times = f"{seeds[recipe.name]} runs, each " if seeds[recipe.name] > 1 else ""
        budget = f"; reduced budget: {recipe.budget}" if recipe.budget else ""
        log(f"  {recipe.name}: {times}at most {recipe.training.epochs} epochs, about {duration(seconds)}{budget}")
        for sentence in lint(recipe):
            log(f"    note: {sentence}")
    if note := margin_note([recipe.image for recipe in recipes.values()], good):
        log(f"  note: {note}")
    if len(recipes) > 1:
        log(f"  in all at most {duration(total)}; early stopping mostly ends sooner")


def margin_note(specs: Iterable[ImageSpec], rows: pd.DataFrame) -> str:
    """Say how little of the input the median image fills, where that is less than a quarter with one of the specs."""
    area, longer = rows["width"] * rows["height"], rows[["width", "height"]].max(axis=1)
    for px in {spec.canvas_px or 1 for spec in specs if spec.fit == "pad"}:
        if (fraction := (area / longer.clip(lower=px) ** 2).median()) < LITTLE:
            side = f"{px} pixels" if px > 1 else "its longer side"
            return f"the median image fills {fraction:.1%} of the input: it is centered on a black square of {side}"
    return ""


def attributes_by_image(recipe: Recipe, catalog: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The attributes that a multimodal recipe takes of each usable image, by `image_id`."""
    choice, good = recipe.data, usable(catalog)
    attributes = read_attributes(manifest, choice.attributes, min_certainty=choice.min_certainty)
    if attributes.shape[1] != recipe.model.attributes:
        raise ValueError(
            f"{recipe.name} takes {recipe.model.attributes} attributes, and {manifest.name} has {attributes.shape[1]}."
        )
    rows = attributes.loc[good["image_id" if choice.attributes == "image" else "class_name"]]
    return rows.set_axis(pd.Index(good["image_id"], name="image_id"))
