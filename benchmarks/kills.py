"""Fifty kills, fifty equal ends: a command is killed at random instants and its next run ends as if nothing had been.

    python benchmarks/kills.py                          on the drawn reef
    python benchmarks/kills.py --data-dir FOLDER        on your own images; also --kills, --seed, --epochs, --limit

Each phase gets its share of the kills: fetching a zip over a slow connection, reading the data, building the pixel
cache on disk, an epoch, writing a checkpoint, saving the model, evaluation, the report. An unbroken run tells how long
each phase lasts; then, kill after kill, the same command starts in an empty store, and at a seeded random instant of a
phase it gets Ctrl-C (SIGINT), SIGTERM or SIGKILL. What goes on with `--resume` (with the same command, where there was
no run yet) must end equal to the unbroken run: `predictions.csv` and `metrics.json` byte for byte, every weight, and
every number of the history but the seconds; a fetch must end with the same files. Nothing half-written may stay behind.
The table goes to benchmarks/results/kills.csv. Needs Unix.
"""

import argparse
import importlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine

from marinecv.data.demo.dataset import write_demo_images
from marinecv.environment import commit
from marinecv.files.csv_tables import read_table, write_table
from marinecv.runs import Run

RESULTS = Path(__file__).parent / "results" / "kills.csv"
MARK = "\x1ephase "
FETCHING = "fetching"
PHASES = {  # in the order they are met: the first call inside each, which the child process wraps
    "reading": "marinecv.workflows.prepare:read_data",
    "pixel cache": "marinecv.training.fit:load_pixels",
    "epoch": "marinecv.training.checkpoint:Checkpoint.on_epoch_begin",
    "checkpoint": "marinecv.training.checkpoint:Checkpoint.on_epoch_end",
    "saving": "marinecv.training.fit:whole_file",
    "evaluation": "marinecv.workflows.train_runs:predict_table",
    "report": "marinecv.workflows.train_runs:write_run_report",
}
SHARES = {
    FETCHING: 8,
    "reading": 2,
    "pixel cache": 6,
    "epoch": 12,
    "checkpoint": 10,
    "saving": 4,
    "evaluation": 4,
    "report": 4,
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
SLOWNESS_S = 0.02  # the server rests so long after each 256 kB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of images, in any layout")
    parser.add_argument("--kills", type=int, default=sum(SHARES.values()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--limit", type=int, default=70, help="at most so many images a split")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        data_dir = args.data_dir or write_demo_images(Path(place) / "reef")
        flags = ["--data-dir", data_dir.absolute(), "--limit", args.limit, "--epochs", args.epochs]
        rows = []
        for row in kill_often(Path(place), args.kills, args.seed, flags):
            rows.append(row | {"data": data_dir.name, "commit": commit(), "machine": machine()})
            print(
                f"{len(rows)}/{args.kills}", *(row[name] for name in ("phase", "signal", "second", "end")), flush=True
            )
            write_table(args.output, pd.DataFrame(rows))
    equal = sum(row["end"] == "equal" for row in rows)
    print(f"{equal} of {len(rows)} ended equal to the unbroken run; the table is in {args.output}")
    return 0 if equal == len(rows) else 1


def kill_often(place: Path, kills: int, seed: int, flags: list):
    """Yield a row a kill: which phase, which signal, after how long, and how it ended."""
    rng = random.Random(seed)
    phases = [phase for phase, share in SHARES.items() for _ in range(share)]
    phases = phases if kills == len(phases) else [phases[i * len(phases) // kills] for i in range(kills)]
    signals = [SIGNALS[number % len(SIGNALS)] for number in range(kills)]
    rng.shuffle(signals)
    train, fetch = Training(place / "train", flags), Fetching(place / "fetch")
    try:
        yield from _each(place, train, fetch, rng, phases, signals)
    finally:
        fetch.server.shutdown()
        fetch.server.server_close()


def _each(place: Path, train: "Job", fetch: "Job", rng: random.Random, phases: list, signals: list):
    for number, (phase, kind) in enumerate(zip(phases, signals, strict=True), start=1):
        job = fetch if phase == FETCHING else train
        moments = [moment for moment in job.moments if moment[0] == phase]
        _, occurrence, seconds = rng.choice(moments)
        second = round(rng.uniform(0, seconds), 3)
        yield {
            "kill": number,
            "phase": phase,
            "occurrence": occurrence,
            "signal": kind.name,
            **job.killed(place / str(number), phase, occurrence, second, kind),
        }


class Job:
    """A command that is run unbroken once, and then broken often.

    Args:
        place: of the unbroken run.
    """

    def __init__(self, place: Path):
        self.place, self.log = place, place.with_suffix(".log")
        process, marks = self.begin(place, self.first(place))
        if ended(process) != 0:
            raise RuntimeError(f"The unbroken run failed: {self.log.read_text()}")
        counts: Counter[str] = Counter()
        self.moments = []  # (phase, which time it is met, seconds until the next phase)
        for (phase, start), (_, end) in zip(marks, [*marks[1:], ("end", time.monotonic())], strict=True):
            self.moments.append((phase, counts[phase], end - start))
            counts[phase] += 1

    def first(self, place: Path) -> list:
        """The words of the command."""
        raise NotImplementedError

    def again(self, place: Path) -> list:
        """The words that go on after the kill."""
        raise NotImplementedError

    def end(self, place: Path) -> str:
        """What differs from the unbroken run, or "equal"."""
        raise NotImplementedError

    def killed(self, place: Path, phase: str, occurrence: int, second: float, kind: signal.Signals) -> dict:
        """Kill it there, let it go on, compare; one that has ended before the signal reached it is no kill."""
        process, _ = self.begin(place, self.first(place), until=(phase, occurrence))
        time.sleep(second)
        process.send_signal(kind)
        code = ended(process)
        if code == 0:
            return self.killed(place.with_name(f"{place.name}'"), phase, occurrence, round(second / 2, 3), kind)
        epochs = self.epochs(place)
        left = leftovers(place)
        again, _ = self.begin(place, self.again(place))
        if ended(again) != 0:
            end = f"exit code {again.returncode}: {self.log.read_text()}"
            return {"second": second, "exit": code, "epochs_done": epochs, "half_written": left, "end": end}
        stays = leftovers(place)
        end = f"{stays} half-written files stay" if stays else self.end(place)
        return {"second": second, "exit": code, "epochs_done": epochs, "half_written": left, "end": end}

    def epochs(self, place: Path) -> int | str:
        """How many epochs were done when it was killed."""
        return ""

    def begin(self, place: Path, words: list, until: tuple[str, int] | None = None):
        """Start the command and read its marks, to its end or until a phase is met the given time."""
        command = [sys.executable, __file__, "--child", *map(str, words)]
        environment = {**os.environ, "MARINECV_HOME": str(place / "store"), "KERAS_BACKEND": "tensorflow"}
        with open(self.log, "w") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        marks, counts = [], Counter()
        for line in process.stdout:
            if line.startswith(MARK):
                phase = line.removeprefix(MARK).strip()
                marks.append((phase, time.monotonic()))
                if until == (phase, counts[phase]):
                    return process, marks
                counts[phase] += 1
        return process, marks


class Training(Job):
    """Training a CNN from reading the images to the report."""

    def __init__(self, place: Path, flags: list):
        self.flags = flags
        super().__init__(place)

    def first(self, place: Path) -> list:
        return ["pretrain", *self.flags, "--output-dir", place / "run"]

    def again(self, place: Path) -> list:
        if (place / "run" / "recipe.json").is_file():
            return ["pretrain", "--resume", place / "run"]
        if (place / "run").exists():
            (place / "run").rename(place / "never begun")
        return self.first(place)

    def epochs(self, place: Path) -> int:
        history = place / "run" / "history.csv"
        return len(read_table(history)) if history.is_file() else 0

    def end(self, place: Path) -> str:
        ours, theirs = Run(place / "run"), Run(self.place / "run")
        for name in ("predictions.csv", "metrics.json", "recipe.json", "catalog.csv"):
            if ours.path(name).read_bytes() != theirs.path(name).read_bytes():
                return f"{name} differs"
        if not ours.history.drop(columns="seconds").equals(theirs.history.drop(columns="seconds")):
            return "history.csv differs"
        pairs = zip(ours.load_model().get_weights(), theirs.load_model().get_weights(), strict=True)
        if not all(np.array_equal(a, b) for a, b in pairs):
            return "weights differ"
        return "equal" if ours.path("report.html").is_file() else "no report"


class Fetching(Job):
    """Fetching a zip of images over a slow connection, then unpacking and checking it."""

    def __init__(self, place: Path):
        place.mkdir()
        reef = write_demo_images(place / "reef")
        folders = {"train": "train", "validation": "valid", "test": "test"}
        expected = [f"{split} = {len(list((reef / name).glob('*.jpg')))}\n" for split, name in folders.items()]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as zipped:
            for path in sorted(reef.rglob("*.*")):
                zipped.write(path, path.relative_to(reef))
        self.server = serve(buffer.getvalue())
        self.manifest = place / "slow.toml"
        url = f"http://127.0.0.1:{self.server.server_port}/reef.zip"
        facts = f'name = "slow"\nlayout = "roboflow"\nlicense = "ours"\nurl = "{url}"\n[expected.images]\n'
        self.manifest.write_text(facts + "".join(expected))
        super().__init__(place)

    def first(self, place: Path) -> list:
        return ["data", "fetch", self.manifest]

    again = first

    def end(self, place: Path) -> str:
        ours, theirs = (sorted((at / "store" / "data" / "slow").rglob("*.*")) for at in (place, self.place))
        same = [a.name == b.name and a.read_bytes() == b.read_bytes() for a, b in zip(ours, theirs, strict=True)]
        return "equal" if same and all(same) else "files differ"


def ended(process: subprocess.Popen) -> int:
    """Wait for its end and let go of its pipe."""
    with process:
        return process.wait()


def leftovers(place: Path) -> int:
    """Files of a run or a store that only a write under way can explain."""
    temporary = [path for path in place.rglob(".*") if path.is_file() and path.name != ".lock"]
    return len(temporary) + len(list(place.rglob("*.part")))


def serve(content: bytes) -> ThreadingHTTPServer:
    """A slow web server of one file, which can go on in its middle."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", '"reef"')
            self.end_headers()
            try:
                for place in range(start, len(content), 2**18):
                    self.wfile.write(content[place : place + 2**18])
                    time.sleep(SLOWNESS_S)
            except OSError:
                pass  # the other side was killed

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def child(words: list[str]) -> int:
    """The command in a process of its own, which says when it enters a phase; the pixel cache lies on disk."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf to Ctrl-C
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from pipelines.cli import main as command

    if words[0] == "data":
        print(MARK + FETCHING, flush=True)
        return command(words)
    from marinecv import console as silent

    silent.import_tensorflow()
    for phase, target in PHASES.items():
        module, _, path = target.partition(":")
        *above, name = path.split(".")
        owner = importlib.import_module(module)
        for part in above:
            owner = getattr(owner, part)
        setattr(owner, name, marked(phase, getattr(owner, name)))
    return command(words)


def marked(phase: str, function):
    """The function, said to be entered."""
    on_disk = {"memory_budget_bytes": 0} if phase == "pixel cache" else {}

    def wrapper(*args, **options):
        print(MARK + phase, flush=True)
        return function(*args, **options, **on_disk)

    return wrapper


if __name__ == "__main__":
    sys.exit(child(sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main())
