"""Train a run again with the answers of a review as labels, and measure on its random images what they change."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log
from marinecv.data.images import read_header
from marinecv.data.photos import crop_paths, is_of_crops
from marinecv.data.splits.split_catalog import write_split
from marinecv.data.user_tables import is_usable, usable
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.estimates import has_interval, interval_text, mean_estimate
from marinecv.evaluation.groups import group_numbers
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import read_predictions
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import read_table, write_table
from marinecv.report.run_page import write_run_report
from marinecv.review.corrections import EMPTY, UNKNOWN
from marinecv.review.folder import ABOUT, ANSWERS, RANDOM, REVIEW, ReviewFolder
from marinecv.runs import CORRECTIONS, Run, fresh_folder, next_folder
from marinecv.training.recipe import Recipe
from marinecv.training.settings import full_names, with_changes
from marinecv.workflows.folders import resumable
from marinecv.workflows.leakage import note_relatives
from marinecv.workflows.run_images import check_images, readable_images
from marinecv.workflows.sources import open_classifier
from marinecv.workflows.train_runs import finish

SUFFIX = ", corrected"  # of titles
CHANGED = "the file has changed since the review began, or is gone"
CHECK = "random"  # split of the images that measure both runs


def train_corrected(
    corrections: str | os.PathLike,
    folder: str | os.PathLike | None,
    changes: Mapping[str, Any] | None,
    log: Log,
    *,
    settings: Mapping[str, Any],
    track: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train the run of a review again, with its answers as labels and the same split; see `train`."""
    path = Path(corrections)
    if not path.is_file() or path.name != ANSWERS or not path.with_name(ABOUT).is_file():
        raise ValueError(
            f"{path} is not the {ANSWERS} of a review. Answer in its page, or take a table into one by `review RUN "
            "--import FILE` or mcv.review(run, page=False).take(file)."
        )
    review = ReviewFolder(path.parent)
    if review.about.kind != REVIEW:
        raise ValueError(f"{path} is of an estimate: its images measure a run and are not learned. Expected a review.")
    base, answers = open_classifier(review.run), review.answered()
    if answers.empty or not base.finished:
        raise ValueError(f"{review.folder} has no answer yet, or {base.folder} is not finished.")
    recipe = Recipe.of(base)
    changes = full_names(recipe, changes, **settings)
    if fixed := [name for name in changes if not name.startswith("training.")]:
        raise ValueError(f"{fixed[0]} stays as in {base.folder}, so that both can be compared. Leave it out.")
    recipe = with_changes(recipe, changes)
    changed = review.changed()
    answers = with_labels(answers, base.class_names, changed)
    if given := [image for image in changed if image in {*answers["image_id"]}]:
        log(f"WARNING: {len(given)} answers are left out: {CHANGED}, the first: {given[0]}")
    check_images(base, "training", base.catalog, log, accept=None)
    added_to = free_prefix(base, Path(review.about.images).name) if review.about.images else ""
    catalog = with_added(base, answers, added_to, log) if added_to else with_corrected(base, answers, log)
    if missing := {*base.class_names} - {*usable(catalog).query("split == 'train'")["class_name"]}:
        raise ValueError(f"After the corrections no train image of {min(missing)} is left. Correct fewer, or add some.")
    recipe = replace(recipe, title=f"{recipe.title.removesuffix(SUFFIX)}{SUFFIX}", published={}, report="")
    name = base.folder.resolve().name.partition("-corrected")[0]
    folder = next_folder("runs", f"{name}-corrected") if folder is None else fresh_folder(folder)
    with resumable(folder):
        catalog = note_relatives(folder, recipe, catalog, log)
        preprocessing = base.shared_preprocessing | {"split_sha256": write_split(catalog, folder / "split.csv")}
        write_table(folder / ANSWERS, answers)
        write_json(folder / CORRECTIONS, {"base": str(base.folder.resolve()), "added_to": added_to, "sentences": []})
        run = Run.create(folder, recipe.to_dict(), preprocessing, catalog)
        finish(run, log, track=track, callbacks=callbacks)
        prove(run, log)
    return run


def with_labels(answers: pd.DataFrame, class_names: Sequence[str], changed: Sequence[str]) -> pd.DataFrame:
    """Return answers with the `label` that each gives, or `problem`, why it gives none, as where an image changed."""
    label = answers["class_name"]
    unknown = "of class " + label + ", which the run does not know"
    reason = answers["answer"].map({EMPTY: "nothing is there", UNKNOWN: "nobody can say what it is"}).fillna(unknown)
    is_changed = answers["image_id"].isin(changed)
    reason = reason.mask(is_changed, CHANGED)
    is_known = label.isin(class_names) & (answers["answer"] != UNKNOWN) & ~is_changed
    return answers.assign(label=label.where(is_known, ""), problem=reason.mask(is_known, ""))


def free_prefix(base: Run, name: str) -> str:
    """Return what the ids of the images of a folder begin with: its name, or numbered where ids of the run do so."""
    taken = {*base.catalog["image_id"].str.partition("/")[0]}
    return next(f"{each}/" for each in chain([name], (f"{name}-{n}" for n in count(2))) if each not in taken)


