"""Where data sets and downloads are kept: one folder of the user's, outside every project."""

import os
import sys
from pathlib import Path


def store_home() -> Path:
    """`$MARINECV_HOME`, else the operating system's cache folder with `marinecv` below it."""
    if own := os.environ.get("MARINECV_HOME"):
        return Path(own).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "marinecv"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "marinecv"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marinecv"


def store_path(*parts: str) -> Path:
    """Return a path below the store, such as `store_path("data", "aquarium")`; nothing is created."""
    return store_home().joinpath(*parts)
