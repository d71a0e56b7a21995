"""Write the page of a run, an experiment, a learning curve or a search again, and what is handed in of it."""

import argparse

from marinecv.choices import LANGUAGES, REPORT_FORMATS

from .. import options

EXAMPLE = "report runs/aquarium_four_conv-1 --latex --lang es"
HELP = {
    "latex": "LaTeX tables, vector figures and a methods paragraph, in hand_in/",
    "xlsx": "the tables as an Excel workbook, in hand_in/",
    "card": "model card and files for Hugging Face, in card/",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add(parser, "run", help="folder of a run, an experiment or a search")
    for name in REPORT_FORMATS:
        parser.add_argument(f"--{name}", dest="formats", action="append_const", const=name, help=HELP[name])
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language of page, tables and figures")


def run(args: argparse.Namespace) -> int:
    how = {"formats": args.formats or (), "lang": args.lang, "log": options.print_line}
    print(options.library().write_report(args.run, **how))
    return 0
