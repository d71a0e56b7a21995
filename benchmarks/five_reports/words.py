"""Sentences and tables of docs/reports.md."""

import textwrap

from five_reports.bounds import counts_behind

FITS, CANNOT, AGAINST = "fits", "cannot be", "contradicts its own table"
PLACES = ("", "first", "second", "third", "fourth")


def claim(title: str, theirs: str, follows: str, verdict: str) -> str:
    """Return one finding: what is printed, what follows from it, and the verdict."""
    return filled(f"- **{title}** {theirs} {follows} *{verdict[0].upper()}{verdict[1:]}.*")


def section(*paragraphs: str) -> str:
    """Return paragraphs and tables, one below the other."""
    return "\n\n".join(paragraphs)


def filled(paragraph: str) -> str:
    """Return a paragraph or an item of a list in lines of 120 characters."""
    if paragraph.startswith("#"):
        return paragraph
    indent = "  " if paragraph.startswith("- ") else ""
    return textwrap.fill(" ".join(paragraph.split()), 120, subsequent_indent=indent)


def table(header: list, rows: list[list]) -> str:
    head, *lines = (f"| {' | '.join(map(str, line))} |" for line in (header, *rows))
    return "\n".join([head, "|---" * len(header) + "|", *lines])


def listed(words) -> str:
    """Return words with commas and an "and"; "none" without any."""
    *rest, last = map(str, words or ["none"])
    return f"{', '.join(rest)} and {last}" if rest else last


def hits(figure: str, n: int) -> int:
    """Return the first k of n that prints as an accuracy, or the nearest where none does."""
    return next(iter(counts_behind(figure, n)), round(float(figure) * n))


def in_images(figures: list[str], n: int) -> str:
    return f"{listed([hits(figure, n) for figure in figures])} of {n:,} images"


def could_be(figures: list[str], n: int) -> str:
    """Return the verdict on scores that are claimed for n images."""
    return FITS if all(counts_behind(figure, n) for figure in figures) else CANNOT


def accuracy(recipe, split: str = "validation") -> str:
    """Return a recipe's published accuracy, as printed."""
    return recipe.published[split]["accuracy"]
