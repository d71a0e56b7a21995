"""A manifest says where a data set comes from, how its files are laid out, its classes and its licence."""

import os
from collections.abc import Callable
from dataclasses import field, replace
from pathlib import Path, PureWindowsPath
from typing import Literal

from marinecv.choices import ClassLevel
from marinecv.data.layouts import find_layout
from marinecv.data.names import leads_out, normalize_name
from marinecv.data.readers import layout_names, reader_of
from marinecv.data.store import making, store_path
from marinecv.data.unpack import safe_unpack
from marinecv.hashes import sha256
from marinecv.schema import build, checked_dataclass, names, no_such, one_of, read_toml

ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")
PACKAGE = Path(__file__).resolve().parents[1]


@checked_dataclass
class Manifest:
    """One data set, as its TOML file states it.

        >>> import marinecv as mcv
        >>> mcv.Manifest(name="mine", layout="folders", class_names=("crab", "eel")).class_names
        ('crab', 'eel')

    Attributes:
        name: the word a user types after `--data`, and the name of its folder in the store.
        title: one line for a listing.
        layout: one of `layout_names()`.
        class_names: in the order of the model's outputs; empty means whatever the data hold, in their order.
        folder_classes: class folder -> class name, of the layouts `folders` and `cub`: which are read, and what each is
            called. Empty reads all. They are the class names, too, where none are stated.
        class_level: of the layout `folders`: the class is the "first" folder, or the "leaf" of a taxonomy; empty where
            the folders' names tell.
        merge_case: classes whose names differ only in case are one; False refuses them.
        root: the folder that image ids are relative to; None while the files are not located.
        folder: the one that was given or unpacked; `root` is it or lies in it.
        url: an archive, best pinned to a commit, or `gdrive:ID`.
        archive_subdir: the folder inside the archive that becomes `root`.
        hashes: name of the `.sha256` file beside the TOML, lines `<sha256>  <split>/.../<file>`.
        expected: measured counts, `images.<split>` and `boxes.<split>.<class>`.
        licence: as the source states it; empty where it states none.
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
    merge_case: bool = False
    root: Path | None = None
    folder: Path | None = None
    url: str = ""
    archive_subdir: str = ""
    hashes: str = ""
    expected: dict[Literal["images", "boxes"], dict[str, int | dict[str, int]]] = field(default_factory=dict)
    licence: str = ""
    citation: str = ""
    homepage: str = ""
    demonstration: bool = False
    toml: Path | None = None

    def __post_init__(self):
        one_of(layout_names(), layout=self.layout)
        classes = tuple(map(normalize_name, self.class_names))
        if self.merge_case:
            cases = [name.casefold() for name in classes]
            classes = tuple(name for number, name in enumerate(classes) if cases.index(cases[number]) == number)
        folders = {normalize_name(key): normalize_name(name) for key, name in self.folder_classes.items()}
        object.__setattr__(self, "class_names", names(classes, f"The class_names of {self.toml or self.name}"))
        object.__setattr__(self, "folder_classes", folders)


def manifest_folder(package: Path = PACKAGE) -> Path:
    """Folder of the bundled TOML files: beside the package in a clone, inside it in an installed wheel."""
    beside = package.parent / "data_manifests"
    # site-packages may hold a stranger's data_manifests: only a clone has setup.cfg at its top.
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
        raise ValueError(
            f"{no_such('data set', str(name_or_toml_path), known)} Or name a .toml manifest, or with --data-dir a "
            "folder of images."
        )
    return _read_toml(manifest_folder() / f"{name_or_toml_path}.toml")


def manifest_of_folder(path: str | Path, say: Callable[[str], None] | None = None) -> Manifest:
    """Describe any folder or archive of images by its layout; an archive is unpacked into the store, once.

    A pack is described as the data set that it was made of.

    Args:
        path: of the folder or archive.
        say: called with a line of text where another process unpacks the archive, which is waited for.
    Raises:
        ValueError: there is no such place, no layout fits it, or it says something broken of itself.
    """
    path = Path(os.path.expanduser(path)).absolute()
    archive = next((suffix for suffix in ARCHIVES if path.name.lower().endswith(suffix)), "")
    if path.is_file() and archive:
        folder = _unpacked(path, say)
    elif path.is_dir():
        folder = path
    else:
        raise ValueError(f"{path} is no folder and no .zip, .tgz or .tar. Expected a folder of images, or an archive.")
    root, layout = find_layout(folder)
    name = path.name[: -len(archive)] if path.is_file() else path.name
    return Manifest(**{"name": name} | reader_of(layout).facts(root), layout=layout, root=root, folder=folder)


def manifest_at(manifest: Manifest, place: str | Path, say: Callable[[str], None] | None = None) -> Manifest:
    """Return the manifest with its facts kept, and root and layout as found at a place."""
    found = manifest_of_folder(place, say)
    return replace(manifest, root=found.root, folder=found.folder, layout=found.layout)


def _unpacked(archive: Path, say: Callable[[str], None] | None) -> Path:
    """Folder of the store that holds an archive's content, keyed by the archive's own hash."""
    folder = store_path("unpacked", sha256(archive)[:16])
    if not folder.exists():
        with making(folder, say) as workplace:
            if not folder.exists():
                safe_unpack(archive, workplace / "content")
                os.replace(workplace / "content", folder)
    return folder


def _read_toml(path: Path) -> Manifest:
    facts = read_toml(path)
    if unknown := {"toml", "folder"} & facts.keys():
        raise ValueError(f"{path} has an unknown key {unknown.pop()!r}. Expected root for the folder of the images.")
    if isinstance(facts.get("root"), str):
        facts["root"] = path.absolute().parent / facts["root"]
    manifest = build(Manifest, {**facts, "toml": path.absolute()}, path)
    called = names(tuple(manifest.folder_classes.values()), f"The folder_classes of {path}")
    for key, is_fine in {"name": is_file_name, "hashes": is_file_name, "archive_subdir": _is_below}.items():
        if key in facts and not is_fine(facts[key]):
            raise ValueError(
                f"{key!r} of {path} is {facts[key]!r:.60}. Expected the name of a file or folder, no way out."
            )
    return replace(manifest, class_names=manifest.class_names or called)


def is_file_name(name: str) -> bool:
    """Whether a name is that of one file or folder, on any system."""
    return _is_below(name) and len(PureWindowsPath(name).parts) == 1


def _is_below(place: str) -> bool:
    """Whether a path leads to something below a folder, on any system."""
    return bool(PureWindowsPath(place).parts) and not leads_out(place) and place.isprintable()
