"""Runs and folders of runs: made, trained, scored, reported, and gone on with."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from marinecv.atomic import write_json
from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log, link
from marinecv.data.catalog import class_names_of, read_boxes
from marinecv.data.manifests import Manifest
from marinecv.data.splits import write_split
from marinecv.data.user_tables import usable
from marinecv.evaluation.figures import caveat, has_interval, interval_words
from marinecv.evaluation.folds import fold_metrics, fold_words
from marinecv.evaluation.leaks import NOT_LOOKED_FOR, honest_sentences, read_honest_scores
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predict import attribute_scores, predict_table
from marinecv.evaluation.predictions import write_predictions
from marinecv.evaluation.pseudo import pseudo_labels, with_pseudo_labels
from marinecv.evaluation.restoration import restoration_metrics, restoration_table, restored_pictures, write_pictures
from marinecv.inputs.pixels import rows_of
from marinecv.inputs.rgb import find_white
from marinecv.inputs.synthesise import contact_sheet, synthesise
from marinecv.report.page import write_run_report, write_study_report
from marinecv.runs import Run, fresh_folder, is_begun
from marinecv.studies import FLATTERED, Study
from marinecv.tables import read_table, write_table
from marinecv.training.distribution import distributed, leave, wait_for_all
from marinecv.training.fit import fit_autoencoder, fit_recipe, load_run
from marinecv.training.recipe import Recipe
from marinecv.training.trackers import tracked
from marinecv.workflows.calibrate import calibrate
from marinecv.workflows.leakage import keep_honest_scores, note_relatives
from marinecv.workflows.prepare import attributes_by_image
from marinecv.workflows.resumable import at_work


def start(
    folder: Path, recipe: Recipe, catalog: pd.DataFrame, manifest: Manifest, log: Log, select_on: str = "validation"
) -> Run:
    """Make the folder of a run."""
    recipe = replace(recipe, image=replace(recipe.image, white=find_white(catalog)))  # of all the data, by one rule
    contract = recipe.contract(class_names_of(catalog, manifest))
    if select_on != "validation":
        contract["select_on"] = select_on
    folder = fresh_folder(folder)
    catalog = note_relatives(folder, recipe, catalog, log)
    if recipe.data.synthetic:
        train = catalog[catalog["split"] == "train"]
        synthetic = synthesise(train, read_boxes(manifest), folder / "synthetic")
        contact_sheet(synthetic).save(folder / "synthetic" / "contact_sheet.jpg")
        catalog = pd.concat([catalog, synthetic], ignore_index=True)
        log(f"  {len(synthetic)} synthetic images in {folder / 'synthetic'}, all on contact_sheet.jpg")
    if recipe.model.takes_attributes:
        write_table(folder / "attributes.csv", attributes_by_image(recipe, catalog, manifest).reset_index())
    contract["split_sha256"] = write_split(catalog, folder / "split.csv")
    return Run.create(folder, recipe.to_dict(), contract, catalog)


def finish(
    run: Run,
    log: Log,
    *,
    track: str | None = None,
    distribute: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    number: str = "",
) -> None:
    """Train, score and report a run, from wherever it stands; its `number` among others begins the first line."""
    recipe = Recipe.of(run)
    with tracked(None if run.finished else track, run.folder, recipe) as followers:
        if not run.finished:
            score(run, recipe, [*followers, *callbacks], log, distribute, number)
        write_run_report(run.folder)
    metrics = run.metrics
    for split in SCORED_SPLITS:
        if split in metrics:
            log(f"  {split:<10} {figure(metrics[split])}")
    if run.path("honest.csv").is_file() and not run.fold:
        scores, last = read_honest_scores(run.path("honest.csv")), "test" if "test" in metrics else "validation"
        log(f"  {honest_sentences(scores[scores['split'] == last])[0]}")
    elif not (run.fold or run.restores):
        log(f"  {NOT_LOOKED_FOR}")
    log(f"  report: {link(run.path('report.html'))}")


def score(run: Run, recipe: Recipe, followers: list, log: Log, distribute: str | None = None, number: str = "") -> None:
    """Train a run and score it, on one device; `metrics.json`, written last, makes it finished."""
    log(f"{number}{recipe.title} -> {run.folder}")
    run.note(f"training, seed {recipe.training.seed}")
    pixels = load_run(run, recipe, say=log)
    if recipe.data.pseudo_labels and not run.path("pseudo_labels.csv").is_file():
        take_pseudo_labels(run, recipe, pixels, log)
    fit, judge = (fit_autoencoder, restored) if run.restores else (fit_recipe, classified)
    trained = run.trained
    with distributed(distribute):
        wait_for_all("ready")
        model = None if trained else fit(recipe, run, pixels, also=followers, say=log)
    leave()
    if trained or distribute:
        model = run.load_model()
    rows = usable(run.catalog)
    judged = np.flatnonzero((rows["split"] != "") & ~rows["image_id"].isin(own_words(run)))
    metrics = judge(run, recipe, model, rows.iloc[judged], rows_of(pixels, judged), log)
    if "test" in metrics:
        run.note("test evaluation: the end of the training")
    write_json(run.path("metrics.json"), metrics)
    run.path("checkpoint.npz").unlink(missing_ok=True)


def own_words(run: Run) -> list[str]:
    """The images of a run whose class is a model's own word, by `image_id`."""
    table = run.path("pseudo_labels.csv")
    return read_table(table)["image_id"].tolist() if table.is_file() else []


