"""Names as people write them: classes in one normal form and one spelling, files found by a name that nearly fits."""

import difflib
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath


def normalize_name(text: str) -> str:
    """Return a name in the form in which names are compared: Unicode NFC, stripped, inner white space one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def match_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Find the files that names mean: the same name goes first, then the only file that fits.

    A backslash counts as a slash and an accent as the same however it is stored; failing that, names are compared
    without case and outer white space, and then without the file's suffix, among the files that no other name means.
    Those `known` have "/" between folders. Returned is name: file, of the names that fit exactly one.
    """
    names, left = dict.fromkeys(names), dict.fromkeys(known)
    found = {name: name for name in names if name in left}
    for key, key_of_file in ((plain, plain), (_loose, _loose), (_loose, _stem)):
        fitting: dict[str, list[str]] = {}
        for file in left:
            fitting.setdefault(key_of_file(file), []).append(file)
        for name in names:
            if name not in found and len(fits := fitting.get(key(name), [])) == 1:
                found[name] = fits[0]
        left = dict.fromkeys(left.keys() - found.values())
    return found


def refuse_unmatched(table: object, names: Iterable[object], found: Iterable[Path], files: Iterable[Path]) -> None:
    """Raise ValueError where there are files and none is among those that the names of a table mean."""
    names, files = list(map(str, names)), list(files)
    if names and files and set(files).isdisjoint(found):
        of_word = {path.name.casefold(): path.name for path in files[:10_000]}
        near = difflib.get_close_matches(Path(names[0]).name.casefold(), of_word, n=1, cutoff=0)
        raise ValueError(
            f"None of the {len({*names})} files that {table} names is there; the first is {names[0][-80:]!r}, the "
            f"nearest file {of_word[near[0]]!r:.80}. Expected names of files below its folder. Correct the names."
        )


def leads_out(name: str) -> bool:
    """Whether a name, written on any system, leads to something that is not below the folder it is relative to."""
    path = PureWindowsPath(name)  # knows both kinds of slash, and drives
    return bool(path.anchor) or ".." in path.parts


def plain(name: str) -> str:
    """Return a file name with slashes and composed letters, as any system would write it."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _loose(name: str) -> str:
    return normalize_name(plain(name)).casefold()


def _stem(name: str) -> str:
    return _loose(str(Path(name).with_suffix("")))
