"""The flags that mean the same on every command."""

import argparse
import os
import re
from collections.abc import Callable
from math import nan
from pathlib import Path

import marinecv
from marinecv import choices, console
from marinecv.inputs.spec import MAX_SIDE

SETTINGS = {
    "data": ("limit", "split_by", "frames", "label_rule", "no_box", "class_level", "merge_case", "synthetic"),
    "training": ("epochs", "batch_size", "class_weights", "balanced", "mixed_precision", "jit_compile", "seed")
    + ("head_epochs", "bank", "bank_dtype"),
    "model": ("alpha", "trainable_layers", "weights"),
}
"""Parts of a recipe -> the settings that have a flag of their own."""
SAME = ("select_on", "folds", "track", "distribute", "data_dir", "recipe", "engine", "algorithm", "trials", "workers")
SAME += ("seeds", "goal", "encoder", "encoder_data", "results_dir", "output", "demonstration", "format", "quantise")
ARGUMENTS = {name: name.replace("_", "-") for names in (*SETTINGS.values(), SAME) for name in names}
ARGUMENTS |= {"folder": "output-dir", "sizes": "image-size", "calibration": "calibration-share", "data": "data-dir"}
ARGUMENTS |= {"fractions": "labelled", "recipes": "only", "split": "on", "margin": "margin"}
"""Arguments of the library -> the flags for them."""
ARGUMENT = re.compile(rf'\b({"|".join(ARGUMENTS)})=(?:"([^"]*)"|True|([\w/-][\w./-]*\w|\w))?')


def library():
    """Import TensorFlow, without its remarks, and return marinecv."""
    console.import_tensorflow()
    return marinecv


def changes(args: argparse.Namespace) -> dict[str, object]:
    """Return the settings that flags change, by their whole names; those of --set stand above the others."""
    given = {f"{part}.{name}": getattr(args, name, None) for part, names in SETTINGS.items() for name in names}
    given["training.calibration"] = getattr(args, "calibration_share", None)
    if len(sizes := getattr(args, "image_size", None) or ()) == 1:
        given["image.size"] = sizes[0]
    given = {
        name: value for name, value in given.items() if value is not None and value is not False and value != "auto"
    }
    return given | dict(getattr(args, "set", None) or ())


def setting(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals and value.strip()):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as training.lr_patience=3, not {text}")
    return name, value


def say(line: str) -> None:
    """Print a line of a workflow, which speaks of arguments, with the flags for them."""
    print(in_flags(line), flush=True)


def in_flags(text: str) -> str:
    """Return a text of the library, which speaks of arguments, in the words of the command line."""
    text = re.sub(r'resume\("([^"]+)"\)', r"--resume \1", text.replace("as data_dir", "with --data-dir"))
    return ARGUMENT.sub(lambda found: " ".join(filter(None, ("--" + ARGUMENTS[found[1]], found[2], found[3]))), text)


def refuse_beside(args: argparse.Namespace, flag: str, others: tuple[str, ...] | None = None) -> None:
    """Refuse flags that would be ignored beside one that settles what they say.

    By default these are all but those that change no training: --track, --goal, --workers and --distribute.
    """
    free = (flag, "track", "goal", "workers", "distribute", "seed")
    given = [name for name, value in vars(args).items() if value not in (None, False, 0) and name not in free]
    ignored = [name for name in given if others is None or name in others]
    if getattr(args, flag) and ignored:
        words = ", ".join("--" + name.replace("_", "-") for name in ignored)
        raise ValueError(f"--{flag} settles what {words} would say. Leave out one or the other.")


def run_folder(text: str) -> Path:
    """Read the folder of a run, a study or a search; `last`, unless there is such a folder, is the newest in runs/."""
    if text != "last" or os.path.exists(text):
        return Path(text)
    found = []
    for folder, below, files in os.walk("runs"):
        if marks := {"recipe.json", "study.json", "search.json"} & set(files):
            below.clear()  # what lies within belongs to it
            found.append((max(os.stat(os.path.join(folder, name)).st_mtime_ns for name in marks), folder))
    if not found:
        raise argparse.ArgumentTypeError(f"there is no run in {Path('runs').absolute()}, so none is the last")
    return Path(max(found)[1])


def split_by(text: str) -> str:
    """A way to split, or a table of splits."""
    from marinecv.data.splits import kept_splits

    known = (*choices.SPLIT_BY, *kept_splits())
    if text not in known and not text.endswith(".csv"):
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(known)}, or a file .csv, not {text}")
    return text


def number(words: str, holds: Callable[[float], bool], kind: type = float) -> Callable[[str], float]:
    """Return what reads a number for which something holds, which it does of none that is not finite."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:  # a whole number of many thousand digits is one, too
            value = nan
        if not holds(value):
            whole = "whole " if kind is int else ""
            raise argparse.ArgumentTypeError(f"expected a {whole}number {words}, not {text:.40}")
        return value

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number within bounds."""
    return number(f"from {low} to {high}", lambda value: low <= value <= high, int)


