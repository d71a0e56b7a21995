"""Write a run as files for other runtimes, with a certificate of how well they agree with it; or check them again."""

import argparse

from marinecv import console
from marinecv.export.formats import FILES, QUANTISATIONS, check_format

from .. import options

HELP = "Write a run for another runtime, measured on its validation images; --check looks at what was written before."
EXAMPLE = "export runs/aquarium_mobilenet_p2-1 --format litert --quantise float16 int8-full"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and what to make of it."""
    parser.add_argument("run", type=options.run_folder, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--format", choices=tuple(FILES), help="litert: phones and small boards; savedmodel: servers; onnx"
    )
    parser.add_argument("--quantise", nargs="+", choices=QUANTISATIONS, help="of litert, one or more (default: none)")
    parser.add_argument(
        "--margin", type=options.fraction, metavar="X", help="validation accuracy that it may lose (default: 0.02)"
    )
    parser.add_argument("--check", action="store_true", help="compare every export of RUN with its certificate")


def run(args: argparse.Namespace) -> int:
    """Write what agrees well enough and print the table of the run's exports; name what was refused at the end."""
    import marinecv as mcv

    options.refuse_beside(args, "check", ("format", "quantise", "margin"))
    trained = options.classifier(args.run)
    if not args.check and not args.format:
        raise ValueError(f"Expected --format, one of {', '.join(FILES)}, or --check.")
    console.import_tensorflow()
    if args.check:
        return check(trained)
    from marinecv.export.model import MARGIN

    kinds = list(dict.fromkeys(args.quantise or ["none"]))
    for kind in kinds:
        check_format(args.format, kind)
    trained.note(f"looked at validation: export to {args.format}")
    margin, refused = MARGIN if args.margin is None else args.margin, []
    with console.silence():  # the converter has remarks of its own
        original = mcv.measure_original(trained, say=print)
        for kind in kinds:
            try:
                certificate = mcv.export_model(trained, args.format, kind, margin=margin, original=original, say=print)
                print(f"written to {trained.path('exports', certificate['export'])}")
            except ValueError as error:
                refused.append(str(error))
    if len(refused) < len(kinds):
        print(table_of(mcv.read_exports(trained)))
        if trained.path("report.html").is_file():
            mcv.write_run_report(trained.folder)
    if refused:
        raise ValueError(" ".join(refused))
    return 0


def check(trained) -> int:
    """Print a line an export."""
    import marinecv as mcv
    from marinecv.export.table import export_folders

    folders = export_folders(trained)
    if not folders:
        raise ValueError(f"{trained.folder} has no exports. Make one with --format.")
    with console.silence():
        problems = [mcv.check_export(folder) for folder in folders]
    for folder, problem in zip(folders, problems, strict=True):
        print(f"  {folder.name:<20} {problem or 'as certified'}")
    return 1 if any(problems) else 0


def table_of(exports) -> str:
    """The figures of `exports.csv` for a reader."""
    shown = exports[["export"]].assign(MB=(exports["bytes"] / 1e6).round(2), ms=exports["latency_ms"].round(1))
    for figure in ("accuracy", "agreement"):
        parts = exports[[f"{figure}_value", f"{figure}_low", f"{figure}_high"]].to_numpy()
        shown[figure] = [
            "-" if value != value else f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low == low else "")
            for value, low, high in parts
        ]
    shown["largest difference"] = exports["largest_difference"].map("{:.4f}".format, na_action="ignore").fillna("-")
    threads, n = exports.loc[0, ["threads", "accuracy_n"]]
    return (
        f"{shown.to_string(index=False)}\nms: median of one image on this processor, {threads} threads. Accuracy and "
        f"agreement with keras: n={n} validation images, "
        + (
            "from fewer than six groups of related images: no interval."
            if exports["accuracy_low"].isna().any()
            else "95% intervals, over groups where images are related."
        )
    )
