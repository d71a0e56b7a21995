"""Flags that several commands share, and their translation from and to arguments of the library."""

import argparse
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import marinecv
from marinecv import choices, console
from marinecv.inputs.spec import MAX_SIDE

SETTINGS = {
    "data": "limit split_by frame_order label_rule images_without_boxes class_level merge_case columns synthetic "
    "crops boxes min_confidence",
    "training": "epochs batch_size class_weights balanced mixed_precision jit_compile seed head_epochs cache_features "
    "cache_dtype",
    "model": "alpha trainable_layers weights input_range",
}
"""Parts of a recipe -> the settings with their own flag."""
SAME_NAMES = "select_on folds track distribute data_dir recipe recipes engine algorithm trials workers seeds goal "
SAME_NAMES += "encoder encoder_data split neighbors results_dir output demonstration format quantize method layer "
SAME_NAMES += "fold_by minutes clusters noise review accept_unknown_license margin unknown top "
SAME_NAMES += "corrections hide_predictions event_gap sort_into deployments timezone project tta accept_changes "
SAME_NAMES += "answers width check"
ARGUMENTS = {name: name.replace("_", "-") for names in (*SETTINGS.values(), SAME_NAMES) for name in names.split()}
ARGUMENTS |= {"folder": "output-dir", "sizes": "image-size", "calibration": "calibration-fraction", "data": "data-dir"}
ARGUMENTS |= {"fractions": "label-fractions", "formats": "format"}
"""Arguments of the library -> their flags."""
ARGUMENT = re.compile(rf'(?<![\w.])({"|".join(ARGUMENTS)})=(?:["\x27]([^"\x27]*)["\x27]|True|([\w/-][\w./-]*\w|\w))?')


def library():
    """Import TensorFlow without its log messages, and return marinecv."""
    console.import_tensorflow()
    return marinecv


def changes(args: argparse.Namespace) -> dict[str, object]:
    """Return the recipe settings that flags change, by full name; --set overrides other flags."""
    values = {f"{part}.{name}": getattr(args, name, None) for part, names in SETTINGS.items() for name in names.split()}
    values["training.calibration"] = getattr(args, "calibration_fraction", None)
    if len(sizes := getattr(args, "image_size", None) or ()) == 1:
        values["image.size"] = sizes[0]
    values["data.columns"] = dict(getattr(args, "columns", None) or ()) or None
    values = {name: value for name, value in values.items() if value not in (None, "auto") and value is not False}
    return values | dict(getattr(args, "set", None) or ())


def setting(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals and value.strip()):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as training.lr_patience=3, not {text}")
    return name, value


def print_line(line: str) -> None:
    """Print a line of a workflow, with flags for its arguments."""
    print(in_flags(line), flush=True)


def print_backbones() -> int:
    """Print the networks that --backbone takes; return 0."""
    from marinecv.models.backbone_table import backbones_table, weights_file

    table = backbones_table().replace({"weights_here": {True: "yes", False: ""}})
    print(table.rename_axis(None).rename(columns={"parameters": "parameters (M)", "top1": "top-1 (%)"}).to_string())
    print(f"\nweights here: in {weights_file('mobilenet').parent}")
    return 0


def in_flags(text: str) -> str:
    """Return a message of the library with flags for arguments: `folds=5` becomes `--folds 5`."""
    text = re.sub(r'resume\("([^"]+)"\)', r"--resume \1", text.replace("as data_dir", "with --data-dir"))
    text = re.sub(r'columns=\{"(\w+)": "([^"]+)"\}', r'--columns "\1=\2"', text)
    return ARGUMENT.sub(lambda match: " ".join(filter(None, ("--" + ARGUMENTS[match[1]], match[2], match[3]))), text)


def refuse_with(args: argparse.Namespace, flag: str, others: tuple[str, ...] | None = None) -> None:
    """Raise ValueError for flags that another one makes meaningless; default: all that change a training."""
    free = (flag, "track", "goal", "workers", "distribute", "seed", "accept_changes")
    refused = [name for name in vars(args) if name not in free and (others is None or name in others)]
    ignored = [name for name in refused if (value := getattr(args, name)) is not None and value is not False]
    if getattr(args, flag) and ignored:
        flags = ["a path of images" if name == "images" else "--" + name.replace("_", "-") for name in (flag, *ignored)]
        named, others = flags[0][0].upper() + flags[0][1:], ", ".join(flags[1:])
        raise ValueError(f"{named} cannot be combined with {others}. Leave out one or the other.")


