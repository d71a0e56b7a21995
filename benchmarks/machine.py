"""What a measurement ran on, in words that name no machine."""

import importlib.metadata
import os
import platform
from pathlib import Path


def machine() -> str:
    """Cores, processor and versions."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name.lower())}" for name in ("TensorFlow", "Keras"))
    return f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}, {versions}"


def processor() -> str:
    """Model name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
