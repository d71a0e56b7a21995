"""Runs of Keras models that were trained elsewhere."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import pandas as pd

from marinecv.atomic import write_json
from marinecv.choices import SPLITS
from marinecv.data.splits import write_split
from marinecv.data.user_tables import as_class_names, usable
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import write_predictions
from marinecv.inputs.pixels import load_pixels, rows_of
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import check_graph, flat
from marinecv.models.load import check_stock
from marinecv.models.outputs import with_probabilities
from marinecv.runs import OWN, Run, fresh_folder


def run_of_model(
    folder: str | Path, model: keras.Model, catalog: pd.DataFrame, spec: ImageSpec, class_names: Sequence[str]
) -> Run:
    """Make a finished run of a model that was trained elsewhere, scored on the splits of a catalog.

    All commands but training read it. It has no recipe and no calibration; `model.keras` is the model as one flat graph
    that gives probabilities.

    Args:
        folder: new or empty.
        model: as of `predict_table`, with images as its only input, and of stock Keras layers: a run loads no others.
        catalog: one row an image, with `split` `train`, `validation` (some at least) or `test`.
        spec: the `ImageSpec` the model was trained with.
        class_names: (C,) in the order of the model's outputs.
    Raises:
        ValueError: as `predict_table`; the folder is not empty, no validation image has a class, the model has layers
            that are not Keras' own, or no run can read the catalog.
    """
    check_graph(model, shape=spec.shape)
    class_names = as_class_names(class_names)
    model = with_probabilities(flat(model), class_names)
    model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # without the loss it was compiled with
    check_stock(model)
    pixels, catalog = load_pixels(catalog, spec)
    rows = usable(catalog)
    if not ((rows["split"] == "validation") & (rows["class_name"] != "")).any():
        raise ValueError(
            "The catalog has no usable validation image with a class. Expected some rows with the split 'validation'. "
            f"Received: {sorted(set(rows['split']))}. split_catalog makes splits."
        )
    folder = fresh_folder(folder)
    try:
        contract = {"class_names": list(class_names), "image": asdict(spec), "data": OWN, "demonstration": False}
        contract["split_sha256"] = write_split(catalog, folder / "split.csv")
        about = {"kind": OWN, "name": model.name, "parameters": model.count_params()}
        recipe = {"name": OWN, "title": f"Own model: {model.name}", "data": {"name": OWN}, "image": asdict(spec)}
        run = Run.create(folder, recipe | {"model": about}, contract, catalog)
        model.save(run.path("model.keras"))
        judged = rows["split"].isin(SPLITS).to_numpy().nonzero()[0]
        rows, pixels = usable(run.catalog).iloc[judged], rows_of(pixels, judged)
        predictions = predict_table(run.load_model(), rows, spec, run.class_names, pixels=pixels)
        write_predictions(predictions, run.path("predictions.csv"))
        if (rows["split"] == "test").any():
            run.note("test evaluation: a model that was trained elsewhere")
        groups = rows.set_index("image_id")["group"]
        by_split = predictions.groupby("split", sort=False)
        metrics = {split: classification_metrics(part, groups=groups) for split, part in by_split}
        write_json(run.path("metrics.json"), metrics)
    except BaseException:
        shutil.rmtree(folder)  # which was empty before
        raise
    return run
