"""Plain data that a fault or a person may have changed: JSON and TOML read back, every value of its kind or named."""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from numbers import Integral
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

LARGEST = 2**63
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "named entries"}
_ABSENT = object()


def read_json(path: str | Path) -> dict:
    """Read a JSON object that could be written again as it is.

    Raises:
        ValueError: there is no such file, it is no JSON object in UTF-8, or a number in it is none (NaN, 1e999).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        data = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
        json.dumps(data, ensure_ascii=False).encode()  # half a pair of surrogates is text that nothing can write
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} cannot be read: it holds {data!r:.60}. Expected a JSON object of named entries.")
    return data


def take(data: dict, *keys: str, kind: Any, what: object) -> Any:
    """Return `data[key][key]...`, which must be there and of a kind.

    Args:
        data: as `read_json` returns it.
        keys: the way to the value.
        kind: as `checked` takes it.
        what: the file, or what else an error names.
    Raises:
        ValueError: it is absent, or of another kind.
    """
    value, way = data, ".".join(keys)
    for key in keys:
        value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    if value is _ABSENT:
        raise ValueError(f"{way!r} of {what} is missing. Expected {_name(kind)}.")
    return checked(value, kind, f"{way!r} of {what}")


def check_entries(data: dict, expected: dict, what: object) -> None:
    """Check entries of plain data, and theirs in turn; others may stand beside them.

    Args:
        data: as `read_json` returns it.
        expected: of each entry its kind, as `checked` takes it; its own entries, as here; the same in a tuple, where
            null will do; or those of each of its rows, in a list.
        what: the file, or what else an error names.
    Raises:
        ValueError: one is absent or of another kind, or there is no row.
    """
    for name, kind in expected.items():
        if isinstance(kind, list):
            rows = take(data, name, kind=tuple[dict, ...], what=what)
            if not rows:
                raise ValueError(f"{name!r} of {what} is empty. Expected a row at least.")
            for row in rows:
                check_entries(row, kind[0], f"a row of {name!r} of {what}")
        elif isinstance(kind, dict):
            check_entries(take(data, name, kind=dict, what=what), kind, f"{name!r} of {what}")
        elif not isinstance(kind, tuple):
            take(data, name, kind=kind, what=what)
        elif take(data, name, kind=dict | None, what=what) is not None:
            check_entries(data, {name: kind[0]}, what)


def checked(value: Any, kind: Any, what: str) -> Any:
    """Return a value of plain data as a kind: a list as a tuple, named entries as a dataclass.

    Args:
        value: from JSON or TOML.
        kind: a type as dataclasses annotate it: `int`, `float | None`, `tuple[str, ...]`, `dict[str, int]`, a
            dataclass. A whole number will do for `float`, and true or false is no number.
        what: what an error names.
    Raises:
        ValueError: it is of another kind, or a number that no 64 bits hold.
    """
    if is_dataclass(value):
        return value  # a part that is made already
    if get_origin(kind) is UnionType:
        if value is None and NoneType in get_args(kind):
            return None
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if is_dataclass(kind):
        return build(kind, value, what)
    inner = get_args(kind)[-1:] if get_origin(kind) is dict else get_args(kind)[:1]
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(checked(part, inner[0], f"entry {i} of {what}") for i, part in enumerate(value, start=1))
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: checked(part, inner[0], f"{key!r} of {what}") for key, part in value.items()}
    of_kind = kind is Any or type(value) is kind or (kind is float and type(value) is int)
    if not of_kind or (type(value) in (int, float) and not _kept(value)):
        raise ValueError(f"{what} is {value!r:.60}. Expected {_name(kind)}.")
    return value


def build(cls: type, data: Any, what: str) -> Any:
    """Make a dataclass of plain data.

    Raises:
        ValueError: an entry is missing, unknown or of another kind, or the dataclass refuses it.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{what} is {data!r:.60}. Expected named entries.")
    known = {entry.name: entry for entry in fields(cls)}
    if unknown := [key for key in data if key not in known]:
        raise ValueError(f"unknown entry {unknown[0]!r} of {what}. Expected some of {', '.join(known)}.")
    for name, entry in known.items():
        if name not in data and entry.default is MISSING and entry.default_factory is MISSING:
            raise ValueError(f"{name!r} of {what} is missing. Expected {_name(get_type_hints(cls)[name])}.")
    hints = get_type_hints(cls)
    parts = {key: checked(value, hints[key], f"{key!r} of {what}") for key, value in data.items()}
    try:
        return cls(**parts)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def within(part: object, **bounds: tuple[float, float]) -> None:
    """Refuse a setting below or above its bounds."""
    for name, (low, high) in bounds.items():
        value = getattr(part, name)
        if any(each is not None and not low <= each <= high for each in (value if type(value) is tuple else [value])):
            raise ValueError(f"Expected {name} from {low} to {high}. Received: {name}={value}.")


def among(part: object, **words: tuple) -> None:
    """Refuse a setting that is none of its words."""
    for name, known in words.items():
        if getattr(part, name) not in known:
            raise ValueError(f"Expected {name} to be one of {known}. Received: {name}={getattr(part, name)!r}.")


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence that there is nothing of a name, with the name that was probably meant and those there are."""
    return f'There is no {what} "{name}".{did_you_mean(name, known)} Expected one of {", ".join(known)}.'


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "..."?` with the closest of the known names, or nothing where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


def whole(value: Any, name: str, low: int = 0) -> int:
    """Return an argument that must be a whole number, numpy's too; true or false is none.

    Raises:
        ValueError: it is another object, below `low`, or more than 64 bits hold.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value < LARGEST:
        raise ValueError(f"Expected {name} to be a whole number of at least {low}. Received: {name}={value!r:.60}.")
    return int(value)


def names(values: Sequence[str], what: object) -> tuple[str, ...]:
    """Return names, which must be some text each, and each another.

    Raises:
        ValueError: one is empty or occurs twice.
    """
    wrong = [name for number, name in enumerate(values) if not name.strip() or name in values[:number]]
    if wrong:
        raise ValueError(f"{what} are {tuple(values)!r:.200}: {wrong[0]!r} is empty or there twice.")
    return tuple(values)


def _name(kind: Any) -> str:
    if get_origin(kind) is UnionType:
        return " or ".join("null" if part is NoneType else _name(part) for part in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list, each entry {_name(get_args(kind)[0])}"
    return KINDS.get(get_origin(kind) or kind, KINDS[dict])


def _kept(number: float) -> bool:
    return abs(number) < LARGEST if isinstance(number, int) else isfinite(number)


def _whole(text: str) -> int:
    if len(text) > 20 or not _kept(int(text)):
        raise ValueError(f"the number {text:.30} is too large")
    return int(text)


def _finite(text: str) -> float:
    if not _kept(float(text)):
        raise ValueError(f"{text:.30} is no finite number")
    return float(text)
