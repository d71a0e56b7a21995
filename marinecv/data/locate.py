"""Find the images that a user asks for: a folder, a named data set, or a default."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from marinecv.data.download import fetch, network_reachable
from marinecv.data.manifests import Manifest, load_manifest, manifest_at, manifest_of_folder
from marinecv.data.readers import reader_of
from marinecv.data.store import store_path, stored

REEF = "reef"


def locate(
    data: str | None = None,
    data_dir: str | Path | None = None,
    default: str = "aquarium",
    say: Callable[[str], None] | None = None,
    class_level: str | None = None,
    merge_case: bool = False,
) -> Manifest:
    """Return the manifest of the data asked for, with `root` set.

        >>> import marinecv as mcv
        >>> mcv.locate("reef").name
        'reef'

    Args:
        data: name of a bundled data set, or path of a TOML manifest. It is read from the store, else downloaded.
        data_dir: folder or archive of images, in any layout; `data` adds the facts of a named data set.
        default: the data set if neither is given; without a network the generated demo images take its place.
        say: called with each line of text for the user; None warns where not all images are those asked for.
        class_level: of class folders, see `Manifest`; None leaves what the manifest says.
        merge_case: take classes whose names differ only in case as one.
    Raises:
        ValueError: there is no such data set or folder, or its license is unknown.
        ConnectionError: a named data set cannot be downloaded.
    """
    note = say or (lambda line: warnings.warn(line, stacklevel=3))
    manifest = _find(data, data_dir, default, say, note)
    manifest = replace(
        manifest, class_level=class_level or manifest.class_level, merge_case=merge_case or manifest.merge_case
    )
    for sentence in reader_of(manifest.layout).notes(manifest):
        note(sentence)
    return manifest


def demo_images(say: Callable[[str], None] | None = None) -> Manifest:
    """Return the data set of generated demo images, drawn once, to try things out without data or network.

        >>> import marinecv as mcv
        >>> mcv.demo_images().demonstration
        True

    These are 637 drawn images of 7 classes with boxes, in train, validation and test. Scores on them say nothing about
    real animals. `say` is called with each line of text for the user.
    """
    return _reef(load_manifest(REEF), say)


def _find(data, data_dir, default: str, say: Callable[[str], None] | None, note: Callable[[str], None]) -> Manifest:
    if data_dir is not None:
        return manifest_at(load_manifest(data), data_dir, say) if data else manifest_of_folder(data_dir, say)
    manifest = load_manifest(data or default)
    if manifest.name == REEF:
        return _reef(manifest, say)
    if manifest.root is not None:
        return manifest_at(manifest, manifest.root)
    place = store_path("data", manifest.name)
    if stored(place):
        return manifest_at(manifest, place)
    if data is None and not network_reachable(manifest):
        why = "no network answers" if manifest.url else f"only a person can download it ({manifest.homepage})"
        note(
            f"{manifest.name} is not on this machine and {why}, so this is a DEMONSTRATION on drawn "
            "pictures: its scores say nothing about real animals.\n"
            "For real data: run once with a network, or name a folder or zip of images as data_dir."
        )
        return _reef(load_manifest(REEF), say)
    try:
        return fetch(manifest, progress=say)
    except ConnectionError as error:
        raise ConnectionError(f"{error} To try things out without it: mcv.demo_images().") from error


def _reef(manifest: Manifest, say: Callable[[str], None] | None) -> Manifest:
    from marinecv.data.demo.dataset import make_reef

    return manifest_at(manifest, make_reef(store_path("data", REEF), say=say))
