"""Write the page of a run, a study or a search again."""

import argparse
from pathlib import Path

HELP = "Write the report page of a run, a study, a curve or a search again, from what its folder holds."
EXAMPLE = "report runs/aquarium_four_conv-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, a study or a search."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run, of a study or of a search")


def run(args: argparse.Namespace) -> int:
    """Write it and say where it lies."""
    from marinecv.report.page import write_run_report, write_study_report
    from marinecv.studies import CURVE, Study, resumable

    if (args.run / "search.json").is_file():
        from marinecv.report.search_page import write_search_report

        print(write_search_report(args.run))
        return 0
    found = resumable(args.run)
    if (args.run / CURVE).is_file():
        from marinecv.workflows.curve_results import write_curve

        print(write_curve(found, print))
    elif isinstance(found, Study):
        found.write_table()
        print(write_study_report(found.folder))
    else:
        print(write_run_report(found.folder))
    return 0
