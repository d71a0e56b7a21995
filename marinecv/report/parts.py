"""What the page of a run and the page of a study have in common."""

from pathlib import Path

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from marinecv.choices import SPLITS
from marinecv.evaluation.metrics import confusion
from marinecv.report.figures import confusion_figure, save_png
from marinecv.report.html import inline

WIDE = 15
"""From this many classes on a matrix keeps its size and scrolls."""


def by_split(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Divide a predictions table into its splits with labelled images: train, validation, test, then others by name."""
    labelled = predictions[predictions["true_class"] != ""]
    found = set(labelled["split"])
    order = [split for split in SPLITS if split in found] + sorted(found.difference(SPLITS))
    return {split: labelled[labelled["split"] == split] for split in order}


def shown(figure: Figure, path: Path) -> Markup:
    """Keep a figure as PNG at `path` and return it as SVG for the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(figure, path)
    return inline(figure)


def matrix(table: pd.DataFrame, path: Path, normalise: bool, demonstration: bool) -> dict:
    """Draw the confusion matrix of a predictions table: `svg`, `n`, and whether it is `wide`."""
    counts = confusion(table)
    figure = confusion_figure(counts, normalise, demonstration)
    return {"svg": shown(figure, path), "n": len(table), "wide": len(counts) >= WIDE}


def flat(data: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Turn nested settings into (name, text) pairs: `{"image": {"width": 64}}` gives `("image width", "64")`."""
    pairs = []
    for key, value in data.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict) and value:
            pairs += flat(value, f"{name} ")
        else:
            pairs.append((name, _text(value)))
    return pairs


def _text(value) -> str:
    if value is None or value in ("", {}, []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
