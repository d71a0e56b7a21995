"""The README of an export: how to make the right pixels, run the file, and notice that something is wrong."""

import jinja2

from marinecv.export.formats import FILES
from marinecv.run_records import Preprocessing

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("marinecv.export", ""),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)


def readme(name: str, format: str, about: Preprocessing, row: dict, expected: dict) -> str:
    """Return the text of README.md; `row` is what was measured, `expected` the content of `expected.json`."""
    known = {"name": name, "format": format, "about": about, "spec": about.image, "expected": expected}
    return ENVIRONMENT.get_template("readme.md").render(file=FILES[format], **known, **row)


def pixels_text(about: Preprocessing) -> str:
    """Return the code and the remarks by which Pillow and NumPy make the pixels of the model of a run, as Markdown."""
    return ENVIRONMENT.get_template("pixels.md").render(about=about, spec=about.image, resize=False)
