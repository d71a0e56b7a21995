"""Read JSON and TOML as typed records; an error names the entry that is wrong and what was expected."""

import copy
import difflib
import functools
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

MAX_INT64 = 2**63 - 1
Count = Annotated[int, Meta(ge=0, le=MAX_INT64)]
Positive = Annotated[int, Meta(ge=1, le=MAX_INT64)]
Size = Annotated[int, Meta(ge=1, le=65536)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0, le=1e9)]
T = TypeVar("T")


def read_json(path: str | Path) -> dict:
    """Read a JSON object; raise ValueError where the file is missing or holds something else, such as NaN."""
    return _parsed(path, functools.partial(msgspec.json.decode, type=dict))


def read_toml(path: str | Path) -> dict:
    """Read TOML; raise ValueError where the file is missing or holds something else."""
    return _parsed(path, tomllib.loads)


def read(path: str | Path, kind: type[T]) -> T:
    """Read a JSON object as a typed record; raise ValueError where it is none."""
    return convert(read_json(path), kind, path)


def convert(data: Any, kind: Any, what: object) -> Any:
    """Return `msgspec.convert(data, kind)`; ValueError names `what`, the wrong value in it and what was expected."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        reason, _, way = str(error).partition(" - at `")
        keys, value = _invalid_entry(data, kind, way.rpartition("$")[2].rstrip("`"))
        where = f"{'.'.join(keys)!r} of {what}" if keys else what
        raise ValueError(f"{where} is {value!r:.60}. {reason.rstrip('.')}.") from error


@dataclass_transform(kw_only_default=True, frozen_default=True)
def checked_dataclass(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass of keyword arguments that are checked against their annotations.

    NumPy numbers become Python's and lists tuples before `__post_init__`. An unknown name is a TypeError with a hint.
    """
    post_init = getattr(cls, "__post_init__", lambda self: None)

    def check(self):
        for name, kind in _hints(type(self)).items():
            object.__setattr__(self, name, _checked(getattr(self, name), kind, name))
        post_init(self)

    cls.__post_init__ = check
    cls = dataclass(frozen=True, kw_only=True)(cls)
    init, known = cls.__init__, [entry.name for entry in fields(cls)]

    @functools.wraps(init)
    def init_with_hint(self, *args, **settings):
        for name in [name for name in settings if name not in known]:
            hint = f"{did_you_mean(name, known)} Expected some of {', '.join(known)}."
            raise TypeError(f"{cls.__name__} has no argument {name!r}.{hint}")
        init(self, *args, **settings)

    cls.__init__ = init_with_hint
    return cls


def build(cls: type[T], data: Any, what: object) -> T:
    """Make a dataclass, with its nested ones, of plain data; ValueError where an entry is missing, unknown or wrong."""
    data = dict(convert(data, dict[str, Any], what))
    for name, kind in _hints(cls).items():
        part = next(filter(is_dataclass, (kind, *get_args(kind))), None)
        if part and isinstance(data.get(name), dict):
            data[name] = build(part, data[name], f"{name!r} of {what}")
    try:
        return cls(**data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from error


def check_type(kind: Any, **argument: object) -> None:
    """Raise ValueError where an argument is no object of a class: `check_type(Run, run=run)`."""
    for name, value in argument.items():
        if not isinstance(value, kind):
            expected = " or ".join(part.__name__ for part in get_args(kind) or (kind,))
            raise ValueError(f"Expected {name} of type {expected}. Received: {value!r:.60} ({type(value).__name__}).")


def check_choice(known: Collection, **argument: object) -> None:
    """Raise ValueError with the nearest one where an argument is none of `known`: `check_choice(KINDS, kind="a")`."""
    for name, value in argument.items():
        if value not in tuple(known):
            hint = did_you_mean(str(value), filter(None, known))
            raise ValueError(f"Expected {name} to be one of {tuple(known)}. Received: {name}={value!r:.60}.{hint}")


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence that there is nothing of this name, with the nearest name and all known ones."""
    return f'There is no {what} "{name}".{did_you_mean(name, known)} Expected one of {", ".join(known)}.'


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "..."?` with the nearest known name, or "" where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


def check_integer(value: Any, name: str, low: int = 0) -> int:
    """Return an integer argument, NumPy's too, of at least `low` and at most 64 bits; else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= MAX_INT64:
        raise ValueError(f"Expected {name} to be a whole number of at least {low}. Received: {name}={value!r:.60}.")
    return int(value)


def names(values: Sequence[str], what: object) -> tuple[str, ...]:
    """Return names as a tuple; raise ValueError where one is empty or occurs twice."""
    first = {name: number for number, name in reversed([*enumerate(values)])}
    if wrong := [name for number, name in enumerate(values) if not name.strip() or first[name] < number]:
        raise ValueError(f"{what} are {tuple(values)!r:.200}: {wrong[0]!r} is empty or there twice.")
    return tuple(values)


def _parsed(path: str | Path, parse: Callable[[str], dict]) -> dict:
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error


def _checked(value: Any, kind: Any, name: str) -> Any:
    value = value.tolist() if hasattr(value, "dtype") else value
    if any(map(is_dataclass, (kind, *get_args(kind)))):
        check_type(kind, **{name: value})
        return value
    if get_origin(kind) is Literal:
        check_choice(get_args(kind), **{name: value})
    converted = convert(value, kind, name)
    return value if converted == value else converted


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _invalid_entry(data: Any, kind: Any, path: str) -> tuple[list[str], Any]:
    """Return the keys of the value that msgspec refuses, and the value; keys of a dict, `[...]`, are tried."""
    data, keys = copy.deepcopy(data), []
    value = data
    for step in re.findall(r"\.\.\.|[^.\[\]]+", path):
        for key, entry in list(value.items()) if step == "..." else ():
            value.clear()
            value[key] = entry
            with suppress(msgspec.ValidationError):
                msgspec.convert(data, kind)
                continue
            step = key
            break
        keys.append(step)
        value = value[step if isinstance(value, dict) else int(step)]
    return keys, value
