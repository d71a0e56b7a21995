"""Describe a data set, and find its defects: train-test leakage, near-duplicates, broken files, odd labels."""

import argparse

from marinecv import console

from .. import options

EXAMPLE = "audit --data-dir my_images --strict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which images, where the page goes, and when the exit code is 1."""
    options.add(parser, *options.DATA)
    options.add_output(parser, "the page and its tables")
    options.add(parser, *options.SUBSET, "--frames")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a finding is serious")


def run(args: argparse.Namespace) -> int:
    """Decode every image, look for what is wrong, write the page and print the findings."""
    from marinecv.data.catalog import read_catalog
    from marinecv.workflows.sources import Source

    from .. import opened

    manifest = opened.manifest(args)
    source = Source(manifest, read_catalog(manifest, log=options.say))
    mcv = options.library()
    how = {"frames": args.frames, "limit": args.limit, "seed": args.seed, "log": options.say}
    found = mcv.audit(source, folder=args.output_dir, **how)
    page, findings = found.report(), found.findings
    print(found.tables["class_counts"].drop(columns="share").rename(columns={"": "no split"}).to_string(index=False))
    print("", found.summary, "", sep="\n")
    for title, rows in (("serious", findings[findings["serious"]]), ("worth a look", findings[~findings["serious"]])):
        lines = "\n  ".join([f"{title}:", *rows["line"]])
        print(f"{title}: nothing" if rows.empty else options.in_flags(lines))
    print(f"\n{console.link(page)}")
    return int(args.strict and findings["serious"].any())
