"""The command line: quick help, examples that parse, exit codes, one calm line an error."""

import argparse
import importlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import draw_image, killed, refused

import marinecv
import pipelines
from marinecv.recipes.registry import RECIPES
from pipelines.cli import COMMANDS, main
from pipelines.options import ARGUMENTS, in_flags, run_folder

ROOT = Path(pipelines.__file__).resolve().parents[1]
VERBS = [*(f"data {verb}" for verb in ("list", "fetch", "describe", "materialize", "pack", "undo-sort"))]
VERBS += [f"recipes {verb}" for verb in ("list", "show", "reproduce")]
HEAVY = {"tensorflow", "keras", "pandas", "numpy", "matplotlib", "sklearn", "PIL", "scipy"}
MODULES_AFTER = """
import contextlib, io, json, sys
from pipelines.cli import main
shown = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    shown.append([code, out.getvalue(), error.getvalue()])
print(json.dumps([shown, sorted({name.split(".")[0] for name in sys.modules})]))
"""
"""Run command lines in one process: the exit code, output and error of each, and the imported packages."""


def module_of(command):
    return importlib.import_module(f"pipelines.commands.{command.replace('-', '_')}")


def every_parser():
    for command in COMMANDS:
        parser = argparse.ArgumentParser(prog=command)
        module_of(command).add_arguments(parser)
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from action.choices.values()


def run_python(*words, **options):
    options = {"cwd": ROOT, "text": True, "timeout": 300, **options}
    return subprocess.run([sys.executable, *words], capture_output=True, **options)


def run_all(lines, **options):
    shown = run_python("-c", MODULES_AFTER, json.dumps([line.split() for line in lines]), check=True, **options)
    return json.loads(shown.stdout)


@pytest.fixture
def parsed(monkeypatch):
    """What commands are called with, which then do nothing."""
    seen = []
    for command in COMMANDS:
        monkeypatch.setattr(module_of(command), "run", lambda args: seen.append(args) or 0)
    monkeypatch.setattr("pipelines.checks.check", lambda *_: None)
    return seen


def test_help_and_version_import_nothing_heavy():
    shown, modules = run_all(["--version", "--help", *(f"{name} --help" for name in [*COMMANDS, *VERBS])])
    assert not HEAVY & set(modules) and not any(code for code, _, _ in shown)
    assert all(out.startswith("usage: ") for _, out, _ in shown[1:])
    lines = shown[0][1].splitlines()
    assert lines[:2] == [f"marinecv {marinecv.__version__}", f"Python {platform.python_version()}"]
    assert [line.lower() for line in lines[2:]] == [f"{name} {version(name)}" for name in ("tensorflow", "keras")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_in_the_help_is_a_command_that_parses(command, parsed, capsys):
    example = module_of(command).EXAMPLE
    assert main(shlex.split(example)) == 0 and len(parsed) == 1
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert f"marinecv {example}\n" in shown
    options = shown.partition("\noptions:\n")[2].partition("\n\n")[0]
    assert len(re.findall(r"^  -", options, re.MULTILINE)) <= 15


def test_every_option_has_help_and_takes_the_same_kind_of_value_everywhere():
    kinds = {}
    for parser in every_parser():
        for action in parser._actions:
            assert action.help or action.dest == "verb", (parser.prog, action.dest)
            for flag in action.option_strings:
                several = ("--split", "--recipe")  # `latent` takes several splits, a learning curve several recipes
                count = None if flag in several else action.nargs
                which = parser.prog if flag in ("--format", "--check") else ""  # a model or a table; exports or images
                kinds.setdefault(flag + which, set()).add((action.type, count, tuple(action.choices or ())))
    assert {flag: found for flag, found in kinds.items() if len(found) > 1} == {}


def test_the_program_is_called_as_it_was_started_and_shows_its_help_if_called_alone(capsys):
    shown = run_python("run.py", "--help")
    assert shown.returncode == 0 and shown.stderr == ""
    assert shown.stdout.startswith("usage: python run.py COMMAND")
    assert all(f"  {name} " in shown.stdout for name in COMMANDS)
    assert "python run.py pretrain --grid" in run_python("run.py", "pretrain", "--help").stdout
    assert main([]) == 0 and capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('split_by="grouped" is needed', "--split-by grouped is needed"),
        ("data_dir=my_photos, or folds=5.", "--data-dir my_photos, or --folds 5."),
        ("Leave out limit= and synthetic=True.", "Leave out --limit and --synthetic."),
        ("Name another folder=, sizes=, calibration= or margin=", "Name another --output-dir, --image-size,"),
        ('Go on with resume("runs/a-1"), then', "Go on with --resume runs/a-1, then"),
        ("Received: fold_by='two words'.", "Received: --fold-by two words."),
        ("Name a folder as data_dir.", "Name a folder with --data-dir."),
        ("accuracy 0.7 (n=57, spec=None)", "accuracy 0.7 (n=57, spec=None)"),
        ("Recipe(backbone=...)", "Recipe(backbone=...)"),
    ],
)
def test_arguments_in_messages_of_the_library_become_flags(text, expected):
    assert in_flags(text).startswith(expected)


