"""Open the images and the run that flags name, and train recipes; `--help` does not import this module."""

import argparse

import marinecv as mcv
from marinecv import console
from marinecv.data.find_data import find_data
from marinecv.training.recipe import DataConfig
from marinecv.workflows.sources import Source, open_run, source_of

from .options import changes, print_line, refuse_with


def source(args: argparse.Namespace, choice=None):
    """Return the images of --data and --data-dir, perhaps read by an early check already; None without these flags."""
    if getattr(args, "source", None) or not (args.data or args.data_dir):
        return getattr(args, "source", None)
    return Source(manifest(args, choice))


def run_and_data(args: argparse.Namespace):
    """Return the run of a command, and the images of --data and --data-dir, read as the run's own were."""
    run = open_run(args.run)
    return run, source(args, DataConfig.of(run)) if args.data or args.data_dir else None


def manifest(args: argparse.Namespace, choice=None):
    """Return the data set of PATH, or of --data and --data-dir (default: aquarium), read as flags or a recipe say."""
    reading = {name: getattr(args, name) or getattr(choice, name, None) for name in ("class_level", "merge_case")}
    reading["columns"] = dict(args.columns or ())  # those of a run are of its own table
    if images := getattr(args, "images", None):
        refuse_with(args, "images", ("data", "data_dir"))
        choice = DataConfig(name="", **{name: value for name, value in reading.items() if value})
        return source_of(images, choice, print_line).manifest
    return find_data(args.data, args.data_dir, log=print_line, **reading)


def train(args: argparse.Namespace, rows: list, source, name: str, title: str) -> int:
    """Train one or several recipes with the settings of the flags, or continue what --resume names."""
    distribute, select_on = getattr(args, "distribute", None), getattr(args, "select_on", None) or "validation"
    console.choose_backend(distribute)
    how = {"track": args.track, "distribute": distribute, "log": print_line}
    if args.resume:
        mcv.resume(args.resume, accept_changes=args.accept_changes, **how)
        return 0
    sizes = args.image_size if len(args.image_size or ()) > 1 else ()
    how |= {"folder": args.output_dir, "changes": changes(args)}
    names = ("minutes", "corrections", *["backbone"] * (rows == [None]))  # named recipes have their networks
    how |= {name: value for name in names if (value := getattr(args, name, None))}
    if len(rows) > 1 or sizes or args.folds or select_on == "test":
        several = {"sizes": sizes, "folds": args.folds, "select_on": select_on}
        mcv.grid(source, rows, **several, name=name, title=title, **how)
    else:
        mcv.train(source, rows[0], **how)
    return 0
