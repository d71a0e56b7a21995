"""The parser that `run.py` and the installed `marinecv` share: it names the commands and calls one of them."""

import argparse
import difflib
import errno
import importlib
import os
import re
import signal
import sys
import threading

GROUPS = {
    "data": {"data": "list, fetch and lay out data sets", "audit": "show what the images are"},
    "train": {
        "pretrain": "train a CNN from scratch",
        "finetune": "train the last layers of a pretrained network",
        "autoencode": "train a network that gives back its image",
        "learning-curve": "show what labels are worth, and how many more photographs a goal asks for",
        "search": "search hyper-parameters of a recipe",
        "recipes": "list the reports' recipes, or replay a whole report",
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
NO_ROOM = "Make room, or write elsewhere: --output-dir for results, MARINECV_HOME for the store."
NOT_ALLOWED = "Name a folder that may be written: --output-dir for results, MARINECV_HOME for the store."
MENDS = dict.fromkeys(("ENOSPC", "EDQUOT", "EFBIG"), NO_ROOM) | dict.fromkeys(("EACCES", "EPERM", "EROFS"), NOT_ALLOWED)
COMMANDS = {name: help_text for group in GROUPS.values() for name, help_text in group.items()}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 it did not end well, 2 the command line was wrong, 130 interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser()
    chosen = next((word for word in argv if not word.startswith("-")), None)
    if chosen is None:
        parser.parse_args(argv)
    if chosen not in COMMANDS:
        close = difflib.get_close_matches(chosen, COMMANDS, n=1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        parser.error(f'there is no command "{chosen}".{hint} Expected one of {", ".join(COMMANDS)}.')
    command = importlib.import_module(f".{chosen.replace('-', '_')}", __package__)
    child = argparse.ArgumentParser(
        prog=f"{parser.prog} {chosen}",
        description=command.HELP,
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
        code = command.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stopped:
        print(" ".join(["\nStopped.", *_notes(stopped)]), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough; nothing more is flushed at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {_in_words(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        if not (said := _raised_while_reading(error)):
            raise
        print(f"error: {said}", file=sys.stderr)
        return 1


def _in_words(error: Exception) -> str:
    """What went wrong; where the operating system alone has spoken, how to mend it too."""
    mend = MENDS.get(errno.errorcode.get(getattr(error, "errno", None)), "")
    return " ".join(filter(None, [str(error), mend, *_notes(error)]))


def _raised_while_reading(error: Exception) -> str:
    """What a ValueError said that was raised while TensorFlow read images, which makes an error of its own of it."""
    said = re.search(r"ValueError: (.+)", str(error))
    return said[1] if said and type(error).__name__ == "InvalidArgumentError" else ""


def _notes(error: BaseException) -> list[str]:
    """The outermost note: that of a study, not of the run within it."""
    return getattr(error, "__notes__", [])[-1:]


def _parser() -> argparse.ArgumentParser:
    lines = []
    for group, commands in GROUPS.items():
        lines += [f"{group}:", *(f"  {name:<14} {text}" for name, text in commands.items()), ""]
    parser = argparse.ArgumentParser(
        prog="python run.py" if os.path.basename(sys.argv[0]) == "run.py" else "marinecv",
        description="From a folder of wildlife images to a classifier whose score can be believed.",
        epilog="\n".join(lines) + "\n`COMMAND --help` shows its options and an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s COMMAND ...",
    )
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    return parser
