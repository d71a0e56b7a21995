"""What the images are: counts, sizes, pixels, noise, labels, files that fail; one page and a CSV a table."""

import argparse
import sys
from pathlib import Path

from . import options

NAME = "audit"
HELP = "Show what the images are: classes, sizes, pixels, noise, labels, samples, and files that fail."
EXAMPLE = "audit --data-dir my_images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which images, and where the page goes."""
    options.add_data(parser)
    options.add_output(parser, "the page and its tables")
    options.add_subset(parser)


def run(args: argparse.Namespace) -> int:
    """Decode every image, make the tables, write the page and print its summary."""
    import pandas as pd

    from marinecv.audit.explore import explore
    from marinecv.audit.pictures import check_files
    from marinecv.data.catalog import limit_catalog, read_boxes, read_catalog
    from marinecv.data.locate import locate
    from marinecv.report.audit_page import audit_summary, write_audit_report
    from marinecv.runs import fresh_folder, next_folder

    manifest = locate(args.data, args.data_dir)
    catalog, boxes = read_catalog(manifest), read_boxes(manifest)
    if args.limit:
        bad = catalog[catalog["problem"] != ""]
        catalog = pd.concat([limit_catalog(catalog, args.limit, args.seed), bad], ignore_index=True)
        boxes = boxes[boxes["image_id"].isin(catalog["image_id"])]
    demo = "demo-" if manifest.demonstration else ""
    folder = fresh_folder(args.output_dir or next_folder(Path("runs"), f"{demo}audit-{manifest.name}"))
    catalog = check_files(catalog, _count)
    tables = explore(catalog, boxes, seed=args.seed)
    page = write_audit_report(
        folder, manifest.name, catalog, boxes, tables, seed=args.seed, demonstration=manifest.demonstration
    )
    print(tables["class_counts"].drop(columns="share").to_string(index=False))
    print(f"\n{audit_summary(tables, len(catalog))}\n\n{page}")
    return 0


def _count(done: int, total: int) -> None:
    """Show on a terminal how far the decoding is."""
    if sys.stderr.isatty() and (done % 25 == 0 or done == total):
        print(f"\rdecoding images: {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
