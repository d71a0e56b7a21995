"""Save a classifier as a `.keras` file that says what it takes and what its outputs mean."""

import json
import zipfile
from pathlib import Path

import keras

from marinecv.files.atomic import whole_file

METADATA = "metadata.json"  # of a `.keras` file; Keras writes it and does not read it
SHARED = ("class_names", "image", "color")  # entries of `preprocessing.json` that name no place


def save_model(model: keras.Model, path: Path, preprocessing: dict) -> None:
    """Save a model, whole or not at all, with class names and preprocessing in `metadata.json` of the file."""
    with whole_file(path) as part:
        model.save(part)
        with zipfile.ZipFile(part) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        facts = {name: preprocessing[name] for name in SHARED if name in preprocessing}
        members[METADATA] = json.dumps(json.loads(members[METADATA]) | facts).encode()
        with zipfile.ZipFile(part, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
