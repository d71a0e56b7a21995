"""The command line: quick help, examples that parse, exit codes, one calm line an error."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pipelines
from pipelines.command_line import COMMANDS, main

ROOT = Path(pipelines.__file__).resolve().parents[1]
VERBS = ["data list", "data fetch", "data materialise", "data pack", "recipes list", "recipes replay"]
HEAVY = {"tensorflow", "keras", "pandas", "numpy", "matplotlib", "sklearn", "PIL", "scipy"}
TELL = """
import sys, time
from pipelines.command_line import main
try:
    main({words!r})
except SystemExit as end:
    assert end.code == 0
print(f"{{time.process_time():.3f}}", *{{name.split(".")[0] for name in sys.modules}}, file=sys.stderr)
"""


def parser_of(command):
    parser = argparse.ArgumentParser(prog=command)
    importlib.import_module(f"pipelines.{command.replace('-', '_')}").add_arguments(parser)
    return parser


def every_parser():
    for command in COMMANDS:
        parser = parser_of(command)
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from action.choices.values()


def run_program(*words, **options):
    command = [sys.executable, "run.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options)


def error_of(capsys, *words):
    """The one calm line that a command ends with."""
    assert main([str(word) for word in words]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("words", ["--help", *(f"{name} --help" for name in [*COMMANDS, *VERBS])])
def test_help_answers_at_once_and_imports_nothing_heavy(words):
    told = subprocess.run(
        [sys.executable, "-c", TELL.format(words=words.split())], cwd=ROOT, capture_output=True, text=True, check=True
    )
    cpu_seconds, *modules = told.stderr.split()
    assert told.stdout.startswith("usage: ") and not HEAVY & set(modules)
    assert float(cpu_seconds) < 0.8


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_in_the_help_is_a_command_that_parses(command, monkeypatch, capsys):
    module, seen = importlib.import_module(f"pipelines.{command.replace('-', '_')}"), []
    monkeypatch.setattr(module, "run", lambda args: seen.append(args) or 0)
    assert main(shlex.split(module.EXAMPLE)) == 0 and len(seen) == 1
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"marinecv {module.EXAMPLE}\n" in capsys.readouterr().out


def test_every_option_says_what_it_is():
    silent = [(parser.prog, action.dest) for parser in every_parser() for action in parser._actions if not action.help]
    assert all(dest == "verb" for _, dest in silent)


def test_one_flag_takes_the_same_kind_of_value_everywhere():
    kinds = {}
    for parser in every_parser():
        for action in parser._actions:
            for flag in action.option_strings:
                several = ("--on", "--recipe")  # `latent` looks at several splits, a curve has several lines
                count = None if flag in several else action.nargs
                kinds.setdefault(flag, set()).add((action.type, count, tuple(action.choices or ())))
    assert {flag: found for flag, found in kinds.items() if len(found) > 1} == {}


def test_the_program_is_called_as_it_was_started():
    shown = run_program("--help")
    assert shown.returncode == 0 and shown.stderr == ""
    assert shown.stdout.startswith("usage: python run.py COMMAND")
    assert all(f"  {name} " in shown.stdout for name in COMMANDS)
    assert "python run.py pretrain --grid" in run_program("pretrain", "--help").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "required: COMMAND"),
        ("--nonsense", "required: COMMAND"),
        ("pretrian --epochs 3", 'no command "pretrian". Did you mean "pretrain"?'),
        ("zzz", 'no command "zzz". Expected one of data, audit, pretrain,'),
        ("pretrain --epochs 0", "--epochs: expected at least 1, not 0"),
        ("pretrain --limit few", "--limit"),
        ("pretrain --nonsense", "--nonsense"),
        ("--nonsense pretrain", "--nonsense"),
        ("pretrain --split-by luck", "published"),
        ("evaluate a_run --on dev", "validation"),
        ("predict a_run", "PATH"),
        ("data", "list | fetch | materialise | pack"),
        ("recipes replay fish", "aquarium"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_says_what_was_expected(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words.split())
    shown = capsys.readouterr()
    assert end.value.code == 2 and shown.out == ""
    assert shown.err.startswith("usage: ") and said in shown.err and "Traceback" not in shown.err


def test_help_before_the_command_is_that_commands_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help", "pretrain"])
    assert "--grid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "pretrain --data-dir NOPE",
            "is no folder and no .zip, .tgz or .tar. Expected a folder of images, or an archive",
        ),
        ("pretrain --data aquarum", 'Did you mean "aquarium"?'),
        ("pretrain --recipe nope", "no recipe 'nope' here. Expected one of aquarium_four_conv"),
        ("pretrain --resume NOPE", "no folder NOPE to resume. `marinecv runs` lists"),
        ("pretrain --resume .", "is no run: it has no recipe.json. Expected a folder that pretrain or finetune made"),
        ("finetune --weights NOPE", "no weights file NOPE. Expected imagenet, none, or a file"),
        ("finetune --backbone resnet", "Expected a backbone among mobilenetv3large, .* Received: 'resnet'"),
        ("recipes replay aquarium --only nope", "nothing called 'nope' to replay. Expected one of pretrain, finetune"),
        ("recipes replay aquarium --resume NOPE", "is no study"),
        ("evaluate NOPE", "is no run"),
        ("report NOPE", "no folder NOPE"),
        ("compare NOPE NOPE", "no folder NOPE"),
        ("predict NOPE photos", "is no run"),
        ("data fetch aquarum", 'Did you mean "aquarium"?'),
        ("data materialise --data-dir NOPE", "Expected a folder of images"),
        ("audit --data-dir NOPE", "Expected a folder of images"),
    ],
)
def test_an_error_is_one_calm_line_that_says_how_to_mend_it(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert re.search(said, error_of(capsys, *words.split()))
    assert not list(tmp_path.iterdir())


def test_an_interruption_is_exit_code_130(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("pipelines.runs"), "run", interrupted)
    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


def test_a_reader_that_stops_early_ends_it_in_silence():
    program = subprocess.Popen(
        [sys.executable, "run.py", "recipes"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    program.stdout.close()
    with program.stderr:
        assert program.stderr.read() == b""
    assert program.wait(60) == 1


def test_an_error_goes_to_stderr_without_tensorflows_remarks(tmp_path):
    shown = run_program("pretrain", "--data-dir", str(tmp_path / "nope"))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error: ") and shown.stderr.count("\n") == 1
