"""Templates in, one self-contained HTML file out: style, figures and pictures travel inside it."""

import base64
import io
from importlib.resources import files
from math import isnan
from numbers import Integral, Real
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from marinecv.atomic import write_text
from marinecv.evaluation.figures import interval_words
from marinecv.inputs.rgb import open_rgb
from marinecv.report.figures import THUMBNAIL_PX, figure_svg


def render(template_name: str, **context) -> str:
    """Fill a template of `marinecv/report/templates`; a value that is no `Markup` is escaped, and none may be missing.

    A page extends `base.html`, which wants `title` and `demonstration`; `parts.html` has macros for figures and tables.
    """
    return _environment().get_template(template_name).render(**context)


def write_page(path: Path, template_name: str, **context) -> Path:
    """Write what `render` gives, whole or not at all; return the path."""
    write_text(path, render(template_name, **context))
    return path


def inline(figure: Figure) -> Markup:
    """Return a figure as SVG that a template places as it is; matplotlib has escaped the names in it."""
    return Markup(figure_svg(figure))


def thumbnail(path: str | Path) -> str | None:
    """Return a small JPEG of a picture as a `data:` address, upright; None where the file cannot be read."""
    try:
        picture = open_rgb(path)
    except ValueError:
        return None
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return jpeg_address(picture)


def jpeg_address(picture: Image.Image) -> str:
    """Return a picture as a JPEG in a `data:` address, so that a page needs no file beside it."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def number_text(value: object) -> str:
    """Write a value for a reader: digits as its size asks, thousands apart; missing is empty."""
    if isinstance(value, bool | str) or not isinstance(value, Real):
        return str(value)
    if isnan(value):
        return ""
    if isinstance(value, Integral) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.01:
        return f"{value:.3g}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _environment() -> Environment:
    folder = files("marinecv.report.templates")
    loader = FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number_text
    environment.filters["interval"] = interval_words
    return environment
