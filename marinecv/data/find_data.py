"""Find the images that a user asks for: a folder, a named data set, or a default."""

import warnings
from dataclasses import replace
from pathlib import Path

from marinecv.console import Log
from marinecv.data.cache_dir import cache_path, is_cached
from marinecv.data.download.fetch import fetch, network_reachable
from marinecv.data.manifests import Manifest, load_manifest, manifest_at, manifest_of_folder
from marinecv.data.readers import reader_of

DEMO_NAME = "reef"


def find_data(
    data: str | None = None,
    data_dir: str | Path | None = None,
    default: str = "aquarium",
    log: Log | None = None,
    class_level: str | None = None,
    merge_case: bool = False,
    columns: dict[str, str] | None = None,
) -> Manifest:
    """Return the manifest of the data asked for, with `root` set.

        >>> import marinecv as mcv
        >>> mcv.find_data("reef").name
        'reef'

    Args:
        data: name of a bundled data set, or path of a TOML manifest. It is read from the cache, else downloaded.
        data_dir: folder or archive of images, in any layout; `data` adds the facts of a named data set.
        default: the data set if neither is given; without a network the generated demo images take its place.
        log: called with each line of text for the user; None warns where not all images are those asked for.
        class_level: of class folders, see `Manifest`; None leaves what the manifest says.
        merge_case: take classes whose names differ only in case as one.
        columns: of a table, what a column holds -> its name, such as `{"class": "Species"}`; see `Manifest`.
    Raises:
        ValueError: there is no such data set or folder, or its license is unknown.
        ConnectionError: a named data set cannot be downloaded.
    """
    warn_or_log = log or (lambda line: warnings.warn(line, stacklevel=3))
    manifest = _find(data, data_dir, default, log, warn_or_log, columns or {})
    class_level, merge_case = class_level or manifest.class_level, merge_case or manifest.merge_case
    manifest = replace(manifest, class_level=class_level, merge_case=merge_case)
    for sentence in reader_of(manifest.layout).notes(manifest):
        warn_or_log(sentence)
    return manifest


def demo_images(log: Log | None = None) -> Manifest:
    """Return the data set of generated demo images, drawn once, to try things out without data or network.

        >>> import marinecv as mcv
        >>> mcv.demo_images().demonstration
        True

    These are 637 drawn images of 7 classes with boxes, in train, validation and test. Scores on them say nothing about
    real animals. `log` is called with each line of text for the user.
    """
    return _demo_manifest(load_manifest(DEMO_NAME), log)


def _find(data, data_dir, default: str, log: Log | None, note: Log, columns: dict[str, str]) -> Manifest:
    if data_dir is not None and not data:
        return manifest_of_folder(data_dir, log, columns)
    manifest = load_manifest(data or default)
    manifest = replace(manifest, columns=columns or manifest.columns)
    if data_dir is not None:
        return manifest_at(manifest, data_dir, log)
    if manifest.name == DEMO_NAME:
        return _demo_manifest(manifest, log)
    if manifest.root is not None:
        return manifest_at(manifest, manifest.root)
    folder = cache_path("data", manifest.name)
    if is_cached(folder):
        return manifest_at(manifest, folder)
    if data is None and not network_reachable(manifest):
        reason = "no network answers" if manifest.url else f"only a person can download it ({manifest.homepage})"
        note(
            f"{manifest.name} is not on this machine and {reason}, so this is a DEMONSTRATION on drawn "
            "pictures: its scores say nothing about real animals.\n"
            "For real data: run once with a network, or name a folder or zip of images as data_dir."
        )
        return _demo_manifest(load_manifest(DEMO_NAME), log)
    try:
        return fetch(manifest, progress=log)
    except ConnectionError as error:
        raise ConnectionError(f"{error} To try things out without it: mcv.demo_images().") from error


def _demo_manifest(manifest: Manifest, log: Log | None) -> Manifest:
    from marinecv.data.demo.dataset import VERSION, write_demo_images

    return manifest_at(manifest, write_demo_images(cache_path("data", f"{DEMO_NAME}-{VERSION}"), log=log))
