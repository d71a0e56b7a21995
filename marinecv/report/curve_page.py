"""The page of a learning curve: what each line makes of its labels, and how many more photographs it would take."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from marinecv.evaluation.figures import interval_words
from marinecv.evaluation.learning_curve import BATCH
from marinecv.evaluation.photographs import next_class
from marinecv.report.curve_figures import NAMES, law_figure, learning_curves, percent
from marinecv.report.html import write_page
from marinecv.report.parts import shown

DRAWN = ("accuracy", "macro_f1")
TOLD = {"better": "is better than", "worse": "is worse than", "not told apart": "cannot be told from"}


def write_curve_report(
    folder: str | Path,
    title: str,
    tables: Mapping[str, pd.DataFrame],
    differences: Mapping[str, pd.DataFrame],
    needed: Mapping[str, pd.DataFrame],
    published: pd.DataFrame | None = None,
    demonstration: bool = False,
) -> Path:
    """Write `curve.html`, and its figures as PNG, into an existing folder; return the page.

    `tables` and `differences` (`curve_table`, `line_differences`) are by split, `needed` (`photographs_needed`) by
    line; `published` has `line, labelled, split, metric, value` (text, as printed), `n`.
    """
    folder = Path(folder)
    figures = folder / "figures"
    return write_page(
        folder / "curve.html",
        "curve.html",
        title=title,
        demonstration=demonstration,
        summary=_summary(tables["validation"]),
        names=NAMES,
        batch=BATCH,
        splits=[
            _split(split, table, _of_split(published, split), differences.get(split), figures, demonstration)
            for split, table in tables.items()
        ],
        example=_example(tables["validation"]),
        needed=[
            {
                "line": line,
                "law": _law(tables["validation"], line, table, figures / f"law_{number}.png", demonstration),
                "sentences": _promises(line, table),
                "rows": table.to_dict("records"),
            }
            for number, (line, table) in enumerate(needed.items(), start=1)
        ],
    )


def _summary(table: pd.DataFrame) -> str:
    """The highest accuracy with the most labels and with the fewest."""
    accuracy, said = table[table["metric"] == "accuracy"], []
    for share in sorted({accuracy["labelled"].max(), accuracy["labelled"].min()}, reverse=True):
        part = accuracy[accuracy["labelled"] == share]
        best = part.loc[part["value"].idxmax()]
        said.append(
            f"With {percent(share)} of the labels ({best['images']:,.0f} images) {best['line']} has the highest "
            f"accuracy on validation: {best['value']:.3f} ({interval_words(best)}, n={best['n']}, "
            f"{_seeds(best['seeds'])})."
        )
    return " ".join(said)


def _of_split(published: pd.DataFrame | None, split: str) -> pd.DataFrame | None:
    """What is published of a split; None where nothing is."""
    if published is None or published.empty:
        return None
    own = published[published["split"] == split]
    return None if own.empty else own


def _split(
    split: str,
    table: pd.DataFrame,
    published: pd.DataFrame | None,
    differences: pd.DataFrame | None,
    figures: Path,
    demonstration: bool,
) -> dict:
    """What the page shows of one split."""
    placed, n, first = None, table["n"].iloc[0], table["line"].iloc[0]
    if published is not None:  # at our number of images of that share
        images = table.drop_duplicates("labelled")[["labelled", "images"]]
        placed = published.merge(images, on="labelled").astype({"value": float})
    drawn = {metric: learning_curves(table, metric, placed, demonstration) for metric in DRAWN}
    return {
        "split": split,
        "curves": [
            {"name": NAMES[metric], "svg": shown(figure, figures / f"{metric}_{split}.png")}
            for metric, figure in drawn.items()
        ],
        "rows": _rows(table, published),
        "n": n,
        "published": "" if published is None else _beside(published, n),
        "first": first,
        "told": [] if differences is None else _told(differences, first),
        "differences": None if differences is None else _differences(differences),
    }


def _rows(table: pd.DataFrame, published: pd.DataFrame | None) -> list[dict]:
    """A row a line and share: its figures by metric, each with what is `published`, or an empty text."""
    printed = {} if published is None else published.set_index(["line", "labelled", "metric"])["value"].to_dict()
    rows = []
    for (line, share), part in table.groupby(["line", "labelled"], sort=False):
        figures = {row["metric"]: row for row in part.to_dict("records")}
        for metric, figure in figures.items():
            figure["published"] = printed.get((line, share, metric), "")
        images, seeds = f"{part['images'].iloc[0]:,.0f} images", _seeds(part["seeds"].iloc[0])
        rows.append({"line": line, "share": percent(share), "images": images, "seeds": seeds, "figures": figures})
    return rows


def _example(table: pd.DataFrame) -> dict:
    """The accuracy and both kinds of macro-F1 where the accuracy is highest."""
    accuracy = table[table["metric"] == "accuracy"]
    best = accuracy.loc[accuracy["value"].idxmax()]
    own = table[(table["line"] == best["line"]) & (table["labelled"] == best["labelled"])]
    return {"line": best["line"], "share": percent(best["labelled"]), **own.set_index("metric")["value"]}


def _beside(published: pd.DataFrame, n: int) -> str:
    """What the published figures stand on."""
    counts = sorted(set(published["n"]))
    said = f"Published figures stand on {' or '.join(f'{count:,}' for count in counts)} images"
    return said + (", as many as these." if counts == [n] else f", these on {n:,}: they are not comparable.")


def _told(differences: pd.DataFrame, first: str) -> list[str]:
    """A sentence a line: with which shares it is better than the first, worse, or neither."""
    sentences = []
    for line, part in differences.groupby("line", sort=False):
        found = {said: part.loc[part["said"] == said, "labelled"] for said in TOLD}
        clauses = [
            f"{TOLD[said]} {first} with {_shares(shares)} of the labels"
            for said, shares in found.items()
            if len(shares)
        ]
        sentences.append(f"{line} {'; '.join(clauses)}.")
    return sentences


def _differences(differences: pd.DataFrame) -> dict:
    """A row a line and a column a share; None where a line has none."""
    shares = sorted(differences["labelled"].unique())
    found = {
        (row["line"], row["labelled"]): row | {"seeds": _seeds(row["seeds"])} for row in differences.to_dict("records")
    }
    return {
        "shares": list(map(percent, shares)),
        "rows": {line: [found.get((line, share)) for share in shares] for line in differences["line"].unique()},
    }


def _law(table: pd.DataFrame, line: str, needed: pd.DataFrame, path: Path, demonstration: bool) -> str | None:
    law = needed.iloc[0].to_dict()
    followed = not law["said"] and law["more"]
    return shown(law_figure(table, line, law, demonstration), path) if followed else None


def _promises(line: str, needed: pd.DataFrame) -> list[str]:
    """What the law says of all classes together, and which class to photograph next."""
    law, classes = needed.iloc[0], needed.iloc[1:]
    said = [
        f"With {law['images']:,.0f} labelled images the error of {line} is {law['error']:.3f}, all classes together."
    ]
    if law["said"]:
        said.append(f"How many more images would bring it to a goal is not said: {law['said']}.")
    elif not law["more"]:
        said.append(f"By the law it has reached its goal, an error of {law['goal']:.3f}.")
    else:
        said.append(
            f"To bring it to {law['goal']:.3f} takes {law['needed']:,.0f} images in all "
            f"(95% {law['low']:,.0f} to {law['high']:,.0f}), {law['more']:,.0f} more: it falls as the images to the "
            f"power {-law['exponent']:.2f} (95% {-law['exponent_high']:.2f} to {-law['exponent_low']:.2f})."
        )
    named = next_class(needed)
    if named:
        said.append(f"Photograph {named} next: of the classes with a number below, one more image helps this one most.")
    else:
        fewest, most = classes["judged"].min(), classes["judged"].max()
        judged = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        said.append(
            f"Which class to photograph next is not said: of none of the {len(classes)} is the law followed, with "
            f"{judged} judged images a class."
        )
    return said


def _shares(shares: Iterable[float]) -> str:
    return ", ".join(map(percent, sorted(shares)))


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"
