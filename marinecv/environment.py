"""What a run ran on, and the command line that started it."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path


def environment() -> dict:
    """What the run ran on, and the command line that started it."""
    packages = ("marinecv", "tensorflow", "keras", "numpy", "pandas", "scikit-learn", "pillow")
    return {
        "command": command_line(),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "keras_backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        **{name: _version(name) for name in packages},
    }


def command_line() -> str:
    """The command as typed, with the program's folder left out."""
    program = Path(sys.argv[0]).name
    return shlex.join((["python"] if program.endswith(".py") else []) + [program, *sys.argv[1:]])


def commit() -> str:
    """The commit of the marinecv that runs, where it lies in a git clone; `+` marks uncommitted changes."""
    clone = Path(__file__).parents[1]
    if not (clone / ".git").exists():
        return ""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=clone,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
