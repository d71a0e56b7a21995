"""Probable label errors of a data set by a pretrained network, or of a run by the predictions of its folds."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from marinecv.audit.pairs import find_pairs
from marinecv.choices import SPLITS
from marinecv.console import Log, silent
from marinecv.data.groups import group_catalog, groups_of, put_back
from marinecv.data.user_tables import usable
from marinecv.evaluation.label_errors import (
    TABLE_COLUMNS,
    out_of_fold_probabilities,
    rank_label_errors,
    with_nearest_images,
)
from marinecv.evaluation.predictions import class_names_of_table, probabilities_of_table
from marinecv.features.embeddings import embed
from marinecv.language import tr
from marinecv.recipes.own_data import PROBE
from marinecv.runs import Run, is_begun
from marinecv.training.build import backbone_of
from marinecv.training.linear_head import pooled_features
from marinecv.training.model_config import BackboneModel
from marinecv.training.recipe import DataConfig
from marinecv.workflows.choose import network_name
from marinecv.workflows.leakage import fold_table, related
from marinecv.workflows.prepare import limit_images, networks_to_compare
from marinecv.workflows.run_images import check_images, readable_images
from marinecv.workflows.sources import Data, open_classifier, source_of

LABEL_ERRORS = "label_errors.csv"


def label_errors(
    data: Data | Run,
    *,
    backbone: str | os.PathLike | None = None,
    limit: int | None = None,
    seed: int = 0,
    log: Log | None = print,
) -> pd.DataFrame:
    """Rank the images whose label is probably wrong, by confident learning (cleanlab).

    A logistic regression on features of a frozen pretrained network predicts each image from those of other folds;
    related images are in one fold, so that no near-duplicate vouches for its twin. Of a run whose recipe was
    cross-validated, `evaluate(run, folds=5)`, the predictions of these folds are taken.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> evaluation = mcv.evaluate(run, folds=2, log=None)
        >>> mcv.label_errors(run, log=None).columns[:4].tolist()
        ['image_id', 'path', 'given_class', 'suggested_class']

    Args:
        data: a folder or archive of images, the name of a data set, a manifest or a catalog; or a run or its folder.
        backbone: a name, Keras file or KerasHub preset; None takes the best network whose weights are here.
        limit: at most so many images a split, stratified; None takes all.
        seed: of the folds.
        log: called with each line of text; None prints nothing.
    Returns:
        A row an image, the most probable error first: `image_id, path, given_class, suggested_class, probability` (of
        the suggested class), and `nearest_1, nearest_2, nearest_3`, the ids of the most similar train images. A label
        is not wrong for being listed: look at the images.
    Raises:
        ValueError: there are no such images, they cannot be predicted in folds, or no pretrained weights are here.
    """
    log = log or silent
    if isinstance(data, Run) or (isinstance(data, str | os.PathLike) and is_begun(Path(data))):
        run = open_classifier(data)
        check_images(run, "search for label errors", run.catalog, log)
        return label_errors_of_run(run, backbone, limit, seed, log)
    choice = DataConfig(name="")
    return _by_network(source_of(data, choice, log).read(choice, log), backbone, limit, seed, log)


def label_errors_of_run(
    run: Run, backbone: str | os.PathLike | None = None, limit: int | None = None, seed: int = 0, log: Log = silent
) -> pd.DataFrame:
    """Return the table of `label_errors` of a run whose images were checked: by its folds, or by a network."""
    if backbone is None and (predictions := fold_table(run)) is not None:
        table, sentence = label_errors_of_folds(run, predictions, log)
        log(sentence)
        return table
    return _by_network(put_back(run.catalog), backbone, limit, seed, log)


def _by_network(
    catalog: pd.DataFrame, backbone: str | os.PathLike | None, limit: int | None, seed: int, log: Log
) -> pd.DataFrame:
    if limit is not None:
        catalog = limit_images(catalog, limit, seed, log)
    network = network_for_embeddings(backbone)
    table, sentence = find_label_errors(catalog, find_pairs(catalog, log=log), network, seed, log)
    log(sentence)
    return table


def network_for_embeddings(backbone: str | os.PathLike | None = None) -> BackboneModel:
    """Return a frozen network by name or file, by default the best whose weights are here; ValueError without any."""
    names = () if backbone is None else (str(backbone),)
    return replace(networks_to_compare(PROBE, {}, names)[0], trainable_layers=0)


def frozen_embeddings(
    catalog: pd.DataFrame, pairs: pd.DataFrame, network: BackboneModel, log: Log
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the usable images that have a class, grouped by pairs, and their embeddings, float32 `(n, values)`.

    Groups are made of related images alone: a camera may be divided, so that a class of one camera can be checked.
    """
    catalog = group_catalog(catalog.assign(group=""), pairs)
    pixels, catalog = readable_images(catalog[catalog["class_name"] != ""], PROBE.image, log)
    extractor = backbone_of(network.build(PROBE.image.shape, 1))
    rows = usable(catalog)
    return rows, pooled_features(extractor, rows, pixels, PROBE.image, mirrored=False, log=log)[0]


