"""Record what a run ran on, and the command line that started it."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("marinecv", "tensorflow", "keras", "numpy", "pandas", "scikit-learn", "pillow")


def environment() -> dict:
    """Return the command, commit, platform, time and versions of packages ("" where one is not installed)."""
    return {
        "command": command_line(),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "keras_backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        **{name: _version(name) for name in PACKAGES},
    }


def command_line() -> str:
    """Return the command as typed, without the program's folder."""
    program = Path(sys.argv[0]).name
    return shlex.join((["python"] if program.endswith(".py") else []) + [program, *sys.argv[1:]])


def commit() -> str:
    """Return the commit of this clone of marinecv, with `+` for uncommitted changes; "" where there is no clone."""
    clone = Path(__file__).parents[1]
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        if not (clone / ".git").exists():
            return ""
        return subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
