"""What a measurement ran on, in words that name no machine."""

import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


def command() -> str:
    """The command line of a script of this folder, with names in place of absolute paths."""
    from marinecv.report.html import without_folders  # not wherever only `machine` is wanted

    script, *words = sys.argv
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *map(without_folders, words)])


def machine() -> str:
    """Cores, processor, graphics card if there is one, and versions of what is installed."""
    parts = [f"{os.cpu_count()} cores", processor(), card(), f"Python {platform.python_version()}"]
    return ", ".join(part for part in [*parts, *map(version, ("TensorFlow", "JAX", "Keras"))] if part)


def version(package: str) -> str:
    """A package and its version; empty where it is not installed."""
    try:
        return f"{package} {importlib.metadata.version(package.lower())}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def processor() -> str:
    """Model name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def card() -> str:
    """Name of the first NVIDIA card, as its driver tells; empty without one."""
    if not shutil.which("nvidia-smi"):
        return ""
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True)
    return answer.stdout.partition("\n")[0].strip() if answer.returncode == 0 else ""
