"""Page of a learning curve: metrics by labeled images, comparisons of recipes, and sample-size estimates."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.learning_curve import BATCH
from marinecv.evaluation.sample_size import next_class
from marinecv.language import local_number, recorded_text, tr
from marinecv.report.curve_figures import METRIC_LABELS, law_figure, learning_curves, percent
from marinecv.report.html import save_and_embed, write_page

PLOTTED_METRICS = ("accuracy", "macro_f1")
OUTCOME_TEXTS = {
    "better": "is better than {first} with {fractions} of the labels",
    "worse": "is worse than {first} with {fractions} of the labels",
    "not told apart": "does not differ significantly from {first} with {fractions} of the labels",
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
        rows = table.assign(note=table["note"].map(recorded_text)).to_dict("records")
        sentences = [*sample_size_sentences(line, table)]
        estimates.append({"recipe": line, "law": drawn, "sentences": sentences, "rows": rows})
    return write_page(
        Path(folder) / "curve.html",
        "curve.html",
        title=title,
        demonstration=demonstration,
        summary=_summary(validation),
        names={name: tr(label) for name, label in METRIC_LABELS.items()},
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
        text = (
            "With {labels} of the labels ({images:,.0f} images) {recipe} has the highest validation accuracy: "
            "{value:.3f} ({interval}, n={n}, {seeds})."
        )
        values = {"labels": percent(fraction), "interval": interval_text(best), "seeds": _seeds(best["seeds"])}
        sentences.append(tr(text, **best[["images", "recipe", "value", "n"]], **values))
    return " ".join(sentences)


def _split(split: str, table: pd.DataFrame, published, differences, figures: Path, demonstration: bool) -> dict:
    """Return what the page shows of one split; `published` and `differences` are DataFrames or None."""
    n, first, published_points, note = table["n"].iloc[0], table["recipe"].iloc[0], None, ""
    published = published[published["split"] == split] if published is not None and len(published) else None
    if published is not None and len(published):
        counts = sorted(set(published["n"]))
        text = "Published metrics are of {counts} images, these of {n:,}: they are not comparable."
        if counts == [n]:
            text = "Published metrics are of {n:,} images, as here."
        note = tr(text, n=n, counts=tr(" or ").join(local_number(f"{count:,}") for count in counts))
        images = table.drop_duplicates("label_fraction")[["label_fraction", "images"]]
        published_points = published.merge(images, on="label_fraction").astype({"value": float})
    curves = {}
    for metric in PLOTTED_METRICS:
        figure = learning_curves(table, metric, published_points, demonstration)
        curves[tr(METRIC_LABELS[metric])] = save_and_embed(figure, figures / f"{metric}_{split}.png")
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
        images = tr("{n:,.0f} images", n=group["images"].iloc[0])
        row = {"recipe": line, "fraction": percent(fraction), "images": images}
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
            tr(text, first=first, fractions=", ".join(map(percent, sorted(fractions))))
            for outcome, text in OUTCOME_TEXTS.items()
            if len(fractions := rows.loc[rows["note"] == outcome, "label_fraction"])
        ]
        sentences.append(f"{line} {'; '.join(clauses)}.")
    return sentences


def _differences(differences: pd.DataFrame) -> dict:
    """Return a row a recipe and a column a label fraction; None where a recipe has none."""
    fractions = sorted(differences["label_fraction"].unique())
    rows = differences.assign(seeds=differences["seeds"].map(_seeds)).to_dict("records")
    cells = {(row["recipe"], row["label_fraction"]): row for row in rows}
    return {
        "shares": list(map(percent, fractions)),
        "rows": {line: [cells.get((line, part)) for part in fractions] for line in differences["recipe"].unique()},
    }


def sample_size_sentences(line: str, needed: pd.DataFrame) -> Iterator[str]:
    """Yield the sample-size estimate of all classes together, and the class to photograph next."""
    law, classes = needed.iloc[0], needed.iloc[1:]
    text = "With {images:,.0f} labeled images {recipe} has an error of {error:.3f} over all classes."
    yield tr(text, recipe=line, images=law["images"], error=law["error"])
    if law["note"]:
        yield tr("No sample-size estimate: {reason}.", reason=recorded_text(law["note"]))
    elif not law["additional_images"]:
        yield tr("By the power law it has reached its goal, an error of {goal:.3f}.", goal=law["goal"])
    else:
        text = (
            "An error of {goal:.3f} needs {required_images:,.0f} images in all (95% CI {low:,.0f} to {high:,.0f}), "
            "{additional_images:,.0f} additional images: the error falls as images to the power {power:.2f} (95% CI "
            "{power_low:.2f} to {power_high:.2f})."
        )
        power = {"power": -law["exponent"], "power_low": -law["exponent_high"], "power_high": -law["exponent_low"]}
        yield tr(text, **law, **power)
    if name := next_class(needed):
        yield tr("Photograph {name} next: one additional image lowers the error of this class most.", name=name)
    else:
        fewest, most = classes["judged"].min(), classes["judged"].max()
        text = (
            "No class to photograph next: none of the {n} follows the power law, with {judged} evaluated images a "
            "class."
        )
        judged = f"{fewest}" if fewest == most else tr("{low} to {high}", low=fewest, high=most)
        yield tr(text, n=len(classes), judged=judged)


def _seeds(number: int) -> str:
    return tr("one seed") if number == 1 else tr("{n} seeds", n=number)
