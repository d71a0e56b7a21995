"""Write the report page of a run, a study, a curve or a search again, from what its folder holds."""

import argparse

from .. import options

EXAMPLE = "report runs/aquarium_four_conv-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, a study or a search."""
    options.add(parser, "run", help="folder of a run, a study or a search")


def run(args: argparse.Namespace) -> int:
    """Write it and say where it lies."""
    from marinecv.workflows.resume import write_report

    print(write_report(args.run, log=options.say))
    return 0
