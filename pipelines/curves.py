"""A learning curve, from its cells to its page: the study of `learning-curve`."""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

import marinecv as mcv
from marinecv.data.labelled import keep_labels, keep_unlabelled
from marinecv.evaluation.learning_curve import curve_table, line_differences
from marinecv.evaluation.photographs import next_class, photographs_needed
from marinecv.evaluation.predictions import read_predictions
from marinecv.report.curve_page import write_curve_report
from marinecv.runs import Run, fresh_folder, next_folder
from marinecv.studies import Study, is_study
from marinecv.tables import read_table, write_table
from marinecv.training.model_choice import Autoencoder, BackboneModel, EncoderModel
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.training.trackers import tracked

from .at_work import at_work
from .butterflies import FRACTIONS, PUBLISHED_METRICS, published_at
from .butterflies import RECIPES as AUTOENCODERS
from .families import RECIPES
from .finetune import with_weights
from .plan import adjusted, announce, read_data, sized
from .results import COLUMNS, all_seeds, seed_lines
from .train import score, start

ENOUGH_SHARES = 3  # for a power law


def begin(args: argparse.Namespace, names: Sequence[str], shares: Sequence[float], seeds: int) -> Path:
    """Make the folder of a curve: a run a line, share and seed, and before them the encoders that some begin with.

    Raises:
        ValueError: no such recipe or encoder, a line without a cell, or as `read_data`.
    """
    lines = chosen(names)
    unlabelled = args.encoder_data == "unlabelled"
    if min(shares) == 1 and any(line.data.pseudo_labels or (unlabelled and wants_encoder(line)) for line in lines):
        raise ValueError("With all labels nothing is left without one. Name a smaller share with --labelled.")
    given = encoder_in(args.encoder) if args.encoder else None
    manifest, catalog, choice = read_data(args, lines)
    encoders, cells, begins = {}, {}, {}
    places = [(seed, share) for seed in range(args.seed, args.seed + seeds) for share in sorted(set(shares))]
    for (seed, share), line in itertools.product(places, lines):
        if (line.data.pseudo_labels and share > min(shares)) or (unlabelled and wants_encoder(line) and share == 1):
            continue  # of own labels one row, where labels are fewest; and nothing is left to train an encoder on
        flags = argparse.Namespace(**{**vars(bounds(line, lines, args)), "seed": seed})
        recipe, place = cell_of(line, replace(choice, labelled=share), flags), f"{share:g}-seed{seed}"
        if given and wants_encoder(line):
            recipe = recipe.with_model(weights=str(given))
        elif wants_encoder(line):
            encoder = f"{line.model.weights}-{place}" if unlabelled else line.model.weights
            images = keep_unlabelled(catalog, share, seed) if unlabelled else catalog
            encoders.setdefault(encoder, (encoder_recipe(line, choice, args), images))
            begins[f"{line.name}-{place}"] = encoder
        cells[f"{line.name}-{place}"] = recipe, keep_labels(catalog, share, seed)
    every = encoders | cells
    announce({cell: recipe for cell, (recipe, _) in every.items()}, catalog, mcv.class_names_of(catalog, manifest))
    folder = fresh_folder(args.output_dir or next_folder("runs", f"curve-{choice.name}"))
    with at_work(folder):
        for cell, (recipe, images) in every.items():
            if cell in begins:
                recipe = recipe.with_model(weights=str((folder / begins[cell] / "encoder.keras").resolve()))
            start(folder / cell, recipe, images, manifest)
        title = f"Learning curve: {manifest.name}"
        Study.create(folder, f"curve-{choice.name}", title, list(every), manifest.demonstration)
    return folder


def wants_encoder(line: Recipe) -> bool:
    """Whether it begins with the encoder of an autoencoder."""
    return isinstance(line.model, EncoderModel) and line.model.weights in AUTOENCODERS


