"""The command line: quick help, examples that parse, exit codes, one calm line an error."""

import argparse
import importlib
import json
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import draw_image

import marinecv
import pipelines
from marinecv.recipes.registry import RECIPES
from pipelines.cli import COMMANDS, main
from pipelines.options import run_folder

ROOT = Path(pipelines.__file__).resolve().parents[1]
VERBS = ["data list", "data fetch", "data materialise", "data pack", "recipes list", "recipes show", "recipes replay"]
HEAVY = {"tensorflow", "keras", "pandas", "numpy", "matplotlib", "sklearn", "PIL", "scipy"}
TELL = """
import sys, time
from pipelines.cli import main
try:
    main({words!r})
except SystemExit as end:
    assert end.code == 0
print(f"{{time.process_time():.3f}}", *{{name.split(".")[0] for name in sys.modules}}, file=sys.stderr)
"""


def parser_of(command):
    parser = argparse.ArgumentParser(prog=command)
    importlib.import_module(f"pipelines.commands.{command.replace('-', '_')}").add_arguments(parser)
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
    module, seen = importlib.import_module(f"pipelines.commands.{command.replace('-', '_')}"), []
    monkeypatch.setattr(module, "run", lambda args: seen.append(args) or 0)
    monkeypatch.setattr("pipelines.checks.check", lambda *_: None)  # its folders are not here
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


