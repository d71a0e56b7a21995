"""Manifests: where a data set comes from, its layout, its classes and its license."""

import os
from dataclasses import field, replace
from pathlib import Path, PureWindowsPath
from typing import Literal

from marinecv.choices import ClassLevel
from marinecv.console import Log
from marinecv.data.cache_dir import building, cache_path
from marinecv.data.download.archives import safe_unpack
from marinecv.data.layouts import find_layout
from marinecv.data.names import leaves_folder, normalize_name
from marinecv.data.readers import layout_names, reader_of
from marinecv.files.hashes import sha256
from marinecv.schema import build, check_choice, checked_dataclass, names, read_toml, unknown_name

ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")
PACKAGE = Path(__file__).resolve().parents[1]


@checked_dataclass
class Manifest:
    """One data set, as its TOML file states it.

        >>> import marinecv as mcv
        >>> mcv.Manifest(name="mine", layout="folders", class_names=("crab", "eel")).class_names
        ('crab', 'eel')

    Attributes:
        name: of the data set, and of its folder in the cache.
        title: one line for a listing.
        layout: one of `layout_names()`.
        class_names: in the order of the model's outputs; empty means whatever the data hold, in their order.
        folder_classes: class folder -> class name, of the layouts `folders` and `cub`; other folders are not read.
            Empty reads all. They are the class names, too, where none are stated.
        class_level: of `folders`: the class is the "first" folder or the "leaf" of a taxonomy; empty decides by names.
        columns: of a table, what a column holds -> its name, such as class="Species"; others are found by usual names.
        merge_case: classes whose names differ only in case are one; False refuses them.
        root: the folder that image ids are relative to; None while the files are not located.
        folder: the one that was named or unpacked; `root` is it or lies in it.
        url: an archive, best pinned to a commit, or `gdrive:ID`.
        mirrors: further addresses, asked in turn where the one before does not answer.
        archive_subdir: the folder inside the archive that becomes `root`.
        hashes: name of the `.sha256` file beside the TOML, lines `<sha256>  <split>/.../<file>`.
        expected: measured counts, `images.<split>` and `boxes.<split>.<class>`.
        license: as the source states it, or empty.
        citation: how to cite the data.
        homepage: where to read about them.
        demonstration: True for drawn pictures, whose scores say nothing about wildlife.
        toml: the file all this was read from.
    """

    name: str
    title: str = ""
    layout: str
    class_names: tuple[str, ...] = ()
    folder_classes: dict[str, str] = field(default_factory=dict)
    class_level: ClassLevel = ""
    columns: dict[str, str] = field(default_factory=dict)
    merge_case: bool = False
    root: Path | None = None
    folder: Path | None = None
    url: str = ""
    mirrors: tuple[str, ...] = ()
    archive_subdir: str = ""
    hashes: str = ""
    expected: dict[Literal["images", "boxes"], dict[str, int | dict[str, int]]] = field(default_factory=dict)
    license: str = ""
    citation: str = ""
    homepage: str = ""
    demonstration: bool = False
    toml: Path | None = None

    def __post_init__(self):
        check_choice(layout_names(), layout=self.layout)
        classes = tuple(map(normalize_name, self.class_names))
        if self.merge_case:
            cases = [name.casefold() for name in classes]
            classes = tuple(name for number, name in enumerate(classes) if cases.index(cases[number]) == number)
        folders = {normalize_name(key): normalize_name(name) for key, name in self.folder_classes.items()}
        object.__setattr__(self, "class_names", names(classes, f"The class_names of {self.toml or self.name}"))
        object.__setattr__(self, "folder_classes", folders)


def manifest_folder(package: Path = PACKAGE) -> Path:
    """Return the folder of the bundled TOML files: beside the package in a clone, inside it in an installed wheel."""
    beside = package.parent / "data_manifests"
    # Only a clone has setup.cfg there; site-packages may hold data_manifests of another package.
    return beside if (package.parent / "setup.cfg").is_file() and beside.is_dir() else package / "data_manifests"


def list_manifests() -> list[Manifest]:
    """Return every bundled manifest, sorted by name."""
    return [_read_toml(path) for path in sorted(manifest_folder().glob("*.toml"))]


