"""Train, score, report and resume runs and folders of runs, on one device or several."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from marinecv.atomic import write_json
from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log, import_tensorflow, link, silence
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
from marinecv.inputs.pipeline import Share
from marinecv.inputs.pixels import load_pixels, rows_of
from marinecv.inputs.rgb import find_white
from marinecv.inputs.synthesise import contact_sheet, synthesise
from marinecv.report.page import write_run_report, write_study_report
from marinecv.runs import Run, fresh_folder, is_begun
from marinecv.studies import FLATTERED, Study
from marinecv.tables import read_table, write_table
from marinecv.training.distribution import distributed, join, leave, wait_for_all
from marinecv.training.fit import fit_autoencoder, fit_recipe, load_run
from marinecv.training.recipe import Recipe
from marinecv.training.trackers import tracked
from marinecv.workflows.calibrate import calibrate
from marinecv.workflows.folders import at_work
from marinecv.workflows.leakage import keep_honest_scores, note_relatives
from marinecv.workflows.prepare import attributes_by_image


def start(
    folder: Path, recipe: Recipe, catalog: pd.DataFrame, manifest: Manifest, log: Log, select_on: str = "validation"
) -> Run:
    """Make the folder of a run, with its split, synthetic images and attributes."""
    recipe = replace(recipe, image=replace(recipe.image, white=find_white(catalog)))  # one white for the data set
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
    """Train, score and report a run, or what of that is not done yet; `number` begins the first logged line."""
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
    """Train a run, score it on one device, and write `metrics.json` last, which marks it finished."""
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
    """Return the `image_id` of each train image of a run that has a pseudo-label."""
    table = run.path("pseudo_labels.csv")
    return read_table(table)["image_id"].tolist() if table.is_file() else []


def classified(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, log: Log
) -> dict[str, dict]:
    """Write a classifier's predictions, calibration and leakage check; return the metrics of each split."""
    attributes = run.attributes if recipe.model.takes_attributes else None
    how = {"bank": recipe.training.exact_bank, "together": bool(recipe.data.fold), "attributes": attributes}
    predictions = predict_table(model, rows, recipe.image, run.class_names, pixels=pixels, **how)
    write_predictions(predictions, run.path("predictions.csv"))
    if attributes is not None:
        write_table(run.path("attribute_scores.csv"), attribute_scores(model, run, pixels))
    calibrate(run, recipe, model, rows, pixels, predictions, log)
    if run.path("relatives.csv").is_file():
        keep_honest_scores(run, predictions, log)
    groups = run.catalog.set_index("image_id")["group"]
    parts = predictions.groupby("split", sort=False)
    return {split: classification_metrics(part, groups=groups) for split, part in parts}


def take_pseudo_labels(run: Run, recipe: Recipe, pixels: np.ndarray, log: Log) -> None:
    """Train a teacher on the labeled images, and add the images that it predicts with confidence to train."""
    data = replace(recipe.data, pseudo_labels=0.0)
    first = replace(recipe, title=f"{recipe.title}: on the labels alone", data=data)
    folder = run.path("teacher")
    begun = is_begun(folder)
    teacher = Run(folder) if begun else Run.create(folder, first.to_dict(), run.read("contract.json"), run.catalog)
    if not teacher.finished:
        with at_work(folder):
            score(teacher, first, [], log)
    rows = usable(teacher.catalog)
    unlabelled, model = np.flatnonzero(rows["split"] == ""), teacher.load_model()
    pixels = rows_of(pixels, unlabelled)
    predictions = predict_table(model, rows.iloc[unlabelled], recipe.image, run.class_names, pixels=pixels)
    table = pseudo_labels(predictions, recipe.data.pseudo_labels)
    catalog = with_pseudo_labels(teacher.catalog, table)
    if run.path("relatives.csv").is_file():
        note_relatives(run.folder, recipe, catalog, log)  # train has other images now
    write_table(run.path("catalog.csv"), catalog)
    write_table(run.path("pseudo_labels.csv"), table)  # last: marks this step as done
    right = table["right"].sum()
    log(f"  {len(table)} of {len(unlabelled)} images without a label got one; for {right} it is the right one")


