"""The language of pages, tables and figures: English sentences are the keys of one catalog a language."""

import functools
import json
import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.resources import files
from numbers import Real

from marinecv.choices import LANGUAGES
from marinecv.schema import check_choice

_LANGUAGE = ContextVar("language", default="en")
PSEUDO = "pseudo"  # of tests: what was translated stands in brackets, so that what was forgotten shows
RECORDED_PARTS = re.compile(r"(: |; | \(| '|, (?=\d|at most ))")
_NUMBER = re.compile(r"\d[\d,.]*(?<=\d)")
_FIELD = re.compile(r"(\{(?:[^{}]|\{[^{}]*\})*\})")


@contextmanager
def language(name: str) -> Iterator[None]:
    """Translate inside a `with` block; ValueError for a language without a catalog."""
    check_choice((*LANGUAGES, PSEUDO), lang=name)
    token = _LANGUAGE.set(name)
    try:
        yield
    finally:
        _LANGUAGE.reset(token)


def language_name() -> str:
    """Return the language of the block: `"en"` outside of any."""
    return _LANGUAGE.get()


def tr(text: str, /, **values) -> str:
    """Return an English sentence in the language of the block, its `{fields}` filled in as by `str.format`.

        >>> with language("es"):
        ...     tr("{value:.1%} of {n} images", value=0.512, n=38).replace("\N{NO-BREAK SPACE}", " ")
        '51,2 % de 38 imágenes'

    Numbers are written as the language does (a decimal comma in Spanish). What has no translation stays English.
    """
    name = _LANGUAGE.get()
    if name == PSEUDO:
        text = "⟦" + _FIELD.sub(r"⟧\1⟦", text) + "⟧"  # what fills a field is translated by itself
    elif name != "en":
        text = _catalog(name).get(text, text)
    return _FORMATTER.vformat(text, (), values) if values else text


def local_number(text: str) -> str:
    """Write a number that Python printed as the language of the block does: `12,345.6%` is `12 345,6 %` in Spanish."""
    if _LANGUAGE.get() != "es":
        return text
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace(".", ",").replace("%", "\N{NO-BREAK SPACE}%")


def recorded_text(text: str) -> str:
    """Return what a file records, such as a reason, in the language of the page; what it quotes stays as it is.

    Each part between colons, semicolons, brackets and quotes is a sentence of the catalog, with `{}` for a number.
    """
    parts = RECORDED_PARTS.split(text)
    parts[::2] = [part and _recorded_part(part) for part in parts[::2]]
    return "".join(parts)


def _recorded_part(text: str) -> str:
    template = _NUMBER.sub("{}", text)
    translated = tr(template)
    if translated == template or "{" in text:
        return text
    for number in _NUMBER.findall(text):
        translated = translated.replace("{}", local_number(number), 1)
    return translated


class _Formatter(string.Formatter):
    def format_field(self, value, format_spec):
        text = super().format_field(value, format_spec)
        return local_number(text) if isinstance(value, Real) and not isinstance(value, bool) else text


_FORMATTER = _Formatter()


@functools.cache
def _catalog(name: str) -> dict[str, str]:
    return json.loads((files("marinecv") / "translations" / f"{name}.json").read_text(encoding="utf-8"))
