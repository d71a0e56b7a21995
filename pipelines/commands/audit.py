"""What the images are, and what makes a score on them wrong: findings, one page and a CSV a table."""

import argparse
from pathlib import Path

from marinecv import console

from .. import options

NAME = "audit"
HELP = "Show what the images are, what is wrong with them, and which of them give each other away across splits."
EXAMPLE = "audit --data-dir my_images --strict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which images, where the page goes, and when the exit code is 1."""
    options.add_data(parser)
    options.add_output(parser, "the page and its tables")
    options.add_subset(parser)
    options.add_frames(parser)
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a finding is serious")


def run(args: argparse.Namespace) -> int:
    """Decode every image, look for what is wrong, write the page and print the findings.

    Returns:
        The exit code: 1 where a finding is serious and `--strict` asks for it.
    """
    import pandas as pd

    from marinecv.data.accounting import reading_lines
    from marinecv.data.catalog import read_boxes, read_catalog
    from marinecv.runs import fresh_folder, next_folder

    manifest = options.located(args)
    catalog, boxes = read_catalog(manifest, log=print), read_boxes(manifest)
    reading = reading_lines(manifest, catalog)
    console.import_tensorflow()
    from marinecv.audit.examine import audit_images
    from marinecv.audit.judge import list_findings
    from marinecv.data.user_tables import is_usable
    from marinecv.evaluation.leaks import leak_index
    from marinecv.report.audit_page import audit_summary, write_audit_report

    if args.limit:
        bad = catalog[~is_usable(catalog)]
        catalog = pd.concat([options.limited(catalog, args.limit, args.seed), bad], ignore_index=True)
        boxes = boxes[boxes["image_id"].isin(catalog["image_id"])]
    demo = "demo-" if manifest.demonstration else ""
    folder = fresh_folder(args.output_dir or next_folder(Path("runs"), f"{demo}audit-{manifest.name}"))
    catalog, tables, said = audit_images(catalog, boxes, frames=args.frames, seed=args.seed, say=print)
    leak = leak_index(tables["votes"])
    findings = list_findings(catalog, boxes, tables, leak, args.seed)
    page = write_audit_report(
        folder,
        manifest.name,
        catalog,
        boxes,
        tables,
        findings,
        leak,
        " ".join([said, *reading]),
        seed=args.seed,
        demonstration=manifest.demonstration,
    )
    print(tables["class_counts"].drop(columns="share").rename(columns={"": "no split"}).to_string(index=False))
    print("", audit_summary(tables, len(catalog)), *reading, "", sep="\n")
    for title, serious in (("serious", True), ("worth a look", False)):
        lines = [finding.line for finding in findings if finding.serious == serious]
        print(f"{title}: nothing" if not lines else "\n".join([f"{title}:", *(f"  {line}" for line in lines)]))
    print(f"\n{page}")
    return int(args.strict and any(finding.serious for finding in findings))
