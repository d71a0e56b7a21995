"""Write the page of a run, an experiment, a learning curve or a search again."""

import os
from pathlib import Path

from marinecv.report.page import write_run_report, write_study_report
from marinecv.report.search_page import write_search_report
from marinecv.studies import Study, resumable


def write_report(folder: str | os.PathLike) -> Path:
    """Write the page of whatever lies in a folder again, from what it holds.

        mcv.write_report("runs/my_photos_mobilenet_head-1")

    Args:
        folder: of a run, an experiment, a learning curve or a search.
    Returns:
        The page.
    Raises:
        ValueError: the folder is none of these, or nothing of it is finished.
    """
    folder = Path(folder)
    if (folder / "search.json").is_file():
        return write_search_report(folder)
    opened = resumable(folder)
    if (folder / "curve.json").is_file():
        from marinecv.workflows.learning_curve import write_curve

        return write_curve(opened)
    if isinstance(opened, Study):
        opened.write_table()
        return write_study_report(folder)
    return write_run_report(folder)
