"""What `pip install .` brings: every package, the manifests, the templates, types and a command; from any folder."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import marinecv

ROOT = Path(marinecv.__file__).resolve().parents[1]
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel alone, without its requirements, in a folder of its own."""
    folder, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    left_out = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "clone", ignore=left_out)
    has_tools = all(importlib.util.find_spec(name) for name in ("setuptools", "wheel"))
    build = ["wheel", "-q", "--no-deps", *["--no-build-isolation"] * has_tools, "-w", "dist", "./clone"]
    for words in (build, ["install", "-q", "--no-deps", "--no-index", "-f", "dist", "--target", str(site), "marinecv"]):
        subprocess.run([sys.executable, "-m", "pip", *words], cwd=folder, check=True, capture_output=True, text=True)
    return site


def run_python(installed, code, folder, **environment):
    """Run code in another folder with the installed package."""
    homes = {"PYTHONPATH": str(installed), "MARINECV_HOME": str(folder / "home"), "KERAS_HOME": str(folder / "keras")}
    environment = {name: value for name, value in os.environ.items() if name != "MARINECV_DATA"} | homes | environment
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "check": True}
    return subprocess.run([sys.executable, "-c", code], **options).stdout


def test_the_wheel_has_every_module_template_manifest_and_result(installed):
    for top in ("marinecv", "pipelines", "data_manifests", "results"):
        home = installed / "marinecv" / ("" if top == "marinecv" else top)
        files = [path for path in (ROOT / top).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert files and not [path for path in files if not (home / path.relative_to(ROOT / top)).is_file()]
    [info] = installed.glob("marinecv-*.dist-info")
    assert info.name == f"marinecv-{marinecv.__version__}.dist-info"
    assert "marinecv = marinecv.pipelines.cli:main" in (info / "entry_points.txt").read_text()
    assert {path.name for path in installed.iterdir()} <= {"bin", "marinecv", info.name}


def test_the_installed_command_lists_recipes_and_data_from_any_folder(installed, tmp_path):
    command = "from marinecv.pipelines.cli import main; import marinecv, sys; "
    assert run_python(installed, command + "print(marinecv.__file__)", tmp_path).startswith(str(installed))
    assert "aquarium_four_conv" in run_python(installed, command + "sys.exit(main(['recipes']))", tmp_path)
    listed = run_python(installed, command + "sys.exit(main(['data', 'list']))", tmp_path)
    assert "aquarium" in listed and "license: CC BY 4.0" in listed
    code = "from marinecv.data.manifests import manifest_folder as f; print(f(), len(list(f().glob('*.sha256'))))"
    assert run_python(installed, code, tmp_path).split() == [str(installed / "marinecv" / "data_manifests"), "1"]


def test_the_installed_package_has_its_types_and_imports_no_name_before_it_is_used(installed, tmp_path):
    assert (installed / "marinecv" / "py.typed").is_file()
    code = "import sys, marinecv as mcv; some = set(sys.modules); mcv.ImageSpec(); print(mcv.__file__, some)"
    said = run_python(installed, code, tmp_path)
    assert said.startswith(str(installed)) and not any(f"'{name}'" in said for name in ("numpy", "pandas", "keras"))


@pytest.mark.slow
def test_the_wheel_alone_trains_offline_on_demo_images(installed, tmp_path):
    for words in (["pretrain", "--grid"], ["finetune", "--backbone", "mobilenetv3large"]):
        words += ["--epochs", "1", "--limit", "24", "--output-dir", words[0]]
        code = f"import sys; from marinecv.pipelines.cli import main; sys.exit(main({words!r}))"
        assert "validation" in run_python(installed, code, tmp_path, **OFFLINE)
        assert "<style>" in (tmp_path / words[0] / "report.html").read_text(encoding="utf-8")
    for name in ("four", "three", "five"):
        assert (tmp_path / "pretrain" / f"aquarium_{name}_conv" / "report.html").is_file()
