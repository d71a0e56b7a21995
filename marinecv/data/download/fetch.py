"""Fetch a data set into the cache, from a URL, Google Drive, or a local folder or archive, and verify its files."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from marinecv.console import Log, silent
from marinecv.data.cache_dir import building, cache_path, is_cached
from marinecv.data.catalog import read_images_and_boxes
from marinecv.data.download.archives import safe_unpack
from marinecv.data.download.network import download, download_from_drive, reachable
from marinecv.data.layouts import SPLIT_NAMES, find_layout
from marinecv.data.manifests import Manifest, manifest_at
from marinecv.data.readers import reader_of
from marinecv.files.hashes import sha256

DRIVE = "gdrive:"
FETCH_AGAIN = "Fetch it again, or give the folder as data_dir."
_LISTED = re.compile(r"([0-9a-f]{64})  (.+)")


def fetch(
    manifest: Manifest, source: str | None = None, accept_unknown_license: bool = False, progress: Log | None = None
) -> Manifest:
    """Bring a data set into the cache, verified; its folder there exists only when complete.

    The same call resumes what a killed one began, and waits for another process that fetches the same set. `source` is
    "gdrive:ID", a URL, or a local folder or archive; None is the manifest's address or, where that does not answer, a
    mirror. Raises ValueError (no license, no address, an unsafe archive, other files), ConnectionError, or OSError
    (disk); what was downloaded is kept.
    """
    progress = progress or silent
    target = cache_path("data", manifest.name)
    if is_cached(target):
        progress(f"{manifest.name} is already in {target}")
        return manifest_at(manifest, target)
    if not manifest.license and not accept_unknown_license:
        raise ValueError(
            f"The source of {manifest.name} states no license, so you may not be allowed to use it. Ask its authors "
            f"({manifest.homepage or 'no homepage given'}), or accept that with `marinecv data fetch {manifest.name} "
            "--accept-unknown-license`."
        )
    sources = [source] if source else [address for address in (manifest.url, *manifest.mirrors) if address]
    if not sources:
        where = f"Download it from {manifest.homepage} in a browser" if manifest.homepage else "Get it by hand"
        raise ValueError(
            f"The manifest of {manifest.name} names no address to fetch it from. {where}, then `marinecv data fetch "
            f"{manifest.name} --from FOLDER_OR_ZIP`, or use --data {manifest.name} --data-dir FOLDER_OR_ZIP."
        )
    with building(target, progress) as workplace:
        if not target.exists():
            with _local_source(manifest, sources, progress) as path:
                root = _copy_or_unpack(manifest, path, workplace / "content", progress)
                progress("Checking the files")
                verify(manifest_at(manifest, root))
            os.replace(root, target)
    progress(f"{manifest.name} is in {target}")
    return manifest_at(manifest, target)


def network_reachable(manifest: Manifest) -> bool:
    """Return within 5 seconds whether the manifest's source, or the proxy before it, answers over HTTP."""
    url = "https://drive.google.com" if manifest.url.startswith(DRIVE) else manifest.url
    return bool(url) and reachable(url, timeout=5.0)


@contextmanager
def _local_source(manifest: Manifest, sources: list[str], progress: Log) -> Iterator[Path]:
    """Yield the first folder or archive to be had; a download is kept only where the block fails for the disk."""
    source, *mirrors = sources
    if not source.startswith((DRIVE, "https://", "http://")):
        path = Path(os.path.expanduser(source))
        if not path.exists():
            raise ValueError(f"There is nothing at {source}. Expected gdrive:ID, a URL, or a local folder or zip.")
        yield path
        return
    folder = cache_path("downloads", manifest.name)
    archive = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}.zip"
    if not archive.exists():
        progress(f"Downloading {source}")
        try:
            if source.startswith(DRIVE):
                download_from_drive(source.removeprefix(DRIVE), archive, progress)
            else:
                download(source, archive, progress)
        except ConnectionError as error:
            if not mirrors:
                raise
            progress(str(error))
            with _local_source(manifest, mirrors, progress) as path:
                yield path
            return
    try:
        yield archive
    except OSError as error:
        error.add_note("What was downloaded is kept: the same command resumes from there.")
        raise
    except ValueError:  # it is damaged, or another file
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _copy_or_unpack(manifest: Manifest, source: Path, content: Path, progress: Log) -> Path:
    """Copy or unpack a place and return the folder of it in which the layout begins."""
    progress(f"{'Copying' if source.is_dir() else 'Unpacking'} {source}")
    try:
        if source.is_dir():
            shutil.copytree(source, content)
        else:
            safe_unpack(source, content, below=manifest.archive_subdir)
    except shutil.Error as error:
        reason = error.args[0][0][2]
        raise OSError(f"{len(error.args[0])} files were not copied; the first: {reason}. Make room.") from None
    subfolder = content / manifest.archive_subdir
    root, layout = find_layout(subfolder if subfolder.is_dir() else content)
    for name in reader_of(layout).beside:
        if (root.parent / name).is_file():
            os.replace(root.parent / name, root / name)
    return root


def verify(manifest: Manifest) -> None:
    """Raise ValueError where files lack the hashes and counts of their manifest; images match by split and name."""
    images, boxes = read_images_and_boxes(manifest)
    if manifest.hashes:
        _verify_hashes(images, manifest.toml.parent / manifest.hashes)
    boxes = boxes.assign(split=boxes["image_id"].map(images.set_index("image_id")["split"]))
    counts = {
        "images": images["split"].value_counts().to_dict(),
        "boxes": {split: rows["class_name"].value_counts().to_dict() for split, rows in boxes.groupby("split")},
    }
    for kind, splits in manifest.expected.items():
        for split, count in splits.items():
            if (number := counts[kind].get(split, 0)) != count:
                where = f" in {split}" if split else ""
                raise ValueError(f"{manifest.name} has {number} {kind}{where}. Expected {count}. {FETCH_AGAIN}")


def _verify_hashes(images: pd.DataFrame, listing: Path) -> None:
    if not listing.is_file():
        raise ValueError(f"There is no {listing}, which the manifest beside it names. Put it there, or name no hashes.")
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    matches = [_LISTED.fullmatch(line) for line in lines]
    if None in matches:
        number = matches.index(None)
        raise ValueError(
            f"Line {number + 1} of {listing} is {lines[number]!r:.80}. Expected the file that the manifest beside it "
            "names, with a SHA-256, two spaces and a path on each line."
        )
    expected = {(_split_of(match[2]), Path(match[2]).name): match[1] for match in matches}
    files = {(split, Path(path).name): Path(path) for split, path in zip(images["split"], images["path"], strict=True)}
    mismatches = {key: "is missing" for key in expected if key not in files or not files[key].is_file()}
    mismatches |= {key: "differs" for key in expected if key not in mismatches and sha256(files[key]) != expected[key]}
    if mismatches:
        key, state = next(iter(mismatches.items()))
        problem = f"{len(mismatches)} of {len(expected)} images are not those of {listing.name}"
        raise ValueError(f"{problem}; the first is {'/'.join(key)}, which {state}. {FETCH_AGAIN}")


def _split_of(name: str) -> str:
    return next((SPLIT_NAMES[part] for part in Path(name).parts[:-1] if part in SPLIT_NAMES), "")
