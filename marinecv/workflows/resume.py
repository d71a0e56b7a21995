"""Resume what was stopped, or write its page again."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import keras

from marinecv.choices import REPORT_FORMATS
from marinecv.console import Log, silent
from marinecv.language import language
from marinecv.report.experiment_page import write_experiment_report
from marinecv.report.hand_in import write_hand_in
from marinecv.report.model_card import write_card
from marinecv.report.run_page import write_run_report
from marinecv.report.search_page import write_search_report
from marinecv.runs import CORRECTIONS
from marinecv.schema import check_choice
from marinecv.search.engines import check_engine
from marinecv.training.distribution import device_sentence
from marinecv.workflows.corrections import prove
from marinecv.workflows.folders import kind_of, resumable
from marinecv.workflows.learning_curve import LearningCurve, finish_curve
from marinecv.workflows.reproduce import Reproduction, finish_reproduction
from marinecv.workflows.results import write_curve
from marinecv.workflows.run import Experiment, Run
from marinecv.workflows.run_images import check_unfinished
from marinecv.workflows.search import Search, finish_search
from marinecv.workflows.train_runs import finish, finish_experiment, follow_process_0, join_processes

KINDS = {"search": Search, "curve": LearningCurve, "reproduction": Reproduction, "experiment": Experiment}
ARGUMENTS = {Search: ("track", "workers"), LearningCurve: ("track", "goal")}
"""Arguments of `resume` by kind of folder; of all others those of a run."""


def resume(
    folder: str | os.PathLike,
    *,
    track: str | None = None,
    distribute: str | None = None,
    workers: str | None = None,
    goal: float | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    accept_changes: bool = False,
    log: Log | None = print,
) -> Run | Experiment | Search:
    """Resume a stopped run, experiment or search and return it; of a finished one write the page again.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.resume(run.folder, log=None).finished
        True

    Args:
        folder: of the run, the experiment (a grid, folds, a learning curve, a reproduction) or the search.
        track, distribute, callbacks, log: see `mcv.train`.
        workers: of a search, see `mcv.search`.
        goal: of a learning curve, another one.
        accept_changes: go on with images that have changed since the training began; run, page and metrics say so.
    Raises:
        ValueError: the folder is none of these, its images have changed, or it cannot take an argument.
    """
    log, unfinished = log or silent, open_work(Path(folder))
    options = {"track": track, "distribute": distribute, "workers": workers, "goal": goal, "callbacks": callbacks}
    options = {name: value for name, value in options.items() if value}
    known = ARGUMENTS.get(type(unfinished), ("track", "distribute", "callbacks"))
    if unknown := [name for name in options if name not in known]:
        raise ValueError(f"{folder} has no use for {unknown[0]}=. Expected some of {', '.join(known)}, or none.")
    works = {Search: finish_search, LearningCurve: finish_curve, Reproduction: finish_reproduction}
    work = (works | {Experiment: finish_experiment, Run: finish})[type(unfinished)]
    is_search = isinstance(unfinished, Search)
    is_one_classifier = isinstance(unfinished, Run) and not unfinished.is_autoencoder
    if not is_search and join_processes(distribute, folder, is_one_classifier).process:
        return Run(follow_process_0(folder, log).folder)
    if is_search:
        check_engine(unfinished.engine, workers=workers)
    log(device_sentence())  # not before: processes meet before anything is computed
    with nullcontext() if is_search else resumable(unfinished.folder):  # several processes may work on a search
        check_unfinished(unfinished, log, accept_changes)
        work(unfinished, log, **options)
        if isinstance(unfinished, Run) and unfinished.path(CORRECTIONS).is_file():
            prove(unfinished, log)
    return unfinished


def open_work(folder: Path) -> Run | Experiment | Search:
    """Open what a folder holds; ValueError where that is nothing."""
    return KINDS.get(kind_of(folder), Run)(folder)


def write_report(
    folder: str | os.PathLike, *, formats: str | Sequence[str] = (), lang: str = "en", log: Log | None = print
) -> Path:
    """Write the page of a folder again from the files in it, and what is handed in of it; return the path of the page.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.write_report(run.folder, log=None).name
        'report.html'

    Args:
        folder: of a run, an experiment, a learning curve or a search.
        formats: `"latex"` and `"xlsx"` write tables, vector figures and a paragraph on the methods into its folder
            `hand_in`, `"card"` a model card and what is uploaded with it into `card`, of a run.
        lang: language of page, tables, figures and methods, `"en"` or `"es"`.
        log: called with each line of text; None logs nothing.
    Raises:
        ValueError: the folder is none of these, nothing of it is finished, or it has nothing in such a format.
    """
    work, log = open_work(Path(folder)), log or silent
    formats = [formats] if isinstance(formats, str) else list(formats)
    for name in formats:
        check_choice(REPORT_FORMATS, formats=name)
    if formats and isinstance(work, Search):
        raise ValueError(f"A search hands in its best run. Expected {work.folder / 'best'}.")
    if "card" in formats and isinstance(work, Experiment):
        raise ValueError(f"A model card is of one run. Expected a run of {work.folder}.")
    with language(lang):
        page = _write_page(work, log)
        if tables := [name for name in formats if name != "card"]:
            log(f"{write_hand_in(work, tables)}: tables, figures and methods to hand in")
    if "card" in formats:
        log(f"{write_card(work)}: model card and files to upload, in English")
    return page


def _write_page(work: Run | Experiment | Search, log: Log) -> Path:
    if isinstance(work, Search):
        return write_search_report(work.folder)
    if isinstance(work, LearningCurve):
        return write_curve(work, log)
    if isinstance(work, Experiment):
        work.write_table()
        return write_experiment_report(work.folder)
    return write_run_report(work.folder)
