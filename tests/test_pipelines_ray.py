"""`--workers ray`: what one process gives, several give too, and one of them may be killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import draw_image
from test_pipelines_search import search

from marinecv.runs import Run
from marinecv.search.folder import Search
from marinecv.search.space import TRAINING
from marinecv.workflows import predict
from marinecv.workflows.ray_workers import QUIET, ray_workers
from pipelines.cli import main

os.environ.update(QUIET)  # read once, when Ray is imported
ray = pytest.importorskip("ray")
ROOT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="kills as Unix does"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # wherever a test goes, its workers find the code
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.fixture
def reviewing_run(finished_run, tmp_path):
    """A run that doubts every image of which it is not very sure."""
    run = Run(shutil.copytree(finished_run, tmp_path / "run"))
    curve = [{"share": 1.0, "looked_at": 0, "n": 3, "accuracy": 1.0, "low": 0.0, "high": 1.0}]
    review = {"goal": 0.95, "probability": 0.4, "distance": None, "n": 0, "looked_at": 0, "rest": None, "curve": curve}
    told = {**run.read("calibration.json"), "review": review}
    run.path("calibration.json").write_text(json.dumps(told))
    return run.folder


def photos(folder: Path, count: int) -> Path:
    """So many pictures, and a file that is none."""
    folder.mkdir()
    for number in range(count):
        draw_image(("crab", "eel", "ray")[number % 3], number).save(folder / f"{number:03d}.png")
    (folder / "010 text.jpg").write_text("no picture")
    return folder


def workers(name: str) -> list[int]:
    """The process numbers of the workers of Ray below this process that do what is named."""
    listed = subprocess.run(["ps", "-Ao", "pid=,ppid=,command="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, _ in lines}

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    return [int(pid) for pid, _, command in lines if command.startswith(f"ray::{name}") and is_ours(int(pid))]


class Killing(threading.Thread):
    """Kill workers as soon as a file is there.

    Args:
        pattern: of the file, below `folder`.
        name: of what the workers do.
        most: how many are killed.
    """

    def __init__(self, folder: Path, pattern: str, name: str, most: int):
        super().__init__(daemon=True)
        self.folder, self.pattern, self.name, self.most, self.killed, self.seen = folder, pattern, name, most, [], []

    def run(self):
        for _ in range(3000):
            self.seen = list(self.folder.glob(self.pattern))
            if self.seen:
                self.killed = workers(self.name)[: self.most]
                for pid in self.killed:
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)


@pytest.mark.slow
def test_predictions_by_ray_are_those_of_one_process_byte_for_byte_though_a_worker_is_killed(
    reviewing_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(predict, "CHUNK", 4)
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos", 79)
    words = ["predict", str(reviewing_run), "photos", "--review", "--output"]
    assert main([*words, "alone.csv"]) == 0
    capsys.readouterr()
    killing = Killing(tmp_path, "ray.csv.*.parts/*.csv", "MapWorker", most=1)
    killing.start()
    assert main([*words, "ray.csv", "--workers", "ray"]) == 0
    killing.join()
    assert len(killing.killed) == 1 and len(killing.seen) < 10
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert '010 text.jpg,,,,,,,,"cannot be read: not an image' in (tmp_path / "ray.csv").read_text()
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[1:21] == [f"  {done}/80 images" for done in range(4, 81, 4)] and shown.err == ""
    assert lines[21] == "ray.csv: 79 predicted, 1 failed (column problem)" and len(lines) == 23


@pytest.mark.slow
def test_trials_by_ray_are_told_once_and_the_winner_is_that_of_one_process(shared_tank, tmp_path, capsys, no_pages):
    assert search(shared_tank, tmp_path / "search", "--workers", "ray", "--trials", 2) == 0
    found, winner = Search(tmp_path / "search"), Run(tmp_path / "search" / "best")
    assert (found.engine, [trial.status for trial in found.trials]) == ("optuna", ["done"] * 2)
    assert winner.history["val_accuracy"].max() == found.best.value  # trained here, and by a worker
    shown = capsys.readouterr()
    told = [line for line in shown.out.splitlines() if line.startswith("[")]
    assert sorted(line[:5] for line in told) == ["[1/2]", "[2/2]"] and "pid=" not in shown.out + shown.err


@pytest.mark.slow
def test_trials_of_workers_that_are_killed_are_taken_up_by_those_in_their_place(shared_tank, tmp_path, no_pages):
    killing = Killing(tmp_path, "search/trials/*/checkpoint.npz", "work_apart", most=2)
    killing.start()
    assert search(shared_tank, tmp_path / "search", "--workers", "ray", "--epochs", 12) == 0
    killing.join()
    assert len(killing.killed) == 2
    trials = Search(tmp_path / "search").trials
    assert [(trial.status, trial.epochs) for trial in trials] == [("done", 12)] * 3


@pytest.mark.slow
def test_a_search_by_ray_that_is_interrupted_goes_on_by_ray(shared_tank, tmp_path, capsys, no_pages):
    folder = tmp_path / "search"
    words = ["--recipe", "aquarium_four_conv", "--data-dir", shared_tank, "--epochs", 12, "--image-size", 16]
    words += ["--trials", 5, "--workers", "ray", "--output-dir", folder]
    program = subprocess.Popen([sys.executable, "run.py", "search", *map(str, words)], cwd=ROOT)
    while not list(folder.glob("trials/*/checkpoint.npz")):
        assert program.poll() is None
        time.sleep(0.02)
    program.send_signal(signal.SIGTERM)  # ends as Ctrl-C does
    assert program.wait(timeout=30) == 130
    stopped = Search(folder).trials
    left = [trial for trial in stopped if not trial.over]
    assert left and all(trial.tries == 0 for trial in left)
    assert main(["search", "--resume", str(folder), "--workers", "ray"]) == 0
    assert [(trial.status, trial.epochs) for trial in Search(folder).trials] == [("done", 12)] * 5
    capsys.readouterr()
    assert main(["search", "--resume", str(folder), "--workers", "ray"]) == 0
    assert "5 of 5 trials that were begun are over" in capsys.readouterr().out


def test_workers_have_the_driver_s_places_and_threads_and_what_they_raise_is_raised_here(monkeypatch):
    def places():
        return {name: os.environ.get(name) for name in ("MARINECV_HOME", "OMP_NUM_THREADS")}

    def refuse():
        raise ValueError("no such fish")

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="^no such fish$"), ray_workers(most=5) as workers:
        assert workers.count == 2 and workers.each == {"num_cpus": 1}
        assert signal.getsignal(signal.SIGTERM) is on_sigterm
        found = ray.get(ray.remote(places).options(**workers.each).remote())
        assert found == {"MARINECV_HOME": os.environ["MARINECV_HOME"], "OMP_NUM_THREADS": "2"}
        ray.get(ray.remote(refuse).remote())
    assert not ray.is_initialized()


def test_a_worker_that_is_lost_again_and_again_is_an_error():
    with pytest.raises(OSError, match="^Ray gave up: "), ray_workers(most=1):
        ray.get(ray.remote(lambda: os._exit(1)).options(max_retries=1).remote())


def test_a_cluster_that_cannot_be_joined_is_an_error(monkeypatch):
    def refuse(*args, **options):
        raise RuntimeError("Version mismatch: The cluster was started with: Ray: 1.0.")

    monkeypatch.setattr(ray, "init", refuse)
    with (
        pytest.raises(OSError, match="^Ray at local cannot be joined: Version mismatch.*Expected the same Ray"),
        ray_workers(1),
    ):
        pass


@pytest.mark.parametrize("words", [["predict", ".", "photos"], ["search", "--recipe", "aquarium_four_conv"]])
def test_without_ray_it_is_said_how_to_install_it(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*words, "--workers", "ray"]) == 1
    assert "Ray is not installed. Install it with: pip install 'marinecv[ray]'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_an_engine_of_one_process_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refusal = "kerastuner searches in one process"
    assert main(["search", "--recipe", "aquarium_four_conv", "--engine", "kerastuner", "--workers", "ray"]) == 1
    assert refusal in capsys.readouterr().err and not any(tmp_path.iterdir())
    Search.create(tmp_path, "kerastuner", "random", 3, 0, TRAINING)
    assert main(["search", "--resume", str(tmp_path), "--workers", "ray"]) == 1
    assert refusal in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_an_error_at_once(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    words = [str(finished_run), str(photos(tmp_path / "photos", 1)), "--output", str(tmp_path / "out.csv")]
    assert main(["predict", *words, "--workers", "ray"]) == 1
    assert "RAY_ADDRESS is 127.0.0.1:9, and no Ray cluster answers there" in capsys.readouterr().err
