"""Train, score, report and resume runs and folders of runs, on one device or several."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log, import_tensorflow, link, silence
from marinecv.data.catalog import class_names_of, read_boxes
from marinecv.data.manifests import Manifest
from marinecv.data.splits.split_catalog import write_split
from marinecv.data.user_tables import usable
from marinecv.evaluation import reconstruction
from marinecv.evaluation.cameras import CAMERAS, camera_sentence
from marinecv.evaluation.estimates import few_groups_note, has_interval, interval_text
from marinecv.evaluation.folds import fold_cameras, fold_metrics, fold_words
from marinecv.evaluation.leakage import NOT_CHECKED, leakage_sentences, read_leakage_scores
from marinecv.evaluation.photos import metrics_of
from marinecv.evaluation.predict import attribute_scores, predict_table
from marinecv.evaluation.predictions import write_predictions
from marinecv.evaluation.pseudo_labels import pseudo_labels, with_pseudo_labels
from marinecv.experiments import CHOSEN_ON_TEST, Experiment
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import read_table, write_table
from marinecv.inputs.pipeline import DeviceShard
from marinecv.inputs.pixel_cache import load_pixels, rows_of
from marinecv.inputs.synthesize import contact_sheet, synthesize
from marinecv.inputs.to_rgb import find_white
from marinecv.report.experiment_page import write_experiment_report
from marinecv.report.run_page import write_run_report
from marinecv.runs import ACCEPTED, RESUMED, Run, fresh_folder, is_begun
from marinecv.training.choice_table import add_choices
from marinecv.training.distribution import distributed, join, leave, wait_for_all
from marinecv.training.fit import fit_autoencoder, fit_recipe, load_run
from marinecv.training.recipe import Recipe
from marinecv.training.trackers import tracked
from marinecv.workflows.calibrate import calibrate
from marinecv.workflows.crops import write_photo_predictions
from marinecv.workflows.folders import resumable
from marinecv.workflows.leakage import note_relatives, save_leakage_scores
from marinecv.workflows.prepare import attributes_by_image


def start(
    folder: Path,
    recipe: Recipe,
    catalog: pd.DataFrame,
    manifest: Manifest,
    log: Log,
    select_on: str = "validation",
    choices: Sequence[dict] = (),
) -> Run:
    """Make the folder of a run, with its split, synthetic images, attributes and what its recipe was chosen from."""
    recipe = replace(recipe, image=replace(recipe.image, white=find_white(catalog)))  # one white for the data set
    preprocessing = recipe.preprocessing(class_names_of(catalog, manifest))
    if select_on != "validation":
        preprocessing["select_on"] = select_on
    folder = fresh_folder(folder)
    catalog = note_relatives(folder, recipe, catalog, log)
    if recipe.data.synthetic:
        train = catalog[catalog["split"] == "train"]
        synthetic = synthesize(train, read_boxes(manifest), folder / "synthetic", recipe.data.synthetic)
        contact_sheet(synthetic).save(folder / "synthetic" / "contact_sheet.jpg")
        catalog = pd.concat([catalog, synthetic], ignore_index=True)
        log(f"  {len(synthetic)} synthetic images in {folder / 'synthetic'}, all on contact_sheet.jpg")
    if recipe.model.takes_attributes:
        write_table(folder / "attributes.csv", attributes_by_image(recipe, catalog, manifest).reset_index())
    preprocessing["split_sha256"] = write_split(catalog, folder / "split.csv")
    run = Run.create(folder, recipe.to_dict(), preprocessing, catalog)
    if choices:
        add_choices(run, choices)
    return run


def finish(
    run: Run, log: Log, *, track: str | None = None, distribute: str | None = None, callbacks=(), number: str = ""
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
            log(f"  {split:<10} {main_metric_text(metrics[split])}")
    if run.path("leakage.csv").is_file() and not run.fold:
        scores, last_split = read_leakage_scores(run.path("leakage.csv")), "test" if "test" in metrics else "validation"
        log(f"  {leakage_sentences(scores[scores['split'] == last_split])[0]}")
    elif not (run.fold or run.is_autoencoder):
        log(f"  {NOT_CHECKED}")
    log(f"  report: {link(run.path('report.html'))}")


def score(run: Run, recipe: Recipe, followers: list, log: Log, distribute: str | None = None, number: str = "") -> None:
    """Train a run, score it on one device, and write `metrics.json` last, which marks it finished."""
    log(f"{number}{recipe.title} -> {run.folder}")
    run.note(f"training, seed {recipe.training.seed}")
    pixels = load_run(run, recipe, log=log)
    if recipe.data.pseudo_labels and not run.path("pseudo_labels.csv").is_file():
        add_pseudo_labels(run, recipe, pixels, log)
    fit, score_split = (fit_autoencoder, score_autoencoder) if run.is_autoencoder else (fit_recipe, score_classifier)
    trained = run.trained
    with distributed(distribute):
        wait_for_all("ready")
        model = None if trained else fit(recipe, run, pixels, extra_callbacks=followers, log=log)
    leave()
    if trained or distribute:
        model = run.load_model()
    recipe = Recipe.of(run)  # a training may have chosen
    rows = usable(run.catalog)
    scored_rows = np.flatnonzero((rows["split"] != "") & ~rows["image_id"].isin(pseudo_labeled_ids(run)))
    metrics = score_split(run, recipe, model, rows.iloc[scored_rows], rows_of(pixels, scored_rows), log)
    if "test" in metrics:
        run.note("test evaluation: the end of the training")
    for line in [line for line in run.accepted_changes if RESUMED in line][-1:]:
        changed = {"changed_images": int(line.removeprefix(ACCEPTED).split()[0])}
        metrics = {split: of_split | changed for split, of_split in metrics.items()}
    write_json(run.path("metrics.json"), metrics)
    run.path("checkpoint.npz").unlink(missing_ok=True)


def pseudo_labeled_ids(run: Run) -> list[str]:
    """Return the `image_id` of each train image of a run that has a pseudo-label."""
    table = run.path("pseudo_labels.csv")
    return read_table(table)["image_id"].tolist() if table.is_file() else []


def score_classifier(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, log: Log
) -> dict[str, dict]:
    """Write a classifier's predictions, calibration and leakage check; return the metrics of each split."""
    attributes = run.attributes if recipe.model.takes_attributes else None
    how = {"cache_features": recipe.training.exact_cache, "together": recipe.shares_features, "attributes": attributes}
    predictions = predict_table(model, rows, recipe.image, run.class_names, pixels=pixels, **how)
    write_predictions(predictions, run.path("predictions.csv"))
    if attributes is not None:
        write_table(run.path("attribute_scores.csv"), attribute_scores(model, run, pixels))
    calibrate(run, recipe, model, rows, pixels, predictions, log)
    write_photo_predictions(run, predictions, run.folder)
    if run.path("related.csv").is_file():
        save_leakage_scores(run, predictions, log)
    groups = run.catalog.set_index("image_id")["group"]
    return {split: metrics_of(part, groups) for split, part in predictions.groupby("split", sort=False)}