def test_every_flag_for_an_argument_exists():
    known = {flag for parser in every_parser() for action in parser._actions for flag in action.option_strings}
    assert {f"--{flag}" for flag in ARGUMENTS.values()} <= known


def make_folders(root, **times):
    """Folders that are marked as runs, experiments and searches, last changed at some time."""
    for place, seconds in times.items():
        *folder, mark = place.split("__")
        path = root.joinpath(*folder, f"{mark}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (seconds, seconds))


def test_last_is_the_newest_run_study_or_search_and_no_part_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folders(tmp_path, runs__old__recipe=10, elsewhere__recipe=99, runs__search__trials__1__recipe=70)
    assert run_folder("last") == Path("runs/search/trials/1")
    make_folders(tmp_path, runs__search__search=5)
    assert run_folder("last") == Path("runs/old")
    make_folders(tmp_path, runs__mine__grid__experiment=20, runs__mine__grid__cell__recipe=80)
    assert run_folder("last") == Path("runs/mine/grid") and run_folder("runs/old") == Path("runs/old")
    make_folders(tmp_path, runs__search__search=30)
    assert run_folder("last") == Path("runs/search")
    (tmp_path / "last").mkdir()
    assert run_folder("last") == Path("last")


LAST = ["evaluate", "explain", "export", "latent", "report", "compare a", "ensemble a", "recipes show"]
RESUME = ["train", "pretrain", "finetune", "autoencode", "search", "learning-curve", "recipes reproduce birds"]


@pytest.mark.parametrize(
    "words",
    [*(f"{words} last" for words in LAST), "predict last photos"]
    + [*(f"{words} --resume last" for words in RESUME), "learning-curve --encoder last"],
)
def test_every_command_that_takes_a_run_takes_the_last(words, tmp_path, monkeypatch, capsys, parsed):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert "there is no run in" in capsys.readouterr().err
    make_folders(tmp_path, runs__one__recipe=1)
    assert main(words.split()) == 0
    values = [value for value in vars(parsed[0]).values() if value]
    assert Path("runs/one") in values or [Path("a"), Path("runs/one")] in values


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--nonsense", "required: COMMAND"),
        ("pretrian --epochs 3", 'Did you mean "pretrain"?'),
        ("zzz", 'no command "zzz". Expected one of data, audit, train, pretrain,'),
        ("pretrain --epochs 0", "--epochs: expected a whole number from 1 to 100000, not 0"),
        ("pretrain --folds 1", "--folds: expected a whole number from 2"),
        ("pretrain --image-size 64 4097", "--image-size: expected a whole number from 1 to 4096, not 4097"),
        (f"pretrain --epochs {'9' * 5000}", f"not {'9' * 40}\n"),
        ("finetune --alpha 10", "--alpha: expected a number above 0 and at most 1.4, not 10"),
        ("finetune --cache-features inf", "--cache-features: expected a whole number from 1"),
        ("pretrain --calibration-fraction nan", "--calibration-fraction: expected a number from 0 on and below 1"),
        ("learning-curve --goal inf", "--goal: expected a number between 0 and 1, not inf"),
        ("export a_run --margin nan", "--margin: expected a number from 0 to 1, not nan"),
        ("pretrain --epoch 3", 'unrecognized arguments: --epoch 3. Did you mean "--epochs"?'),
        ("evaluate --epochs a_run", "unrecognized arguments: --epochs.\n"),
        ("data fetch aquarium --form x.zip", 'Did you mean "--from"?'),
        ("train --data-dir photos", "Name the images without it"),
        ("pretrain --split-by luck", "published"),
        ("pretrain --set lr", "NAME=VALUE"),
        ("predict a_run", "PATH"),
        ("data", "list | fetch | describe | materialize | pack"),
        ("recipes reproduce fish", "aquarium"),
        ("predict  runs", "the value after the command is empty"),
        ("predict a_run ", "the value after a_run is empty"),
        ("pretrain --data ", "the value after --data is empty"),
        ("pretrain --data=", "the value after --data is empty"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_says_what_was_expected(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words.split(" "))
    shown = capsys.readouterr()
    assert end.value.code == 2 and shown.out == ""
    assert shown.err.startswith("usage: ") and said in shown.err and "Traceback" not in shown.err


NO_DATA = "pretrain|finetune|autoencode|learning-curve|search --recipe aquarium_four_conv|audit|evaluate run"
NO_DATA += "|explain run|latent run|data pack|data materialize|recipes reproduce aquarium"
NO_RUN = "evaluate|explain|export --check|latent|report|compare run|ensemble run|pretrain --resume|finetune --resume"
NO_RUN += "|autoencode --resume|search --resume|learning-curve --resume|learning-curve --encoder"
NO_RUN += "|recipes reproduce aquarium --resume"
NOT_CORRECTED = ("--image-size 64", "--image-size 64 128", "--folds 5", "--recipe aquarium_four_conv", "--minutes 3")
NOT_CORRECTED += ("--backbone mobilenet", "--limit 9", "--split-by grouped", "--crops", "--merge-case")
NOT_CORRECTED += ("--input-range signed", "--columns class=Species", "--frame-order time")
EARLY = [
    *((f"{words} --data-dir NOPE", "NOPE is no folder and no .zip") for words in NO_DATA.split("|")),
    *((f"{words} NOPE", "There is no folder NOPE.") for words in NO_RUN.split("|")),
    ("predict NOPE photos", "There is no folder NOPE."),
    ("runs NOPE", "There is no folder NOPE."),
    ("pretrain --resume .", "is no run: it has no recipe.json"),
    ("search --resume run", "run is no search: it has no search.json"),
    ("recipes reproduce aquarium --resume run", "it has no experiment.json"),
    ("predict run NOPE", "There is no NOPE."),
    ("review run two --import NOPE", "There is no file NOPE (import)."),
    ("estimate run two --answers two", "There is no file two (answers)."),
    ("predict run two --deployments NOPE", "There is no file NOPE (deployments)."),
    ("predict run two --project NOPE", "There is no file NOPE (project)."),
    ("data undo-sort NOPE", "There is no file NOPE (file)."),
    ("finetune --data-dir two --weights NOPE", "There is no weights file NOPE."),
    ("pretrain --data-dir two --split-by NOPE.csv", "There is no split file NOPE.csv."),
    ("audit --data aquarum", 'Did you mean "aquarium"?'),
    ("audit aquarum", 'Did you mean "aquarium"?'),
    ("audit reef", "'reef' names a data set and a folder."),
    ("audit two --data-dir two", "A path of images cannot be combined with --data-dir."),
    ("pretrain --data NOPE.toml", "There is no manifest at NOPE.toml."),
    ("finetune --backbone resnet", 'Did you mean "resnet50"?'),
    ("pretrain --recipe four_conv", 'Did you mean "aquarium_four_conv"?'),
    ("learning-curve --recipe butterflies_fraction", 'There is no recipe "butterflies_fraction".'),
    ("autoencode --recipe aquarium_four_conv", "is for another command: pretrain --recipe aquarium_four_conv."),
    ("data fetch aquarum", 'Did you mean "aquarium"?'),
    ("pretrain --data-dir two --output-dir file", "file is a file. Name another folder with --output-dir."),
    ("audit --data-dir two --output-dir file/new", "file/new, and ...file is a file. Name another folder"),
    ("finetune --data-dir two --output-dir two", "two exists and is not empty."),
    ("train two --resume run", "--resume cannot be combined with a path of images."),
    ("pretrain --resume run --calibration-fraction 0", "--resume cannot be combined with --calibration-fraction."),
    ("train two --corrections new.csv", "--corrections cannot be combined with a path of images."),
    *((f"train --corrections new.csv {flag}", f"combined with {flag.split()[0]}. Leave out") for flag in NOT_CORRECTED),
    ("train", "Name the folder of your images"),
    ("pretrain --data-dir one", 'one class, "eel"'),
    ("finetune --data-dir none", "There is no image file in ...none."),
    ("finetune --data-dir names", "the nearest file 'a.jpg'"),
]


@pytest.fixture(scope="module")
def told_early(tmp_path_factory):
    """What each line of `EARLY` ends with, all in one process: code, output and error."""
    folder = tmp_path_factory.mktemp("early")
    (folder / "run").mkdir()
    (folder / "run" / "recipe.json").write_text('{"model": {"kind": "cnn"}}')
    preprocessing = {"class_names": ["eel", "ray"], "image": {"height": 8, "width": 8}, "demonstration": False}
    (folder / "run" / "preprocessing.json").write_text(json.dumps(preprocessing))
    (folder / "file").touch()
    for place in ("one/eel/a.jpg", "one/eel/b.jpg", "two/eel/a.jpg", "two/ray/a.jpg", "names/a.jpg"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        draw_image("eel", seed=len(place)).save(folder / place)
    (folder / "names" / "labels.csv").write_text("file,class\nb,eel\n")
    for name in ("none", "reef"):
        (folder / name).mkdir()
    (folder / "none" / "notes.txt").touch()
    before = sorted(folder.rglob("*"))
    home = {"MARINECV_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    shown, modules = run_all([words for words, _ in EARLY], cwd=folder, env={**os.environ, **home})
    assert sorted(folder.rglob("*")) == before and "tensorflow" not in modules
    return dict(zip([words for words, _ in EARLY], shown, strict=True))


@pytest.mark.parametrize(("words", "said"), EARLY, ids=[words for words, _ in EARLY])
def test_what_is_wrong_is_said_within_a_second_and_before_tensorflow_is_imported(words, said, told_early):
    code, out, error = told_early[words]
    assert code == 1 and out == "" and error.startswith("error: ") and error.count("\n") == 1
    assert all(part in error for part in said.split("..."))


def test_every_recipe_labels_images_as_the_check_reads_them():
    rules = {(recipe.data.label_rule, recipe.data.images_without_boxes) for recipe in RECIPES.values()}
    assert rules == {("dominant", "skip")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("recipes reproduce aquarium --recipes nope", 'There is no recipe or command "nope".'),
        ("finetune --data-dir two --backbone resnet50 --weights none --alpha 0.5", "no width multiplier"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(words, said, roboflow_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    roboflow_folder.rename(tmp_path / "two")
    assert said in refused(capsys, *words.split())
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_an_interruption_is_exit_code_130(monkeypatch, capsys):
    monkeypatch.setattr(module_of("runs"), "run", killed)
    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_console_that_cannot_show_a_letter_prints_a_substitute(encoding, tmp_path):
    place = tmp_path / "鱼 é"
    place.mkdir()
    (place / "recipe.json").write_text("{}")
    options = {"env": {**os.environ, "PYTHONIOENCODING": encoding}, "text": False}
    shown = run_python("run.py", "runs", str(place), **options)
    letters = "鱼 é".encode(encoding, "backslashreplace")
    assert shown.returncode == 0 and shown.stderr == b"" and letters + b"  stopped after 0" in shown.stdout
    shown = run_python("run.py", "runs", str(tmp_path / "鱼é"), **options)
    assert shown.returncode == 1 and "鱼é. Expected".encode(encoding, "backslashreplace") in shown.stderr


def test_a_reader_that_stops_early_ends_it_in_silence():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = subprocess.Popen([sys.executable, "run.py", "recipes"], cwd=ROOT, **pipes)
    program.stdout.close()
    with program.stderr:
        assert program.stderr.read() == b""
    assert program.wait(60) == 1
