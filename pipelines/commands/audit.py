"""Find problems in images and labels, and train-test leakage: near-duplicates and neighboring frames across splits."""

import argparse

from marinecv import console
from marinecv.choices import LANGUAGES
from marinecv.language import tr

from .. import options

EXAMPLE = "audit my_photos --strict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="?", metavar="PATH", help="folder or .zip of images, or a known data set")
    options.add(parser, *options.DATA)
    options.add_output(parser, "the page and its tables")
    options.add(parser, *options.SUBSET, "--frame-order")
    label_errors = "also rank probable label errors, by a pretrained network"
    parser.add_argument("--label-errors", action="store_true", help=label_errors)
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language of page and findings")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a finding is serious")


def run(args: argparse.Namespace) -> int:
    from marinecv.data.catalog import read_catalog_and_boxes
    from marinecv.workflows.sources import Source

    from .. import opened

    manifest = opened.manifest(args)
    source = Source(manifest, *read_catalog_and_boxes(manifest, log=options.print_line))
    mcv = options.library()
    how = {name: getattr(args, name) for name in ("frame_order", "limit", "seed", "label_errors", "lang")}
    audit = mcv.audit(source, folder=args.output_dir, log=options.print_line, **how)
    page, findings, counts = audit.report(), audit.findings, audit.tables["class_counts"].drop(columns="fraction")
    print(counts.rename(columns={"": tr("no split")}).to_string(index=False))
    print("", audit.summary, "", sep="\n")
    for title, rows in (("serious", findings[findings["serious"]]), ("worth a look", findings[~findings["serious"]])):
        lines = "\n  ".join([f"{tr(title)}:", *rows["line"]])
        print(f"{tr(title)}: {tr('nothing')}" if rows.empty else options.in_flags(lines))
    print(f"\n{console.link(page)}")
    return int(args.strict and findings["serious"].any())
