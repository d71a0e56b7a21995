"""A run and an experiment, with the workflows that start from them as methods."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from marinecv import experiments, runs
from marinecv.choices import FITTED_SPLITS
from marinecv.workflows.evaluate import Evaluation, evaluate
from marinecv.workflows.explain import Explanation, explain
from marinecv.workflows.export import export
from marinecv.workflows.latent import LatentSpace, latent
from marinecv.workflows.predict import predict
from marinecv.workflows.sources import Data, Paths


class Run(runs.Run):
    """A folder of a run, as `mcv.train` makes it, with the workflows that start from it.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.Run(run.folder).evaluate("test", log=None).metrics["accuracy"]["n"]
        24

    Raises ValueError where the folder is no run.
    """

    @cached_property
    def model(self) -> keras.Model:
        """The trained model: pixels in [0, 255] in, probabilities out."""
        return self.load_model()

    def evaluate(self, split: str = "validation", data: Data = None, **options: Any) -> Evaluation:
        """Score the run again, or on other images: `mcv.evaluate`."""
        return evaluate(self, split, data, **options)

    def explain(self, images: Paths | None = None, method: str = "gradcam", **options: Any) -> Explanation:
        """Show which pixels the model uses: `mcv.explain`."""
        return explain(self, images, method, **options)

    def latent(self, splits: str | Sequence[str] = FITTED_SPLITS, **options: Any) -> LatentSpace:
        """Show the embeddings of its images: `mcv.latent`."""
        return latent(self, splits, **options)

    def predict(self, paths: Paths, **options: Any) -> pd.DataFrame:
        """Predict image files and folders, one row a file: `mcv.predict`."""
        return predict(self, paths, **options)

    def export(self, format: str, quantize: str | Sequence[str] = "none", **options: Any) -> pd.DataFrame:
        """Export the model for another runtime, into `exports` of its folder: `mcv.export`."""
        return export(self, format, quantize, **options)


class Experiment(experiments.Experiment):
    """A folder of runs: a grid, folds, label fractions or a reproduction; ValueError where it is none.

    >>> import marinecv as mcv
    >>> experiment = mcv.grid(mcv.demo_images(), "aquarium_four_conv", sizes=(16, 32), epochs=1, limit=24, log=None)
    >>> mcv.Experiment(experiment.folder).best.finished
    True
    """

    @property
    def runs(self) -> dict[str, Run]:
        """The finished runs by name."""
        return {name: Run(run.folder) for name, run in self.finished_runs.items()}

    @property
    def best(self) -> Run | None:
        """The best run on the split that it selects on; None of folds, and while none is finished."""
        table = self.table
        return next((Run(self.cell_folder(name)) for name in table["name"][table["best"]]), None)

    @property
    def report(self) -> Path:
        """The path of its page."""
        return self.folder / "report.html"
