"""Model card of a run, and the folder that one uploads to Hugging Face: model, preprocessing, classes and metrics."""

import html
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import yaml

from marinecv.data.manifests import Manifest, load_manifest
from marinecv.evaluation.calibration import temperature_sentence
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.leakage import NOT_CHECKED, leakage_sentences, read_leakage_scores
from marinecv.evaluation.metrics import per_class_metrics
from marinecv.evaluation.predictions import read_predictions
from marinecv.experiments import CHOSEN_ON_TEST
from marinecv.files.atomic import whole_file, write_json, write_text
from marinecv.models.backbone_table import BACKBONES
from marinecv.report.hand_in import class_table, metric_table
from marinecv.report.html import by_split
from marinecv.report.methods import run_methods
from marinecv.report.run_page import calibration_of, valid_recipe
from marinecv.runs import RESUME_HINT, Run

FOLDER = "card"
INDEX_METRICS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1"}
FEW_IMAGES, SMALL = 20, 100
"""Images of a class and images in all, below which the card says that there are few."""
NOT_STATED = "not stated"
USAGE = """import json

import keras
import numpy as np

model = keras.saving.load_model("model.keras")
class_names = json.load(open("preprocessing.json", encoding="utf-8"))["class_names"]
pixels = np.zeros((1, {height}, {width}, 3), "float32")  # your image: RGB, 0 to 255, {fit}
probabilities = model.predict(pixels)[0]
print(class_names[probabilities.argmax()], probabilities.max())
"""
FITS = {"pad": "centered on a black square and resized", "stretch": "resized"}


def write_card(run: Run) -> Path:
    """Write the folder `card` of a finished classifier; return it.

    It has no absolute path and no coordinates. Raises ValueError for an autoencoder and for a run that is not finished.
    """
    if run.is_autoencoder or not (run.finished and run.path("model.keras").is_file()):
        hint = "" if run.is_autoencoder else RESUME_HINT.format(folder=run.folder)
        raise ValueError(f"A model card is of a finished classifier, which {run.folder} is not. {hint}".strip())
    folder = run.path(FOLDER)
    folder.mkdir(exist_ok=True)
    preprocessing = run.read("preprocessing.json")
    preprocessing.pop("data_dirs", None)
    write_json(folder / "preprocessing.json", preprocessing)
    write_json(folder / "metrics.json", run.metrics)
    write_text(folder / "class_names.txt", "".join(f"{' '.join(name.split())}\n" for name in run.class_names))
    with whole_file(folder / "model.keras") as temporary:
        shutil.copyfile(run.path("model.keras"), temporary)
    write_text(folder / "README.md", card_text(run))
    return folder


def card_text(run: Run) -> str:
    """Return the model card: front matter of Hugging Face and Markdown, all of it from the files of the run."""
    recipe, manifest, metrics = valid_recipe(run), _manifest(run), run.metrics
    tables = by_split(read_predictions(run.path("predictions.csv"), run.class_names))
    judged = next(split for split in ("test", "validation", *tables) if split in tables)
    accuracy, title = metrics[judged]["accuracy"], recipe.get("title") or recipe.get("name") or run.folder.name
    metadata = {
        "license": "other",
        "license_name": "not-stated",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "keras", "marinecv"],
        "metrics": ["accuracy"],
        "model-index": [{"name": run.folder.resolve().name, "results": list(_results(manifest.name, metrics))}],
    }
    data = {"Data set": manifest.title or manifest.name, "License of the data": manifest.license}
    data |= {"Citation": manifest.citation, "Source": manifest.homepage, "License of the weights": _weights(recipe)}
    sections = {
        "Data and licenses": "\n".join(f"- {key}: {_plain(value) or NOT_STATED}" for key, value in data.items())
        + "\n\nThe license of this model is for its owner to state: the data and the weights above may restrict it.",
        "Limits": "\n".join(f"- {_plain(limit)}" for limit in _limits(run, recipe, judged, tables[judged])),
        "Metrics": _markdown(metric_table(dict(reversed(metrics.items()))).texts()),
        f"Classes, {judged}": _markdown(class_table(judged, tables[judged]).texts())
        + "\n\nIn brackets 95% intervals by image.",
        "Train-test leakage": "\n".join(map(_plain, _leakage(run))),
        "Calibration": _plain(_calibration(run)),
        "Methods": _plain(" ".join(run_methods(run))),
        "Load it in Keras": f"```python\n{_usage(run)}```",
    }
    lead = f"{judged.capitalize()} accuracy: {accuracy['value']:.3f} ({interval_text(accuracy)}, n={accuracy['n']})."
    text = f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n\n# {_plain(title)}\n\n{lead}\n"
    return text + "".join(f"\n## {name}\n\n{content}\n" for name, content in sections.items())


