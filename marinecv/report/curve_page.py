"""Page of a learning curve: metrics by labeled images, comparisons of recipes, and sample-size estimates."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.learning_curve import BATCH
from marinecv.evaluation.sample_size import next_class
from marinecv.report.curve_figures import METRIC_LABELS, law_figure, learning_curves, percent
from marinecv.report.html import save_and_embed, write_page

PLOTTED_METRICS = ("accuracy", "macro_f1")
OUTCOME_TEXTS = {
    "better": "is better than",
    "worse": "is worse than",
    "not told apart": "does not differ significantly from",
}


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

    `tables` (`curve_table`) and `differences` (`line_differences`) are by split, `needed` (`estimate_sample_size`)
    by recipe; `published` has `recipe, label_fraction, split, metric, value` (text, as printed), `n`.
    """
    figures = Path(folder) / "figures"
    validation, estimates = tables["validation"], []
    for number, (line, table) in enumerate(needed.items(), start=1):
        law, drawn = table.iloc[0], None
        if not law["note"] and law["additional_images"]:
            drawn = save_and_embed(law_figure(validation, line, law, demonstration), figures / f"law_{number}.png")
        sentences, rows = sample_size_sentences(line, table), table.to_dict("records")
        estimates.append({"recipe": line, "law": drawn, "sentences": sentences, "rows": rows})
    return write_page(
        Path(folder) / "curve.html",
        "curve.html",
        title=title,
        demonstration=demonstration,
        summary=_summary(validation),
        names=METRIC_LABELS,
        batch=BATCH,
        splits=[
            _split(split, table, published, differences.get(split), figures, demonstration)
            for split, table in tables.items()
        ],
        example=_example(validation),
        needed=estimates,
    )


def _summary(table: pd.DataFrame) -> str:
    """Return the highest accuracy with the most labels and with the fewest."""
    accuracy, sentences = table[table["metric"] == "accuracy"], []
    for fraction in sorted({accuracy["label_fraction"].max(), accuracy["label_fraction"].min()}, reverse=True):
        rows = accuracy[accuracy["label_fraction"] == fraction]
        best = rows.loc[rows["value"].idxmax()]
        sentences.append(
            f"With {percent(fraction)} of the labels ({best['images']:,.0f} images) {best['recipe']} has the highest "
            f"validation accuracy: {best['value']:.3f} ({interval_text(best)}, n={best['n']}, "
            f"{_seeds(best['seeds'])})."
        )
    return " ".join(sentences)


def _split(split: str, table: pd.DataFrame, published, differences, figures: Path, demonstration: bool) -> dict:
    """Return what the page shows of one split; `published` and `differences` are DataFrames or None."""
    n, first, published_points, note = table["n"].iloc[0], table["recipe"].iloc[0], None, ""
    published = published[published["split"] == split] if published is not None and len(published) else None
    if published is not None and len(published):
        counts = sorted(set(published["n"]))
        note = f"Published metrics are of {' or '.join(f'{count:,}' for count in counts)} images"
        note += ", as here." if counts == [n] else f", these of {n:,}: they are not comparable."
        images = table.drop_duplicates("label_fraction")[["label_fraction", "images"]]
        published_points = published.merge(images, on="label_fraction").astype({"value": float})
    curves = {}
    for metric in PLOTTED_METRICS:
        figure = learning_curves(table, metric, published_points, demonstration)
        curves[METRIC_LABELS[metric]] = save_and_embed(figure, figures / f"{metric}_{split}.png")
    return {
        "split": split,
        "curves": curves,
        "rows": _rows(table, published),
        "n": n,
        "published": note,
        "first": first,
        "comparisons": [] if differences is None else _comparisons(differences, first),
        "differences": None if differences is None else _differences(differences),
    }


def _rows(table: pd.DataFrame, published: pd.DataFrame | None) -> list[dict]:
    """Return one row a recipe and label fraction: its metrics, each with the `published` value or an empty text."""
    keys, rows = ["recipe", "label_fraction", "metric"], []
    printed = {} if published is None else published.set_index(keys)["value"].to_dict()
    for (line, fraction), group in table.groupby(keys[:2], sort=False):
        row = {"recipe": line, "fraction": percent(fraction), "images": f"{group['images'].iloc[0]:,.0f} images"}
        row |= {"seeds": _seeds(group["seeds"].iloc[0]), "figures": {}}
        for metric in group.to_dict("records"):
            value = printed.get((line, fraction, metric["metric"]), "")
            row["figures"][metric["metric"]] = metric | {"published": value}
        rows.append(row)
    return rows


def _example(table: pd.DataFrame) -> dict:
    """Return the metrics of the recipe and label fraction with the highest accuracy."""
    accuracy = table[table["metric"] == "accuracy"]
    best = accuracy.loc[accuracy["value"].idxmax()]
    rows = table[(table["recipe"] == best["recipe"]) & (table["label_fraction"] == best["label_fraction"])]
    return {"recipe": best["recipe"], "fraction": percent(best["label_fraction"]), **rows.set_index("metric")["value"]}


def _comparisons(differences: pd.DataFrame, first: str) -> list[str]:
    """Return one sentence a recipe: the label fractions at which it is better than the first, worse, or neither."""
    sentences = []
    for line, rows in differences.groupby("recipe", sort=False):
        clauses = [
            f"{words} {first} with {', '.join(map(percent, sorted(fractions)))} of the labels"
            for outcome, words in OUTCOME_TEXTS.items()
            if len(fractions := rows.loc[rows["note"] == outcome, "label_fraction"])
        ]
        sentences.append(f"{line} {'; '.join(clauses)}.")
    return sentences


def _differences(differences: pd.DataFrame) -> dict:
    """Return a row a recipe and a column a label fraction; None where a recipe has none."""
    fractions = sorted(differences["label_fraction"].unique())
    cells = {(row["recipe"], row["label_fraction"]): row for row in differences.to_dict("records")}
    return {
        "shares": list(map(percent, fractions)),
        "rows": {line: [cells.get((line, part)) for part in fractions] for line in differences["recipe"].unique()},
    }


def sample_size_sentences(line: str, needed: pd.DataFrame) -> list[str]:
    """Return the sample-size estimate of all classes together, and the class to photograph next."""
    law, classes = needed.iloc[0], needed.iloc[1:]
    recipe = f"With {law['images']:,.0f} labeled images {line}"
    sentences = [f"{recipe} has an error of {law['error']:.3f} over all classes."]
    if law["note"]:
        sentences.append(f"No sample-size estimate: {law['note']}.")
    elif not law["additional_images"]:
        sentences.append(f"By the power law it has reached its goal, an error of {law['goal']:.3f}.")
    else:
        sentences.append(
            f"An error of {law['goal']:.3f} needs {law['required_images']:,.0f} images in all (95% CI "
            f"{law['low']:,.0f} to {law['high']:,.0f}), {law['additional_images']:,.0f} additional images: the error "
            f"falls as images to the power {-law['exponent']:.2f} (95% CI {-law['exponent_high']:.2f} to "
            f"{-law['exponent_low']:.2f})."
        )
    if name := next_class(needed):
        sentences.append(f"Photograph {name} next: one additional image lowers the error of this class most.")
    else:
        fewest, most = classes["judged"].min(), classes["judged"].max()
        judged = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        sentences.append(
            f"No class to photograph next: none of the {len(classes)} follows the power law, with {judged} evaluated "
            "images a class."
        )
    return sentences


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"