def chosen(names: Sequence[str]) -> list[Recipe]:
    """The classifiers of these names, with their weights, or without where there are none to be had.

    Raises:
        ValueError: there is none of a name, or they are of different data.
    """
    known = {name: recipe for name, recipe in RECIPES.items() if not isinstance(recipe.model, Autoencoder)}
    found = []
    for name in names:
        if name != "butterflies_fractions" and name not in known:
            raise ValueError(
                f"There is no classifier {name!r}. Expected butterflies_fractions or one of {', '.join(known)}."
            )
        found += [known[name]] if name in known else FRACTIONS.values()
    if len({recipe.data.name for recipe in found}) > 1:
        raise ValueError(f"{', '.join(names)} are of different data. A curve has those of one data set.")
    return [with_weights(recipe, None) if isinstance(recipe.model, BackboneModel) else recipe for recipe in found]


def encoder_in(folder: Path) -> Path:
    """The encoder of a run of `autoencode`.

    Raises:
        ValueError: there is none.
    """
    encoder = Run(folder).path("encoder.keras")
    if not encoder.is_file():
        raise ValueError(f"{folder} has no encoder.keras. Expected a finished run of `autoencode`, of a U-Net.")
    return encoder.resolve()


def bounds(line: Recipe, lines: list[Recipe], args: argparse.Namespace) -> argparse.Namespace:
    """The flags for a line. Where other lines learn their features, a head on a frozen backbone is not made smaller."""
    if not has_frozen_backbone(line) or all(map(has_frozen_backbone, lines)):
        return args
    return argparse.Namespace(**{**vars(args), "image_size": None, "epochs": None})


def has_frozen_backbone(line: Recipe) -> bool:
    """Whether nothing of it learns but a head, which costs next to nothing on a bank."""
    return isinstance(line.model, BackboneModel) and line.model.trainable_layers == 0


def cell_of(line: Recipe, choice: DataChoice, flags: argparse.Namespace) -> Recipe:
    """A line at one share of the labels; what its report prints of that comes with it."""
    cell = adjusted(sized([line], flags.image_size)[0], choice, flags)
    return replace(cell, published=published_at(line.name, choice.labelled) if choice.name == line.data.name else {})


def encoder_recipe(line: Recipe, choice: DataChoice, args: argparse.Namespace) -> Recipe:
    """The U-Net that a line's encoder is the way down of."""
    same = {name: getattr(line.model, name) for name in ("filters", "bottleneck", "convolutions", "batch_norm")}
    recipe = replace(AUTOENCODERS[line.model.weights].with_model(**same), image=line.image)
    return adjusted(sized([recipe], args.image_size)[0], choice, args)


def resumed(folder: Path) -> Path:
    """The folder of a stopped curve.

    Raises:
        ValueError: it is none.
    """
    if not is_study(folder):
        raise ValueError(f"{folder} is no curve: it has no study.json. Expected a folder that `learning-curve` made.")
    return folder


def finish(folder: Path, goal: float | None, track: str | None) -> int:
    """Train the cells that are not trained yet, then write tables and page."""
    study = Study(folder)
    for number, cell in enumerate(study.cells, start=1):
        run = Run(study.cell_folder(cell))
        if not run.finished:
            print(f"[{number}/{len(study.cells)}] ", end="")
            recipe = Recipe.of(run)
            with at_work(run.folder), tracked(track, run.folder, recipe) as followers:
                score(run, recipe, followers)
    study.write_table()
    print(f"curve: {write_curve(study, goal)}")
    return 0