def test_the_program_alone_shows_its_help(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert capsys.readouterr().out == shown and shown.startswith("usage: ")


def test_the_version_is_told_without_tensorflow():
    told = subprocess.run(
        [sys.executable, "-c", TELL.format(words=["--version"])], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines, parts = told.stdout.splitlines(), [f"{name} {version(name)}" for name in ("tensorflow", "keras")]
    assert lines[0] == f"marinecv {marinecv.__version__}" and [line.lower() for line in lines[2:]] == parts
    assert lines[1] == f"Python {platform.python_version()}" and not HEAVY & set(told.stderr.split())


def make_folders(root, **times):
    """Folders that are marked as runs, studies and searches, last changed at some time."""
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
    make_folders(tmp_path, runs__mine__study__study=20, runs__mine__study__cell__recipe=80)
    assert run_folder("last") == Path("runs/mine/study") and run_folder("runs/old") == Path("runs/old")
    make_folders(tmp_path, runs__search__search=30)
    assert run_folder("last") == Path("runs/search")
    (tmp_path / "last").mkdir()
    assert run_folder("last") == Path("last")


@pytest.mark.parametrize(
    "words",
    [
        *("evaluate last", "explain last", "export last", "latent last", "predict last photos", "report last"),
        *(
            "compare a last",
            "recipes show last",
            "train --resume last",
            "pretrain --resume last",
            "finetune --resume last",
        ),
        *("autoencode --resume last", "search --resume last", "learning-curve --resume last"),
        *("learning-curve --encoder last", "recipes replay birds --resume last"),
    ],
)
def test_every_command_that_takes_a_run_takes_the_last(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert "there is no run in" in capsys.readouterr().err
    make_folders(tmp_path, runs__one__recipe=1)
    seen, module = [], importlib.import_module(f"pipelines.commands.{words.split()[0].replace('-', '_')}")
    monkeypatch.setattr(module, "run", lambda args: seen.append(args) or 0)
    monkeypatch.setattr("pipelines.checks.check", lambda command, args: None)
    assert main(words.split()) == 0
    values = [value for value in vars(seen[0]).values() if value]
    assert Path("runs/one") in values or [Path("a"), Path("runs/one")] in values


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--nonsense", "required: COMMAND"),
        ("pretrian --epochs 3", 'no command "pretrian". Did you mean "pretrain"?'),
        ("zzz", 'no command "zzz". Expected one of data, audit, train, pretrain,'),
        ("pretrain --epochs 0", "--epochs: expected a whole number from 1 to 100000, not 0"),
        ("pretrain --limit few", "--limit: expected a whole number from 1 to 1000000000, not few"),
        ("pretrain --seed -1", "--seed: expected a whole number from 0 to 4294967295, not -1"),
        ("pretrain --seed 4294967296", "--seed: expected a whole number from 0"),
        ("pretrain --folds 1", "--folds: expected a whole number from 2 to 1000, not 1"),
        ("pretrain --image-size 64 4097", "--image-size: expected a whole number from 1 to 4096, not 4097"),
        (f"pretrain --epochs {'9' * 5000}", f"--epochs: expected a whole number from 1 to 100000, not {'9' * 40}\n"),
        ("predict a_run photos --batch-size 1e20", "--batch-size: expected a whole number from 1 to 65536, not 1e20"),
        ("search --trials 10000", "--trials: expected a whole number from 1 to 9999"),
        ("finetune --alpha 10", "--alpha: expected a number above 0 and at most 1.4, not 10"),
        ("finetune --bank inf", "--bank: expected a whole number from 1"),
        ("pretrain --calibration-share nan", "--calibration-share: expected a number from 0 on and below 1, not nan"),
        ("learning-curve --goal inf", "--goal: expected a number between 0 and 1, not inf"),
        ("learning-curve --labelled 1 much", "--labelled: expected a number above 0 and at most 1, not much"),
        ("export a_run --margin nan", "--margin: expected a number from 0 to 1, not nan"),
        ("pretrain --nonsense", "--nonsense"),
        ("pretrain --epoch 3", 'unrecognized arguments: --epoch 3. Did you mean "--epochs"?'),
        ("pretrain --split=random", 'unrecognized arguments: --split=random. Did you mean "--split-by"?'),
        ("evaluate --epochs a_run", "unrecognized arguments: --epochs.\n"),
        ("data fetch aquarium --form x.zip", 'unrecognized arguments: --form x.zip. Did you mean "--from"?'),
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


@pytest.mark.parametrize("option", ["--data", "--output-dir", "--recipe", "--resume", "--split-by"])
@pytest.mark.parametrize("words", [("",), (" ",), None])
def test_an_empty_value_is_a_wrong_command_line(option, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["pretrain", *((option, *words) if words else (f"{option}=",))])
    assert f"error: the value after {option} is empty. Expected some text" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "where"), [(["", "runs"], "the command"), (["a_run", ""], "a_run")])
def test_an_empty_path_is_a_wrong_command_line(words, where, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", *words])
    assert f"the value after {where} is empty" in capsys.readouterr().err


def test_help_before_the_command_is_that_commands_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help", "pretrain"])
    assert "--grid" in capsys.readouterr().out


EARLY = [
    *(
        (f"{words} --data-dir NOPE", "NOPE is no folder and no .zip, .tgz or .tar. Expected a folder of images, or an")
        for words in (
            *("pretrain", "finetune", "autoencode", "learning-curve", "search --recipe aquarium_four_conv", "audit"),
            *("recipes replay aquarium", "evaluate run", "explain run", "latent run", "data pack", "data materialise"),
        )
    ),
    *(
        (f"{words} NOPE", "There is no folder NOPE. `marinecv runs` lists runs, studies and searches.")
        for words in (
            *("evaluate", "explain", "export --check", "latent", "report", "compare run"),
            *("pretrain --resume", "finetune --resume", "autoencode --resume", "search --resume"),
            *("learning-curve --resume", "learning-curve --encoder", "recipes replay aquarium --resume"),
        )
    ),
    ("predict NOPE photos", "There is no folder NOPE."),
    ("runs NOPE", "There is no folder NOPE. Expected one that holds runs"),
    ("pretrain --resume .", "is no run: it has no recipe.json. Expected a folder that pretrain or finetune made"),
    ("search --resume run", "run is no search: it has no search.json"),
    ("recipes replay aquarium --resume run", "run is no experiment: it has no study.json"),
    ("predict run NOPE", "There is no NOPE. Expected an image file or a folder."),
    ("finetune --data-dir two --weights NOPE", "There is no weights file NOPE. Expected imagenet, none, or a file"),
    (
        "pretrain --data-dir two --split-by NOPE.csv",
        "There is no split file NOPE.csv. Expected a CSV with image_id and",
    ),
    ("audit --data aquarum", 'There is no data set "aquarum". Did you mean "aquarium"? Expected one of'),
    ("pretrain --data NOPE.toml", "There is no manifest at NOPE.toml."),
    ("finetune --backbone resnet", 'There is no backbone "resnet". Did you mean "resnet50"? Expected one of'),
    ("pretrain --recipe four_conv", 'There is no recipe "four_conv". Did you mean "aquarium_four_conv"? Expected one'),
    ("search --recipe aquarium_mobilenet", 'Did you mean "aquarium_mobilenet_'),
    ("learning-curve --recipe butterflies_fraction", 'There is no recipe "butterflies_fraction". Did you mean "butt'),
    ("autoencode --recipe aquarium_four_conv", "is for another command: pretrain --recipe aquarium_four_conv."),
    ("data fetch aquarum", 'Did you mean "aquarium"?'),
    (
        "pretrain --data-dir two --output-dir file",
        "file is a file. Name another folder with --output-dir.",
    ),
    (
        "audit --data-dir two --output-dir file/new",
        "file/new, and ...file is a file. Name another folder",
    ),
    ("finetune --data-dir two --output-dir two", "two exists and is not empty. Expected a new or an empty folder"),
    ("pretrain --data-dir one", 'All 2 images to train on are of one class, "eel". Expected at least two'),
    ("finetune --data-dir none", "There is no image file in ...none. Expected some that end in .jpg"),
    (
        "pretrain --data-dir names",
        "None of the 1 files that ...labels.csv names is there; the first is 'b'",
    ),
    (
        "finetune --data-dir names",
        "the nearest file 'a.jpg'",
    ),
]
ONE_BY_ONE = """
import io, json, sys, time
from contextlib import redirect_stderr, redirect_stdout
from pipelines.cli import main
told = []
for words in json.loads(sys.argv[1]):
    started, out, said = time.process_time(), io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(said):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    told.append([code, out.getvalue(), said.getvalue(), time.process_time() - started])
print(json.dumps([told, "tensorflow" in sys.modules]))
"""


@pytest.fixture(scope="module")
def told_early(tmp_path_factory):
    """What each line of `EARLY` ends with, all in one process: code, output, error and seconds; and what is left."""
    folder = tmp_path_factory.mktemp("early")
    for name, text in (
        ("recipe", '{"model": {"kind": "cnn"}}'),
        ("contract", '{"class_names": ["eel", "ray"], "image": {"height": 8, "width": 8}, "demonstration": false}'),
    ):
        (folder / "run").mkdir(exist_ok=True)
        (folder / "run" / f"{name}.json").write_text(text)
    (folder / "file").touch()
    for place in ("one/eel/a.jpg", "one/eel/b.jpg", "two/eel/a.jpg", "two/ray/a.jpg", "names/a.jpg"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        draw_image("eel", seed=len(place)).save(folder / place)
    (folder / "names" / "labels.csv").write_text("file,class\nb,eel\n")
    (folder / "none").mkdir()
    (folder / "none" / "notes.txt").touch()
    before = sorted(folder.rglob("*"))
    lines = json.dumps([words.split() for words, _ in EARLY])
    home = {"MARINECV_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ONE_BY_ONE, lines]
    shown = subprocess.run(command, cwd=folder, env={**os.environ, **home}, capture_output=True, text=True, check=True)
    assert sorted(folder.rglob("*")) == before
    told, tensorflow = json.loads(shown.stdout)
    assert not tensorflow
    return dict(zip([words for words, _ in EARLY], told, strict=True))


@pytest.mark.parametrize(("words", "said"), EARLY, ids=[words for words, _ in EARLY])
def test_what_is_wrong_is_said_within_a_second_and_before_tensorflow_is_imported(words, said, told_early):
    code, out, error, seconds = told_early[words]
    assert code == 1 and out == "" and error.startswith("error: ") and error.count("\n") == 1
    assert (
        all(part in error for part in said.split("...")) and seconds < 2
    )  # the first imports pandas, on a busy machine


def test_every_recipe_labels_images_as_the_check_reads_them():
    assert {(recipe.data.label_rule, recipe.data.no_box) for recipe in RECIPES.values()} == {("dominant", "skip")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "recipes replay aquarium --only nope",
            'There is no recipe or command "nope". Expected one of pretrain, finetune',
        ),
        (
            "finetune --data-dir two --backbone mobilenetv3large --weights none --alpha 0.5",
            "mobilenetv3large has no width multiplier. Leave out --al",
        ),
    ],
)
def test_an_error_is_one_calm_line_that_says_how_to_mend_it(
    words, said, roboflow_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    roboflow_folder.rename(tmp_path / "two")
    assert said in error_of(capsys, *words.split())
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_an_interruption_is_exit_code_130(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("pipelines.commands.runs"), "run", interrupted)
    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_console_that_cannot_show_a_letter_prints_a_substitute(encoding, tmp_path):
    place = tmp_path / "鱼 é"
    place.mkdir()
    (place / "recipe.json").write_text("{}")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    shown = subprocess.run(
        [sys.executable, "run.py", "runs", str(place)], cwd=ROOT, env=environment, capture_output=True
    )
    letters = "鱼 é".encode(encoding, "backslashreplace")
    assert shown.returncode == 0 and shown.stderr == b"" and letters + b"  stopped after 0" in shown.stdout
    missing = [sys.executable, "run.py", "runs", str(tmp_path / "鱼é")]
    shown = subprocess.run(missing, cwd=ROOT, env=environment, capture_output=True)
    assert shown.returncode == 1 and "鱼é. Expected".encode(encoding, "backslashreplace") in shown.stderr


def test_a_letter_that_cannot_be_written_is_no_error_of_the_user(monkeypatch):
    def write(args):
        "鱼".encode("ascii")

    monkeypatch.setattr(importlib.import_module("pipelines.commands.runs"), "run", write)
    with pytest.raises(UnicodeEncodeError):
        main(["runs"])


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
