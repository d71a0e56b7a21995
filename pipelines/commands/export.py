"""Export a run to another runtime with a parity check on validation images; --check repeats the checks."""

import argparse

from marinecv import console
from marinecv.export.formats import FILES, QUANTIZATIONS, check_format

from .. import options

EXAMPLE = "export runs/aquarium_mobilenet_p2-1 --format litert --quantize float16 int8-full"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    options.add(parser, "run")
    flag("--format", choices=tuple(FILES), help="litert: phones and small boards; savedmodel: servers; onnx")
    flag("--quantize", nargs="+", choices=QUANTIZATIONS, help="quantization of litert, one or more (default: none)")
    flag("--margin", type=options.fraction, metavar="X", help="accepted loss of validation accuracy (default: 0.02)")
    flag("--resize", action="store_true", help="savedmodel and onnx: the file takes pictures of any size")
    options.add(parser, "--accept-changes")
    flag("--check", action="store_true", help="repeat the export parity check of all exports")


def run(args: argparse.Namespace) -> int:
    from marinecv.workflows.sources import open_classifier

    options.refuse_with(args, "check", ("format", "quantize", "margin", "resize", "accept_changes"))
    trained = open_classifier(args.run)
    if not (args.check or args.format):
        raise ValueError(f"Expected --format, one of {', '.join(FILES)}, or --check.")
    names = ("quantize", "margin", "accept_changes", "resize")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if not args.check:
        for kind in args.quantize or ["none"]:
            check_format(args.format, kind, args.resize)
    console.import_tensorflow()
    from marinecv.workflows.export import check_exports, export

    if not args.check:
        export(trained, args.format, **given, log=options.print_line)
        return 0
    problems = check_exports(trained)
    for name, problem in problems.items():
        print(f"  {name:<20} {problem or 'passed'}")
    return int(any(problems.values()))
