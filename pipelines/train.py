"""What every training command does with its recipes: find images, say the plan, train, score, report. No flags here."""

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd

import marinecv as mcv
from marinecv.atomic import write_json
from marinecv.data.catalog import check_trainable
from marinecv.data.splits import default_split_by
from marinecv.evaluation.attribute_scores import attribute_scores
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import write_predictions
from marinecv.evaluation.restoration import (
    restoration_metrics,
    restoration_table,
    restored_pictures,
    write_pictures,
)
from marinecv.inputs.synthesise import candidates, contact_sheet
from marinecv.report.page import write_run_report, write_study_report
from marinecv.runs import Run, fresh_folder, next_folder
from marinecv.studies import Study, resumable
from marinecv.tables import write_table
from marinecv.training.autoencode import fit_autoencoder
from marinecv.training.bank_choice import choose_bank
from marinecv.training.callbacks import duration
from marinecv.training.estimate import estimate_seconds
from marinecv.training.fit import fit_recipe, load_run
from marinecv.training.lint import lint
from marinecv.training.model_choice import MultimodalModel
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.training.trackers import tracked

from .at_work import at_work

DEMONSTRATION_EPOCHS = 30  # drawn pictures show the way; they are not worth a longer wait


def read_data(args: argparse.Namespace, recipes: list[Recipe]) -> tuple[mcv.Manifest, pd.DataFrame, DataChoice]:
    """The manifest of the data that the flags ask for, its catalog, and the data part of the recipes that says so."""
    choice = recipes[0].data
    manifest = mcv.locate(args.data, args.data_dir, default=choice.name)
    if manifest.name != choice.name:  # how the recipe's own images are split says nothing of others
        choice = replace(choice, split_by=None, fractions=DataChoice.fractions)
    choice = replace(
        choice,
        name=manifest.name,
        label_rule=args.label_rule or choice.label_rule,
        no_box=args.no_box or choice.no_box,
        split_by=args.split_by or choice.split_by,
        limit=args.limit or choice.limit,
        synthetic=args.synthetic,  # for all rows; a recipe may ask for them by itself
        demonstration=manifest.demonstration,
    )
    catalog = mcv.read_catalog(manifest, label_rule=choice.label_rule, no_box=choice.no_box)
    choice = replace(choice, split_by=choice.split_by or default_split_by(catalog))
    catalog = mcv.split_catalog(catalog, choice.split_by, seed=args.seed, fractions=choice.fractions)
    if choice.limit:
        catalog = mcv.limit_catalog(catalog, choice.limit, seed=args.seed)
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
    return manifest, catalog, choice


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


def adjusted(recipe: Recipe, choice: DataChoice, args: argparse.Namespace) -> Recipe:
    """The recipe with the data and the flags of this command; what makes it smaller than it was is said in `budget`."""
    whole = recipe.training.epochs
    training = replace(
        recipe.training,
        seed=args.seed,
        epochs=args.epochs or (min(whole, DEMONSTRATION_EPOCHS) if choice.demonstration else whole),
        batch_size=args.batch_size or recipe.training.batch_size,
        class_weights=args.class_weights or recipe.training.class_weights,
        balanced=args.balanced or recipe.training.balanced,
        mixed_precision=args.mixed_precision or recipe.training.mixed_precision,
        jit_compile=args.jit_compile or recipe.training.jit_compile,
    )
    less = [
        recipe.budget,
        f"{training.epochs} of {whole} epochs" if training.epochs < whole else "",
        f"at most {choice.limit} images a split" if choice.limit else "",
    ]
    told = {"attributes": recipe.data.attributes, "min_certainty": recipe.data.min_certainty}
    data = replace(choice, synthetic=choice.synthetic or recipe.data.synthetic, **told)
    smaller = replace(recipe.training, seed=training.seed, epochs=training.epochs)
    split_by = recipe.data.split_by or "published"
    same = training == smaller and data == replace(recipe.data, limit=data.limit, split_by=split_by)
    return replace(
        recipe,
        title=f"{recipe.title} (data: {data.name})" if data.name != recipe.data.name else recipe.title,
        data=data,
        training=training,
        published=recipe.published if same else {},  # another experiment is not held against the report's figures
        budget=", ".join(filter(None, less)),
    )