def add_pseudo_labels(run: Run, recipe: Recipe, pixels: np.ndarray, log: Log) -> None:
    """Train a teacher on the labeled images, and add the images that it predicts with confidence to train."""
    data = replace(recipe.data, pseudo_labels=0.0)
    first = replace(recipe, title=f"{recipe.title}: on the labels alone", data=data)
    folder = run.path("teacher")
    if not is_begun(folder):
        Run.create(folder, first.to_dict(), run.read("preprocessing.json"), run.catalog)
    teacher = Run(folder)
    if not teacher.finished:
        with resumable(folder):
            score(teacher, first, [], log)
    rows = usable(teacher.catalog)
    unlabeled, model = np.flatnonzero(rows["split"] == ""), teacher.load_model()
    pixels = rows_of(pixels, unlabeled)
    predictions = predict_table(model, rows.iloc[unlabeled], recipe.image, run.class_names, pixels=pixels)
    table = pseudo_labels(predictions, recipe.data.pseudo_labels)
    catalog = with_pseudo_labels(teacher.catalog, table)
    if run.path("related.csv").is_file():
        note_relatives(run.folder, recipe, catalog, log)  # train has other images now
    write_table(run.path("catalog.csv"), catalog)
    write_table(run.path("pseudo_labels.csv"), table)  # last: marks this step as done
    num_right = table["right"].sum()
    log(f"  {len(table)} of {len(unlabeled)} images without a label got one; for {num_right} it is the right one")


def score_autoencoder(
    run: Run, recipe: Recipe, model: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, log: Log
) -> dict[str, dict]:
    """Write an autoencoder's reconstruction errors and some pictures; return the metrics of each split."""
    noise = {"salt": recipe.model.salt, "pepper": recipe.model.pepper, "seed": recipe.training.seed}
    table = reconstruction.reconstruction_table(model, rows, recipe.image, pixels, **noise)
    write_table(run.path("reconstructions.csv"), table)
    pictures = reconstruction.reconstructed_pictures(model, rows, recipe.image, pixels, **noise)
    reconstruction.write_pictures(pictures, run.path("restorations.npz"))
    return reconstruction.reconstruction_metrics(table, groups=run.catalog.set_index("image_id")["group"])