natural = whole(0, 10_000)
several = whole(2, 1000)
positive = whole(1, 10**9)
epochs = whole(1, 100_000)
batch = whole(1, 65_536)
side = whole(1, MAX_SIDE)
seed = whole(0, 2**32 - 1)
seeds = whole(1, 1000)
trials = whole(1, 9999)
width = number("above 0 and at most 1.4", lambda value: 0 < value <= 1.4)  # MobileNetV2 is the widest
share = number("above 0 and at most 1", lambda value: 0 < value <= 1)
inner_share = number("between 0 and 1", lambda value: 0 < value < 1)
held_share = number("from 0 on and below 1", lambda value: 0 <= value < 1)
fraction = number("from 0 to 1", lambda value: 0 <= value <= 1)

FLAGS = {
    "run": dict(type=run_folder, metavar="RUN", help="folder of a finished run"),
    "--data": dict(metavar="NAME", help="a known data set (`data list`)"),
    "--data-dir": dict(type=Path, metavar="PATH", help="a folder or .zip of your own images"),
    "--class-level": dict(choices=choices.CLASS_LEVELS[1:], help="which of nested class folders is the class"),
    "--merge-case": dict(action="store_true", help="merge classes whose names differ only in case"),
    "--output-dir": dict(type=Path, metavar="DIR", help="folder to be made for the run (default: runs/...)"),
    "--limit": dict(type=positive, metavar="N", help="at most N images a split, stratified"),
    "--seed": dict(type=seed, default=0, help="of everything random (default: 0)"),
    "--split-by": dict(
        type=split_by,
        metavar="HOW",
        help="published, random, stratified, grouped (sub-folders, else near-duplicates on one side), a CSV of splits, "
        "or the name of one made before (default: as published, else grouped)",
    ),
    "--frames": dict(
        choices=choices.FRAMES,
        help="what says which images follow each other: numbers in file names, or times in EXIF data or in names "
        "(default: what tells best)",
    ),
    "--label-rule": dict(choices=choices.LABEL_RULES, help="how boxes become a class"),
    "--no-box": dict(choices=choices.NO_BOX, help="what an image without a box is"),
    "--on": dict(choices=choices.SPLITS, default="validation", help="(default: validation)"),
    "--recipe": dict(metavar="NAME", help="a recipe by name (`recipes`), or a .toml or .json file of one"),
    "--set": dict(
        nargs="+",
        action="extend",
        type=setting,
        metavar="NAME=VALUE",
        help="other settings of the recipe, such as training.lr_patience=3 (`recipes show NAME` lists them)",
    ),
    "--resume": dict(type=run_folder, metavar="RUN", help="go on with a stopped run"),
    "--folds": dict(type=several, metavar="K", help="train K times, each image in validation once"),
    "--epochs": dict(type=epochs, metavar="N", help="at most N epochs"),
    "--batch-size": dict(type=batch, metavar="N", help="images a training step"),
    "--image-size": dict(nargs="+", type=side, metavar="PX", help="side of the input; several compare"),
    "--track": dict(choices=choices.TRACKERS, help="follow the training there too"),
    "--workers": dict(
        choices=("ray",),
        help="ray: on all CPUs or GPUs of a Ray cluster (RAY_ADDRESS), or of this machine; each machine of a cluster "
        "must see the same files at the same places",
    ),
}
"""Flags that several commands have: what `add_argument` takes of each."""
READING = ("--class-level", "--merge-case")
DATA = ("--data", "--data-dir", *READING)
SUBSET = ("--limit", "--seed")
LABELS = ("--split-by", "--frames", "--label-rule", "--no-box")


def add(parser: argparse.ArgumentParser, *names: str, **changes) -> None:
    """Add flags that several commands have, with what is different here."""
    for name in names:
        parser.add_argument(name, **{**FLAGS[name], **changes})


def add_output(parser: argparse.ArgumentParser, what: str, default: str = "runs/...") -> None:
    """Where results other than a run go."""
    add(parser, "--output-dir", help=f"folder to be made for {what} (default: {default})")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Everything that the commands of the reports' classifiers share."""
    add(parser, *DATA, "--output-dir", *SUBSET, *LABELS, "--recipe", "--set")
    parser.add_argument("--grid", action="store_true", help="all rows of the report's table instead of its best")
    add(parser, "--resume", help="go on with a stopped run or study")
    add(parser, "--folds")
    parser.add_argument(
        "--select-on",
        choices=choices.SCORED_SPLITS,
        help="which split the best row is chosen on (default: validation; test flatters it, and is recorded)",
    )
    add(parser, "--epochs", "--batch-size", "--image-size")
    parser.add_argument("--class-weights", action="store_true", help="weigh rare classes more")
    parser.add_argument("--balanced", action="store_true", help="show every class equally often")
    parser.add_argument("--synthetic", action="store_true", help="add the report's synthetic images to train")
    parser.add_argument(
        "--calibration-share",
        type=held_share,
        metavar="S",
        help="of validation, held out to calibrate on (default: 1/3 of 60 or more on your images, none of a report's)",
    )
    parser.add_argument("--mixed-precision", action="store_true", help="half precision (bfloat16 on a CPU)")
    add(parser, "--track")
    parser.add_argument(
        "--distribute",
        choices=choices.DISTRIBUTED,
        help="train on all GPUs of this machine (mirrored), or of several machines (data-parallel, on JAX)",
    )
    parser.add_argument("--jit-compile", choices=choices.JIT_COMPILE, help="XLA (default: auto, off on a CPU)")
