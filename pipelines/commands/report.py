"""Write the report page of a run, an experiment, a learning curve or a search again from its folder."""

import argparse

from .. import options

EXAMPLE = "report runs/aquarium_four_conv-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add(parser, "run", help="folder of a run, an experiment or a search")


def run(args: argparse.Namespace) -> int:
    from marinecv.workflows.resume import write_report

    print(write_report(args.run, log=options.print_line))
    return 0
