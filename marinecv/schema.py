"""Typed records of JSON and TOML, which a fault or a person may have changed: read back, or refused by name."""

import copy
import difflib
import functools
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

LARGEST = 2**63 - 1
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Size = Annotated[int, Meta(ge=1, le=65536)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0, le=1e9)]
T = TypeVar("T")


def read_json(path: str | Path) -> dict:
    """Read a JSON object that could be written again as it is.

    Raises:
        ValueError: there is no such file, it is no JSON object in UTF-8, or a number in it is none (NaN, 1e999).
    """

    def parsed(text: str) -> Any:
        return json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)

    data = _parsed(path, parsed)
    if not isinstance(data, dict):
        raise ValueError(f"{path} cannot be read: it holds {data!r:.60}. Expected a JSON object of named entries.")
    return data


def read_toml(path: str | Path) -> dict:
    """Read TOML; ValueError where there is no such file, or it is none in UTF-8."""
    return _parsed(path, functools.partial(tomllib.loads, parse_float=_finite))


def read(path: str | Path, kind: type[T]) -> T:
    """Read a JSON object as a typed record; ValueError as `read_json` and `convert`."""
    return convert(read_json(path), kind, path)


def convert(data: Any, kind: Any, what: object) -> Any:
    """Return plain data as a type, as `msgspec.convert` does.

    Raises ValueError, which names `what`, the value in it that is refused, and what was expected.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        reason, _, way = str(error).partition(" - at `")
        keys, value = _refused(data, kind, way.rpartition("$")[2].rstrip("`"))
        where = f"{'.'.join(keys)!r} of {what}" if keys else what
        raise ValueError(f"{where} is {value!r:.60}. {reason}.") from error


def check_fields(part: Any) -> None:
    """Refuse a setting that its annotation does not allow; numbers of NumPy become Python's, lists tuples."""
    for name, kind in _hints(type(part)).items():
        value = getattr(part, name)
        value = value.tolist() if hasattr(value, "dtype") else value
        if any(map(is_dataclass, (kind, *get_args(kind)))):
            of_type(kind, **{name: value})
            continue
        if get_origin(kind) is Literal:
            one_of(get_args(kind), **{name: value})
        made = convert(value, kind, name)
        object.__setattr__(part, name, value if made == value else made)


def build(cls: type[T], data: Any, what: object) -> T:
    """Make a dataclass of plain data, its parts too.

    Raises ValueError where an entry is missing, unknown or refused.
    """
    data = dict(convert(data, dict[str, Any], what))
    for name, kind in _hints(cls).items():
        part = next(filter(is_dataclass, (kind, *get_args(kind))), None)
        if part and isinstance(data.get(name), dict):
            data[name] = build(part, data[name], f"{name!r} of {what}")
    try:
        return cls(**data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from error


def of_type(kind: Any, **argument: object) -> None:
    """Refuse an argument that is no object of a class."""
    for name, value in argument.items():
        if not isinstance(value, kind):
            raise ValueError(
                f"Expected {name} of type {' or '.join(part.__name__ for part in get_args(kind) or (kind,))}. "
                f"Received: {value!r:.60} ({type(value).__name__})."
            )


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
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= LARGEST:
        raise ValueError(f"Expected {name} to be a whole number of at least {low}. Received: {name}={value!r:.60}.")
    return int(value)


def names(values: Sequence[str], what: object) -> tuple[str, ...]:
    """Return names, or raise ValueError where one is empty or occurs twice."""
    wrong = [name for number, name in enumerate(values) if not name.strip() or name in values[:number]]
    if wrong:
        raise ValueError(f"{what} are {tuple(values)!r:.200}: {wrong[0]!r} is empty or there twice.")
    return tuple(values)


def _parsed(path: str | Path, parse: Callable[[str], Any]) -> Any:
    try:
        data = parse(Path(path).read_text(encoding="utf-8"))
        json.dumps(
            data, ensure_ascii=False, default=str
        ).encode()  # half a pair of surrogates cannot be written
        return data
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _refused(data: Any, kind: Any, way: str) -> tuple[list[str], Any]:
    """The keys of the value that msgspec refuses, and it; which key of a dict, `[...]`, is found by one at a time."""
    data, keys = copy.deepcopy(data), []
    value = data
    for step in re.findall(r"\.\.\.|[^.\[\]]+", way):
        if step == "...":
            step = _refused_key(data, kind, value)
        keys.append(step)
        value = value[step if isinstance(value, dict) else int(step)]
    return keys, value


def _refused_key(data: Any, kind: Any, within: dict) -> str:
    """The key of a dict in the data that is refused; others are taken out of it."""
    for key, value in list(within.items()):
        within.clear()
        within[key] = value
        try:
            msgspec.convert(data, kind)
        except msgspec.ValidationError:
            break
    return key


def _kept(number: float) -> bool:
    return abs(number) <= LARGEST if isinstance(number, int) else isfinite(number)


def _whole(text: str) -> int:
    if len(text) > 20 or not _kept(int(text)):
        raise ValueError(f"the number {text:.30} is too large")
    return int(text)


def _finite(text: str) -> float:
    if not _kept(float(text)):
        raise ValueError(f"{text:.30} is no finite number")
    return float(text)