def find_label_errors(
    catalog: pd.DataFrame, pairs: pd.DataFrame, network: BackboneModel, seed: int, log: Log
) -> tuple[pd.DataFrame, str]:
    """Return the table of `label_errors`, and how it was found, in a sentence."""
    rows, embeddings = frozen_embeddings(catalog, pairs, network, log)
    probabilities = out_of_fold_probabilities(embeddings, rows["class_name"], groups_of(rows), seed=seed)
    names = np.unique(rows["class_name"].to_numpy(str))
    table = rank_label_errors(rows["image_id"], rows["class_name"], probabilities, names)
    table = with_nearest_images(table, rows, embeddings)
    how = "by features of {network} and logistic regression in folds of related images"
    how = tr(how, network=network_name(network))
    return table, _sentence(table, rows["class_name"], probabilities, names, how)


def label_errors_or_reason(*of: Any) -> tuple[pd.DataFrame, str]:
    """Return the same; an empty table and the reason where labels cannot be checked."""
    try:
        return find_label_errors(*of)
    except ValueError as error:
        return pd.DataFrame(columns=TABLE_COLUMNS), tr("Label errors: not checked. {reason}", reason=error)


def label_errors_of_folds(run: Run, predictions: pd.DataFrame, log: Log) -> tuple[pd.DataFrame, str]:
    """Return the same by the predictions of a run's grouped folds; its own embeddings tell the nearest images."""
    pixels, catalog = readable_images(run.catalog[run.catalog["split"].isin(SPLITS)], run.spec, log)
    rows = usable(catalog)
    rows = rows.assign(group=rows["image_id"].map(related(run, log)[0]).fillna(""))
    num_groups = groups_of(rows).groupby(rows["class_name"]).nunique()
    names, probabilities = class_names_of_table(predictions), probabilities_of_table(predictions)
    probabilities[predictions["true_class"].map(num_groups) == 1] = np.nan
    table = rank_label_errors(predictions["image_id"], predictions["true_class"], probabilities, names)
    table = table[table["image_id"].isin(rows["image_id"])].reset_index(drop=True)
    table = with_nearest_images(table, rows, embed(run.load_model(), rows, run.spec, pixels))
    how = tr("by the predictions of folds of related images")
    return table, _sentence(table, predictions["true_class"], probabilities, names, how)


def _sentence(table: pd.DataFrame, labels: pd.Series, probabilities: np.ndarray, names: Sequence[str], how: str) -> str:
    """Return how many labels may be wrong, how many were predicted, and which classes were not checked."""
    is_left_out = np.isnan(probabilities).any(axis=1)
    agreed = np.asarray(names)[np.nan_to_num(probabilities).argmax(axis=1)] == labels.to_numpy()
    agreement = agreed[~is_left_out].mean() if not is_left_out.all() else 0.0
    text = (
        "Label errors: {n:,} of {total:,} labels may be wrong, {how} ({agreement:.0%} of the images are predicted as "
        "labeled)."
    )
    sentence = tr(text, n=len(table), total=len(labels), how=how, agreement=agreement)
    if classes := sorted(set(labels[is_left_out])):
        listed = shorten(", ".join(classes), 100, placeholder=" ...")
        text = "Not checked: {n:,} images of classes whose images are all related ({classes})."
        sentence += " " + tr(text, n=is_left_out.sum(), classes=listed)
    return sentence
