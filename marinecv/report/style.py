"""Colors, fonts and matplotlib settings of every figure."""

import functools
import io
import logging
from itertools import accumulate
from typing import Any

from matplotlib import figure, rc_context
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.ticker import ScalarFormatter

from marinecv.language import local_number, tr

# Okabe and Ito (2008), distinguishable for color-blind readers; the most legible on white first.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
TRAIN, VALIDATION, ACCENT = COLORS[7], COLORS[0], COLORS[1]
INK, FAINT = "#222222", "#DDDDDD"
MARKERS = "os^DvPX*"
DEMONSTRATION_MARK = "demonstration: generated images"

# System fonts for letters that DejaVu Sans lacks.
FALLBACK_FONTS = "Noto Sans CJK SC|Noto Sans CJK JP|Noto Sans SC|Source Han Sans SC|WenQuanYi Zen Hei"
FALLBACK_FONTS += "|WenQuanYi Micro Hei|Droid Sans Fallback|Microsoft YaHei|SimHei|PingFang SC|Hiragino Sans GB"
FALLBACK_FONTS += "|Arial Unicode MS|Malgun Gothic|Nirmala UI"
INSTALLED_FONTS = [name for name in FALLBACK_FONTS.split("|") if name in fontManager.get_font_names()]
# Such a font may have only one weight; matplotlib would warn.
logging.getLogger("matplotlib.font_manager").addFilter(lambda record: "font weight" not in record.getMessage())
ESCAPE_CODES: dict[str, str] = {}
"""Escape codes that `short_name` wrote for letters that no font has -> the letter."""

STYLE = {
    "font.family": ["sans-serif", *INSTALLED_FONTS],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class called "a$b$" is a name, not a formula
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.facecolor": "white",
    "svg.fonttype": "none",  # text stays text: searchable, readable aloud, small
    "svg.hashsalt": "marinecv",
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
}

styled = rc_context(STYLE)
"""Decorator: draw or save with these settings; matplotlib's own settings are restored afterwards."""


def short_name(name: str, longest: int = 40) -> str:
    """Return a name for a figure: on one line, at most `longest` letters, an escape code for letters no font has."""
    name = f" {name}" if name.startswith("_") else name  # matplotlib omits names with a leading _ from legends
    parts = [_escaped(letter) if letter.isprintable() else " " for letter in name]
    if sum(map(len, parts)) > longest:
        parts = [part for part, end in zip(parts, accumulate(map(len, parts)), strict=True) if end < longest] + ["…"]
    return "".join(parts)


def font_file(text: str) -> str:
    """Return the file of the first font that has all letters of a text, else the first font."""
    return next((font for font in _fonts() if all(map(font.get_char_index, map(ord, text)))), _fonts()[0]).fname


@functools.cache
def _fonts() -> list:
    return [get_font(findfont(name)) for name in ("DejaVu Sans", *INSTALLED_FONTS)]


@functools.cache
def _escaped(letter: str) -> str:
    if any(font.get_char_index(ord(letter)) for font in _fonts()):
        return letter
    code = letter.encode("ascii", "backslashreplace").decode()
    ESCAPE_CODES[code] = letter
    return code


class Figure(figure.Figure):
    """Figure with these settings: `savefig(path)` writes it, a notebook cell displays it."""

    savefig = styled(figure.Figure.savefig)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(
    width: float, height: float, demonstration: bool = False, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """Create a figure (width and height in inches) and its axes as `plt.subplots` does, in a `styled` function.

    With `demonstration` the figure is labeled as made of generated demo images.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    if demonstration:
        figure.suptitle(tr(DEMONSTRATION_MARK), x=0.99, ha="right", fontsize=8, fontstyle="italic", color=ACCENT)
    axes = figure.subplots(rows, columns, **options)
    for axis in [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]:
        axis.set_major_formatter(_Ticks())
        axis.isDefault_majfmt = True  # an axis of words still takes its own
    return figure, axes


class _Ticks(ScalarFormatter):
    """Tick labels in the language of the block in which the figure is drawn."""

    def __call__(self, x, pos=None) -> str:
        return local_number(super().__call__(x, pos))