def finish_experiment(experiment: Experiment, log: Log, **how: Any) -> None:
    """Train the runs that are not finished, with the arguments of `finish`, then write table and page."""
    work = partial(finish, log=log, **how)
    train_unfinished(experiment, lambda run: run.finished and run.path("report.html").is_file(), work)
    table, page = experiment.write_table(), write_experiment_report(experiment.folder)
    runs = experiment.finished_runs.values()
    for name, metrics in fold_metrics(runs).items():
        log(f"{name}, {fold_words(runs)}: {main_metric_text(metrics)}")
    if cameras := fold_cameras(runs):
        write_table(experiment.folder / CAMERAS, pd.concat([of.assign(recipe=name) for name, of in cameras.items()]))
        for of_recipe in cameras.values():
            log(camera_sentence(of_recipe))
    split = experiment.select_on
    for _, best in table[table["best"]].iterrows():
        log(f"best on {split}: {best['name']} ({best[f'{split}_accuracy']:.3f}, n={best[f'{split}_n']})")
        if split == "test":
            log(f"WARNING: {CHOSEN_ON_TEST}.")
    log(f"comparison: {link(page)}")


def train_unfinished(experiment: Experiment, is_done: Callable[[Run], bool], work: Callable) -> None:
    """Call `work` with each run of an experiment that is not done and its number, while its folder is locked."""
    for number, cell in enumerate(experiment.cells, start=1):
        if not is_done(run := Run(experiment.cell_folder(cell))):
            with resumable(run.folder):
                work(run, number=f"[{number}/{len(experiment.cells)}] ")


def main_metric_text(metrics: dict) -> str:
    """Return the main metric of a split with its interval and n."""
    name, digits = ("mean squared error", 4) if "mse" in metrics else ("accuracy", 3)
    metric = metrics.get("mse") or metrics["accuracy"]
    interval, note, groups = interval_text(metric, f".{digits}f"), few_groups_note(metric), ""
    if has_interval(metric) and (note or "groups" in metric):
        groups = f"; {note}" if note else f" in {metric['groups']} groups"
    text = f"{name} {metric['value']:.{digits}f}  ({interval}, n={metric['n']}{groups})"
    photos = metrics.get("photo_accuracy")
    return f"{text}; of photographs: {main_metric_text({'accuracy': photos})}" if photos else text


def join_processes(distribute: str | None, folder: str | os.PathLike | None, is_one_classifier: bool) -> DeviceShard:
    """Connect the processes of a training and return the share of this one: process 0 leads, the others `follow`."""
    import_tensorflow()  # without its remarks on each model of a grid
    with silence(1):  # where processes meet, Gloo says so
        shard = join(distribute)
    if shard.processes > 1 and not is_one_classifier:
        raise ValueError(
            f"The {shard.processes} processes train one classifier together. Leave out grid and folds, name one image "
            "size, and resume one run of an experiment."
        )
    if shard.processes > 1 and not folder:
        raise ValueError("Name the folder of the run with folder=: one that every machine sees at the same place.")
    return shard


def follow_process_0(folder: str | os.PathLike, log: Log) -> Run:
    """Take part in the training that process 0 begins or resumes in a folder; write nothing."""
    folder = Path(folder)
    if is_begun(folder) and Run(folder).finished:
        log(f"{folder} is finished")
        leave()
        return Run(folder)
    log("waiting for process 0 to read the images")
    with distributed("data-parallel") as shard:
        wait_for_all("ready")
        run = Run(folder)
        if not run.trained:
            recipe, catalog_of_process_0 = Recipe.of(run), run.catalog
            pixels, catalog = load_pixels(catalog_of_process_0, recipe.image)
            unreadable = catalog[catalog["problem"] != catalog_of_process_0["problem"]]
            if len(unreadable):
                first = f"{unreadable['path'].iloc[0]}: {unreadable['problem'].iloc[0]}"
                raise ValueError(
                    f"{len(unreadable)} images that process 0 has read cannot be read here, the first is {first}. "
                    "Every machine must see the same files at the same places."
                )
            fit_recipe(recipe, run, pixels)
    leave()
    log(f"process {shard.process} of {shard.processes} has trained with the others; process 0 scores {folder}")
    return run
