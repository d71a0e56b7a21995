"""Normalize class names, and find files by names that nearly fit."""

import difflib
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PureWindowsPath

EMPTY_CLASS = "empty"  # of an image without an animal


@lru_cache(maxsize=2**16)
def normalize_name(text: str) -> str:
    """Return a name in Unicode NFC, stripped, each inner white space one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def match_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return {name: file} of the names that fit exactly one of the `known` files, which have "/" between folders.

    Compared are equal names first, then names with slashes and accents in one form, then without case and outer white
    space, then without the file's suffix; each time among the files that are not found yet.
    """
    names, remaining = dict.fromkeys(names), dict.fromkeys(known)
    matches = {name: name for name in names if name in remaining}
    keys = ((normalize_path, normalize_path), (_without_case, _without_case), (_without_case, _without_suffix))
    for key, key_of_file in keys:
        files_of_key: dict[str, list[str]] = {}
        for file in remaining:
            files_of_key.setdefault(key_of_file(file), []).append(file)
        for name in names:
            if name not in matches and len(candidates := files_of_key.get(key(name), [])) == 1:
                matches[name] = candidates[0]
        remaining = dict.fromkeys(remaining.keys() - matches.values())
    return matches


def refuse_unmatched(table: object, names: Iterable[object], found: Iterable[Path], files: Iterable[Path]) -> None:
    """Raise ValueError, with the nearest file, where none of the files that a table names is there."""
    names, files = list(map(str, names)), list(files)
    if names and files and set(files).isdisjoint(found):
        of_word = {path.name.casefold(): path.name for path in files[:10_000]}
        nearest = difflib.get_close_matches(Path(names[0]).name.casefold(), of_word, n=1, cutoff=0)
        raise ValueError(
            f"None of the {len({*names})} files that {table} names is there; the first is {names[0][-80:]!r}, the "
            f"nearest file {of_word[nearest[0]]!r:.80}. Expected names of files below its folder. Correct the names."
        )


def leaves_folder(name: str) -> bool:
    """Return whether a relative name, written on any system, leads out of its folder."""
    path = PureWindowsPath(name)  # knows both kinds of slash, and drives
    return bool(path.anchor) or ".." in path.parts


def normalize_path(name: str) -> str:
    """Return a file name with slashes and composed accents."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _without_case(name: str) -> str:
    return normalize_name(normalize_path(name)).casefold()


def _without_suffix(name: str) -> str:
    return _without_case(str(Path(name).with_suffix("")))
