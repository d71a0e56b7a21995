"""Faults of the place where work is kept: two at once, a full disk, a folder that may not be written, a polite kill."""

import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path

import pytest
import tensorflow as tf
from conftest import killed, room_for

import marinecv as mcv
from marinecv.experiments import Experiment
from marinecv.files import atomic
from marinecv.files.lock import LOCK, lock_folder
from marinecv.runs import Run, fresh_folder
from marinecv.workflows import train, train_runs
from pipelines.cli import main
from pipelines.faults import error_message

SMALL = ["--epochs", "2", "--image-size", "32"]  # as `finished_run` was trained


@contextmanager
def held_elsewhere(folder):
    """Another process that holds a folder."""
    code = "import sys; from marinecv.files.lock import lock_folder\nwith lock_folder(sys.argv[1]): "
    code += "print('held', flush=True); input()"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        yield other
        if other.poll() is None:
            other.communicate("\n")


def test_a_folder_is_held_by_one_process(tmp_path):
    with held_elsewhere(tmp_path):
        with pytest.raises(ValueError, match="is in use: another process"):
            lock_folder(tmp_path).__enter__()
        assert fresh_folder(tmp_path) == tmp_path  # the lock is nothing that could be overwritten
    with lock_folder(tmp_path), lock_folder(tmp_path):  # its own process may hold it twice
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_killed_process_holds_nothing_and_its_half_written_files_are_removed(tmp_path):
    (tmp_path / "figures").mkdir()
    for name in (".4711.model.keras", ".12.history.csv", "history.csv", ".notes", ".4711", "figures/.12.curves.png"):
        (tmp_path / name).touch()
    with held_elsewhere(tmp_path) as other:
        other.kill()
        other.wait()
    with lock_folder(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".4711", LOCK, ".notes", "figures", "history.csv"]
        assert not any((tmp_path / "figures").iterdir())


def test_who_waits_gets_the_folder_when_the_other_ends(tmp_path):
    with held_elsewhere(tmp_path) as other:
        release = threading.Thread(target=other.communicate, args=("\n",))
        with lock_folder(tmp_path, waiting=release.start):
            release.join()
            assert other.returncode == 0


def test_two_runs_in_one_folder_at_once_are_one_run_and_an_error(shared_tank, finished_run, tmp_path, capsys):
    copy = shutil.copytree(finished_run, tmp_path / "run")
    for words in (["--data-dir", str(shared_tank), *SMALL, "--output-dir"], ["--resume"]):
        folder = copy if words == ["--resume"] else tmp_path / "new"
        folder.mkdir(exist_ok=True)
        with held_elsewhere(folder):
            assert main(["pretrain", *words, str(folder)]) == 1
        assert f"error: {folder} is in use" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "new").iterdir()] == [LOCK]


@pytest.mark.parametrize(
    "num_bytes", [pytest.param(size, marks=pytest.mark.slow) for size in (20_000, 700_000)] + [300_000]
)
def test_a_full_disk_is_an_error_and_the_run_goes_on_when_there_is_room(
    num_bytes, shared_tank, finished_run, tmp_path, capsys, monkeypatch
):
    pages = []
    monkeypatch.setattr(train_runs, "write_run_report", pages.append)
    sizes = {path.name: path.stat().st_size for path in finished_run.iterdir() if path.is_file()}
    assert max(sizes.values()) > 700_000 > 300_000 > sizes["catalog.csv"]
    with room_for(num_bytes):
        assert main(["pretrain", "--data-dir", str(shared_tank), *SMALL, "--output-dir", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "File too large" in said and "Make room, or write elsewhere: --output-dir" in said
    assert f"What is done is kept; go on with --resume {tmp_path / 'run'}" in said
    run = Run(tmp_path / "run")
    assert not run.finished and not pages and not list(run.folder.glob(".*.*"))
    assert main(["pretrain", "--resume", str(run.folder)]) == 0
    assert run.path("predictions.csv").read_bytes() == (finished_run / "predictions.csv").read_bytes()


@contextmanager
def as_nobody():
    """Root may write everywhere; the one who runs the test as root becomes somebody else meanwhile."""
    if os.name == "nt":
        pytest.skip("needs the permissions of Unix")
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_an_output_folder_that_may_not_be_written_is_said_before_any_work(tmp_path):
    tmp_path.chmod(0o500)
    with as_nobody(), pytest.raises(PermissionError) as refused:
        fresh_folder(tmp_path / "run")
    tmp_path.chmod(0o700)
    assert "--output-dir for results, MARINECV_HOME" in error_message(refused.value, Namespace())
    assert not (tmp_path / "run").exists()


OOM = "OOM when allocating tensor with shape[9]"


@pytest.mark.parametrize(
    ("error", "asked", "part"),
    [
        (OSError(errno.EIO, "Input/output error", "x.csv"), [], "[Errno 5] Input/output error: 'x.csv'"),
        (MemoryError(), ["epochs"], "Out of memory. Use a smaller model."),
        (MemoryError("Unable to allocate 1.00 PiB"), ["batch_size", "limit"], "a smaller --batch-size or --limit."),
        (tf.errors.ResourceExhaustedError(None, None, f"Graph:\n\n{OOM}"), ["limit"], f"memory ({OOM}). Use a smaller"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), ["image_size"], "Use a smaller --image-size."),
        (tf.errors.UnknownError(None, None, "{{node}} /x/part-0; No space left on device [Op]"), [], "/x/part-0"),
        (ValueError("Of 3 files one fails: File too large. Make room here."), [], "File too large. Make room here"),
        (sqlite3.OperationalError("database or disk is full"), [], "disk is full. Make room"),
    ],
)
def test_a_full_memory_and_a_full_disk_are_blamed_however_a_library_reports_them(error, asked, part):
    assert part in error_message(error, Namespace(**dict.fromkeys(asked)))


def test_an_error_that_is_no_fault_of_the_machine_is_blamed_on_nothing():
    for error in (KeyError("x"), UnicodeEncodeError("ascii", "鱼", 0, 1, "x")):
        assert error_message(error, Namespace()) == ""


def test_a_training_that_runs_out_of_memory_is_one_sentence(shared_tank, tmp_path, monkeypatch, capsys):
    def fill(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64,224,224,3]")

    monkeypatch.setattr(train_runs, "fit_recipe", fill)
    assert main(["pretrain", "--data-dir", str(shared_tank), *SMALL, "--output-dir", str(tmp_path / "run")]) == 1
    assert "error: Out of memory (OOM" in (said := capsys.readouterr().err) and "a smaller --batch-size" in said


def test_a_full_folder_is_named_and_what_was_in_it_stays(finished_run, shared_tank, tmp_path, monkeypatch, capsys):
    def full(self, *_, **__):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as of `write`, which names no file

    atomic.write_text(tmp_path / "table.csv", "the older one")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError) as refusal:
        atomic.write_text(tmp_path / "table.csv", "the new one")
    said = error_message(refusal.value, Namespace())
    assert str(tmp_path / "table.csv") in said and "Make room, or write elsewhere" in said
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):  # its temporary folder
        mcv.predict(mcv.Run(finished_run), shared_tank / "valid", log=None)
    assert main(["predict", str(finished_run), str(shared_tank / "valid"), "--output", str(tmp_path / "new.csv")]) == 1
    assert f"No space left on device: '{tmp_path / 'new.csv'}" in capsys.readouterr().err
    monkeypatch.undo()
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == "the older one"
    files = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert [name for name in files if "autograph" not in name] == ["table.csv"]  # TensorFlow keeps sources of its own


