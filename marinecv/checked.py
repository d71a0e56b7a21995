"""Plain data that a fault or a person may have changed: JSON and TOML read back, every value of its kind or named."""

import difflib
import functools
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from numbers import Integral
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

LARGEST = 2**63
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "named entries"}
_ABSENT = object()
T = TypeVar("T")


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
    """Return `data[key][key]...`; ValueError, which names it and `what`, where it is absent or of another kind."""
    value, way = data, ".".join(keys)
    for key in keys:
        value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    if value is _ABSENT:
        raise ValueError(f"{way!r} of {what} is missing. Expected {_name(kind)}.")
    return checked(value, kind, f"{way!r} of {what}")


def check_entries(data: dict, expected: dict, what: object) -> None:
    """Check entries of plain data, and theirs in turn; others may stand beside them.

    Of each entry `expected` has its kind, as `checked` takes it; its own entries, as here; the same in a tuple, where
    null will do; or those of each of its rows, in a list. Raises ValueError, which names the entry and `what`, where
    one is absent or of another kind, or there is no row.
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
    """Return a value of plain data, JSON or TOML, as a kind: a list as a tuple, named entries as a dataclass.

    A kind is a type as dataclasses annotate it: `int`, `float | None`, `tuple[str, ...]`, `dict[str, int]`, a
    dataclass. A whole number will do for `float`, and true or false is no number. Raises ValueError, which names
    `what`, where the value is of another kind, or a number that no 64 bits hold.
    """
    if any(isinstance(value, part) for part in get_args(kind) or (kind,) if is_dataclass(part)):
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

    Raises ValueError where an entry is missing, unknown or of another kind, or the dataclass refuses it.
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


def of_type(kind: type, **argument: object) -> None:
    """Refuse an argument that is no object of a class."""
    for name, value in argument.items():
        if not isinstance(value, kind):
            raise ValueError(
                f"Expected {name} of type {kind.__name__}. Received: {value!r:.60} ({type(value).__name__})."
            )


def typed(part: Any) -> None:
    """Refuse a setting of another kind than its annotation says; numbers of NumPy become Python's, lists tuples."""
    for name, kind in get_type_hints(type(part)).items():
        value = getattr(part, name)
        value = value.tolist() if hasattr(value, "dtype") else value
        object.__setattr__(part, name, checked(value, kind, name))


def within(part: object, **bounds: tuple[float, float]) -> None:
    """Refuse a setting below or above its bounds."""
    for name, (low, high) in bounds.items():
        value = getattr(part, name)
        if any(each is not None and not low <= each <= high for each in (value if type(value) is tuple else [value])):
            raise ValueError(f"Expected {name} from {low} to {high}. Received: {name}={value}.")


def among(part: object, **words: tuple) -> None:
    """Refuse a setting that is none of its words."""
    for name, known in words.items():
        one_of(known, **{name: getattr(part, name)})


def one_of(known: Collection, **argument: object) -> None:
    """Refuse an argument that is none of its words, and say which was probably meant: `one_of(KINDS, kind="a")`."""
    for name, value in argument.items():
        if value not in tuple(known):
            hint = did_you_mean(str(value), filter(None, known))
            raise ValueError(f"Expected {name} to be one of {tuple(known)}. Received: {name}={value!r:.60}.{hint}")


def spelled(cls: type[T]) -> type[T]:
    """Let an argument that a dataclass does not have end in a sentence with the nearest that it has: a decorator."""
    init, known = cls.__init__, [entry.name for entry in fields(cls)]

    @functools.wraps(init)
    def checked_init(self, *args, **settings):
        for name in [name for name in settings if name not in known]:
            hint = f"{did_you_mean(name, known)} Expected some of {', '.join(known)}."
            raise TypeError(f"{cls.__name__} has no argument {name!r}.{hint}")
        init(self, *args, **settings)

    cls.__init__ = checked_init
    return cls


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence that there is nothing of a name, with the name that was probably meant and those there are."""
    return f'There is no {what} "{name}".{did_you_mean(name, known)} Expected one of {", ".join(known)}.'


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "..."?` with the closest of the known names, or nothing where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


def whole(value: Any, name: str, low: int = 0) -> int:
    """Return an argument that must be a whole number, numpy's too; true or false is none.

    Raises ValueError where it is another object, below `low`, or more than 64 bits hold.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value < LARGEST:
        raise ValueError(f"Expected {name} to be a whole number of at least {low}. Received: {name}={value!r:.60}.")
    return int(value)


def names(values: Sequence[str], what: object) -> tuple[str, ...]:
    """Return names, or raise ValueError where one is empty or occurs twice."""
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