def one_size(args: argparse.Namespace) -> None:
    """Raise ValueError for several image sizes."""
    if len(args.image_size or ()) > 1:
        raise ValueError(f"Expected one --image-size. Received {args.image_size}: run the command for each.")


def run_folder(text: str) -> Path:
    """Parse the folder of a run, an experiment or a search; `last` is the newest below runs/."""
    if text != "last" or os.path.exists(text):
        return Path(text)
    folders = []
    for folder, below, files in os.walk("runs"):
        if marks := choices.WORK_FILES.keys() & files:
            below.clear()  # its own runs do not count
            folders.append((max(os.stat(os.path.join(folder, name)).st_mtime_ns for name in marks), folder))
    if not folders:
        raise argparse.ArgumentTypeError(f"there is no run in {Path('runs').absolute()}, so none is the last")
    return Path(max(folders)[1])


def split_by(text: str) -> str:
    """Parse a way to split, the name of a saved split, or a CSV of splits."""
    from marinecv.data.splits.split_catalog import saved_splits

    known = (*choices.SPLIT_BY, *saved_splits())
    if text not in known and not text.endswith(".csv"):
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(known)}, or a file .csv, not {text}")
    return text


def number_parser(words: str, holds: Callable[[float], bool], kind: type = float) -> Callable[[str], float]:
    """Return a parser of numbers with a condition, described by `words`; NaN and infinity never fulfill it."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            if holds(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"expected a {'whole ' * (kind is int)}number {words}, not {text:.40}")

    return parse


def whole_number_parser(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`."""
    return number_parser(f"from {low} to {high}", lambda value: low <= value <= high, int)


natural = whole_number_parser(0, 10_000)
several = whole_number_parser(2, 1000)
positive = whole_number_parser(1, 10**9)
epochs = whole_number_parser(1, 100_000)
batch = whole_number_parser(1, 65_536)
side = whole_number_parser(1, MAX_SIDE)
seed = whole_number_parser(0, 2**32 - 1)
seeds = whole_number_parser(1, 1000)
trials = whole_number_parser(1, 9999)
width = number_parser("above 0 and at most 1.4", lambda value: 0 < value <= 1.4)  # the widest MobileNetV2
positive_fraction = number_parser("above 0 and at most 1", lambda value: 0 < value <= 1)
minutes = number_parser("above 0 and at most 100000", lambda value: 0 < value <= 100_000)
open_fraction = number_parser("between 0 and 1", lambda value: 0 < value < 1)
calibration_fraction = number_parser("from 0 on and below 1", lambda value: 0 <= value < 1)
fraction = number_parser("from 0 to 1", lambda value: 0 <= value <= 1)


def percentage(text: str) -> float:
    """Parse a fraction between 0 and 1, also as a percentage: 0.05 or 5%."""
    with suppress(ValueError):
        text = str(float(text.removesuffix("%")) / 100) if text.endswith("%") else text
    return open_fraction(text)