def train(rows: list[Recipe], args: argparse.Namespace, *, name: str, title: str) -> int:
    """Train rows into one run, or into a study when there are several."""
    manifest, catalog, choice = read_data(args, rows)
    rows = sized(rows, args.image_size)
    times = folded(choice, catalog, args.folds, args.seed) or {"": (choice, catalog)}
    cells = {
        f"{row.name}-{word}" if word else row.name: (adjusted(row, part, args), images)
        for row in rows
        for word, (part, images) in times.items()
    }
    recipes = {cell: recipe for cell, (recipe, _) in cells.items()}
    class_names = mcv.class_names_of(catalog, manifest)
    recipes = banked(recipes, getattr(args, "bank", "off"), catalog, class_names)
    announce(recipes, catalog, class_names)
    name = rows[0].name if len(rows) == 1 else name
    if manifest.demonstration:
        name = f"demo-{name}"
    elif choice.name != rows[0].data.name:
        name = f"{choice.name}_{name.removeprefix(rows[0].data.name + '_')}"
    folder = fresh_folder(args.output_dir or next_folder("runs", name))
    with at_work(folder):
        if len(recipes) == 1:
            finish(start(folder, recipes[rows[0].name], catalog, manifest), args.track)
            return 0
        for cell, recipe in recipes.items():
            start(folder / cell, recipe, cells[cell][1], manifest)
        title = f"{title}: {manifest.name}"
        return finish_study(Study.create(folder, name, title, list(recipes), manifest.demonstration), args.track)


def folded(
    choice: DataChoice, catalog: pd.DataFrame, folds: int | None, seed: int
) -> dict[str, tuple[DataChoice, pd.DataFrame]]:
    """The images split anew, a fold a time, each in validation once; nothing where no folds are asked for."""
    if not folds:
        return {}
    by = "grouped" if choice.split_by == "grouped" else "stratified"
    parts = enumerate(mcv.kfold(catalog, folds, seed, by), start=1)
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
    return {split: int((good["split"] == split).sum()) for split in ("train", "validation")}


def announce(recipes: dict[str, Recipe], catalog: pd.DataFrame, class_names: tuple[str, ...]) -> None:
    """Say what will run, what of it cannot act, and about how long it takes."""
    good = mcv.usable(catalog)
    counts = ", ".join(f"{split} {n}" for split, n in good["split"].value_counts(sort=False).items())
    unusable = len(catalog) - len(good)
    print(f"{len(good)} images ({counts}) of {len(class_names)} classes", end="")
    print(f"; {unusable} cannot be used (the report says why)" if unusable else "")
    images = images_of(catalog)
    seeds, total = Counter(recipe.name for recipe in recipes.values()), 0.0
    for recipe in {recipe.name: recipe for recipe in recipes.values()}.values():
        seconds = estimate_seconds(recipe, images["train"], images["validation"], len(class_names))
        total += seconds * seeds[recipe.name]
        times = f"{seeds[recipe.name]} seeds, each " if seeds[recipe.name] > 1 else ""
        budget = f"; reduced budget: {recipe.budget}" if recipe.budget else ""
        print(f"  {recipe.name}: {times}at most {recipe.training.epochs} epochs, about {duration(seconds)}{budget}")
        for sentence in lint(recipe):
            print(f"    note: {sentence}")
    if len(recipes) > 1:
        print(f"  in all at most {duration(total)}; early stopping mostly ends sooner")


def start(folder: str | Path, recipe: Recipe, catalog: pd.DataFrame, manifest: mcv.Manifest) -> Run:
    """Make the folder of a run."""
    contract = recipe.contract(mcv.class_names_of(catalog, manifest))
    folder = fresh_folder(folder)
    if recipe.data.synthetic:
        train = catalog[catalog["split"] == "train"]
        synthetic = mcv.synthesise(train, mcv.read_boxes(manifest), folder / "synthetic")
        contact_sheet(synthetic).save(folder / "synthetic" / "contact_sheet.jpg")
        catalog = pd.concat([catalog, synthetic], ignore_index=True)
        print(f"  {len(synthetic)} synthetic images in {folder / 'synthetic'}, all on contact_sheet.jpg")
    if isinstance(recipe.model, MultimodalModel):
        write_table(folder / "attributes.csv", attributes_by_image(recipe, catalog, manifest).reset_index())
    contract["split_sha256"] = mcv.write_split(catalog, folder / "split.csv")
    return Run.create(folder, recipe.to_dict(), contract, catalog)


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


