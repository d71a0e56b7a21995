"""The command line of `run.py` and of the installed `marinecv`: parse it, check it and run one command."""

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from marinecv import __version__
from marinecv.language import language
from marinecv.schema import did_you_mean, unknown_name

from . import faults, options

GROUPS = {
    "data": {"data": "list, fetch, describe or pack data sets", "audit": "find problems and leakage in images"},
    "train": {
        "train": "train a classifier on your own images",
        "pretrain": "train a CNN from scratch",
        "finetune": "fine-tune a pretrained network",
        "autoencode": "train an autoencoder",
        "learning-curve": "plot scores by labeled images and estimate the sample size for a goal",
        "search": "search hyperparameters of a recipe",
        "recipes": "list or show recipes, or reproduce a report",
    },
    "evaluate": {
        "evaluate": "score a run",
        "compare": "test whether two runs differ",
        "ensemble": "average the probabilities of runs, scored beside each",
        "review": "look at images in a page: correct labels, name new images",
        "estimate": "estimate from a checked sample how good a run is on new images",
        "explain": "draw heatmaps and compare them with the boxes",
        "latent": "map the embeddings of a run: t-SNE, clusters, neighbors",
        "report": "write the page of a run, an experiment or a search again",
    },
    "use": {
        "predict": "classify image files or folders",
        "export": "export a run to LiteRT, SavedModel or ONNX with a parity check",
        "runs": "list runs, experiments and searches",
    },
}
COMMANDS = {name: help_text for group in GROUPS.values() for name, help_text in group.items()}


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated option and no empty value, and suggests the option that was probably meant."""

    advanced = None  # the group of the flags `options.ADVANCED`, in the help of a command that has many

    def __init__(self, **settings):
        super().__init__(**{"allow_abbrev": False, **settings})

    def add_argument(self, *names, **settings) -> argparse.Action:
        """Add an argument as argparse does, an advanced flag to its group if there is one."""
        if self.advanced and names[0] in options.ADVANCED.split():
            return self.advanced.add_argument(*names, **settings)
        return super().add_argument(*names, **settings)

    def parse_args(self, args: Sequence[str], namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        """Parse a command line; exit with code 2 if it is wrong."""
        for before, word in zip(["the command", *args], args, strict=False):
            flag, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
            if equals and not value.strip():
                self.error(f"the value after {flag} is empty. Expected some text, or leave the option out")
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
            hint = did_you_mean(option, self.flags())
            if option in ("--data", "--data-dir"):
                hint = " Name the images without it, as `--help` shows."
            self.error(f"unrecognized arguments: {' '.join(unknown)}.{hint}")
        return parsed

    def flags(self) -> Iterator[str]:
        """Yield the options of this parser and of its subcommands."""
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser.flags()


def main(argv: list[str] | None = None) -> int:
    """Run one command; return 0 if it succeeds, 1 if it fails, 2 for a wrong command line, 130 if interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # escape letters that the console cannot show; show each line at once
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    parser = _parser()
    chosen = next((word for word in argv if not word.startswith("-")), None)
    if not argv:
        parser.print_help()
        return 0
    if chosen is None and "--version" in argv:
        from marinecv.environment import environment

        versions = [f"{name} {environment()[name.lower()]}" for name in ("Python", "TensorFlow", "Keras")]
        print(f"marinecv {__version__}", *versions, sep="\n")
        return 0
    if chosen is None:
        parser.parse_args(argv)
    if chosen not in COMMANDS:
        parser.error(unknown_name("command", chosen, COMMANDS))
    command = importlib.import_module(f".commands.{chosen.replace('-', '_')}", __package__)
    child = Parser(
        prog=f"{parser.prog} {chosen}",
        description=command.__doc__,
        epilog=f"example:\n  {parser.prog} {command.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if chosen in (*GROUPS["train"], "evaluate", "predict"):
        child.advanced = child.add_argument_group("advanced")
    command.add_arguments(child)
    index = argv.index(chosen)
    args = child.parse_args(argv[:index] + argv[index + 1 :])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job scheduler's SIGTERM ends as Ctrl-C does
    try:
        importlib.import_module(".checks", __package__).check(chosen, args)
        with language(getattr(args, "lang", "en")):
            code = command.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stopped:
        print(" ".join(["\nStopped.", *faults.notes(stopped)]), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not (message := faults.error_message(error, args)):
            raise
        print(f"error: {message}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    lines = []
    for group, commands in GROUPS.items():
        lines += [f"{group}:", *(f"  {name:<14} {text}" for name, text in commands.items()), ""]
    parser = Parser(
        prog="python run.py" if os.path.basename(sys.argv[0]) == "run.py" else "marinecv",
        description="Train and evaluate image classifiers of wildlife, with checks for train-test leakage.",
        epilog="\n".join(lines) + "\n`COMMAND --help` shows its options and an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s COMMAND ...",
    )
    parser.add_argument("command", metavar="COMMAND", help="one of the commands below")
    parser.add_argument("--version", action="store_true", help="print the versions of marinecv, Python and TensorFlow")
    return parser
