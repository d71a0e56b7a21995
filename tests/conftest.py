"""Fake data: three colored classes, a few JPEGs of 48x64 and a CSV. Unequal height and width catches swaps."""

import contextlib
import gc
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from marinecv import language as languages
from marinecv.environment import PACKAGES
from marinecv.workflows.prepare import weights_host_answers

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))  # of `five_reports`
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

COLORS = {"crab": (200, 60, 40), "eel": (40, 180, 60), "ray": (50, 70, 200)}
SIZE_HW = (48, 64)


def real_data_root() -> Path | None:
    """Return the folder of the real data sets, or None."""
    places = [os.environ.get("MARINECV_DATA"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    return next((Path(place) for place in places if place and Path(place).is_dir()), None)


def pytest_collection_modifyitems(items):
    if real_data_root() is None:
        skip = pytest.mark.skip(reason="needs the real data: ../shared/data or $MARINECV_DATA is absent")
        for item in items:
            if "data" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True, scope="module")
def quick_collections():
    """Collect garbage once a file: among thousands of tests a collection takes seconds."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_models_left(request):
    """Free the models of each slow test: several large ones do not fit into memory."""
    yield
    if request.node.get_closest_marker("slow"):
        import keras

        keras.backend.clear_session()
        gc.collect()


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """Give each test a store of its own, and let it ask for the network itself."""
    monkeypatch.setenv("MARINECV_HOME", str(tmp_path / "marinecv_home"))
    weights_host_answers.cache_clear()


@pytest.fixture
def no_pages(monkeypatch):
    """Drawing figures takes longer than a small training."""
    from marinecv.workflows import train_runs

    for name in ("write_run_report", "write_experiment_report"):
        monkeypatch.setattr(train_runs, name, lambda folder: folder)


@pytest.fixture
def double_precision():
    """Compute in float64, in which the order of operations hardly matters."""
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def real_data() -> Path:
    return real_data_root()


def draw_image(class_name: str, seed: int) -> Image.Image:
    """A noisy 48x64 image of the color of its class, with a brighter block that differs by seed."""
    rng = np.random.default_rng(seed)
    pixels = np.array(COLORS[class_name]) + rng.integers(-20, 21, (*SIZE_HW, 3))
    top, left = rng.integers(0, 24), rng.integers(0, 32)
    pixels[top : top + 16, left : left + 24] += 30
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture
def roboflow_folder(tmp_path) -> Path:
    """A tank of the test's own."""
    return draw_tank(tmp_path / "tank")


@pytest.fixture(scope="session")
def shared_tank(tmp_path_factory) -> Path:
    """One tank for all tests that only read it."""
    return draw_tank(tmp_path_factory.mktemp("shared") / "tank")


@pytest.fixture(scope="session")
def finished_run(shared_tank) -> Path:
    """A small CNN trained on the shared tank by the command line: 2 epochs at 32x32. Only to be read."""
    from pipelines.cli import main

    run = shared_tank.parent / "run"
    words = ["--data-dir", str(shared_tank), "--epochs", "2", "--image-size", "32", "--output-dir", str(run)]
    assert main(["pretrain", *words]) == 0
    return run


@pytest.fixture
def missing(monkeypatch):
    """The sentences that `tr` is asked for and the Spanish catalog lacks."""
    catalog, missing = dict(zip(PACKAGES, PACKAGES, strict=True)) | languages._catalog("es"), set()
    get = lambda text, other: catalog.get(text) or missing.add(text) or other  # noqa: E731
    monkeypatch.setattr(languages, "_catalog", lambda name: SimpleNamespace(get=get))
    return missing


def killed(*_, **__):
    """Stand in for a step at which the user stops the program."""
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def producer(tmp_path_factory):
    """A function from names to a Python of its own with those packages, which write files that this package reads."""

    def install(*packages: str, alone: str = "") -> Path:
        """Install packages, and one without those it needs; skip the test where there is no network."""
        folder = tmp_path_factory.mktemp("producer")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        for names in (packages, ("--no-deps", alone) if alone else ()):
            words = [python, "-m", "pip", "install", "--quiet", "--prefer-binary", *names]
            done = subprocess.run(words, capture_output=True, text=True) if names else None
            if done and done.returncode:
                pytest.skip(f"pip cannot install {' '.join(names)}: {done.stderr.strip()[-200:]}")
        return python

    return install


@pytest.fixture
def run_copy(finished_run, tmp_path) -> Path:
    """A finished run that a test may change."""
    return shutil.copytree(finished_run, tmp_path / "copy")


def shown(capsys, *words: object, code: int = 0) -> str:
    """Run a command line that ends with `code`; return what it prints."""
    from pipelines.cli import main

    assert main([str(word) for word in words]) == code
    return capsys.readouterr().out


def refused(capsys, *words: object) -> str:
    """Run a command line that fails; return its one line of error."""
    from pipelines.cli import main

    assert main([str(word) for word in words]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def make_demonstration(folder: Path) -> Path:
    """Change a run into one of generated demo images."""
    preprocessing = json.loads((folder / "preprocessing.json").read_text())
    (folder / "preprocessing.json").write_text(json.dumps({**preprocessing, "demonstration": True}))
    return folder


def draw_tank(root: Path) -> Path:
    """Roboflow's CSV layout: train/valid/test with 6/3/3 images, one or two boxes each."""
    for split, per_class in (("train", 2), ("valid", 1), ("test", 1)):
        folder = root / split
        folder.mkdir(parents=True)
        rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for number, class_name in enumerate(list(COLORS) * per_class):
            name = f"{class_name}_{split}_{number}.jpg"
            draw_image(class_name, seed=number).save(folder / name, quality=95)
            rows.append(f"{name},64,48,{class_name},4,6,40,36")
            if number % 2:
                rows.append(f"{name},64,48,eel,50,2,56,8")
        (folder / "_annotations.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


class Server(http.server.ThreadingHTTPServer):
    """Serve `content` at any path, with ranges.

    Attributes:
        cuts: after how many bytes each of the next answers breaks off.
        errors: status codes of the next answers instead.
        edition: the ETag of the content; None for none.
        headers: that replace those of an answer; None removes one.
        gate: an event that the second half of an answer waits for.
        ranges: the range of each request.
    """

    content, knows_range, edition, gate = b"", True, '"first"', None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts, self.errors, self.ranges, self.headers = [], [], [], {}
        self.url = f"http://127.0.0.1:{self.server_port}/tank.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        same = self.headers.get("If-Range") == server.edition
        start = int(re.match(r"bytes=(\d+)-", wanted).group(1)) if wanted and same and server.knows_range else 0
        if start >= len(server.content) > 0:
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        headers = {"ETag": server.edition, "Content-Length": str(len(body))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
        for name, value in (headers | server.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        body = body[: server.cuts.pop(0)] if server.cuts else body
        self.wfile.write(body[: len(body) // 2])
        if server.gate:
            server.gate.wait(60)
        with contextlib.suppress(ConnectionError):  # the client may have been killed
            self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A `Server` on this machine; retries do not wait."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # which keeps the proxies of its first use
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def tank_zip(roboflow_folder, tmp_path) -> Path:
    """The tank as GitHub packs it: in a folder of the commit, beside other things."""
    packed = tmp_path / "packed" / "repo-1234"
    shutil.copytree(roboflow_folder, packed / "data" / "tank")
    (packed / "README.md").write_text("not data")
    return Path(shutil.make_archive(str(tmp_path / "tank"), "zip", tmp_path / "packed"))


@pytest.fixture
def camtrap_files(tmp_path) -> tuple[Path, Path]:
    """Files that Camtrap DP needs beside predictions: deployments of cam1 and cam2 in April 2025, and a project."""
    deployments, project = tmp_path / "deployments.csv", tmp_path / "project.toml"
    deployments.write_text(
        "deploymentID,cameraID,latitude,longitude,deploymentStart,deploymentEnd,note\n"
        "d1,cam1,46.2044,-7.1012,2025-04-01,2025-04-30T09:30:00,x\n"
        "d2,cam2,46.2144,-7.1012,2025-04-01T10:00:00+01:00,2025-04-30,y\n"
    )
    project.write_text(
        'name = "ridge-2025"\ntitle = "Ridge"\nsamplingDesign = "targeted"\ncaptureMethod = ["activityDetection"]\n'
        "individualAnimals = false\nfilePublic = false\n"
        'contributors = [{title = "R. Sole", role = "contact"}]\n'
        'licenses = [{name = "CC0-1.0", scope = "data"}, {name = "CC-BY-4.0", scope = "media"}]\n'
        '[scientificNames]\nbadger = "Meles meles"\n'
    )
    return deployments, project


@pytest.fixture
def tank(tmp_path, roboflow_folder, tank_zip, server):
    """The manifest of the tank, with hashes in YOLO's paths and counts; `server` serves its zip."""
    from marinecv.data.manifests import load_manifest

    server.content = tank_zip.read_bytes()
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.parent.name}/images/{path.name}"
        for path in sorted(roboflow_folder.rglob("*.jpg"))
    ]
    (tmp_path / "tank.sha256").write_text("\n".join(lines) + "\n")
    (tmp_path / "tank.toml").write_text(
        f'name = "tank"\nlayout = "yolo"\nlicense = "CC0"\nurl = "{server.url}"\nhashes = "tank.sha256"\n'
        'archive_subdir = "repo-1234/data/tank"\n'
        "[expected.images]\ntrain = 6\nvalidation = 3\ntest = 3\n"
        "[expected.boxes]\ntrain = {crab = 2, eel = 5, ray = 2}\n"
    )
    return load_manifest(tmp_path / "tank.toml")


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """The script of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    if not (npm := shutil.which("npm")):
        pytest.skip("needs npm, which fetches axe-core")
    packed = subprocess.run([npm, "pack", "axe-core", "--silent"], cwd=folder, capture_output=True, text=True)
    if packed.returncode:
        pytest.skip("axe-core cannot be fetched")
    shutil.unpack_archive(folder / packed.stdout.split()[-1], folder)
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


def search(tank: Path, folder: Path, *words: object) -> int:
    """Run `search`: three trials of two epochs at 16x16; return its exit code."""
    from pipelines.cli import main

    known = ["--recipe", "aquarium_four_conv", "--data-dir", tank, "--epochs", 2, "--image-size", 16, "--trials", 3]
    return main(["search", *map(str, [*known, "--output-dir", folder, *words])])


@contextmanager
def room_for(num_bytes: int):
    """The operating system refuses to let a file of this process grow larger, as a full disk would."""
    resource = pytest.importorskip("resource", reason="needs Unix")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