def finish(run: Run, track: str | None = None) -> None:
    """Train, score and report a run, from wherever it stands; follow its training elsewhere too, by choice."""
    recipe = Recipe.of(run)
    with tracked(None if run.finished else track, run.folder, recipe) as followers:
        if not run.finished:
            (restore if run.restores else score)(run, recipe, followers)
        write_run_report(run.folder)
    metrics = run.metrics
    for split in ("validation", "test"):
        if split in metrics:
            print(f"  {split:<10} {figure(metrics[split])}")
    print(f"  report: {run.path('report.html')}")


def score(run: Run, recipe: Recipe, followers: list) -> None:
    """Train a run and score it; `metrics.json`, written last, makes it finished."""
    print(f"{recipe.title} -> {run.folder}")
    run.note(f"training, seed {recipe.training.seed}")
    pixels = load_run(run, recipe, say=print)
    trained = run.path("timing.json").is_file() and run.path("model.keras").is_file()
    model = run.load_model() if trained else fit_recipe(recipe, run, pixels, also=followers)
    bank = recipe.training.bank > 0 and recipe.training.bank_dtype == "float32"  # a score is of the whole model
    multimodal = isinstance(recipe.model, MultimodalModel)
    told = run.attributes if multimodal else None
    predictions = predict_table(
        model, run.catalog, recipe.image, run.class_names, pixels=pixels, attributes=told, bank=bank
    )
    write_predictions(predictions, run.path("predictions.csv"))
    if multimodal:
        write_table(run.path("attribute_scores.csv"), attribute_scores(model, run, pixels))
    metrics = {split: classification_metrics(part) for split, part in predictions.groupby("split", sort=False)}
    if "test" in metrics:
        run.note("looked at test: the score of the finished training")
    write_json(run.path("metrics.json"), metrics)
    run.path("checkpoint.npz").unlink(missing_ok=True)


def restore(run: Run, recipe: Recipe, followers: list) -> None:
    """Train an autoencoder and score it; `metrics.json`, written last, makes it finished."""
    print(f"{recipe.title} -> {run.folder}")
    run.note(f"training, seed {recipe.training.seed}")
    pixels = load_run(run, recipe, say=print)
    trained = all(run.path(name).is_file() for name in ("timing.json", "model.keras"))
    model = run.load_model() if trained else fit_autoencoder(recipe, run, pixels, also=followers)
    noise = {"salt": recipe.model.salt, "pepper": recipe.model.pepper, "seed": recipe.training.seed}
    table = restoration_table(model, run.catalog, recipe.image, pixels, **noise)
    write_table(run.path("restorations.csv"), table)
    write_pictures(restored_pictures(model, run.catalog, recipe.image, pixels, **noise), run.path("restorations.npz"))
    write_json(run.path("metrics.json"), restoration_metrics(table))
    run.path("checkpoint.npz").unlink(missing_ok=True)


def finish_study(study: Study, track: str | None = None) -> int:
    """Train what is not trained yet, then write table and page."""
    for number, cell in enumerate(study.cells, start=1):
        run = Run(study.cell_folder(cell))
        if not (run.finished and run.path("report.html").is_file()):
            print(f"[{number}/{len(study.cells)}] ", end="")
            with at_work(run.folder):
                finish(run, track)
    table = study.write_table()
    page = write_study_report(study.folder)
    if folds := fold_metrics(study.finished_runs.values()):
        for name, metrics in folds.items():
            print(f"{name}, all folds together: {figure(metrics)}")
    for _, best in table[table["best"]].iterrows():
        print(f"best on validation: {best['name']} ({best['validation_accuracy']:.3f}, n={best['validation_n']})")
    print(f"comparison: {page}")
    return 0


def figure(metrics: dict) -> str:
    """The headline figure of a split with its interval and n."""
    name, digits = ("mean squared error", 4) if "mse" in metrics else ("accuracy", 3)
    metric = metrics.get("mse") or metrics["accuracy"]
    value, low, high = (f"{metric[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{name} {value}  (95% {low} to {high}, n={metric['n']})"


def resume(folder: Path, track: str | None = None) -> int:
    """Go on with a run or a study; one that is finished gets its page again."""
    stopped = resumable(folder)
    with at_work(folder):
        if isinstance(stopped, Study):
            return finish_study(stopped, track)
        finish(stopped, track)
    return 0
