"""What will be trained: images, recipes with the data and the flags of a command, and what is said before it begins."""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from textwrap import shorten

import pandas as pd

import marinecv as mcv
from marinecv.choices import FITTED_SPLITS, MADE, SPLITS
from marinecv.data.accounting import reading_lines
from marinecv.data.catalog import check_trainable
from marinecv.data.groups import COPY, NEAR_COPY
from marinecv.data.splits import default_split_by, is_grouped
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.synthesise import candidates
from marinecv.pipelines.options import label_rules, limited, located
from marinecv.training.bank_choice import choose_bank
from marinecv.training.callbacks import duration
from marinecv.training.estimate import estimate_seconds
from marinecv.training.lint import lint
from marinecv.training.model_choice import Autoencoder, MultimodalModel
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.workflows.leakage import MOST

DEMONSTRATION_EPOCHS = 30  # drawn pictures show the way; they are not worth a longer wait
CALIBRATION_SHARE = 1 / 3  # of validation, where a report does not say what all of it is for
REPORT = re.compile("^(Aquarium|Animals|Birds|BirdCNN|Butterflies)[,:]? ")  # of a title, which other data do not name
LITTLE = 0.25  # of the input that a picture fills
CALIBRATION_FROM = 60  # images of validation: a third of them is the least that prediction sets are stated on


def read_data(
    args: argparse.Namespace, recipes: list[Recipe], manifest: mcv.Manifest | None = None
) -> tuple[mcv.Manifest, pd.DataFrame, DataChoice]:
    """The manifest of the data that the flags ask for, its catalog, and the data part of the recipes that says so."""
    choice = recipes[0].data
    manifest, catalog = manifest or located(args, choice.name), getattr(args, "source", (None, None))[1]
    if manifest.name != choice.name:  # how the recipe's own images are split says nothing of others
        choice = replace(choice, split_by=None, fractions=DataChoice.fractions)
    rules = label_rules(args, choice)
    choice = replace(
        choice,
        **rules,
        name=manifest.name,
        class_level=manifest.class_level,
        merge_case=manifest.merge_case,
        split_by=args.split_by or choice.split_by,
        frames=args.frames or choice.frames,
        limit=args.limit or choice.limit,
        synthetic=args.synthetic,  # for all rows; a recipe may ask for them by itself
        demonstration=manifest.demonstration,
    )
    if catalog is None or rules != label_rules(args):
        catalog = mcv.read_catalog(manifest, **rules, log=print)
    for line in reading_lines(manifest, catalog):
        print(line)
    choice = replace(choice, split_by=choice.split_by or default_split_by(catalog))
    links = mcv.find_links(catalog, choice.frames, say=print) if is_grouped(choice.split_by) else None
    catalog = mcv.split_catalog(catalog, choice.split_by, args.seed, choice.fractions, links, log=print)
    if choice.split_by in MADE:
        name = mcv.keep_split(catalog, f"{manifest.name}-{choice.split_by}")
        print(f"split {name} (--split-by takes it again by this name)")
    if choice.limit:
        catalog = limited(catalog, choice.limit, args.seed)
    check_trainable(catalog)
    for recipe in recipes:
        if isinstance(recipe.model, MultimodalModel):
            attributes_by_image(recipe, catalog, manifest)  # before anything is made: the data may have none
    wanted = args.synthetic or any(recipe.data.synthetic for recipe in recipes)
    if wanted and candidates(catalog, mcv.read_boxes(manifest)).empty:
        raise ValueError(
            "No train image can give a synthetic one: that takes boxes of two classes, the second other than fish. "
            "Leave out --synthetic."
        )
    if not isinstance(recipes[0].model, Autoencoder):
        if links is None and len(mcv.usable(catalog)) <= MOST:
            links = mcv.find_links(catalog, choice.frames, say=print)
        for note in label_notes(catalog, links):
            print(f"note: {note}")
    return manifest, catalog, choice


def label_notes(catalog: pd.DataFrame, links: pd.DataFrame | None) -> Iterator[str]:
    """Say which classes a split lacks, and which picture is there under two labels."""
    rows = mcv.usable(catalog)
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


def sized(rows: list[Recipe], sizes: list[int] | None) -> list[Recipe]:
    """The rows at the image sizes asked for; a row a size when there are several. A smaller one is said in `budget`."""
    if not sizes:
        return rows
    return [
        replace(
            row,
            name=f"{row.name}_{size}px" if len(sizes) > 1 else row.name,
            image=replace(row.image, height=size, width=size),
            budget=f"{size} of {row.image.height} pixels" if size < row.image.height else "",
            published=row.published if size <= row.image.height else {},
        )
        for row in rows
        for size in sizes
    ]