def write_curve(study: Study, goal: float | None = None) -> Path:
    """Write the tables and the page of a curve from its finished runs; return the page."""
    runs = {cell: run for cell, run in study.finished_runs.items() if not run.restores}
    if not runs:
        raise ValueError(f"No classifier of {study.folder} is finished. Expected a folder that `learning-curve` made.")
    recipes = {cell: Recipe.of(run) for cell, run in runs.items()}
    cells = pd.concat([predictions_of(run, recipes[cell]) for cell, run in runs.items()], ignore_index=True)
    counts = pd.concat([counts_of(run, recipes[cell]) for cell, run in runs.items()]).drop_duplicates()
    splits = [split for split in ("validation", "test") if split in set(cells["split"])]
    tables = {split: curve_table(cells, split) for split in splits}
    first, *others = dict.fromkeys(cells["line"])
    differences = {split: line_differences(cells, first, split) for split in splits} if others else {}
    needed = {
        line: photographs_needed(cells, counts[counts["line"] == line], line, goal)
        for line, part in cells.groupby("line", sort=False)
        if part["labelled"].nunique() >= ENOUGH_SHARES
    }
    by_split = {"curve": tables, "differences": differences}
    for name, parts in by_split.items():
        if parts:
            told = [part.assign(split=split) for split, part in parts.items()]
            write_table(study.folder / f"{name}.csv", pd.concat(told), float_format="%.6f")
    if needed:
        told = pd.concat([part.assign(line=line) for line, part in needed.items()])
        write_table(study.folder / "photographs.csv", told, float_format="%.6f")
    write_table(study.folder / "results.csv", results_of(runs, recipes))
    for sentence in sentences(tables["validation"], needed):
        print(f"  {sentence}")
    published = pd.DataFrame(
        [
            {"line": recipe.name, "labelled": recipe.data.labelled, "split": split, "metric": metric}
            | {"value": figure, "n": figures["n"]}
            for recipe in {(recipe.name, recipe.data.labelled): recipe for recipe in recipes.values()}.values()
            for split, figures in recipe.published.items()
            for metric, figure in figures.items()
            if metric != "n"
        ]
    )
    return write_curve_report(
        study.folder, study.title, tables, differences, needed, published, demonstration=study.demonstration
    )


def sentences(table: pd.DataFrame, needed: dict[str, pd.DataFrame]) -> Iterator[str]:
    """What each line reaches with the most labels, and what more of them would bring."""
    for line, part in table[table["metric"] == "accuracy"].groupby("line", sort=False):
        most = part.iloc[-1]
        reached = f"{most['value']:.3f} (95% {most['low']:.3f} to {most['high']:.3f}, n={most['n']})"
        yield f"{line}: validation accuracy {reached} with {most['images']:.0f} labels"
    for line, laws in needed.items():
        law = laws.iloc[0]
        if law["said"]:
            yield f"{line}: how many more photographs cannot be told: {law['said']}"
        else:
            bounds = f"{law['low']:,.0f} to {law['high']:,.0f} in all"
            yield f"{line}: an error of {law['goal']:.3f} takes about {law['more']:,.0f} more photographs ({bounds})"
        if name := next_class(laws):
            yield f"{line}: the class to photograph next is {name}"


def predictions_of(run: Run, recipe: Recipe) -> pd.DataFrame:
    """What a cell predicts, and which cell it is."""
    predictions = read_predictions(run.path("predictions.csv"), run.class_names)
    images = len(labelled_of(run))
    cell = {"line": recipe.name, "labelled": recipe.data.labelled, "images": images, "seed": recipe.training.seed}
    return pd.concat([pd.DataFrame(cell, index=predictions.index), predictions], axis=1)


def counts_of(run: Run, recipe: Recipe) -> pd.DataFrame:
    """How many images of each class a cell learned from."""
    counts = labelled_of(run)["class_name"].value_counts().rename_axis("class_name").reset_index(name="images")
    return counts.assign(line=recipe.name, labelled=recipe.data.labelled, seed=recipe.training.seed)


def labelled_of(run: Run) -> pd.DataFrame:
    """The train images of a run that came with a label."""
    train, told = mcv.usable(run.catalog).query("split == 'train'"), run.path("pseudo_labels.csv")
    return train[~train["image_id"].isin(read_table(told)["image_id"])] if told.is_file() else train


def results_of(runs: dict[str, Run], recipes: dict[str, Recipe]) -> pd.DataFrame:
    """A row a cell, split and metric, and one of all seeds, as `results/*.csv` has them."""
    parts = []
    for key in dict.fromkeys((recipe.name, recipe.data.labelled) for recipe in recipes.values()):
        own = [cell for cell, recipe in recipes.items() if (recipe.name, recipe.data.labelled) == key]
        lines = pd.DataFrame(
            [line for cell in own for line in seed_lines(recipes[cell], runs[cell], PUBLISHED_METRICS)]
        )
        both = pd.concat([lines.astype(object), all_seeds(lines, {key[0]: recipes[own[0]]}).astype(object)])
        parts.append(both.assign(labelled=key[1]))
    return pd.concat(parts)[[*COLUMNS, "labelled"]]
