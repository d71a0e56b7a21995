"""Progress: a bar that is cleared in a terminal or a notebook, a line now and then elsewhere, nothing of short work."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tqdm import tqdm

from marinecv import progress as room
from marinecv.evaluation import predict
from marinecv.evaluation.predict import predict_probabilities
from marinecv.progress import is_interactive, progress_bar
from marinecv.training.callbacks import EpochLine
from marinecv.training.distribution import device_sentence
from marinecv.training.recipe import Training

ROOT = Path(room.__file__).resolve().parents[1]
EPOCHS = """
import time
import numpy as np
from marinecv import console
console.import_tensorflow()
import keras
from marinecv import progress
from marinecv.training.callbacks import EpochLine, batch_bar
from marinecv.training.recipe import Training
progress.BAR_AFTER_S = 0.15
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
with batch_bar(print) as bar:
    slow = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: time.sleep(0.1))
    callbacks = [slow, bar, EpochLine(Training(), print)]
    model.fit(np.zeros((6, 2)), np.zeros(6), 2, epochs=3, verbose=0, callbacks=callbacks)
"""


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when told to."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def in_a_terminal(code: str, **environment: str) -> str:
    """What a program writes to a terminal of 80 columns, as bytes come."""
    pty = pytest.importorskip("pty", reason="there is no pseudo-terminal on Windows")
    ours, theirs = pty.openpty()
    __import__("termios").tcsetwinsize(theirs, (24, 80))
    known = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    known.pop("TQDM_DISABLE", None)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=known)
    os.close(theirs)
    written = b""
    while True:
        try:
            written += (chunk := os.read(ours, 4096))
        except OSError:  # on Linux this is how it ends
            break
        if not chunk:
            break
    os.close(ours)
    assert process.wait(60) == 0, written
    return written.decode()


def left_over(written: str) -> list[str]:
    """The lines that a terminal shows in the end."""
    shown = []
    for line in written.split("\r\n"):
        cells = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        shown.append("".join(cells).rstrip())
    return shown


@pytest.mark.slow
def test_a_terminal_shows_a_bar_that_is_cleared_before_the_next_line():
    written = in_a_terminal(EPOCHS, KERAS_BACKEND="tensorflow")
    assert re.search(r"\repoch  2/3: +[1-9]\d*%\|.*\| +\d/3 \[", written), written
    *lines, end = left_over(written)
    assert [line.split("  loss")[0] for line in lines] == [f"  epoch  {number}/3" for number in (1, 2, 3)] and not end


@pytest.mark.slow
def test_a_pipe_gets_lines_alone():
    known = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, "-c", EPOCHS], env=known, capture_output=True, text=True, check=True)
    assert "\r" not in done.stdout and "|" not in done.stdout and done.stderr == ""
    assert done.stdout.count("\n") == 3


def lines_of(clock, total, steps, **options):
    """The lines of work whose (second, done) are given."""
    said = []
    with progress_bar(total, "decoding images", log=said.append, **options) as show:
        for clock.now, done in steps:
            show(done)
    return [line.removeprefix("  decoding images: ") for line in said]


def test_lines_come_after_a_while_then_rarely_and_tell_about_how_long(clock):
    lines = lines_of(clock, 1000, [(0.6 * done, done) for done in range(1, 1001)])
    assert lines[:2] == ["17 of 1,000, about 10 min left", "117 of 1,000, about 9 min left"] and len(lines) == 10
    clock.now = 0.0  # what was done before took none of the time
    steps = [(20.0, 50), (20.0, 60)]
    assert lines_of(clock, 100, steps, unit="batches", done=50) == ["60 of 100 batches, about 80 s left"]
    clock.now = 0.0  # the end is unknown
    lines = lines_of(clock, None, [(done, done) for done in range(1, 1000)], unit="MB")
    assert lines[:3] == ["10 MB", "40 MB", "70 MB"] and len(lines) < 25
    clock.now = 0.0
    assert lines_of(clock, 2, [(9.0, 1)]) == []  # short work


def test_work_without_a_log_says_nothing_and_an_error_clears_the_bar(clock, capfd, monkeypatch):
    with progress_bar(2, "decoding images") as show:
        clock.now = 99.0
        show(1)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(room, "is_interactive", lambda: True)
    monkeypatch.setattr(room, "BAR_AFTER_S", 0.0)
    with pytest.raises(KeyboardInterrupt), progress_bar(2, "decoding images") as show:
        show(1)
        raise KeyboardInterrupt
    assert not list(tqdm._instances)


def test_a_notebook_a_terminal_and_what_is_neither(monkeypatch):
    kernel = SimpleNamespace(config={"IPKernelApp": {}})
    for shell in (kernel, SimpleNamespace(config={}), None):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert is_interactive() == (shell is kernel)
    size = [80, 24]
    monkeypatch.setattr(room.shutil, "get_terminal_size", lambda fallback: size)
    for stream in ("stdout", "stderr"):  # of `| tee` the first is none
        monkeypatch.setattr(sys, stream, SimpleNamespace(isatty=lambda: True))
        assert is_interactive() == (stream == "stderr")
    with monkeypatch.context() as patch:
        patch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "1")
        assert not is_interactive()
    with monkeypatch.context() as patch:
        patch.setattr(room, "parent_process", lambda: "the parent")
        assert not is_interactive()
    size[1] = 0  # such as a container in CI gives, whose output lands in a file
    assert not is_interactive()
    monkeypatch.setattr(sys, "stderr", None)  # of a program without a console
    assert not is_interactive()


def test_each_batch_of_a_prediction_moves_the_bar(monkeypatch):
    shown = []
    monkeypatch.setattr(predict, "progress_bar", lambda total, *_, **__: nullcontext(shown.append))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    data = tf.data.Dataset.from_tensor_slices(np.arange(10.0).reshape(5, 2)).batch(2)
    predicted = predict_probabilities(model, data)
    np.testing.assert_allclose(predicted, model.predict_on_batch(np.arange(10.0).reshape(5, 2)), rtol=1e-6)
    assert sorted(shown) == [1, 2, 3]


def test_the_time_left_is_the_median_epoch_times_those_to_come():
    said = []
    line = EpochLine(Training(), said.append)
    line.set_params({"epochs": 5})
    for epoch, seconds in enumerate((60, 10, 12)):  # the first is compiled too
        line.on_epoch_begin(epoch)
        line.started -= seconds
        line.on_epoch_end(epoch, {"loss": 1.0, "accuracy": 0.5})
    assert [text.split("about ")[1] for text in said] == ["4 min left", "2 min left", "24 s left"]


def test_the_device_is_that_of_the_backend(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    gpus, details = [], {"device_name": "NVIDIA H200"}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    for device in ("3 CPU cores", "NVIDIA H200", "2 x NVIDIA H200"):
        assert device_sentence() == f"TensorFlow {tf.__version__} on {device}"
        gpus.append("gpu")
    details.clear()
    assert device_sentence() == f"TensorFlow {tf.__version__} on 3 x GPU"


def test_the_device_of_jax(monkeypatch):
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(platform="gpu", device_kind="NVIDIA H200")])
    assert device_sentence() == f"JAX {jax.__version__} on NVIDIA H200"


def test_a_pipe_gets_each_line_of_a_command_at_once():
    words = "import sys, pipelines.cli as cli; cli.main([]); print(sys.stdout.line_buffering)"
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("True\n")