SPLITS = f"{', '.join(choices.SPLIT_BY)}, a CSV or a saved split (default: published, else grouped)"
SET = "settings of the recipe, such as training.lr_patience=3 (`recipes show NAME` lists them)"
COLUMNS = "columns of your table, such as file=ImagePath class=Species camera=Station"
FLAGS = {
    "run": dict(type=run_folder, metavar="RUN", help="folder of a finished run"),
    "--data": dict(metavar="NAME", help="a known data set (`data list`)"),
    "--data-dir": dict(type=Path, metavar="PATH", help="folder or .zip of your images"),
    "--class-level": dict(choices=choices.CLASS_LEVELS[1:], help="level of nested folders that is the class"),
    "--columns": dict(nargs="+", action="extend", type=setting, metavar="WHAT=NAME", help=COLUMNS),
    "--merge-case": dict(action="store_true", help="merge classes whose names differ only in case"),
    "--output-dir": dict(type=Path, metavar="DIR", help="new folder of the run (default: runs/...)"),
    "--limit": dict(type=positive, metavar="N", help="at most N images a split, stratified"),
    "--seed": dict(type=seed, default=0, help="random seed (default: 0)"),
    "--split-by": dict(type=split_by, metavar="HOW", help=SPLITS),
    "--frame-order": dict(choices=choices.FRAME_ORDERS, help="order frames by file numbers or times (default: best)"),
    "--label-rule": dict(choices=choices.LABEL_RULES, help="how the boxes of an image give its class"),
    "--images-without-boxes": dict(choices=choices.IMAGES_WITHOUT_BOXES, help="how to use images without boxes"),
    "--crops": dict(
        nargs="?", const=0.1, type=fraction, metavar="MARGIN", help="use crops of the boxes, with a margin (0.1)"
    ),
    "--boxes": dict(metavar="FILE", help="detections of MegaDetector, whose boxes are cropped"),
    "--min-confidence": dict(type=fraction, metavar="C", help="of these detections (default: 0.2)"),
    "--split": dict(choices=choices.SPLITS, default="validation", help="split (default: validation)"),
    "--recipe": dict(metavar="NAME", help="recipe by name (`recipes`), or its .toml or .json file"),
    "--set": dict(nargs="+", action="extend", type=setting, metavar="NAME=VALUE", help=SET),
    "--resume": dict(type=run_folder, metavar="RUN", help="continue a stopped run"),
    "--accept-changes": dict(action="store_true", help="take images that have changed since the training; recorded"),
    "--folds": dict(type=several, metavar="K", help="K-fold cross-validation"),
    "--minutes": dict(type=minutes, metavar="N", help="time to choose and train in, on your images (default: 10)"),
    "--backbone": dict(
        nargs="+", metavar="NAME", help="pretrained network, `list`, Keras file or KerasHub preset; of several the best"
    ),
    "--input-range": dict(choices=choices.INPUT_RANGES, help="that a file or preset was trained on; signed is -1 to 1"),
    "--epochs": dict(type=epochs, metavar="N", help="at most N epochs"),
    "--batch-size": dict(type=batch, metavar="N", help="images a training step"),
    "--image-size": dict(nargs="+", type=side, metavar="PX", help="side of the input; several are compared"),
    "--track": dict(choices=choices.TRACKERS, help="log the training there too"),
    "--workers": dict(choices=("ray",), help="ray: use a Ray cluster (RAY_ADDRESS), else all of this machine"),
}
"""Shared flags -> arguments of `add_argument`."""
ADVANCED = "--class-level --merge-case --columns --frame-order --label-rule --images-without-boxes --seed --set "
ADVANCED += "--select-on --crops --boxes --min-confidence --track --batch-size --balanced --synthetic "
ADVANCED += "--calibration-fraction --mixed-precision --distribute --jit-compile --alpha --trainable-layers "
ADVANCED += "--head-epochs --cache-features --cache-dtype --weights --input-range --encoder-data --tta --deployments "
ADVANCED += "--timezone --project --accept-changes"
"""Flags that stand at the end of the help of a command that has many."""
READING = ("--class-level", "--merge-case", "--columns")
DATA = ("--data", "--data-dir", *READING)
SUBSET = ("--limit", "--seed")
CROPS = ("--crops", "--boxes", "--min-confidence")
LABELS = ("--split-by", "--frame-order", "--label-rule", "--images-without-boxes")


def add(parser: argparse.ArgumentParser, *names: str, **changes) -> None:
    """Add shared flags, with changed arguments."""
    for name in names:
        parser.add_argument(name, **{**FLAGS[name], **changes})


def add_subset(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `SUBSET` to a command that trains a recipe, which has a seed."""
    add(parser, "--limit")
    add(parser, "--seed", default=None, help="random seed (default: of the recipe, 0)")


def add_output(parser: argparse.ArgumentParser, what: str, default: str = "runs/...") -> None:
    """Add --output-dir for results other than a run."""
    add(parser, "--output-dir", help=f"new folder of {what} (default: {default})")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `pretrain` and `finetune`."""
    add(parser, *DATA, "--output-dir", *LABELS, *CROPS, "--recipe", "--set")
    add_subset(parser)
    flag = parser.add_argument
    flag("--grid", action="store_true", help="all recipes of the report's table")
    add(parser, "--resume", help="continue a stopped run or experiment")
    add(parser, "--accept-changes", "--folds")
    flag("--select-on", choices=choices.SCORED_SPLITS, help="split to select the best run (default: validation)")
    add(parser, "--epochs", "--batch-size", "--image-size")
    flag("--class-weights", action="store_true", help="weight rare classes more")
    flag("--balanced", action="store_true", help="sample classes equally often")
    flag("--synthetic", action="store_true", help="add the report's synthetic images to train")
    held_out = "fraction of validation for calibration (default: 1/3 of 60 or more of your images, else 0)"
    flag("--calibration-fraction", type=calibration_fraction, metavar="S", help=held_out)
    flag("--mixed-precision", action="store_true", help="half precision (bfloat16 on a CPU)")
    add(parser, "--track")
    several_gpus = "all GPUs of this machine (mirrored) or of several machines (data-parallel, JAX)"
    flag("--distribute", choices=choices.DISTRIBUTED, help=several_gpus)
    flag("--jit-compile", choices=choices.JIT_COMPILE, help="XLA (default: auto, off on a CPU)")
