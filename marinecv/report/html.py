"""Fill templates into self-contained HTML files: styles, figures and thumbnails are embedded."""

import base64
import functools
import hashlib
import io
import re
import shlex
from importlib.resources import files
from math import isnan
from numbers import Integral, Real
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from marinecv.choices import SPLITS
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.predictions import read_predictions
from marinecv.files.atomic import write_text
from marinecv.inputs.to_rgb import open_rgb
from marinecv.language import language_name, local_number, recorded_text, tr
from marinecv.report.figures import figure_svg, save_png
from marinecv.runs import Run

THUMBNAIL_PX = 160
_STYLE_OF_SVG = re.compile("<style.*?</style>", re.DOTALL)
_ABSOLUTE = re.compile(r"(--[\w-]+=)?(?:/|[A-Za-z]:[\\/])(?:.*[\\/])?([^\\/]+)[\\/]?", re.DOTALL)


def write_page(path: Path, template_name: str, **context) -> Path:
    """Fill a template of `marinecv/report/templates`, write it atomically and return the path.

    Values are escaped unless `Markup`; none may be missing. Pages extend `base.html`, which needs `title` and
    `demonstration`; `parts.html` has macros for figures and tables.
    """
    write_text(path, _environment().get_template(template_name).render(**context))
    return path


@functools.cache
def _environment() -> Environment:
    """Return the environment in which a template is compiled once for all pages of a process."""
    loader, folder = PackageLoader("marinecv.report"), files("marinecv.report.templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"tr": lambda text, **values: with_code(tr(text, **values)), "language_name": language_name}
    for name in ("style.css", "page.js"):
        text, key = folder.joinpath(name).read_text(encoding="utf-8"), name.partition(".")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        # A Content-Security-Policy with this source allows the embedded style or script and no other.
        environment.globals |= {key: Markup(text), f"{key}_hash": Markup(f"'sha256-{digest}'")}
    environment.filters |= {"code": with_code, "number": format_number, "interval": interval_text}
    environment.filters |= {"decimals": decimals, "tr": tr, "recorded": recorded_text, "local": local_number}
    return environment


def with_code(sentence: str) -> Markup:
    """Return a sentence for a page, escaped; what stands in backticks is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def save_and_embed(figure: Figure, path: Path) -> Markup:
    """Write a figure as PNG to `path` and return it as SVG for a page; matplotlib escapes the names in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(figure, path)
    return Markup(_STYLE_OF_SVG.sub("", figure_svg(figure)))  # style.css has it: the policy of a page allows no other


def thumbnail(path: str | Path, side: int = THUMBNAIL_PX) -> str | None:
    """Return an image, shrunk to `side` pixels, as a JPEG `data:` URL; None if the file cannot be read."""
    try:
        picture = open_rgb(path, side=side)
    except ValueError:
        return None
    picture.thumbnail((side, side))
    return jpeg_data_url(picture)


def jpeg_data_url(picture: Image.Image) -> str:
    """Return an image as a JPEG `data:` URL."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def format_number(value: object) -> str:
    """Format a value: 3 significant decimals for small numbers, thousands separators for large ones, NaN as empty."""
    if isinstance(value, bool | str) or not isinstance(value, Real):
        return str(value)
    if isnan(value):
        return ""
    if isinstance(value, Integral) or abs(value) >= 1000:
        return decimals(value, ",.0f")
    if 0 < abs(value) < 0.01:
        return decimals(value, ".3g")
    return decimals(value, ".1f" if abs(value) >= 10 else ".3f")


def decimals(value: Real, form: str = ".3f") -> str:
    """Format a number as `format` does, with the decimal and thousands separators of the page's language."""
    return local_number(f"{value:{form}}")


def by_split(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the labeled rows of a predictions table by split: test, validation, train, then others by name."""
    labeled = predictions[predictions["true_class"] != ""]
    names = set(labeled["split"])
    order = [split for split in SPLITS[::-1] if split in names] + sorted(names.difference(SPLITS))
    return {split: labeled[labeled["split"] == split] for split in order}


def labeled_predictions(run: Run) -> dict[str, pd.DataFrame]:
    """Return the predictions of a run `by_split`."""
    return by_split(read_predictions(run.path("predictions.csv"), run.class_names))


def flatten_settings(data: dict, part: str = "") -> list[tuple[str, str]]:
    """Flatten nested settings to (name, text) pairs: `{"image": {"width": 64}}` gives `("image width", "64")`."""
    pairs = []
    for key, value in data.items():
        name = tr(key.replace("_", " "))
        name = tr("{part} {name}", part=part, name=name) if part else name
        if isinstance(value, dict) and value:
            pairs += flatten_settings(value, name)
        else:
            pairs.append((name, _setting_text(value)))
    return pairs


def shared_command(command: str) -> str:
    """Return a command line whose absolute paths are names, see `without_folders`."""
    try:
        return shlex.join(map(without_folders, shlex.split(command)))
    except ValueError:  # a quote that is not closed
        return " ".join(map(without_folders, command.split()))


def without_folders(word: str) -> str:
    """Return the last part of an absolute path, perhaps behind `--flag=`, since a page may be passed on."""
    path = _ABSOLUTE.fullmatch(word)
    return (path[1] or "") + path[2] if path else word


def _setting_text(value) -> str:
    if value is None or value in ("", {}, []):
        return tr("none")
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    return ", ".join(map(_setting_text, value)) if isinstance(value, list) else without_folders(str(value))
