"""One look for every figure: few colours that colour-blind readers can tell apart, thin lines, no decoration."""

import functools
import io
import logging
import tempfile
import webbrowser
from itertools import accumulate
from pathlib import Path

from matplotlib import figure, rc_context
from matplotlib.font_manager import findfont, fontManager, get_font

# Okabe and Ito (2008), from the most to the least legible on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
TRAIN, VALIDATION, ACCENT = COLOURS[7], COLOURS[0], COLOURS[1]
INK, FAINT = "#222222", "#DDDDDD"
HEAT = "Blues"
DEMONSTRATION_MARK = "demonstration: drawn pictures"

# What systems bring along, for letters that DejaVu Sans does not have.
SCRIPTS = """Noto Sans CJK SC|Noto Sans CJK JP|Noto Sans SC|Source Han Sans SC|WenQuanYi Zen Hei|WenQuanYi Micro Hei
|Droid Sans Fallback|Microsoft YaHei|SimHei|PingFang SC|Hiragino Sans GB|Arial Unicode MS|Malgun Gothic|Nirmala UI"""
INSTALLED = [name.strip() for name in SCRIPTS.split("|") if name.strip() in fontManager.get_font_names()]
# Such a font may have one weight, which serves for all; matplotlib would say so.
logging.getLogger("matplotlib.font_manager").addFilter(lambda record: "font weight" not in record.getMessage())
CODES: dict[str, str] = {}
"""What `short` has written for letters that no font has -> the letter."""

STYLE = {
    "font.family": ["sans-serif", *INSTALLED],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    # A class called "a$b$" is a name, not a formula.
    "text.parse_math": False,
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
    # Text stays text: it can be read aloud, searched and copied, and the page stays small.
    "svg.fonttype": "none",
    "svg.hashsalt": "marinecv",
}

styled = rc_context(STYLE)
"""Decorator that draws, or saves, in this look; matplotlib's settings are as before afterwards."""


def short(name: str, longest: int = 40) -> str:
    """Return a name as a figure shows it: on one line, cut where it is long, a code for a letter that no font has."""
    name = f" {name}" if name.startswith("_") else name  # or a legend would leave it out
    parts = [_drawn(letter) if letter.isprintable() else " " for letter in name]
    if sum(map(len, parts)) > longest:
        parts = [part for part, end in zip(parts, accumulate(map(len, parts)), strict=True) if end < longest] + ["…"]
    return "".join(parts)


def font_file(text: str) -> str:
    """Return the file of the first font that has all letters of a text, else of the first font."""
    return next((font for font in _fonts() if all(map(font.get_char_index, map(ord, text)))), _fonts()[0]).fname


@functools.cache
def _fonts() -> list:
    return [get_font(findfont(name)) for name in ("DejaVu Sans", *INSTALLED)]


@functools.cache
def _drawn(letter: str) -> str:
    if any(font.get_char_index(ord(letter)) for font in _fonts()):
        return letter
    code = letter.encode("ascii", "backslashreplace").decode()
    CODES[code] = letter
    return code


class Figure(figure.Figure):
    """A figure that is saved in this look: `savefig(path)` writes it, a notebook shows it, `show()` opens it."""

    savefig = styled(figure.Figure.savefig)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def show(self, warn: bool = True) -> None:
        """Open the figure in the viewer of the system; a notebook shows one that ends a cell without this."""
        path = Path(tempfile.mkdtemp(prefix="marinecv_")) / "figure.png"
        self.savefig(path)
        if not webbrowser.open(path.as_uri()):
            raise RuntimeError(
                f'No viewer opens {path}. Save the figure with savefig("figure.png") and open that file.'
            )


def new_figure(width: float, height: float, demonstration: bool = False) -> Figure:
    """Open an empty figure in the house's look that belongs to no window; call it under `styled`.

    A width of 6 inches reads well on a phone and in print; a demonstration is marked as made of drawn pictures.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    if demonstration:
        figure.suptitle(DEMONSTRATION_MARK, x=0.99, ha="right", fontsize=8, fontstyle="italic", color=ACCENT)
    return figure
