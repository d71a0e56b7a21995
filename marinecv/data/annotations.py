"""Read annotation files in JSON and XML with care, and the names and numbers in them."""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

from marinecv.data.layouts import HIDDEN_PREFIXES
from marinecv.data.names import EMPTY_CLASS, normalize_name
from marinecv.data.user_csv import utf8_text

EMPTY_NAMES = (EMPTY_CLASS, "blank", "none")  # of a class, in formats that have one for images without an animal
MAX_DEPTH = 100  # of elements in an XML file


def json_files(folders: Iterable[Path], *keys: str) -> list[Path]:
    """Return the JSON files directly in folders that hold an object with all these keys, sorted; none is parsed."""
    files = {path for folder in folders for path in folder.glob("*.[jJ][sS][oO][nN]") if path.is_file()}
    visible = sorted(path for path in files if not path.name.startswith(HIDDEN_PREFIXES))
    return [path for path in visible if _has_keys(path, path.stat().st_mtime_ns, *keys)]


@lru_cache(maxsize=256)
def _has_keys(path: Path, mtime_ns: int, *keys: str) -> bool:
    try:
        content = path.read_bytes()
    except OSError:  # it is counted as not read
        return False
    return bool(re.match(rb"(\xef\xbb\xbf)?\s*\{", content)) and all(
        re.search(rb'"%b"\s*:' % key.encode(), content) for key in keys
    )


def objects_of(content: dict, key: str, path: Path) -> list[dict]:
    """Return a list of objects in a JSON file; raise ValueError where it is none."""
    objects = content.get(key)
    if not isinstance(objects, list):
        raise ValueError(f"{path} has no list {key!r}. Expected one of objects. Export it again.")
    for number, each in enumerate(objects):
        if not isinstance(each, dict):
            raise ValueError(f"{key}[{number}] of {path} is {str(each)[:40]!r}. Expected an object. Export it again.")
    return objects


def read_json(path: Path, kind: type = dict) -> dict | list:
    """Return a JSON file's content, a `kind`; ValueError where it is another, nested deeply, or repeats a key."""
    text = utf8_text(path)
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(
            f"{path} is no JSON that can be read: {reason}. Expected a whole file. Export it again."
        ) from None
    if not isinstance(content, kind):
        words = {dict: 'an object, "{...}"', list: 'a list, "[...]"'}
        raise ValueError(f"{path} begins with {str(content)[:40]!r}. Expected {words[kind]}. Export it again.")
    return content


def _unique_keys(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r:.60} occurs twice in one object")
    return content


class _SafeBuilder(ElementTree.TreeBuilder):
    """Build a tree that is not deep, of a file that declares no entities."""

    depth = 0

    def doctype(self, *_):
        raise ValueError("it has a DOCTYPE, which may define entities; delete that line")

    def start(self, tag, attributes):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} elements")
        return super().start(tag, attributes)

    def end(self, tag):
        self.depth -= 1
        return super().end(tag)


def read_xml(path: Path) -> ElementTree.Element:
    """Return the root of an XML file; ValueError where it is malformed, deep, or has a DOCTYPE: entities can grow."""
    try:
        return ElementTree.fromstring(path.read_bytes(), ElementTree.XMLParser(target=_SafeBuilder()))
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: of an encoding
        raise ValueError(
            f"{path} is no XML that can be read: {error}. Expected a whole file. Export it again."
        ) from None


def text_of(value: object) -> str:
    """Return a value of a file as a name: "" for nothing and NaN, "3" for 3.0; never a text that UTF-8 cannot hold."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return normalize_name(str(value).replace("\0", "\\0").encode("utf-8", "backslashreplace").decode())


def name_in(image: dict, key: str) -> str:
    """Return a file name as it is written, see `text_of` for what is no text."""
    return image[key] if isinstance(image.get(key), str) else text_of(image.get(key))


def class_of(value: object) -> str:
    """Return the name of a class as `text_of` does; those of `EMPTY_NAMES` are one."""
    name = text_of(value)
    return EMPTY_CLASS if name.casefold() in EMPTY_NAMES else name
