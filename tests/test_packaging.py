"""What `pip install .` brings: every package, the manifests, the templates, types and a command; from any folder."""

import configparser
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
PIP = [sys.executable, "-m", "pip"]
SMALL = ["--epochs", "1", "--limit", "24"]
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "clone", ignore=left_out)
    has_tools = all(importlib.util.find_spec(name) for name in ("setuptools", "wheel"))
    words = ["wheel", "-q", "--no-deps", *["--no-build-isolation"] * has_tools, "-w", "dist", "./clone"]
    subprocess.run([*PIP, *words], cwd=folder, check=True, capture_output=True, text=True)
    [path] = (folder / "dist").glob("marinecv-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel alone, without its requirements, in a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    words = ["install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run([*PIP, *words], check=True, capture_output=True, text=True)
    return target


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The bin folder of a new environment with the wheel, and the requirements of this environment."""
    new = tmp_path_factory.mktemp("environment") / "new"
    venv.create(new, with_pip=False)
    scheme = {"base": str(new), "platbase": str(new)}
    site, programs = (Path(sysconfig.get_path(name, "venv", scheme)) for name in ("purelib", "scripts"))
    # Appended to sys.path, where .pth files are not read: the editable marinecv of this environment is not seen.
    others = [path for path in sys.path if path.endswith("-packages")]
    (site / "others.pth").write_text("\n".join(others) + "\n", encoding="utf-8")
    words = ["--python", str(programs / "python"), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*PIP, *words], check=True, capture_output=True, text=True)
    return programs


def run_python(installed, code, folder):
    """Run code in another folder with the installed package."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "MARINECV_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def folders_of(setup_cfg):
    return dict(line.split(" = ") for line in setup_cfg["options"]["package_dir"].strip().splitlines())


def test_setup_cfg_names_every_package_and_the_version(setup_cfg):
    listed = set(setup_cfg["options"]["packages"].split())
    library, commands = (
        {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in (ROOT / top).rglob("__init__.py")}
        for top in ("marinecv", "pipelines")
    )
    packages = {name: f"marinecv.{name}" for name in (*commands, "data_manifests", "results")}
    assert listed == library | set(packages.values())
    assert folders_of(setup_cfg) == {package: name.replace(".", "/") for name, package in packages.items()}
    assert setup_cfg["metadata"]["version"] == marinecv.__version__ and (ROOT / "LICENSE").is_file()


def test_setup_cfg_names_every_file_that_is_no_python(setup_cfg):
    patterns, folders = dict(setup_cfg["options.package_data"]), folders_of(setup_cfg)
    for name in setup_cfg["options"]["packages"].split():
        folder = ROOT / folders.get(name, name.replace(".", "/"))
        data = [path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")]
        known = [pattern.strip() for pattern in patterns.get(name, "").split(",")]
        assert [path.name for path in data if not any(path.match(pattern) for pattern in known if pattern)] == []


def test_the_installed_command_lists_recipes_and_data_from_any_folder(installed, tmp_path):
    command = "from marinecv.pipelines.cli import main; import marinecv, sys; "
    assert run_python(installed, command + "print(marinecv.__file__)", tmp_path).startswith(str(installed))
    assert "aquarium_four_conv" in run_python(installed, command + "sys.exit(main(['recipes']))", tmp_path)
    listed = run_python(installed, command + "sys.exit(main(['data', 'list']))", tmp_path)
    assert "aquarium" in listed and "license: CC BY 4.0" in listed
    code = "from marinecv.data.manifests import manifest_folder as f; print(f(), len(list(f().glob('*.sha256'))))"
    assert run_python(installed, code, tmp_path).split() == [str(installed / "marinecv" / "data_manifests"), "1"]
    entry = next(installed.glob("marinecv-*.dist-info/entry_points.txt")).read_text()
    assert "marinecv = marinecv.pipelines.cli:main" in entry
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} <= {"bin", "marinecv"}


def test_the_installed_package_has_its_types_and_imports_no_name_before_it_is_used(installed, tmp_path):
    assert (installed / "marinecv" / "py.typed").is_file()
    code = "import sys, marinecv as mcv; some = set(sys.modules); mcv.ImageSpec(); print(mcv.__file__, some)"
    said = run_python(installed, code, tmp_path)
    assert said.startswith(str(installed)) and not any(f"'{name}'" in said for name in ("numpy", "pandas", "keras"))


@pytest.mark.slow
def test_the_wheel_alone_trains_offline_on_demo_images_in_an_empty_folder(programs, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    homes = {"MARINECV_HOME": str(tmp_path / "home"), "KERAS_HOME": str(tmp_path / "keras")}
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MARINECV_DATA")}

    def run(program, *words):
        command = [str(programs / program), *words]
        options = {"cwd": folder, "env": environment | homes | OFFLINE, "capture_output": True, "text": True}
        return subprocess.run(command, check=True, **options).stdout

    place = run("python", "-c", "import marinecv; print(marinecv.__file__)")
    assert Path(place.strip()).is_relative_to(programs.parent)
    assert "best on validation" in run("marinecv", "pretrain", "--grid", *SMALL, "--output-dir", "grid")
    for name in ("four", "three", "five"):
        assert (folder / "grid" / f"aquarium_{name}_conv" / "report.html").is_file()
    run("marinecv", "finetune", "--backbone", "mobilenetv3large", *SMALL, "--output-dir", "run")
    assert "<style>" in (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in folder.iterdir()} == {"grid", "run"}