def restored(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, log: Log
) -> dict[str, dict]:
    """Write an autoencoder's reconstruction errors and some pictures; return the metrics of each split."""
    noise = {"salt": recipe.model.salt, "pepper": recipe.model.pepper, "seed": recipe.training.seed}
    table = restoration_table(model, rows, recipe.image, pixels, **noise)
    write_table(run.path("restorations.csv"), table)
    write_pictures(restored_pictures(model, rows, recipe.image, pixels, **noise), run.path("restorations.npz"))
    return restoration_metrics(table, groups=run.catalog.set_index("image_id")["group"])


def finish_study(study: Study, log: Log, **how: Any) -> None:
    """Train the runs that are not finished, with the arguments of `finish`, then write table and page."""
    train_cells(
        study,
        lambda run: run.finished and run.path("report.html").is_file(),
        lambda run, number: finish(run, log, number=number, **how),
    )
    table, page, runs = study.write_table(), write_study_report(study.folder), study.finished_runs.values()
    for name, metrics in fold_metrics(runs).items():
        log(f"{name}, {fold_words(runs)}: {figure(metrics)}")
    split = study.select_on
    for _, best in table[table["best"]].iterrows():
        log(f"best on {split}: {best['name']} ({best[f'{split}_accuracy']:.3f}, n={best[f'{split}_n']})")
        if split == "test":
            log(f"WARNING: {FLATTERED}.")
    log(f"comparison: {link(page)}")


def train_cells(study: Study, is_done: Callable[[Run], bool], work: Callable[[Run, str], None]) -> None:
    """Call `work` with each run of a study that is not done and its number, while its folder is locked."""
    for number, cell in enumerate(study.cells, start=1):
        if not is_done(run := Run(study.cell_folder(cell))):
            with at_work(run.folder):
                work(run, f"[{number}/{len(study.cells)}] ")


def figure(metrics: dict) -> str:
    """Return the main metric of a split with its interval and n."""
    name, digits = ("mean squared error", 4) if "mse" in metrics else ("accuracy", 3)
    metric = metrics.get("mse") or metrics["accuracy"]
    over = f"; {caveat(metric)}" if caveat(metric) else f" in {metric['groups']} groups" if "groups" in metric else ""
    over = over if has_interval(metric) else ""
    return f"{name} {metric['value']:.{digits}f}  ({interval_words(metric, f'.{digits}f')}, n={metric['n']}{over})"


def meet(distribute: str | None, folder: str | os.PathLike | None, is_one_classifier: bool) -> Share:
    """Connect the processes of a training and return the share of this one: process 0 leads, the others `follow`."""
    import_tensorflow()  # without its remarks on each model of a grid
    with silence(1):  # where processes meet, Gloo says so
        share = join(distribute)
    if share.processes > 1 and not is_one_classifier:
        raise ValueError(
            f"The {share.processes} processes train one classifier together. Leave out grid and folds, name one image "
            "size, and resume one run of a study."
        )
    if share.processes > 1 and not folder:
        raise ValueError("Name the folder of the run with folder=: one that every machine sees at the same place.")
    return share


def follow(folder: str | os.PathLike, log: Log) -> Run:
    """Take part in the training that process 0 begins or resumes in a folder; write nothing."""
    folder = Path(folder)
    if is_begun(folder) and Run(folder).finished:
        log(f"{folder} is finished")
        leave()
        return Run(folder)
    log("waiting for process 0 to read the images")
    with distributed("data-parallel") as share:
        wait_for_all("ready")
        run = Run(folder)
        if not run.trained:
            recipe, before = Recipe.of(run), run.catalog
            pixels, catalog = load_pixels(before, recipe.image)
            unread = catalog[catalog["problem"] != before["problem"]]
            if len(unread):
                first = f"{unread['path'].iloc[0]}: {unread['problem'].iloc[0]}"
                raise ValueError(
                    f"{len(unread)} images that process 0 has read cannot be read here, the first is {first}. Every "
                    "machine must see the same files at the same places."
                )
            fit_recipe(recipe, run, pixels)
    leave()
    log(f"process {share.process} of {share.processes} has trained with the others; process 0 scores {folder}")
    return run
