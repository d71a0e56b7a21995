"""`search` from the command line: what it leaves, how it goes on, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import search
from msgspec.structs import replace

from marinecv.runs import Run
from marinecv.search import objective, space
from marinecv.search.folder import Search
from marinecv.training.recipe import Recipe
from marinecv.workflows import prepare
from marinecv.workflows import search as workflow
from pipelines.cli import main


@pytest.fixture
def untrained(monkeypatch):
    """Trials get figures without a training, and so does the winner."""

    def trainer(search, log, track):
        def give(trial, report):
            search.run_of(search.trial_folder(trial.number), Recipe.of(search.base))
            return replace(trial, status="done", value=trial.number / 10, loss=1.0, best_epoch=1, epochs=2, seconds=9.0)

        return give

    monkeypatch.setattr(workflow, "trainer", trainer)
    monkeypatch.setattr(workflow, "finish", lambda run, log, track: log(f"{Recipe.of(run).title} -> {run.folder}"))


@pytest.fixture(scope="module")
def searched(shared_tank, tmp_path_factory):
    """A search of Keras Tuner to its end. Only to be read."""
    folder = tmp_path_factory.mktemp("searched") / "search"
    assert search(shared_tank, folder) == 0
    return folder


@pytest.mark.slow
def test_the_winner_is_a_run_trained_again_which_alone_keeps_weights(searched):
    found, winner = Search(searched), Run(searched / "best")
    assert (found.engine, found.algorithm) == ("kerastuner", "bayesian")
    assert [trial.status for trial in found.trials] == ["done"] * 3
    recipe, best = winner.read("recipe.json"), found.best
    assert recipe["training"]["learning_rate"] == best.values["learning_rate"]
    assert recipe["title"] == f"From scratch: four convolutions (data: tank), trial {best.number} of 3"
    assert winner.history["val_accuracy"].max() == best.value  # the same seed gives the same training
    assert set(winner.metrics) == {"train", "validation", "test"} and winner.path("report.html").is_file()
    weights = [path for path in searched.rglob("*") if path.suffix in (".keras", ".npz")]
    assert weights == [searched / "best" / "model.keras"]
    names = {"base", "best", "figures", "report.html", "search.json", "trials", "trials.csv"}
    assert {path.name for path in searched.iterdir() if path.name != ".lock"} == names  # nothing of the engine
    table = pd.read_csv(searched / "trials.csv")
    assert list(table["number"]) == [1, 2, 3] and {"learning_rate", "momentum", "layers", "reason"} <= set(table)


def test_to_resume_a_search_that_is_over_changes_no_figure(searched, tmp_path, capsys):
    copy = shutil.copytree(searched, tmp_path / "copy")
    suffixes = (".json", ".csv", ".keras", ".txt")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.suffix in suffixes}
    assert main(["search", "--resume", str(copy)]) == 0
    assert before == {path: path.read_bytes() for path in before}
    assert "3 of 3 trials" in capsys.readouterr().out


@pytest.mark.slow
def test_a_trial_killed_in_an_epoch_goes_on_from_its_checkpoint(
    searched, shared_tank, tmp_path, monkeypatch, capsys, no_pages
):
    def killed(watch, epoch, logs=None):
        if epoch == 0 and "0002" in str(watch.run.folder):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(objective.TrialReporter, "on_epoch_end", killed)
        assert search(shared_tank, tmp_path / "killed") == 130
    folder = tmp_path / "killed"
    assert f"go on with --resume {folder}\n" in capsys.readouterr().err
    assert [trial.status for trial in Search(folder).trials] == ["done", "running"]
    assert len(Run(Search(folder).trial_folder(2)).history) == 1
    assert main(["search", "--resume", str(folder)]) == 0
    facts = ["number", "status", "value", "loss", "best_epoch", "epochs", "values"]
    ours, theirs = ([{name: getattr(t, name) for name in facts} for t in Search(f).trials] for f in (folder, searched))
    assert ours == theirs
    assert Run(folder / "best").metrics == Run(searched / "best").metrics


def test_a_line_a_trial_says_what_it_is_worth_and_what_remains(shared_tank, tmp_path, untrained, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--data-dir", str(shared_tank), "--trials", "3", "--algorithm", "random", "--set", "model.weights=none"]
    assert main(["search", *words]) == 0  # a head, on images of one's own
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["search-tank_mobilenet_head_untrained-1"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert [line.split(";")[0] for line in lines] == [
        f"[{number}/3] validation 0.{number}00 in epoch 1 of 2, best so far" for number in (1, 2, 3)
    ]
    assert lines[0].endswith("; 9 s, about 18 s left") and lines[2].endswith("; 9 s")
    assert all("learning rate" in line and "batch size" in line for line in lines)


def test_a_grid_that_is_exhausted_says_so(shared_tank, tmp_path, untrained, capsys, monkeypatch):
    monkeypatch.setattr(space, "SCRATCH", space.TRAINING[-1:])
    assert search(shared_tank, tmp_path / "search", "--algorithm", "grid", "--trials", 5) == 0
    assert "exhausted: it holds 3 trials." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        (ValueError("The training diverged."), "The first: ValueError: The training diverged.", "failed"),
        (OSError(28, "No space left on device"), "go on with --resume", "running"),
    ],
)
def test_a_trial_that_cannot_be_trained_ends_the_search_with_its_page_or_a_full_disk_with_the_way_to_go_on(
    error, message, status, shared_tank, tmp_path, capsys, monkeypatch
):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(objective, "fit_recipe", fail)
    assert search(shared_tank, tmp_path / "search") == 1
    shown = capsys.readouterr()
    assert message in shown.err and Search(tmp_path / "search").trials[0].status == status
    is_over = status == "failed"
    assert ("[2/3] failed, ValueError" in shown.out) == (tmp_path / "search" / "report.html").is_file() == is_over
    assert not (tmp_path / "search" / "best").exists()


def test_a_worker_leaves_the_winner_to_the_one_that_has_the_last_trial(shared_tank, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(workflow, "run_trials", lambda *args: False)
    assert search(shared_tank, tmp_path / "search", "--engine", "optuna") == 0
    assert "The last trials run in another process" in capsys.readouterr().out
    assert not (tmp_path / "search" / "best").exists()


def test_a_pretrained_recipe_shares_its_frozen_layers_between_trials(
    shared_tank, tmp_path, untrained, monkeypatch, capsys
):
    asked = []
    monkeypatch.setattr(prepare, "with_available_weights", lambda recipe, changes, needed: recipe)
    monkeypatch.setattr(prepare, "choose_cache", lambda *args: asked.append(args) or (4, "the frozen layers once"))
    monkeypatch.setattr(prepare, "log_plan", lambda *args: None)
    assert search(shared_tank, tmp_path / "search", "--recipe", "aquarium_mobilenet_p2") == 0
    assert asked[0][3] == 3 and "the frozen layers once" in capsys.readouterr().out
    base = Search(tmp_path / "search").base.read("recipe.json")
    assert base["training"]["cache_features"] == 4 and base["model"]["backbone"] == "mobilenet"
    assert "layers" not in Search(tmp_path / "search").best.values


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name a recipe with --recipe"),
        (["--recipe", "aquarium_four_conv", "--algorithm", "tpe"], "kerastuner has no algorithm 'tpe'"),
        (["--recipe", "aquarium_four_conv", "--image-size", "32", "64"], "Expected one --image-size"),
        (["--resume", "nowhere", "--trials", "3"], "--resume cannot be combined with --trials"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["search", *words]) == 1
    assert message in capsys.readouterr().err and not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["kerastuner", "optuna"])
def test_a_search_killed_outright_goes_on(shared_tank, tmp_path, engine):
    """With a true kill of a true process, in the midst of the second trial."""
    root, folder = Path(__file__).resolve().parents[1], tmp_path / "search"
    words = ["--recipe", "aquarium_four_conv", "--data-dir", shared_tank, "--epochs", 12, "--image-size", 16]
    words += ["--trials", 3, "--engine", engine, "--output-dir", folder]
    program = subprocess.Popen([sys.executable, "run.py", "search", *map(str, words)], cwd=root)
    while not (folder / "trials" / "0002" / "checkpoint.npz").is_file():
        assert program.poll() is None
        time.sleep(0.02)
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    first = json.loads((folder / "trials" / "0001" / "trial.json").read_text())
    assert main(["search", "--resume", str(folder)]) == 0
    found = Search(folder)
    assert [trial.over for trial in found.trials] == [True] * 3 and Run(folder / "best").finished
    assert json.loads((folder / "trials" / "0001" / "trial.json").read_text()) == first
    assert len(Run(found.trial_folder(2)).history) == found.trials[1].epochs
