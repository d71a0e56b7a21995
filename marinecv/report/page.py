"""The pages a reader opens: one of a run, one of a study; `render` makes others in the same look."""

from marinecv.report.html import render
from marinecv.report.run_page import write_run_report
from marinecv.report.study_page import write_study_report

__all__ = ["render", "write_run_report", "write_study_report"]
