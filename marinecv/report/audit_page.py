"""Page of an audit: findings with their worst cases, class counts, sizes, labels and pixels."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from marinecv.audit import findings as audit_findings
from marinecv.audit.findings import Finding, cases_table, findings_table
from marinecv.audit.run_audit import is_split
from marinecv.audit.tables import UNSURE_BELOW, splits_of
from marinecv.data.user_tables import is_usable, usable
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.label_errors import NEAREST_COLUMNS
from marinecv.files.csv_tables import write_table
from marinecv.language import recorded_text, tr
from marinecv.report import audit_figures
from marinecv.report.audit_figures import class_colors, draw_boxes
from marinecv.report.figures import save_png
from marinecv.report.html import jpeg_data_url, save_and_embed, thumbnail, write_page

MAX_ROWS = 30
MAX_SIZES = 12
SAMPLES = 12
MAX_CASES = 8  # of a finding
FINDINGS_WITH_BOXES = (audit_findings.BOXES, audit_findings.UNSURE, audit_findings.FLIPS)
"""Findings about boxes, whose images show them."""
NO_SPLIT = "no split"


def write_audit_report(
    folder: str | Path,
    name: str,
    catalog: pd.DataFrame,
    boxes: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    findings: Sequence[Finding] = (),
    leak: dict | None = None,
    reviewed: str = "",
    seed: int = 0,
    demonstration: bool = False,
) -> Path:
    """Write `report.html`, every table as CSV and the figures as PNG into an existing folder; return the page.

    `tables` come from `audit_images`, `leak` from `leakage_index`; `reviewed` describes the images behind the findings.
    """
    folder = Path(folder)
    files = {**tables, "findings": findings_table(findings), "cases": cases_table(findings)}
    files |= {} if leak is None else {"leak": leak["scores"]}
    for table_name, table in files.items():
        write_table(folder / f"{table_name}.csv", table)
    sizes, noise = tables["distinct_sizes"], tables.get("noise_estimate")
    splits = {split: tr(split or NO_SPLIT) for split in splits_of(catalog)}
    return write_page(
        folder / "report.html",
        "audit.html",
        title=tr("Audit of {name}", name=name),
        demonstration=demonstration,
        summary=audit_summary(tables, len(catalog)),
        findings=finding_items(findings, catalog, boxes, tables.get("label_errors")),
        verdict=findings_summary(findings),
        reviewed=reviewed,
        leak=_records(leak and leak["scores"].query("metric == 'accuracy'"), "subset", "split"),
        difference=_difference(leak) if leak and leak["n"] else "",
        published=is_split(catalog),
        samples=_samples(folder, catalog, boxes, seed, "class_dominance" in tables, demonstration),
        sample_px=audit_figures.SAMPLE_PX,
        counts=_totals(tables["class_counts"], "total"),
        counts_columns={"class_name": tr("class"), **splits, "total": tr("total"), "fraction": tr("fraction")},
        shares=_totals(tables.get("class_dominance"), "all"),
        changes=_records(tables.get("class_changes"), "rule"),
        changes_columns={"rule": tr("rule"), **splits, "total": tr("changed"), "n": tr("of")},
        unsure_below=UNSURE_BELOW,
        size_rows=_records(tables["size_table"].replace({"split": {"": NO_SPLIT}}), "split", "side"),
        sizes=_records(sizes.head(MAX_SIZES)),
        more_sizes=max(0, len(sizes) - MAX_SIZES),
        intensity=_records(tables.get("intensity_summary"), "channel"),
        sampled=0 if noise is None else len(noise),
        noise_median=None if noise is None else noise["sigma"].median(),
        problems=_records(tables["problems"], "split", "problem"),
        most_problems=MAX_ROWS,
        box_problems=_records(tables.get("box_problems"), "problem")[:MAX_ROWS],
        total=len(catalog),
        **_figures(folder / "figures", catalog, tables, demonstration),
    )


def audit_summary(tables: dict[str, pd.DataFrame], total: int) -> str:
    """Summarize a data set in a few sentences: images, classes, sizes, labels and pixels."""
    classes = tables["class_counts"].query("class_name != 'total'")
    unusable = len(tables["problems"])
    text = "{n:,} images, {classes} classes; all can be used."
    if unusable:
        text = "{n:,} images, {classes} classes; {unusable:,} cannot be used."
    sentences = [tr(text, n=total, classes=len(classes), unusable=unusable)]
    if len(classes) > 1:
        most, least = classes.iloc[0], classes.iloc[-1]
        text = "Every class has {most:,} usable images."
        if most["total"] > least["total"]:
            text = (
                "The largest class, {largest}, has {most:,} usable images, {fraction:.0%} of all and {times:.1f} times "
                "as many as the smallest, {smallest}, with {least:,}; the mean is {mean:.1f}."
            )
        values = {"largest": most["class_name"], "most": most["total"], "fraction": most["fraction"]}
        values |= {"smallest": least["class_name"], "least": least["total"], "mean": classes["total"].mean()}
        sentences.append(tr(text, times=most["total"] / max(1, least["total"]), **values))
    sides = tables["size_table"].query("split == 'all'").set_index("side")
    if sides["n"].any():
        mean, median = ("x".join(sides.loc[["width", "height"], of].map("{:.0f}".format)) for of in ("mean", "median"))
        sentences.append(tr("The mean image size is {mean} pixels, the median {median}.", mean=mean, median=median))
    if "gray_scale" in tables:
        text = "Images of more than 8 bits a gray pixel are all scaled by one rule: {white:,} is white."
        sentences.append(tr(text, white=tables["gray_scale"]["white"].iloc[0]))
    if "class_dominance" in tables:
        unsure = tables["class_dominance"].query("class_name == 'all'")["unsure"].iloc[0]
        sentences.append(tr("{n} labels have a dominance below {limit:.0%}.", n=unsure, limit=UNSURE_BELOW))
    if "noise_estimate" in tables:
        gray = tables["intensity_summary"].set_index("channel").loc["gray"]
        text = "The mean gray level is {mean:.0f}; {dark:.0%} of the pixels are below 128."
        sentences.append(tr(text, mean=gray["mean"], dark=gray["lower_fraction"]))
        noise = tables["noise_estimate"]["sigma"].median()
        sentences.append(tr("Median noise is {noise:.1f} gray levels.", noise=noise))
    return " ".join(sentences)


def findings_summary(findings: Sequence[Finding]) -> str:
    """Return how many findings are serious and how many are not."""
    serious = sum(finding.serious for finding in findings)
    minor = len(findings) - serious
    if not findings:
        return tr("No findings.")
    parts = [tr("1 finding is serious") if serious == 1 else tr("{n:,} findings are serious", n=serious)]
    parts = (parts if serious else []) + ([tr("{n:,} worth a look", n=minor)] if minor else [])
    return f"{', '.join(parts)}."


def _difference(leak: dict) -> str:
    text = "Difference on the same {n:,} images: {difference:.3f} ({interval})."
    return tr(text, n=leak["n"], difference=leak["difference"], interval=interval_text(leak))


def finding_items(
    findings: Sequence[Finding], catalog: pd.DataFrame, boxes: pd.DataFrame, label_errors: pd.DataFrame | None = None
) -> list[dict]:
    """Return findings for `findings.html`, each with up to `MAX_CASES` cases of one or two images, and `more`.

    Beside a label error its nearest images are shown.
    """
    rows = catalog.set_index("image_id")
    nearest = {} if label_errors is None else label_errors.set_index("image_id")[NEAREST_COLUMNS].T.to_dict("list")
    good = boxes[is_usable(boxes)]
    colors = class_colors(sorted(good["class_name"].unique()))

    def picture(image_id, with_boxes):
        row = rows.loc[image_id]
        split = tr(row["split"] or NO_SPLIT)
        label = tr("{split}: {name}", split=split, name=row["class_name"]) if row["class_name"] else split
        src = thumbnail(row["path"])
        if src and with_boxes:
            src = jpeg_data_url(draw_boxes(row["path"], good[good["image_id"] == image_id], colors))
        return {"src": src, "alt": f"{image_id}, {label}", "lines": [image_id, label]}

    items = []
    for finding in findings:
        distinct = finding.cases.drop_duplicates(["image_id", "other"])
        with_boxes, cases = finding.name in FINDINGS_WITH_BOXES, []
        for case in distinct.head(MAX_CASES).itertuples():
            others = nearest[case.image_id] if finding.name == audit_findings.LABEL_ERRORS else [case.other]
            pictures = [picture(image, with_boxes) for image in (case.image_id, *others) if image]
            cases.append({"pictures": pictures, "note": case.note})
        texts = {"name": tr(finding.name), "what": finding.what, "why": finding.why, "todo": finding.todo}
        items.append({**texts, "serious": finding.serious, "cases": cases, "more": len(distinct) - len(cases)})
    return items


def _figures(folder: Path, catalog: pd.DataFrame, tables: dict[str, pd.DataFrame], demonstration: bool) -> dict:
    """Draw the figures that the tables allow; None for the others."""
    drawn = dict.fromkeys(("counts_figure", "sizes_figure", "intensity_figure", "noise_figure", "shares_figure"))
    if not usable(catalog).empty:
        drawn["counts_figure"] = audit_figures.count_figure(tables["class_counts"], demonstration)
        drawn["intensity_figure"] = audit_figures.intensity_figure(tables["intensity_histogram"], demonstration)
        noise = tables["noise_estimate"]["sigma"]
        drawn["noise_figure"] = audit_figures.histogram_figure(noise, tr("noise (gray levels)"), demonstration)
    if not tables["distinct_sizes"].empty:
        drawn["sizes_figure"] = audit_figures.size_figure(tables["distinct_sizes"], demonstration)
    if "class_dominance" in tables:
        dominance = usable(catalog)["dominance"]
        drawn["shares_figure"] = audit_figures.histogram_figure(dominance, tr("dominance of the label"), demonstration)
    return {
        name: figure and save_and_embed(figure, folder / f"{name.removesuffix('_figure')}.png")
        for name, figure in drawn.items()
    }


def _samples(
    folder: Path, catalog: pd.DataFrame, boxes: pd.DataFrame, seed: int, by_boxes: bool, demonstration: bool
) -> list[dict]:
    """Draw random images, classes in turn; write them as one figure and return them for the page.

    With `by_boxes` (boxes decide the label) each image has its dominance and its box counts as text.
    """
    shuffled = usable(catalog).sample(frac=1.0, random_state=seed)
    turn = shuffled.groupby("class_name").cumcount()
    chosen = shuffled.assign(turn=turn).sort_values(["turn", "class_name"], kind="stable").head(SAMPLES)
    good = boxes[is_usable(boxes)]
    colors = class_colors(sorted({*good["class_name"], *chosen["class_name"]}))
    pictures, titles, items = [], [], []
    for row in chosen.itertuples():
        image_boxes = good[good["image_id"] == row.image_id]
        picture = draw_boxes(row.path, image_boxes, colors)
        lines = [row.class_name]
        if by_boxes:
            counts = image_boxes["class_name"].value_counts()
            lines = [f"{row.class_name} ({row.dominance:.2f})"]
            lines += [", ".join(f"{count} {name}" for name, count in counts.items())] if len(counts) else []
        pictures.append(picture)
        titles.append(lines[0])
        items.append({"src": jpeg_data_url(picture), "alt": row.image_id, "lines": lines})
    if pictures:
        (folder / "figures").mkdir(exist_ok=True)
        save_png(audit_figures.sample_figure(pictures, titles, demonstration), folder / "figures" / "samples.png")
    return items


def _records(table: pd.DataFrame | None, *words: str) -> list[dict]:
    """Return the rows of a table, the columns `words` in the language of the page."""
    if table is None:
        return []
    return table.assign(**{name: table[name].map(recorded_text) for name in words}).to_dict("records")


def _totals(table: pd.DataFrame | None, name: str) -> list[dict]:
    """Return the rows of a table of classes, the last of which is of all."""
    rows = _records(table)
    return [*rows[:-1], *({**row, "class_name": tr(name)} for row in rows[-1:])]
