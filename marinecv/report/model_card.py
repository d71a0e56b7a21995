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
from marinecv.evaluation.calibration import calibration_error_sentence, temperature_sentence
from marinecv.evaluation.estimates import interval_text, is_grouped
from marinecv.evaluation.leakage import leakage_sentences
from marinecv.evaluation.metrics import per_class_metrics
from marinecv.evaluation.test_usage import evaluated_elsewhere
from marinecv.experiments import CHOSEN_ON_TEST
from marinecv.export.readme import pixels_text
from marinecv.files.atomic import whole_file, write_json, write_text
from marinecv.models.backbone_table import BACKBONES
from marinecv.report.hand_in import class_table, metric_table
from marinecv.report.html import labeled_predictions
from marinecv.report.methods import run_methods
from marinecv.report.run_page import METRIC_NAMES, calibration_of, leakage_of, title_of, valid_recipe
from marinecv.runs import RESUME_HINT, Run

FOLDER = "card"
INDEX_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
FEW_IMAGES, SMALL = 20, 100
"""Images of a class and images in all, below which the card says that there are few."""
NOT_STATED = "not stated"
USAGE = """
After this code:

```python
import json

import keras

model = keras.saving.load_model("model.keras")
class_names = json.load(open("preprocessing.json", encoding="utf-8"))["class_names"]
probabilities = model.predict(load("photo.jpg"))[0]
print(class_names[probabilities.argmax()], probabilities.max())
```"""


def write_card(run: Run) -> Path:
    """Write the folder `card` of a finished classifier; return it.

    It has no absolute path and no coordinates. Raises ValueError for an autoencoder and for a run that is not finished.
    """
    if run.is_autoencoder or not (run.finished and run.path("model.keras").is_file()):
        hint = "" if run.is_autoencoder else RESUME_HINT.format(folder=run.folder)
        raise ValueError(f"A model card is of a finished classifier, which {run.folder} is not. {hint}".strip())
    folder = run.path(FOLDER)
    folder.mkdir(exist_ok=True)
    write_json(folder / "preprocessing.json", run.shared_preprocessing)
    write_json(folder / "metrics.json", run.metrics)
    write_text(folder / "class_names.txt", "".join(f"{' '.join(name.split())}\n" for name in run.class_names))
    with whole_file(folder / "model.keras") as temporary:
        shutil.copyfile(run.path("model.keras"), temporary)
    write_text(folder / "README.md", card_text(run))
    return folder


def card_text(run: Run) -> str:
    """Return the model card: front matter of Hugging Face and Markdown, all of it from the files of the run."""
    recipe, manifest, metrics = valid_recipe(run), _manifest(run), run.metrics
    tables = labeled_predictions(run)
    judged = next(iter(tables))  # test where there is one
    accuracy = metrics[judged]["accuracy"]
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
    leakage = leakage_sentences(leakage_of(run), retrain=False)
    sections = {
        "Data and licenses": "\n".join(f"- {key}: {_plain(value) or NOT_STATED}" for key, value in data.items())
        + "\n\nThe license of this model is for its owner to state: the data and the weights above may restrict it.",
        "Limits": "\n".join(f"- {_plain(limit)}" for limit in _limits(run, recipe, tables[judged], leakage)),
        "Metrics": _markdown(metric_table(dict(reversed(metrics.items()))).texts()),
        f"Classes, {judged}": _markdown(class_table(judged, tables[judged]).texts())
        + "\n\nIn brackets 95% intervals by image.",
        "Train-test leakage": "\n".join(map(_plain, leakage)),
        "Calibration": _plain(_calibration(run)),
        "Methods": _plain(" ".join(run_methods(run))),
    }
    if not run.path("attribute_scores.csv").is_file():  # predictions need attributes too
        sections["Load it in Keras"] = pixels_text(run.preprocessing) + USAGE
    lead = f"{judged.capitalize()} accuracy: {accuracy['value']:.3f} ({interval_text(accuracy)}, n={accuracy['n']})."
    text = f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n\n"
    text += f"# {_plain(title_of(run, recipe))}\n\n{lead}\n"
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
        keys = (key for key in INDEX_METRICS if key in of)
        values = [{"type": key, "name": METRIC_NAMES[key], "value": of[key]["value"]} for key in keys]
        dataset = {"type": name, "name": name, "split": split}
        yield {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": values}


def _calibration(run: Run) -> str:
    calibration = calibration_of(run)
    if calibration is None:
        return "It was not measured."
    text = temperature_sentence(calibration)
    if calibration.reason:
        return text
    text += f" {calibration_error_sentence(calibration)} model.keras gives probabilities before the temperature, "
    return f"{text}{calibration.temperature:.3f}."


def _limits(run: Run, recipe: dict, table: pd.DataFrame, leakage: list[str]) -> Iterator[str]:
    judged = table["split"].iloc[0]
    if run.demonstration:
        yield "It was trained on generated images: its metrics say nothing about real animals."
    if recipe.get("shortened"):
        yield f"The training was shortened: {recipe['shortened']}."
    if judged != "test":
        why = "" if run.is_external else ", by which the training was stopped"
        yield f"There is no test set: the metrics are of {judged}{why}."
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
    yield from (sentence for sentence in leakage if not sentence.startswith("No "))
    if is_grouped(run.metrics[judged]):
        yield "Images are related (near-duplicates, frames of a video), so they say less than as many independent ones."
    if not evaluated_elsewhere(run):
        yield "It was not evaluated on images of other cameras, places or sources than those of its data set."
    yield "An image of none of its classes is still given one of them."
    yield from run.accepted_changes


def _plain(text: str) -> str:
    """Return text as Markdown that shows it and does nothing else."""
    return re.sub(r"([\\`*_{}\[\]#|$~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(cell if cell == "---" else _plain(cell) for cell in row) + " |" for row in rows)
