"""The parser that `run.py` and the installed `marinecv` share: it names the commands and calls one of them."""

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from marinecv import __version__
from marinecv.schema import did_you_mean, no_such

from . import faults

GROUPS = {
    "data": {"data": "list, fetch and lay out data sets", "audit": "show what the images are"},
    "train": {
        "train": "train a classifier on your own images",
        "pretrain": "train a CNN from scratch",
        "finetune": "train the last layers of a pretrained network",
        "autoencode": "train a network that gives back its image",
        "learning-curve": "show what labels are worth, and how many more photographs a goal asks for",
        "search": "search hyper-parameters of a recipe",
        "recipes": "list or show the reports' recipes, or replay a whole report",
    },
    "judge": {
        "evaluate": "score a run",
        "compare": "tell whether two runs differ",
        "explain": "show where a run looks, and whether it is at the animals",
        "latent": "show the space in which a run tells images apart",
        "report": "write the page of a run, a study or a search again",
    },
    "use": {
        "predict": "name the animals in files or folders",
        "export": "write a run for LiteRT, TensorFlow Serving or ONNX, and certify it",
        "runs": "list runs, studies and searches",
    },
}
COMMANDS = {name: help_text for group in GROUPS.values() for name, help_text in group.items()}


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated option and no empty value, and says which option was probably meant."""

    def __init__(self, **settings):
        super().__init__(**{"allow_abbrev": False, **settings})

    def parse_args(self, args: Sequence[str], namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        """Parse a command line, or end with exit code 2."""
        for place, word in enumerate(args):
            option, equals, value = word.partition("=") if word.startswith("--") else ("", "=", word)
            if equals and not value.strip():
                where = option or (args[place - 1] if place else "the command")
                self.error(f"the value after {where} is empty. Expected some text, or leave the option out")
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
            self.error(f"unrecognized arguments: {' '.join(unknown)}.{did_you_mean(option, self._options())}")
        return found

    def _options(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser._options()


def main(argv: list[str] | None = None) -> int:
    """Run one command; return 0 where it is done, 1 where not, 2 of a wrong command line, 130 where interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a letter that the console cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    chosen = next((word for word in argv if not word.startswith("-")), None)
    if not argv:
        parser.print_help()
        return 0
    if chosen is None and "--version" in argv:
        from marinecv.environment import environment

        parts = {name: environment()[name.lower()] for name in ("Python", "TensorFlow", "Keras")}
        print(f"marinecv {__version__}", *(f"{name} {version}" for name, version in parts.items()), sep="\n")
        return 0
    if chosen is None:
        parser.parse_args(argv)
    if chosen not in COMMANDS:
        parser.error(no_such("command", chosen, COMMANDS))
    command = importlib.import_module(f".commands.{chosen.replace('-', '_')}", __package__)
    child = Parser(
        prog=f"{parser.prog} {chosen}",
        description=command.__doc__,
        epilog=f"example:\n  {parser.prog} {command.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(child)
    place = argv.index(chosen)
    args = child.parse_args(argv[:place] + argv[place + 1 :])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job scheduler's polite kill ends as Ctrl-C does
    try:
        importlib.import_module(".checks", __package__).check(chosen, args)
        code = command.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stopped:
        print(" ".join(["\nStopped.", *faults.notes(stopped)]), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough; nothing more is flushed at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not (said := faults.in_words(error, args)):
            raise
        print(f"error: {said}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    lines = []
    for group, commands in GROUPS.items():
        lines += [f"{group}:", *(f"  {name:<14} {text}" for name, text in commands.items()), ""]
    parser = Parser(
        prog="python run.py" if os.path.basename(sys.argv[0]) == "run.py" else "marinecv",
        description="From a folder of wildlife images to a classifier whose score can be believed.",
        epilog="\n".join(lines) + "\n`COMMAND --help` shows its options and an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s COMMAND ...",
    )
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    parser.add_argument("--version", action="store_true", help="print the versions of marinecv, Python and TensorFlow")
    return parser
