"""Fetch a data set into the store: from its own address, another one, Google Drive, or a file at hand."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from marinecv.data.layouts import find_layout
from marinecv.data.manifests import Manifest, manifest_at
from marinecv.data.network import download, download_from_drive, reachable
from marinecv.data.store import store_path
from marinecv.data.unpack import safe_unpack
from marinecv.data.verify import verify

DRIVE = "gdrive:"


def fetch(
    manifest: Manifest,
    source: str | None = None,
    accept_unknown_licence: bool = False,
    progress: Callable[[str], None] = print,
) -> Manifest:
    """Bring a data set into the store, checked; its folder there exists only when it is complete.

    Args:
        manifest: what to fetch, and the hashes and counts to check it against.
        source: None for the manifest's own address, "gdrive:ID", a URL, or a local folder or zip.
        accept_unknown_licence: fetch although the source states no licence.
        progress: called with a line of text now and then.
    Returns:
        The manifest with `root` in the store and the layout found there.
    Raises:
        ValueError: no licence, no address, an unsafe archive, or files other than the measured ones.
        ConnectionError: the source cannot be reached or breaks off; what came so far is kept and resumed.
    """
    target = store_path("data", manifest.name)
    if target.exists():
        progress(f"{manifest.name} is already in {target}")
        return manifest_at(manifest, target)
    if not manifest.licence and not accept_unknown_licence:
        raise ValueError(
            f"The source of {manifest.name} states no licence, so nobody may be allowed to use it. Expected one in its "
            f"manifest. Ask its authors ({manifest.homepage or 'no homepage given'}), or take it upon yourself with "
            f"`marinecv data fetch {manifest.name} --accept-unknown-licence`."
        )
    source = source or manifest.url
    if not source:
        raise ValueError(
            f"The manifest of {manifest.name} names no address. Get the data by hand, then "
            f"`marinecv data fetch {manifest.name} --from FOLDER_OR_ZIP`, or use --data-dir."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{manifest.name}-") as temporary:
        content = _bring(manifest, source, Path(temporary) / "content", progress)
        root, _ = find_layout(content)
        progress("Checking the files")
        verify(manifest_at(manifest, root))
        os.replace(root, target)
    progress(f"{manifest.name} is in {target}")
    return manifest_at(manifest, target)


def network_reachable(manifest: Manifest, timeout: float = 5.0) -> bool:
    """Whether the manifest's source, or the proxy before it, answers a TCP connect; known within `timeout` seconds."""
    url = "https://drive.google.com" if manifest.url.startswith(DRIVE) else manifest.url
    return bool(url) and reachable(url, timeout)


def _bring(manifest: Manifest, source: str, content: Path, progress: Callable[[str], None]) -> Path:
    """Copy or unpack the source below `content` and return the folder wanted of it."""
    if source.startswith((DRIVE, "https://", "http://")):
        archive = store_path("downloads", f"{hashlib.sha256(source.encode()).hexdigest()[:16]}.zip")
        progress(f"Downloading {source}")
        if source.startswith(DRIVE):
            download_from_drive(source.removeprefix(DRIVE), archive, progress)
        else:
            download(source, archive, progress)
        try:
            safe_unpack(archive, content, below=manifest.archive_subdir)
        finally:
            archive.unlink()
    elif (place := Path(source).expanduser()).is_dir():
        progress(f"Copying {place}")
        shutil.copytree(place, content)
    elif place.is_file():
        safe_unpack(place, content, below=manifest.archive_subdir)
    else:
        raise ValueError(
            f"There is nothing at {source}. Expected gdrive:ID, a URL, or a folder or zip on this machine."
        )
    wanted = content / manifest.archive_subdir
    return wanted if wanted.is_dir() else content