def with_added(base: Run, answers: pd.DataFrame, added_to: str, log: Log) -> pd.DataFrame:
    """Return the catalog of a run with the answered images of a folder in train, but those drawn at random."""
    catalog, added = base.catalog, answers[(answers["drawn"] != RANDOM) & (answers["label"] != "")]
    paths = crop_paths(added["path"], added["box"])
    sizes = pd.DataFrame([read_header(Path(path))[:2] for path in paths], paths.index, ["width", "height"], int)
    group = (added_to + added["event"]).mask(added["event"] == "", "")
    rows = {"path": paths, "class_name": added["label"], "split": "train", "group": group}
    rows |= {**sizes, "dominance": 1.0, "problem": ""}
    if is_of_crops(catalog):
        photo = added["image_id"].where(added["box"] == "", added["image_id"].str.rpartition("#")[0])
        rows |= {"photo": added_to + photo, "photo_class": added["label"]}
    added = added.assign(image_id=added_to + added["image_id"], **rows)
    kept = (answers["drawn"] == RANDOM).sum()
    log(f"{len(added)} images of {added_to} join train; {kept} drawn at random stay out, to measure both runs")
    new = pd.concat([catalog, added[catalog.columns.intersection(added.columns)]], ignore_index=True)
    return new.fillna({name: "" for name in new.select_dtypes(exclude="number")})


def with_corrected(base: Run, answers: pd.DataFrame, log: Log) -> pd.DataFrame:
    """Return the catalog of a run with the labels of the answers; an image without one is left out."""
    catalog, given = base.catalog, answers.set_index("image_id")
    label, problem = (catalog["image_id"].map(given[name]).fillna("") for name in ("label", "problem"))
    is_new, is_out = (label != "") & (label != catalog["class_name"]), problem != ""
    counts = catalog["split"][is_new].value_counts(sort=False)
    by_split = f" ({', '.join(f'{split} {n}' for split, n in counts.items())})" if len(counts) else ""
    log(f"{is_new.sum()} labels corrected{by_split}, {is_out.sum()} images left out, by {len(answers)} answers")
    changed = {"class_name": catalog["class_name"].mask(is_new, label), "split": catalog["split"].mask(is_out, "")}
    catalog = catalog.assign(**changed, problem=catalog["problem"].mask(is_out, problem))
    if is_of_crops(catalog):
        names = catalog["class_name"].where(is_usable(catalog)).groupby(catalog["photo"])
        is_of_one = catalog["photo"].isin(catalog["photo"][is_new | is_out]) & (names.transform("nunique") == 1)
        catalog["photo_class"] = catalog["photo_class"].mask(is_of_one, names.transform("first"))
    return catalog


def prove(run: Run, log: Log) -> None:
    """Compare a corrected run with the one before, on the images of the review that were drawn at random."""
    about, answers = run.read(CORRECTIONS), read_table(run.path(ANSWERS))
    base, sentences = open_classifier(about["base"]), []
    before, after = (read_predictions(each.path("predictions.csv"), run.class_names) for each in (base, run))
    known = answers[answers["label"] != ""].set_index("image_id")
    if not about["added_to"]:
        groups = run.catalog.set_index("image_id")["group"]
        sentences += [text for split in SCORED_SPLITS for text in both_scores(before, after, split, groups)]
    drawn = known[known["drawn"] == RANDOM]
    if drawn.empty:
        sentences.append(
            f"No image drawn at random has an answer, so nothing shows that it is better. Use {base.folder.name}."
        )
    else:
        if about["added_to"]:
            before, after = (predictions_of_items(each, drawn.reset_index(), log) for each in (base, run))
        for each in (base, run):
            each.note("test evaluation: random images of a review")
        both = [table[table["image_id"].isin(drawn.index)] for table in (after, before)]
        tables = [table.assign(true_class=table["image_id"].map(drawn["label"]), split=CHECK) for table in both]
        groups = drawn["event"].mask(drawn["event"] == "", drawn.index.to_series())
        sentences.append(proof_sentence(compare_runs(*tables, CHECK, groups=groups), base))
    write_json(run.path(CORRECTIONS), about | {"sentences": sentences})
    write_run_report(run.folder)
    for sentence in sentences:
        log(sentence)


def both_scores(before: pd.DataFrame, after: pd.DataFrame, split: str, groups: pd.Series) -> list[str]:
    """Return the accuracies of both runs by corrected and by given labels, where labels of the split were corrected."""
    before, after = (table[table["split"] == split].set_index("image_id") for table in (before, after))
    after = after[after.index.isin(before.index)]
    before = before.loc[after.index]
    changed = (before["true_class"] != after["true_class"]).sum()
    if not changed:
        return []
    ids, texts = group_numbers(after.index.to_series(), groups), []
    for name, labels in (("corrected", after["true_class"]), ("given", before["true_class"])):
        scores = [mean_estimate((table["predicted_class"] == labels).to_numpy(), ids) for table in (after, before)]
        now, then = (f"{score['value']:.3f} ({interval_text(score)})" for score in scores)
        texts.append(f"by the {name} labels {now} now and {then} before")
    return [
        f"{split}, {changed} of {len(after)} labels corrected: accuracy {'; '.join(texts)}. This is a use of {split}."
    ]


def predictions_of_items(run: Run, items: pd.DataFrame, log: Log) -> pd.DataFrame:
    """Return the predictions of a run on items of a review of a folder."""
    catalog = items[["image_id"]].assign(
        path=crop_paths(items["path"], items["box"]), split="test", class_name=items["label"], problem=""
    )
    pixels, catalog = readable_images(catalog, run.spec, log)
    return predict_table(run.load_model(), catalog, run.spec, run.class_names, pixels=pixels)


def proof_sentence(result: dict, base: Run) -> str:
    """Return what a comparison (a: now, b: before) says, and which run to use."""
    text = f"better on {result['only_a']}, worse on {result['only_b']} of {result['n']} randomly drawn images: "
    points, low, high = (100 * result[name] for name in ("difference", "low", "high"))
    interval = f"95% CI {low:+.0f} to {high:+.0f}" if has_interval(result) else "too few groups: no interval"
    text += f"{points:+.0f} points ({interval})"
    is_better = result["distinguishable"] and result["only_a"] > result["only_b"]
    return f"{text}." if is_better else f"{text}. That does not show that it is better: use {base.folder.name}."
