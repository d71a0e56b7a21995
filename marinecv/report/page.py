"""The pages a reader opens: one of a run, one of an experiment; `render` makes others in the same look."""

from marinecv.report.experiment_page import write_experiment_report
from marinecv.report.html import render
from marinecv.report.run_page import write_run_report

__all__ = ["render", "write_run_report", "write_experiment_report"]
