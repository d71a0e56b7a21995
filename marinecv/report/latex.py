"""LaTeX of tables and text: every letter of a class name is printed, and none is a command."""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from marinecv.language import tr

LONGEST_FLOAT = 40
"""Rows, above which a table is a `longtable`, which goes on over pages."""
WIDEST = 26
"""Columns, above which a table is left to the workbook: nobody could read it on a page."""
_COMMANDS = {"\\": "textbackslash", "~": "textasciitilde", "^": "textasciicircum", "`": "textasciigrave"}
_COMMANDS |= {'"': "textquotedbl", "<": "textless", ">": "textgreater", "|": "textbar"}
_ESCAPES = {letter: rf"\{letter}" for letter in "&%$#_{}"} | {letter: f"{{{letter}}}" for letter in "[]*"}
_ESCAPES |= {"\N{NO-BREAK SPACE}": "~", "\N{NARROW NO-BREAK SPACE}": r"\,"}
_ESCAPES |= {letter: rf"\{name}{{}}" for letter, name in _COMMANDS.items()}
PREAMBLE = r"""% For \input in the preamble of a document; the tables need these packages.
\usepackage{iftex}
\ifpdftex\usepackage[T1]{fontenc}\usepackage{textcomp}\usepackage{lmodern}\else\usepackage{fontspec}\fi
\usepackage{booktabs,longtable,graphicx}
"""


def escape_latex(text: object) -> str:
    """Return text as LaTeX that prints it; letters that are no letters of a line, such as a line end, become spaces."""
    text = "".join(letter if letter.isprintable() or letter in _ESCAPES else " " for letter in str(text))
    return re.sub("-(?=-)", "-{}", text.translate(str.maketrans(_ESCAPES)))  # -- would be a dash


def preamble(texts: Iterable[str]) -> str:
    """Return the packages that the texts need, and of letters that pdfLaTeX lacks their codes: `[U+9C7C]`."""
    letters = sorted({letter for text in texts for letter in text if ord(letter) > 127} - _ESCAPES.keys())
    lines = [
        rf"\ifcsname u8:\detokenize{{{letter}}}\endcsname\else\DeclareUnicodeCharacter{{{ord(letter):04X}}}"
        rf"{{{{[}}U+{ord(letter):04X}{{]}}}}\fi"
        for letter in letters
    ]
    return PREAMBLE + ("\\ifpdftex\n" + "\n".join(lines) + "\n\\fi\n" if lines else "")


def table_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """Return a table of text as LaTeX with booktabs: text to the left, numbers to the right."""
    is_long, is_wide = len(table) > LONGEST_FLOAT, len(table.columns) > 8
    escaped = table.map(escape_latex).set_axis(map(escape_latex, table.columns), axis=1)
    if is_wide:
        escaped.columns = [escaped.columns[0], *(rf"\rotatebox{{90}}{{{name}}}" for name in escaped.columns[1:])]
    is_number = [any(cell[:1].isdigit() for cell in table.iloc[:, column]) for column in range(1, len(table.columns))]
    text = escaped.to_latex(
        index=False,
        escape=False,
        longtable=is_long,
        column_format="l" + "".join("lr"[each] for each in is_number),
        caption=escape_latex(caption),
        label=f"tab:{label}",
        position=None if is_long else "htbp",
    )
    if is_long:
        text = text.replace("Continued on next page", tr("Continued on next page"), 1)
        return r"{\small" + f"\n{text}}}\n"
    return text.replace("]\n", "]\n\\centering\\small" + r"\tabcolsep=3pt" * is_wide + "\n", 1)


def document(title: str, tables: Iterable[str], figures: Mapping[str, str]) -> str:
    """Return a document of `preamble.tex`, `methods.tex`, the tables by name, and the figures by name and caption."""
    lines = [r"\documentclass{article}", r"\usepackage[margin=25mm]{geometry}", r"\input{preamble}"]
    lines += [rf"\renewcommand{{\tablename}}{{{tr('Table')}}}\renewcommand{{\figurename}}{{{tr('Figure')}}}"]
    lines += [r"\begin{document}", rf"\section*{{{escape_latex(title)}}}", r"\sloppy\input{methods}\par\fussy"]
    lines += [rf"\input{{tables/{name}}}" for name in tables]
    for name, caption in figures.items():
        size = r"width=\linewidth,height=.8\textheight,keepaspectratio"
        lines += [r"\begin{figure}[htbp]", rf"\centering\includegraphics[{size}]{{figures/{name}.pdf}}"]
        lines += [rf"\caption{{{escape_latex(caption)}}}\label{{fig:{name}}}", r"\end{figure}"]
    return "\n".join([*lines, r"\end{document}", ""])
