"""The flags that mean the same on every command."""

import argparse
import os
import re
from collections.abc import Callable
from math import nan
from pathlib import Path

from marinecv import choices
from marinecv.choices import CLASS_LEVELS, FRAMES, LABEL_RULES, NO_BOX, SPLIT_BY, SPLITS, TRACKERS
from marinecv.inputs.spec import MAX_SIDE

SETTINGS = {
    "data": ("limit", "split_by", "frames", "label_rule", "no_box", "class_level", "merge_case", "synthetic"),
    "training": ("epochs", "batch_size", "class_weights", "balanced", "mixed_precision", "jit_compile", "seed")
    + ("head_epochs", "bank", "bank_dtype"),
    "model": ("alpha", "trainable_layers", "weights"),
}
"""Parts of a recipe -> the settings that have a flag of their own."""
ARGUMENTS = {name: name.replace("_", "-") for names in SETTINGS.values() for name in names}
ARGUMENTS |= {name: name.replace("_", "-") for name in ("select_on", "folds", "track", "distribute", "data_dir")}
ARGUMENTS |= {name: name for name in ("recipe", "engine", "algorithm", "trials", "workers", "seeds", "goal", "encoder")}
ARGUMENTS |= {name: name for name in ("output", "demonstration", "format", "quantise", "margin")}
ARGUMENTS |= {"folder": "output-dir", "sizes": "image-size", "calibration": "calibration-share", "data": "data-dir"}
ARGUMENTS |= {"fractions": "labelled", "encoder_data": "encoder-data", "recipes": "only", "results_dir": "results-dir"}
ARGUMENTS |= {"split": "on"}
"""Arguments of the library -> the flags for them."""
ARGUMENT = re.compile(rf'\b({"|".join(ARGUMENTS)})=(?:"([^"]*)"|True|([\w/-][\w./-]*\w|\w))?')


def add_data(parser: argparse.ArgumentParser) -> None:
    """Which images."""
    parser.add_argument("--data", metavar="NAME", help="a known data set (`data list`)")
    parser.add_argument("--data-dir", type=Path, metavar="PATH", help="a folder or .zip of your own images")
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How folders are read."""
    parser.add_argument("--class-level", choices=CLASS_LEVELS[1:], help="which of nested class folders is the class")
    parser.add_argument("--merge-case", action="store_true", help="merge classes whose names differ only in case")


def add_output(parser: argparse.ArgumentParser, what: str = "the run", default: str = "runs/...") -> None:
    """Where results go."""
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help=f"folder to be made for {what} (default: {default})"
    )


def add_subset(parser: argparse.ArgumentParser) -> None:
    """A quick look at fewer images."""
    parser.add_argument("--limit", type=positive, metavar="N", help="at most N images a split, stratified")
    parser.add_argument("--seed", type=seed, default=0, help="of everything random (default: 0)")


def add_labels(parser: argparse.ArgumentParser) -> None:
    """How boxes become classes and images become splits."""
    parser.add_argument(
        "--split-by",
        type=split_by,
        metavar="HOW",
        help="published, random, stratified, grouped (sub-folders, else near-duplicates on one side), a CSV of splits, "
        "or the name of one made before (default: as published, else grouped)",
    )
    add_frames(parser)
    parser.add_argument("--label-rule", choices=LABEL_RULES, help="how boxes become a class")
    parser.add_argument("--no-box", choices=NO_BOX, help="what an image without a box is")


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


def add_frames(parser: argparse.ArgumentParser) -> None:
    """Which images were taken one after the other."""
    parser.add_argument(
        "--frames",
        choices=FRAMES,
        help="what says which images follow each other: numbers in file names, or times in EXIF data or in names "
        "(default: what tells best)",
    )


def add_track(parser: argparse.ArgumentParser) -> None:
    """Where else a training is followed."""
    parser.add_argument("--track", choices=TRACKERS, help="follow the training there too")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Who shares the work."""
    parser.add_argument(
        "--workers",
        choices=("ray",),
        help="ray: on all CPUs or GPUs of a Ray cluster (RAY_ADDRESS), or of this machine; each machine of a cluster "
        "must see the same files at the same places",
    )


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """How large the input is."""
    parser.add_argument("--image-size", nargs="+", type=side, metavar="PX", help="side of the input; several compare")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Any setting of a recipe."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        type=setting,
        metavar="NAME=VALUE",
        help="other settings of the recipe, such as training.lr_patience=3 (`recipes show NAME` lists them)",
    )


def add_training(parser: argparse.ArgumentParser) -> None:
    """Everything the training commands share."""
    add_data(parser)
    add_output(parser)
    add_subset(parser)
    add_labels(parser)
    parser.add_argument(
        "--recipe", metavar="NAME", help="a recipe by name (`recipes`), or a .toml or .json file of one"
    )
    add_settings(parser)
    parser.add_argument("--grid", action="store_true", help="all rows of the report's table instead of its best")
    parser.add_argument("--resume", type=run_folder, metavar="RUN", help="go on with a stopped run or study")
    parser.add_argument("--folds", type=several, metavar="K", help="train K times, each image in validation once")
    parser.add_argument(
        "--select-on",
        choices=choices.SCORED_SPLITS,
        help="which split the best row is chosen on (default: validation; test flatters it, and is recorded)",
    )
    parser.add_argument("--epochs", type=epochs, metavar="N", help="at most N epochs")
    parser.add_argument("--batch-size", type=batch, metavar="N", help="images a training step")
    add_sizes(parser)
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
    add_track(parser)
    parser.add_argument(
        "--distribute",
        choices=choices.DISTRIBUTED,
        help="train on all GPUs of this machine (mirrored), or of several machines (data-parallel, on JAX)",
    )
    parser.add_argument("--jit-compile", choices=choices.JIT_COMPILE, help="XLA (default: auto, off on a CPU)")


def refuse_beside(args: argparse.Namespace, flag: str, others: tuple[str, ...] | None = None) -> None:
    """Refuse flags that would be ignored beside one that settles what they say.

    By default these are all but those that change no training: --track, --goal, --workers and --distribute.

    Raises:
        ValueError: one of them was given.
    """
    free = (flag, "track", "goal", "workers", "distribute", "seed")
    given = [name for name, value in vars(args).items() if value not in (None, False, 0) and name not in free]
    ignored = [name for name in given if others is None or name in others]
    if getattr(args, flag) and ignored:
        words = ", ".join("--" + name.replace("_", "-") for name in ignored)
        raise ValueError(f"--{flag} settles what {words} would say. Leave out one or the other.")


def add_split(parser: argparse.ArgumentParser, default: str) -> None:
    """Which split is looked at."""
    parser.add_argument("--on", choices=SPLITS, default=default, help=f"(default: {default})")


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

    known = (*SPLIT_BY, *kept_splits())
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
