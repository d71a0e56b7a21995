"""Write the page of a run, an experiment, a learning curve or a search again."""

import os
from pathlib import Path

from marinecv.console import Log, quiet
from marinecv.report.page import write_run_report, write_study_report
from marinecv.report.search_page import write_search_report
from marinecv.studies import CURVE, Study, resumable
from marinecv.workflows.curve_results import write_curve


def write_report(folder: str | os.PathLike, *, log: Log | None = print) -> Path:
    """Write the page of whatever lies in a folder again, from what it holds.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.write_report(run.folder, log=None).name
        'report.html'

    Args:
        folder: of a run, an experiment, a learning curve or a search.
        log: called with each line of text; None tells nothing.
    Returns:
        The page.
    Raises:
        ValueError: the folder is none of these, or nothing of it is finished.
    """
    folder = Path(folder)
    if (folder / "search.json").is_file():
        return write_search_report(folder)
    opened = resumable(folder)
    if (folder / CURVE).is_file():
        return write_curve(opened, log or quiet)
    if isinstance(opened, Study):
        opened.write_table()
        return write_study_report(folder)
    return write_run_report(folder)