def adjusted(recipe: Recipe, choice: DataChoice, args: argparse.Namespace, validation: int = 0) -> Recipe:
    """The recipe with the data and the flags of this command; what makes it smaller than it was is said in `budget`.

    Args:
        recipe: as it stands in its file.
        choice: the data part as the flags have it.
        args: of the command.
        validation: usable validation images. Of other data than the recipe's own some are held out where they are many.
    """
    whole, share = recipe.training.epochs, args.calibration_share
    if share is None:
        other = choice.name != recipe.data.name
        share = CALIBRATION_SHARE if other and validation >= CALIBRATION_FROM else recipe.training.calibration
    training = replace(
        recipe.training,
        seed=args.seed,
        epochs=args.epochs or (min(whole, DEMONSTRATION_EPOCHS) if choice.demonstration else whole),
        batch_size=args.batch_size or recipe.training.batch_size,
        class_weights=args.class_weights or recipe.training.class_weights,
        balanced=args.balanced or recipe.training.balanced,
        mixed_precision=args.mixed_precision or recipe.training.mixed_precision,
        jit_compile=args.jit_compile or recipe.training.jit_compile,
        calibration=share,
    )
    less = [
        recipe.budget,
        f"{training.epochs} of {whole} epochs" if training.epochs < whole else "",
        f"at most {choice.limit} images a split" if choice.limit else "",
    ]
    own = {name: getattr(recipe.data, name) for name in ("attributes", "min_certainty", "pseudo_labels")}
    data = replace(choice, synthetic=choice.synthetic or recipe.data.synthetic, **own)
    smaller = replace(recipe.training, seed=training.seed, epochs=training.epochs)
    split_by = recipe.data.split_by or "published"
    title, of_report = REPORT.sub("", recipe.title), data.name == recipe.data.name
    same = training == smaller and data == replace(recipe.data, limit=data.limit, split_by=split_by)
    return replace(
        recipe,
        title=recipe.title if of_report else f"{title[:1].upper()}{title[1:]} (data: {data.name})",
        report=recipe.report if of_report else "",
        data=data,
        training=training,
        published=recipe.published if same else {},  # another experiment is not held against the report's figures
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
    parts = enumerate((part.sort_values("image_id") for part in mcv.kfold(catalog, folds, seed, by)), start=1)
    return {f"fold{n}": (replace(choice, split_by=by, fold=f"{n}/{folds}"), part) for n, part in parts}


def banked(
    recipes: dict[str, Recipe], wanted: str | int | None, catalog: pd.DataFrame, class_names: tuple[str, ...]
) -> dict[str, Recipe]:
    """The recipes with the frozen layers computed beforehand or not; what `--bank auto` chose is said."""
    if wanted not in (None, "auto"):
        return {name: recipe.with_training(bank=0 if wanted == "off" else wanted) for name, recipe in recipes.items()}
    images, chosen = images_of(catalog), {}

    def front(recipe: Recipe) -> tuple:
        return recipe.model, recipe.image, recipe.training.augmentation, recipe.training.seed

    sharing = Counter(map(front, recipes.values()))
    for name, recipe in recipes.items():
        views, reason = choose_bank(recipe, images, len(class_names), sharing[front(recipe)])
        chosen[name] = recipe.with_training(bank=views)
        if reason:
            print(f"  {name}: {reason}")
    return chosen


def images_of(catalog: pd.DataFrame) -> dict[str, int]:
    """How many usable images train and validation hold."""
    good = mcv.usable(catalog)
    return {split: int((good["split"] == split).sum()) for split in FITTED_SPLITS}


def announce(recipes: dict[str, Recipe], catalog: pd.DataFrame, class_names: tuple[str, ...]) -> None:
    """Say what will run, what of it cannot act, and about how long it takes."""
    good = mcv.usable(catalog)
    counts = ", ".join(f"{split} {n}" for split, n in good["split"].value_counts(sort=False).items())
    print(f"{len(good)} images ({counts}) of {len(class_names)} classes", end="")
    bad = catalog[catalog["problem"] != ""]
    first = "; ".join(f"{row.image_id}: {row.problem}" for row in bad.head(1).itertuples())
    print(f"; {len(bad)} cannot be used, the first, {first} (the report names all)" if first else "")
    images = images_of(catalog)
    seeds, total = Counter(recipe.name for recipe in recipes.values()), 0.0
    for recipe in {recipe.name: recipe for recipe in recipes.values()}.values():
        seconds = estimate_seconds(recipe, images["train"], images["validation"], len(class_names))
        total += seconds * seeds[recipe.name]
        times = f"{seeds[recipe.name]} runs, each " if seeds[recipe.name] > 1 else ""
        budget = f"; reduced budget: {recipe.budget}" if recipe.budget else ""
        print(f"  {recipe.name}: {times}at most {recipe.training.epochs} epochs, about {duration(seconds)}{budget}")
        for sentence in lint(recipe):
            print(f"    note: {sentence}")
    if note := margin_note([recipe.image for recipe in recipes.values()], good):
        print(f"  note: {note}")
    if len(recipes) > 1:
        print(f"  in all at most {duration(total)}; early stopping mostly ends sooner")


def margin_note(specs: list[ImageSpec], rows: pd.DataFrame) -> str:
    """Say how little of the input the median image fills, where that is less than a quarter with one of the specs."""
    area, longer = rows["width"] * rows["height"], rows[["width", "height"]].max(axis=1)
    for px in {spec.canvas_px or 1 for spec in specs if spec.fit == "pad"}:
        if (fraction := (area / longer.clip(lower=px) ** 2).median()) < LITTLE:
            side = f"{px} pixels" if px > 1 else "its longer side"
            return f"the median image fills {fraction:.1%} of the input: it is centered on a black square of {side}"
    return ""


def attributes_by_image(recipe: Recipe, catalog: pd.DataFrame, manifest: mcv.Manifest) -> pd.DataFrame:
    """What a multimodal recipe is told of each usable image, by `image_id`.

    Raises:
        ValueError: as `read_attributes`, or the recipe takes another number of attributes.
    """
    choice, good = recipe.data, mcv.usable(catalog)
    attributes = mcv.read_attributes(manifest, choice.attributes, min_certainty=choice.min_certainty)
    if attributes.shape[1] != recipe.model.attributes:
        raise ValueError(
            f"{recipe.name} takes {recipe.model.attributes} attributes, and {manifest.name} has {attributes.shape[1]}."
        )
    told = attributes.loc[good["image_id" if choice.attributes == "image" else "class_name"]]
    return told.set_axis(pd.Index(good["image_id"], name="image_id"))