def _manifest(run: Run) -> Manifest:
    """Return the facts of the data set of a run; of other data, by name or classes, only the name."""
    name = Path(run.preprocessing.data).name or "own"
    with suppress(ValueError):
        manifest = load_manifest(name)
        has_classes = set(run.class_names) <= set(manifest.class_names or run.class_names)
        if has_classes and manifest.demonstration == run.demonstration:  # else a folder that is called the same
            return manifest
    return Manifest(name=name, layout="folders")


def _weights(recipe: dict) -> str:
    model = recipe.get("model", {})
    backbone, weights = str(model.get("backbone", "")), model.get("weights", "none")
    if weights == "none" and not model.get("backbone_sha256"):
        return "none used: trained from random weights" if model.get("kind") != "own" else ""
    license = BACKBONES[backbone].license if weights == "imagenet" and backbone in BACKBONES else ""
    return f"{license or NOT_STATED} ({Path(backbone).name or weights})"


def _results(name: str, metrics: dict) -> Iterator[dict]:
    for split, of in metrics.items():
        values = [
            {"type": key, "name": word, "value": of[key]["value"]} for key, word in INDEX_METRICS.items() if key in of
        ]
        dataset = {"type": name, "name": name, "split": split}
        yield {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": values}


def _leakage(run: Run) -> list[str]:
    path = run.path("leakage.csv")
    return leakage_sentences(read_leakage_scores(path), retrain=False) if path.is_file() else [NOT_CHECKED]


def _calibration(run: Run) -> str:
    calibration = calibration_of(run)
    if calibration is None or calibration.reason:
        return f"{calibration.reason if calibration else 'It was not measured'}."
    ece, perfect = calibration.ece.after, calibration.ece.by_chance
    text = f"{temperature_sentence(calibration)} The expected calibration error is {ece:.3f} then, and would be "
    text += f"{perfect:.3f} on average in a perfectly calibrated model (n={calibration.n_calibration})."
    return f"{text} `model.keras` gives probabilities before the temperature, {calibration.temperature:.3f}."


def _limits(run: Run, recipe: dict, judged: str, table: pd.DataFrame) -> Iterator[str]:
    if run.demonstration:
        yield "It was trained on generated images: its metrics say nothing about real animals."
    if recipe.get("shortened"):
        yield f"The training was shortened: {recipe['shortened']}."
    if judged != "test":
        yield f"There is no test set: the metrics are of {judged}, by which the training was stopped."
    if run.preprocessing.select_on == "test":
        yield f"It was {CHOSEN_ON_TEST}."
    if len(table) < SMALL:
        yield f"Its metrics are of only {len(table)} images, so that they are uncertain."
    classes = per_class_metrics(table)
    if few := [f"{row.class_name} ({row.support})" for row in classes.itertuples() if row.support < FEW_IMAGES]:
        yield f"Classes of fewer than {FEW_IMAGES} {judged} images, whose metrics are uncertain: {', '.join(few)}."
    seen = classes[classes["support"] > 0]
    worst = seen.loc[seen["recall"].idxmin()]
    yield f"The lowest recall is that of {worst['class_name']}: {worst['recall']:.3f} (n={worst['support']})."
    yield from (sentence for sentence in _leakage(run) if not sentence.startswith("No "))
    if any("groups" in figure for figure in run.metrics[judged].values() if isinstance(figure, dict)):
        yield "Images are related (near-duplicates, frames of a video), so they say less than as many independent ones."
    log = run.path("log.txt")
    if ": evaluate on " not in (log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""):
        yield "It was not evaluated on images of other cameras, places or sources than those of its data set."
    yield "An image of none of its classes is still given one of them."
    yield from run.accepted_changes


def _usage(run: Run) -> str:
    spec = run.spec
    return USAGE.format(height=spec.height, width=spec.width, fit=FITS[spec.fit])


def _plain(text: str) -> str:
    """Return text as Markdown that shows it and does nothing else."""
    return re.sub(r"([\\`*_{}\[\]#|$])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(cell if cell == "---" else _plain(cell) for cell in row) + " |" for row in rows)
