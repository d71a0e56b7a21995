"""Ensemble of finished runs: the mean of their probabilities for the same images, scored beside each run."""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marinecv.evaluation.compare import compare_runs, paired
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table, probabilities_of_table, read_predictions, write_predictions
from marinecv.experiments import Experiment
from marinecv.files.csv_tables import write_table
from marinecv.runs import Run, fresh_folder
from marinecv.workflows.compare import Comparison, finished_runs


@dataclass(frozen=True, repr=False)
class Ensemble(Comparison):
    """The result of `ensemble`; printed, it is sentences: each run, the ensemble, and it against the most accurate run.

    Attributes:
        table: one row a run (the last is `ensemble`) and metric: `value`, 95% bounds `low` and `high`, `n`, `method`.
        predictions: predictions table of the ensemble.
    """

    predictions: pd.DataFrame


def ensemble(
    *runs: str | os.PathLike | Run | Experiment, split: str = "validation", folder: str | os.PathLike | None = None
) -> Ensemble:
    """Average the probabilities of runs for the same images, and score the mean beside each run.

        >>> import marinecv as mcv
        >>> experiment = mcv.grid(mcv.demo_images(), "aquarium_four_conv", sizes=(16, 32), epochs=1, limit=24, log=None)
        >>> len(mcv.ensemble(experiment).predictions)
        24

    Args:
        *runs: finished runs or their folders; an experiment stands for its runs.
        split: which images to score.
        folder: new, for `predictions.csv` and the table, `ensemble.csv`; None writes nothing.
    Returns:
        The ensemble: arithmetic mean of the probabilities of the networks, without their temperatures.
    Raises:
        ValueError: there are fewer than two runs, one is not finished, an autoencoder's or of generated images beside
            real ones; classes, images or true classes differ; the folder is not empty.
    """
    finished = finished_runs(runs)
    class_names = finished[0].class_names
    for run in finished:
        if run.class_names != class_names:
            raise ValueError(
                f"{run.folder} has the classes {run.class_names}, {finished[0].folder} {class_names}. Expected the "
                "same classes in the same order. Train both on the same data."
            )
    tables = {str(run.folder): read_predictions(run.path("predictions.csv"), class_names) for run in finished}
    tables = {name: t[(t["split"] == split) & (t["true_class"] != "")] for name, t in tables.items()}
    (name_of_first, first), probabilities = next(iter(tables.items())), []
    for name, table in tables.items():
        try:
            paired(first, table, split)
        except ValueError as error:
            raise ValueError(f"{name_of_first} and {name}: {error}") from error
        probabilities.append(probabilities_of_table(table.set_index("image_id", drop=False).loc[first["image_id"]]))
    mean = np.mean(probabilities, axis=0)
    predictions = make_table(first["image_id"], split, first["true_class"], mean, class_names)
    groups = common_groups([run.catalog for run in finished], predictions["image_id"])
    scores = {name: classification_metrics(table, groups=groups) for name, table in tables.items()}
    best = max(scores, key=lambda name: scores[name]["accuracy"]["value"])
    comparison = compare_runs(predictions, tables[best], split, groups=groups)["sentence"]
    scores["ensemble"] = classification_metrics(predictions, groups=groups)
    rows = [
        {"run": name, "metric": metric, **each}
        for name, metrics in scores.items()
        for metric, each in metrics.items()
        if isinstance(each, dict)
    ]
    sentences = [
        f"{row['run']} on {split}: {row['metric']} {row['value']:.3f} ({interval_text(row)}, n={row['n']})"
        for row in rows
        if row["metric"] in ("accuracy", "log_loss")
    ]
    sentences.append(f"ensemble\n  against {best} on {split}: {comparison}")
    if folder is not None:
        write_predictions(predictions, fresh_folder(folder) / "predictions.csv")
        write_table(os.path.join(folder, "ensemble.csv"), pd.DataFrame(rows))
    if split == "test":  # not before: what is refused above has shown no test score
        for run in finished:
            run.note("test evaluation: ensemble")
    return Ensemble(pd.DataFrame(rows), tuple(sentences), predictions)
