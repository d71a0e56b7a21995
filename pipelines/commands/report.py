"""Write the page of a run, a study or a search again."""

import argparse

from marinecv.console import link

from .. import options
from .learning_curve import is_curve

HELP = "Write the report page of a run, a study, a curve or a search again, from what its folder holds."
EXAMPLE = "report runs/aquarium_four_conv-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, a study or a search."""
    parser.add_argument(
        "run", type=options.run_folder, metavar="RUN", help="folder of a finished run, of a study or of a search"
    )


def run(args: argparse.Namespace) -> int:
    """Write it and say where it lies."""
    from marinecv.report.page import write_run_report, write_study_report
    from marinecv.studies import Study, resumable

    if (args.run / "search.json").is_file():
        from marinecv.report.search_page import write_search_report

        page = write_search_report(args.run)
    elif is_curve(args.run):
        from marinecv.workflows.learning_curve import write_curve

        page = write_curve(Study(args.run))
    elif isinstance(found := resumable(args.run), Study):
        found.write_table()
        page = write_study_report(found.folder)
    else:
        page = write_run_report(found.folder)
    print(link(page))
    return 0
