"""List known data sets, fetch or describe one, write class folders of links, or pack images into few large files."""

import argparse
from pathlib import Path

from marinecv import console

from .. import options

EXAMPLE = "data fetch aquarium"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = "list | fetch | describe | materialize | pack | undo-sort"
    verbs = parser.add_subparsers(dest="verb", required=True, metavar=actions)
    verbs.add_parser("list", help="known data sets, their license and folder")
    fetch = verbs.add_parser("fetch", help="download a data set and verify it")
    fetch.add_argument("name", metavar="NAME", help="name in `data list`, or a TOML manifest")
    fetch.add_argument("--from", dest="source", metavar="SRC", help="gdrive:ID, a URL, or a local folder or zip")
    fetch.add_argument("--accept-unknown-license", action="store_true", help="fetch even if no license is stated")
    described = verbs.add_parser(
        "describe",
        help="say what is read of a folder: classes, cameras, dates, boxes, files that are not read",
        epilog="example:\n  marinecv data describe my_photos",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    described.add_argument("folder", metavar="FOLDER", help="folder or .zip of your images, or a known data set")
    options.add(described, *options.READING)
    links = verbs.add_parser("materialize", help="write split/class/image folders of links to the originals")
    options.add(links, *options.DATA)
    options.add_output(links, "the links", default="NAME_by_class")
    packed = verbs.add_parser("pack", help="write the images into few large files, which --data-dir reads faster")
    options.add(packed, *options.DATA)
    options.add_output(packed, "the pack", default="NAME_packed")
    undo = verbs.add_parser("undo-sort", help="remove what `predict --sort-into` made and nobody changed")
    undo.add_argument("file", type=Path, metavar="FILE", help="the undo.csv in that folder")


def run(args: argparse.Namespace) -> int:
    verbs = {"list": _list, "fetch": _fetch, "describe": _describe, "materialize": _materialize, "pack": _pack}
    return {**verbs, "undo-sort": _undo_sort}[args.verb](args)


def _list(args: argparse.Namespace) -> int:
    from marinecv.data.cache_dir import cache_path
    from marinecv.data.manifests import list_manifests

    for manifest in list_manifests():
        path = cache_path("data", manifest.name)
        print(f"{manifest.name:12} {manifest.title}")
        print(f"{'':12} license: {manifest.license or 'none stated'}")
        print(f"{'':12} {path if path.exists() else f'not downloaded: data fetch {manifest.name}'}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from marinecv.data.download.fetch import fetch
    from marinecv.data.find_data import DEMO_NAME, find_data
    from marinecv.data.manifests import load_manifest

    manifest = load_manifest(args.name)
    if manifest.name == DEMO_NAME:
        print(f"{DEMO_NAME} is generated, not fetched: {find_data(DEMO_NAME, log=print).root}")
        return 0
    manifest = fetch(manifest, args.source, args.accept_unknown_license, progress=print)
    print(f"license: {manifest.license or 'none stated'}\ncite: {manifest.citation or 'nothing stated'}")
    return 0


def _describe(args: argparse.Namespace) -> int:
    from marinecv.workflows.describe import describe

    reading = {"class_level": args.class_level, "merge_case": args.merge_case, "columns": dict(args.columns or ())}
    options.print_line(describe(args.folder, **reading, log=print))
    return 0


def _materialize(args: argparse.Namespace) -> int:
    from marinecv.data.catalog import read_catalog
    from marinecv.data.materialize import materialize

    from .. import opened

    manifest = opened.manifest(args)
    catalog = read_catalog(manifest)
    folder = materialize(catalog, args.output_dir or Path(f"{manifest.name}_by_class"))
    return _print_counts(catalog, f"images linked below {folder}", "left out")


def _pack(args: argparse.Namespace) -> int:
    from .. import opened

    console.import_tensorflow()
    from marinecv.data.manifests import manifest_of_folder
    from marinecv.data.readers.shards import read_packed
    from marinecv.data.shards.write import pack
    from marinecv.inputs.decode import read_decodable

    manifest = opened.manifest(args)
    folder = pack(manifest, args.output_dir or Path(f"{manifest.name}_packed"), read_decodable, log=print)
    images, _ = read_packed(manifest_of_folder(folder))
    return _print_counts(images, f"images packed; train on them with --data-dir {folder}", "without a record")


def _undo_sort(args: argparse.Namespace) -> int:
    from marinecv.workflows.sort_into import undo_sort

    undo_sort(args.file, log=print)
    return 0


def _print_counts(images, done: str, state: str) -> int:
    from marinecv.data.user_tables import is_usable

    print(f"{is_usable(images).sum():,} {done}")
    for problem, rows in images[~is_usable(images)].groupby("problem"):
        print(f"{len(rows)} {state}: {problem} (the first: {rows['image_id'].iloc[0]})")
    return 0
