"""The flags that mean the same on every command."""

import argparse
from pathlib import Path

UNASKED = dict.fromkeys(("synthetic", "class_weights", "balanced", "mixed_precision"), False)
UNASKED |= {"jit_compile": None, "calibration_share": 0.0, "frames": None, "distribute": None}
"""What `plan` asks for, on commands that do not offer it."""


def add_data(parser: argparse.ArgumentParser) -> None:
    """Which images."""
    parser.add_argument("--data", metavar="NAME", help="a known data set (`data list`)")
    parser.add_argument("--data-dir", type=Path, metavar="PATH", help="a folder or .zip of your own images")


def add_output(parser: argparse.ArgumentParser, what: str = "the run", default: str = "runs/...") -> None:
    """Where results go."""
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help=f"folder to be made for {what} (default: {default})"
    )


def add_subset(parser: argparse.ArgumentParser) -> None:
    """A quick look at fewer images."""
    parser.add_argument("--limit", type=positive, metavar="N", help="at most N images a split, stratified")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")


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
    parser.add_argument("--label-rule", choices=("dominant", "area", "count", "union"), help="how boxes become a class")
    parser.add_argument("--no-box", choices=("skip", "empty"), help="what an image without a box is")


def add_frames(parser: argparse.ArgumentParser) -> None:
    """Which images were taken one after the other."""
    parser.add_argument(
        "--frames",
        choices=("number", "time", "none"),
        help="what says which images follow each other: numbers in file names, or times in EXIF data or in names "
        "(default: what tells best)",
    )


def add_track(parser: argparse.ArgumentParser) -> None:
    """Where else a training is followed."""
    parser.add_argument("--track", choices=("tensorboard", "wandb"), help="follow the training there too")


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
    parser.add_argument(
        "--image-size", nargs="+", type=positive, metavar="PX", help="side of the input; several compare"
    )


def add_training(parser: argparse.ArgumentParser) -> None:
    """Everything the training commands share."""
    add_data(parser)
    add_output(parser)
    add_subset(parser)
    add_labels(parser)
    parser.add_argument("--recipe", metavar="NAME", help="a recipe by name (`recipes`)")
    parser.add_argument("--grid", action="store_true", help="all rows of the report's table instead of its best")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with a stopped run or study")
    parser.add_argument("--folds", type=several, metavar="K", help="train K times, each image in validation once")
    parser.add_argument(
        "--select-on",
        choices=("validation", "test"),
        help="which split the best row is chosen on (default: validation; test flatters it, and is recorded)",
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help="at most N epochs")
    parser.add_argument("--batch-size", type=positive, metavar="N", help="images a training step")
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
        choices=("mirrored", "data-parallel"),
        help="train on all GPUs of this machine (mirrored), or of several machines (data-parallel, on JAX)",
    )
    parser.add_argument("--jit-compile", choices=("auto", "on", "off"), help="XLA (default: auto, off on a CPU)")


def refuse_beside(args: argparse.Namespace, flag: str, others: tuple[str, ...] | None = None) -> None:
    """Refuse flags that would be ignored beside another.

    Args:
        args: as parsed.
        flag: the one that settles what they say.
        others: which; None means every other flag, but for those that change no training: --track, --goal,
            --workers and --distribute.
    Raises:
        ValueError: one of them was given.
    """
    free = (flag, "track", "goal", "workers", "distribute")
    given = [name for name, value in vars(args).items() if value not in (None, False, 0) and name not in free]
    ignored = [name for name in given if others is None or name in others]
    if getattr(args, flag) and ignored:
        words = ", ".join("--" + name.replace("_", "-") for name in ignored)
        raise ValueError(f"--{flag} settles what {words} would say. Leave out one or the other.")


def add_split(parser: argparse.ArgumentParser, default: str) -> None:
    """Which split is looked at."""
    parser.add_argument("--on", choices=("train", "validation", "test"), default=default, help=f"(default: {default})")


def classifier(folder: Path):
    """Open a run whose model names animals.

    Raises:
        ValueError: it is no run, or an autoencoder's.
    """
    from marinecv.runs import Run

    run = Run(folder)
    if run.restores:
        raise ValueError(
            f"{folder} is the run of an autoencoder, which names no animal. Expected a run of pretrain or finetune."
        )
    return run


def split_by(text: str) -> str:
    """A way to split, or a table of splits."""
    from marinecv.data.splits import SPLIT_BY, kept_splits

    known = (*SPLIT_BY, *kept_splits())
    if text not in known and not text.endswith(".csv"):
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(known)}, or a file .csv, not {text}")
    return text


def natural(text: str) -> int:
    """An integer of at least 0."""
    return 0 if text == "0" else positive(text)


def several(text: str) -> int:
    """An integer of at least 2."""
    if positive(text) < 2:
        raise argparse.ArgumentTypeError("expected at least 2")
    return int(text)


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, not {value}")
    return value


def share(text: str) -> float:
    """A number above 0, at most 1."""
    if not 0 < float(text) <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, not {text}")
    return float(text)


def inner_share(text: str) -> float:
    """A number between 0 and 1."""
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, not {text}")
    return float(text)


def held_share(text: str) -> float:
    """A number from 0 on, below 1."""
    if not 0 <= float(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 on and below 1, not {text}")
    return float(text)


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, not {text}")
    return float(text)