@pytest.mark.slow
@pytest.mark.parametrize("format", ["savedmodel", "onnx"])
def test_an_export_on_a_full_disk_blames_the_disk(format, finished_run, tmp_path, capsys):
    copy = shutil.copytree(finished_run, tmp_path / "run")
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    with room_for(10_000):
        assert main(["export", str(copy), "--format", format]) == 1
    said = capsys.readouterr().err
    assert "File too large. Make room, or write elsewhere" in said and "model cannot be written" not in said
    assert [path.name for path in (copy / "exports").iterdir()] == [LOCK]


@pytest.mark.parametrize("words", ["audit --output-dir new --data-dir", "pretrain --output-dir new --data-dir"])
def test_a_path_that_is_not_utf_8_is_said_before_any_work(words, roboflow_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        place = os.fsdecode(b"caf\xe9")
        roboflow_folder.rename(tmp_path / place)
    except (OSError, UnicodeError):
        pytest.skip("this system has UTF-8 names alone")
    assert main([*words.split(), place]) == 1
    assert f"{tmp_path}/caf\\xe9 is not UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("home", ["file", "file/deep"])
def test_a_store_that_can_be_no_folder_is_said_at_once(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MARINECV_HOME", str(tmp_path / home))
    assert main(["data", "list"]) == 1
    assert f"MARINECV_HOME is {tmp_path / home}, and {tmp_path / 'file'} is a file." in capsys.readouterr().err


def test_images_of_which_none_can_be_decoded_are_said_with_the_reason_of_the_first(shared_tank, tmp_path, capsys):
    tank = shutil.copytree(shared_tank, tmp_path / "tank")
    for file in tank.rglob("*.jpg"):
        file.write_bytes(file.read_bytes()[:-300])
    assert main(["pretrain", "--data-dir", str(tank), *SMALL, "--output-dir", str(tmp_path / "run")]) == 1
    assert "no usable image; the first, train/crab_train_0.jpg: " in capsys.readouterr().err


def test_killed_before_there_is_a_run_it_says_to_start_again(shared_tank, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "start", killed)
    words = ["--data-dir", str(shared_tank), *SMALL, "--output-dir", str(tmp_path / "run")]
    assert main(["pretrain", *words]) == 130
    assert f"Stopped. Nothing was begun in {tmp_path / 'run'}; start again." in capsys.readouterr().err
    monkeypatch.undo()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no polite kill")
def test_a_polite_kill_ends_the_work_as_control_c_does(finished_run, shared_tank, tmp_path, monkeypatch, capsys):
    def terminated(*args, **how):
        signal.raise_signal(signal.SIGTERM)

    copy = shutil.copytree(finished_run, tmp_path / "run")
    monkeypatch.setattr("marinecv.workflows.resume.finish", terminated)
    assert main(["pretrain", "--resume", str(copy)]) == 130
    assert f"go on with --resume {copy}" in capsys.readouterr().err


def test_a_run_of_a_study_without_its_page_gets_it_on_resume(finished_run, tmp_path, monkeypatch):
    copy = shutil.copytree(finished_run, tmp_path / "experiment" / "cell")
    (copy / "report.html").unlink()
    Experiment.create(tmp_path / "experiment", "experiment", "An experiment", ["cell"])
    assert main(["pretrain", "--resume", str(tmp_path / "experiment")]) == 0
    assert (copy / "report.html").is_file()