def classified(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, log: Log
) -> dict[str, dict]:
    """Write what a classifier predicts of every image that lies in a split, and how sure it is; return its figures."""
    attributes = run.attributes if recipe.model.takes_attributes else None
    how = {"bank": recipe.training.exact_bank, "together": bool(recipe.data.fold)}
    how |= {"pixels": pixels, "attributes": attributes}
    predictions = predict_table(model, rows, recipe.image, run.class_names, **how)
    write_predictions(predictions, run.path("predictions.csv"))
    if attributes is not None:
        write_table(run.path("attribute_scores.csv"), attribute_scores(model, run, pixels))
    calibrate(run, recipe, model, rows, pixels, predictions, log)
    groups = run.catalog.set_index("image_id")["group"]
    if run.path("relatives.csv").is_file():
        keep_honest_scores(run, predictions, log)
    parts = predictions.groupby("split", sort=False)
    return {split: classification_metrics(part, groups=groups) for split, part in parts}


def take_pseudo_labels(run: Run, recipe: Recipe, pixels: np.ndarray, log: Log) -> None:
    """Train once on what is labelled, then put images that this model is sure of into train, as what it calls them."""
    data = replace(recipe.data, pseudo_labels=0.0)
    first = replace(recipe, title=f"{recipe.title}: on the labels alone", data=data)
    folder = run.path("teacher")
    begun = is_begun(folder)
    teacher = Run(folder) if begun else Run.create(folder, first.to_dict(), run.read("contract.json"), run.catalog)
    if not teacher.finished:
        with at_work(folder):
            score(teacher, first, [], log)
    rows = usable(teacher.catalog)
    places = np.flatnonzero(rows["split"] == "")
    unseen, model = rows.iloc[places], teacher.load_model()
    predictions = predict_table(model, unseen, recipe.image, run.class_names, pixels=rows_of(pixels, places))
    table = pseudo_labels(predictions, recipe.data.pseudo_labels)
    catalog = with_pseudo_labels(teacher.catalog, table)
    if run.path("relatives.csv").is_file():
        note_relatives(run.folder, recipe, catalog, log)  # train has other images now
    write_table(run.path("catalog.csv"), catalog)
    write_table(run.path("pseudo_labels.csv"), table)  # last: it says that this is done
    right = table["right"].sum()
    log(f"  {len(table)} of {len(places)} images without a label got one; for {right} it is the right one")


def restored(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, log: Log
) -> dict[str, dict]:
    """Write how far what an autoencoder gives back is off, and some pictures; return its figures."""
    noise = {"salt": recipe.model.salt, "pepper": recipe.model.pepper, "seed": recipe.training.seed}
    table = restoration_table(model, rows, recipe.image, pixels, **noise)
    write_table(run.path("restorations.csv"), table)
    write_pictures(restored_pictures(model, rows, recipe.image, pixels, **noise), run.path("restorations.npz"))
    return restoration_metrics(table, groups=run.catalog.set_index("image_id")["group"])


def finish_study(study: Study, log: Log, **how: Any) -> None:
    """Train what is not trained yet, as `finish` does, then write table and page."""
    train_cells(
        study,
        lambda run: run.finished and run.path("report.html").is_file(),
        lambda run, number: finish(run, log, number=number, **how),
    )
    table = study.write_table()
    page = write_study_report(study.folder)
    if folds := fold_metrics(study.finished_runs.values()):
        for name, metrics in folds.items():
            log(f"{name}, {fold_words(study.finished_runs.values())}: {figure(metrics)}")
    split = study.select_on
    for _, best in table[table["best"]].iterrows():
        log(f"best on {split}: {best['name']} ({best[f'{split}_accuracy']:.3f}, n={best[f'{split}_n']})")
        if split == "test":
            log(f"WARNING: {FLATTERED}.")
    log(f"comparison: {link(page)}")


def train_cells(study: Study, is_done: Callable[[Run], bool], work: Callable[[Run, str], None]) -> None:
    """Work on each run of a study that is not done, one after the other, and hold its folder meanwhile."""
    for number, cell in enumerate(study.cells, start=1):
        if not is_done(run := Run(study.cell_folder(cell))):
            with at_work(run.folder):
                work(run, f"[{number}/{len(study.cells)}] ")


def figure(metrics: dict) -> str:
    """The headline figure of a split with its interval and n."""
    name, digits = ("mean squared error", 4) if "mse" in metrics else ("accuracy", 3)
    metric = metrics.get("mse") or metrics["accuracy"]
    over = f"; {caveat(metric)}" if caveat(metric) else f" in {metric['groups']} groups" if "groups" in metric else ""
    over = over if has_interval(metric) else ""
    return f"{name} {metric['value']:.{digits}f}  ({interval_words(metric, f'.{digits}f')}, n={metric['n']}{over})"
