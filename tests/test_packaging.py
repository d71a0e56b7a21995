"""What `pip install .` brings: every package, the manifests, the templates and a command; from any folder."""

import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import marinecv

ROOT = Path(marinecv.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The package as pip installs it, without what it needs, in a folder of its own."""
    source = tmp_path_factory.mktemp("source") / "clone"
    keep_out = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=keep_out)
    target = tmp_path_factory.mktemp("site")
    at_hand = all(importlib.util.find_spec(name) for name in ("setuptools", "wheel"))
    alone = ["--no-build-isolation"] if at_hand else []
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", *alone, "--target", str(target), str(source)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return target


def run_python(installed, code, folder):
    """Run code in another folder with the installed package alone."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "MARINECV_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_setup_cfg_names_every_package(setup_cfg):
    listed = set(setup_cfg["options"]["packages"].split())
    own, commands = (
        {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in (ROOT / top).rglob("__init__.py")}
        for top in ("marinecv", "pipelines")
    )
    packages = {name: f"marinecv.{name}" for name in (*commands, "data_manifests", "results")}
    assert listed == own | set(packages.values())
    folders = dict(line.split(" = ") for line in setup_cfg["options"]["package_dir"].strip().splitlines())
    assert folders == {package: name.replace(".", "/") for name, package in packages.items()}


def test_setup_cfg_names_every_file_that_is_no_python(setup_cfg):
    patterns = dict(setup_cfg["options.package_data"])
    folders = dict(line.split(" = ") for line in setup_cfg["options"]["package_dir"].strip().splitlines())
    names = setup_cfg["options"]["packages"].split()
    rooms = {name: ROOT / folders.get(name, name.replace(".", "/")) for name in names}
    for home, folder in rooms.items():
        data = [path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")]
        known = [pattern.strip() for pattern in patterns.get(home, "").split(",")]
        assert [path.name for path in data if not any(path.match(pattern) for pattern in known if pattern)] == []


def test_the_version_is_stated_alike(setup_cfg):
    assert setup_cfg["metadata"]["version"] == marinecv.__version__
    assert (ROOT / "LICENSE").is_file()


def test_the_installed_command_lists_recipes_and_data_from_any_folder(installed, tmp_path):
    command = "from marinecv.pipelines.cli import main; import marinecv, sys; "
    assert run_python(installed, command + "print(marinecv.__file__)", tmp_path).startswith(str(installed))
    assert "aquarium_four_conv" in run_python(installed, command + "sys.exit(main(['recipes']))", tmp_path)
    listed = run_python(installed, command + "sys.exit(main(['data', 'list']))", tmp_path)
    assert "aquarium" in listed and "licence: CC BY 4.0" in listed and "reef" in listed
    code = "from marinecv.data.manifests import manifest_folder as f; print(f(), len(list(f().glob('*.sha256'))))"
    assert run_python(installed, code, tmp_path).split() == [str(installed / "marinecv" / "data_manifests"), "1"]
    entry = next(installed.glob("marinecv-*.dist-info/entry_points.txt")).read_text()
    assert "marinecv = marinecv.pipelines.cli:main" in entry
    assert sorted(path.name for path in installed.iterdir() if path.suffix != ".dist-info") in (
        ["bin", "marinecv"],
        ["marinecv"],
    )


def test_the_installed_package_has_its_types_and_imports_no_name_before_it_is_used(installed, tmp_path):
    assert (installed / "marinecv" / "py.typed").is_file()
    code = "import sys, marinecv as mcv; some = set(sys.modules); mcv.ImageSpec(); print(mcv.__file__, some)"
    said = run_python(installed, code, tmp_path)
    assert said.startswith(str(installed)) and not any(f"'{name}'" in said for name in ("numpy", "pandas", "keras"))


@pytest.mark.slow
def test_the_installed_command_trains_and_writes_its_page(installed, shared_tank, tmp_path):
    words = ["pretrain", "--data-dir", str(shared_tank), "--epochs", "1", "--image-size", "32", "--output-dir", "run"]
    code = f"import sys; from marinecv.pipelines.cli import main; sys.exit(main({words!r}))"
    assert "validation accuracy" in run_python(installed, code, tmp_path)
    assert "<style>" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
