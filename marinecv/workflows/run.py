"""A run and an experiment, with the workflows that start from them as methods."""

from functools import cached_property
from pathlib import Path

import keras

from marinecv import experiments, runs
from marinecv.workflows.evaluate import evaluate as evaluate_run
from marinecv.workflows.explain import explain as explain_run
from marinecv.workflows.export import export as export_run
from marinecv.workflows.latent import latent as latent_space
from marinecv.workflows.predict import predict as predict_images


class Run(runs.Run):
    """A folder of a run, as `mcv.train` makes it, with the workflows that start from it.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.Run(run.folder).evaluate("test", log=None).metrics["accuracy"]["n"]
        24

    Its methods `evaluate`, `explain`, `latent`, `predict` and `export` are the functions of `mcv`, whose first argument
    is the run. Raises ValueError where the folder is no run.
    """

    evaluate = evaluate_run
    explain = explain_run
    latent = latent_space
    predict = predict_images
    export = export_run

    @cached_property
    def model(self) -> keras.Model:
        """The trained model: pixels in [0, 255] in, probabilities out."""
        return self.load_model()


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