def load_manifest(name_or_toml_path: str | Path) -> Manifest:
    """Return the bundled manifest of this name, or the one a TOML file of the user's states.

        >>> import marinecv as mcv
        >>> mcv.load_manifest("aquarium").class_names[:3]
        ('fish', 'jellyfish', 'penguin')

    Raises:
        ValueError: no such name, no such file, or a key that a manifest does not have.
    """
    if Path(name_or_toml_path).suffix == ".toml":
        return _read_toml(Path(name_or_toml_path))
    known = [path.stem for path in sorted(manifest_folder().glob("*.toml"))]
    if name_or_toml_path not in known:
        reason = unknown_name("data set", str(name_or_toml_path), known)
        raise ValueError(f"{reason} Or name a .toml manifest, or a folder of images as data_dir.")
    return _read_toml(manifest_folder() / f"{name_or_toml_path}.toml")


def manifest_of_folder(path: str | Path, log: Log | None = None, columns: dict[str, str] | None = None) -> Manifest:
    """Return the manifest of any folder or archive of images; an archive is unpacked into the cache, once.

    With `columns` it is a table's, see `Manifest`.
    A pack has the facts of the data set that it was made of. Raises ValueError where no layout fits.
    """
    path = Path(os.path.expanduser(path)).absolute()
    archive = next((suffix for suffix in ARCHIVES if path.name.lower().endswith(suffix)), "")
    if path.is_file() and archive:
        folder, name = _unpacked(path, log), path.name[: -len(archive)]
    elif path.is_dir():
        folder, name = path, path.name
    else:
        missing = "" if path.exists() else ": it does not exist"
        raise ValueError(
            f"{path} is no folder and no .zip, .tgz or .tar{missing}. Expected a folder of images, or an archive."
        )
    root, layout = find_layout(folder, by_columns=bool(columns))
    facts = {"name": name, "columns": columns or {}} | reader_of(layout).facts(root)
    return Manifest(**facts, layout=layout, root=root, folder=folder)


def manifest_at(manifest: Manifest, path: str | Path, log: Log | None = None) -> Manifest:
    """Return the manifest with root, folder and layout of a folder or archive, its other facts as they are."""
    found = manifest_of_folder(path, log, manifest.columns)
    return replace(manifest, root=found.root, folder=found.folder, layout=found.layout)


def _unpacked(archive: Path, log: Log | None) -> Path:
    """Return the folder of the cache with an archive's content, named by the archive's hash."""
    folder = cache_path("unpacked", sha256(archive)[:16])
    if not folder.exists():
        with building(folder, log) as workplace:
            if not folder.exists():
                safe_unpack(archive, workplace / "content")
                os.replace(workplace / "content", folder)
    return folder


def _read_toml(path: Path) -> Manifest:
    if not path.is_file():
        raise ValueError(f"There is no manifest at {path}. Expected TOML with at least name and layout.")
    facts = read_toml(path)
    if unknown := {"toml", "folder"} & facts.keys():
        raise ValueError(f"{path} has an unknown key {unknown.pop()!r}. Expected root for the folder of the images.")
    if isinstance(facts.get("root"), str):
        facts["root"] = path.absolute().parent / facts["root"]
    manifest = build(Manifest, {**facts, "toml": path.absolute()}, path)
    class_names = names(tuple(manifest.folder_classes.values()), f"The folder_classes of {path}")
    for key, is_fine in {"name": is_file_name, "hashes": is_file_name, "archive_subdir": _is_below}.items():
        if key in facts and not is_fine(facts[key]):
            raise ValueError(f"{key!r} of {path} is {facts[key]!r:.60}. Expected the name of a file or folder.")
    return replace(manifest, class_names=manifest.class_names or class_names)


def is_file_name(name: str) -> bool:
    """Return whether a text is the name of one file or folder, on any system."""
    return _is_below(name) and len(PureWindowsPath(name).parts) == 1


def _is_below(path: str) -> bool:
    """Return whether a relative path leads to something below its folder, on any system."""
    return bool(PureWindowsPath(path).parts) and not leaves_folder(path) and path.isprintable()
