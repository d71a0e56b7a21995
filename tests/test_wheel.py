"""A wheel in an environment of its own, in an empty folder, trains on the generated demo images without a network."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import marinecv

ROOT = Path(marinecv.__file__).resolve().parents[1]
SMALL = ["--epochs", "1", "--limit", "24"]
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The bin folder of a new environment with the wheel; what the wheel needs is that of this environment."""
    place = tmp_path_factory.mktemp("wheel")
    keep_out = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, place / "clone", ignore=keep_out)
    at_hand = all(importlib.util.find_spec(name) for name in ("setuptools", "wheel"))
    quiet = ["-q", "--no-deps", "--disable-pip-version-check"]
    build = [sys.executable, "-m", "pip", "wheel", *quiet, *["--no-build-isolation"] * at_hand, "-w", "dist", "./clone"]
    subprocess.run(build, cwd=place, check=True, capture_output=True, text=True)
    [wheel] = (place / "dist").glob("marinecv-*.whl")
    venv.create(place / "new", with_pip=False)
    scheme = {"base": str(place / "new"), "platbase": str(place / "new")}
    site, programs = (Path(sysconfig.get_path(name, "venv", scheme)) for name in ("purelib", "scripts"))
    # Appended to sys.path, so that what is installed here wins; a .pth file further down the path is not read, so the
    # editable marinecv of this environment is not seen, but what else its .pth files name has to be named again.
    others = [path for path in sys.path if path.endswith("-packages")]
    (site / "others.pth").write_text("\n".join(others) + "\n", encoding="utf-8")
    python = str(programs / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", *quiet, "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return programs


def run(program, *words, folder):
    """Run a program in a folder, offline, with stores of its own."""
    homes = {"MARINECV_HOME": str(folder.parent / "home"), "KERAS_HOME": str(folder.parent / "keras")}
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MARINECV_DATA")}
    done = subprocess.run(
        [str(program), *words],
        cwd=folder,
        env={**kept, **homes, **OFFLINE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_alone_trains_the_grid_and_a_pretrained_network_on_demo_images(environment, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    place = run(environment / "python", "-c", "import marinecv; print(marinecv.__file__)", folder=folder)
    assert Path(place.strip()).is_relative_to(environment.parent)
    program = environment / "marinecv"
    said = run(program, "pretrain", "--grid", *SMALL, "--output-dir", "grid", folder=folder)
    assert "best on validation" in said and (folder / "grid" / "report.html").is_file()
    for name in ("four", "three", "five"):
        assert (folder / "grid" / f"aquarium_{name}_conv" / "report.html").is_file()
    run(program, "finetune", "--backbone", "mobilenetv3large", *SMALL, "--output-dir", "run", folder=folder)
    assert "<style>" in (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in folder.iterdir()} == {"grid", "run"}
