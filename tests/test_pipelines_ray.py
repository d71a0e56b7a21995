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
from conftest import draw_image, search

from marinecv.runs import Run
from marinecv.search.folder import Search
from marinecv.search.space import TRAINING
from marinecv.workflows import predict
from marinecv.workflows.ray_workers import RAY_ENVIRONMENT, ray_workers
from pipelines.cli import main

os.environ.update(RAY_ENVIRONMENT)  # read once, when Ray is imported
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
    curve = [{"fraction": 1.0, "reviewed": 0, "n": 3, "accuracy": 1.0, "low": 0.0, "high": 1.0}]
    unknown = {"distance": None, "unflagged": None}
    review = {"goal": 0.95, "probability": 0.4, "n": 0, "reviewed": 0, "curve": curve, **unknown}
    calibration = {**run.read("calibration.json"), "review": review}
    run.path("calibration.json").write_text(json.dumps(calibration))
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
    """Kill at most `most` workers that do what is named as soon as a file of a pattern lies below a folder."""

    def __init__(self, folder: Path, pattern: str, name: str, most: int):
        super().__init__(daemon=True)
        self.folder, self.pattern, self.name, self.most, self.killed, self.seen = folder, pattern, name, most, [], []

    def run(self):
        for _ in range(15_000):  # five minutes: workers start slowly beside other work
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
    assert '010 text.jpg,,,,,,,,,,,"cannot be read: not an image' in (tmp_path / "ray.csv").read_text()
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[1:21] == [f"  {done}/80 images" for done in range(4, 81, 4)] and shown.err == ""
    assert lines[-1] == "ray.csv: 79 predicted, 1 failed (column problem)"


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
def test_workers_have_the_driver_s_places_and_threads_and_what_they_raise_is_raised_here(monkeypatch):
    def variables():
        return {name: os.environ.get(name) for name in ("MARINECV_HOME", "OMP_NUM_THREADS")}

    def refuse():
        raise ValueError("no such fish")

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="^no such fish$"), ray_workers(most=5) as (count, each):
        assert count == 2 and each == {"num_cpus": 1}
        assert signal.getsignal(signal.SIGTERM) is on_sigterm
        found = ray.get(ray.remote(variables).options(**each).remote())
        assert found == {"MARINECV_HOME": os.environ["MARINECV_HOME"], "OMP_NUM_THREADS": "2"}
        ray.get(ray.remote(refuse).remote())
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_worker_that_is_lost_or_a_cluster_that_cannot_be_joined_is_an_error(monkeypatch):
    with pytest.raises(OSError, match="^Ray gave up: "), ray_workers(most=1):
        ray.get(ray.remote(lambda: os._exit(1)).options(max_retries=1).remote())

    def refuse(*args, **options):
        raise RuntimeError("Version mismatch: The cluster was started with: Ray: 1.0.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(OSError, match="local cannot be joined: Version mismatch"), ray_workers(1):
        pass


@pytest.mark.parametrize("words", [["predict", ".", "photos"], ["search", "--recipe", "aquarium_four_conv"]])
def test_without_ray_it_is_said_how_to_install_it(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*words, "--workers", "ray"]) == 1
    assert "pip install 'marinecv[ray]'" in capsys.readouterr().err and not any(tmp_path.iterdir())


def test_an_engine_of_one_process_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["search", "--recipe", "aquarium_four_conv", "--engine", "kerastuner", "--workers", "ray"]) == 1
    assert "kerastuner" in capsys.readouterr().err and not any(tmp_path.iterdir())
    Search.create(tmp_path, "kerastuner", "random", 3, 0, TRAINING)
    assert main(["search", "--resume", str(tmp_path), "--workers", "ray"]) == 1
    assert "kerastuner" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_an_error_at_once(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    words = [str(finished_run), str(photos(tmp_path / "photos", 1)), "--output", str(tmp_path / "out.csv")]
    assert main(["predict", *words, "--workers", "ray"]) == 1
    assert "No Ray cluster answers at RAY_ADDRESS=127.0.0.1:9" in capsys.readouterr().err
