"""The README of an export: how to make the right pixels, run the file, and notice that something is wrong."""

from pathlib import Path

import jinja2

from marinecv.export.formats import FILES
from marinecv.run_records import Preprocessing

TEXT = Path(__file__).with_name("readme.md").read_text(encoding="utf-8")
TEMPLATE = jinja2.Environment(
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
).from_string(TEXT)


def readme(name: str, format: str, about: Preprocessing, row: dict, expected: dict) -> str:
    """Return the text of README.md; `row` is what was measured, `expected` the content of `expected.json`."""
    known = {"name": name, "format": format, "about": about, "spec": about.image, "expected": expected}
    return TEMPLATE.render(file=FILES[format], **known, **row)
