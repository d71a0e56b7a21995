"""The page of an audit: what the images are."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from marinecv.audit.findings import Finding, agree, cases_table, counted, findings_table
from marinecv.audit.judge import is_split
from marinecv.audit.tables import UNSURE_BELOW, splits_of
from marinecv.data.user_tables import is_usable, usable
from marinecv.evaluation.figures import interval_words
from marinecv.report import audit_figures
from marinecv.report.figures import save_png
from marinecv.report.findings_page import shown_findings
from marinecv.report.html import jpeg_address, write_page
from marinecv.report.parts import shown
from marinecv.tables import write_table

MOST_ROWS = 30
MOST_SIZES = 12
NO_SPLIT = "no split"


def write_audit_report(
    folder: str | Path,
    name: str,
    catalog: pd.DataFrame,
    boxes: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    findings: Sequence[Finding] = (),
    leak: dict | None = None,
    looked_at: str = "",
    samples: int = 12,
    seed: int = 0,
    demonstration: bool = False,
) -> Path:
    """Write `report.html`, every table as CSV, and the figures as PNG into an existing folder; return the page.

    `tables` are those of `audit_images`, `leak` is the `leak_index`; `looked_at` says what the findings rest on.
    """
    folder = Path(folder)
    for table_name, table in tables.items():
        write_table(folder / f"{table_name}.csv", table)
    if leak is not None:
        write_table(folder / "leak.csv", leak["scores"])
    write_table(folder / "findings.csv", findings_table(findings))
    write_table(folder / "cases.csv", cases_table(findings))
    counts, sizes, changes = tables["class_counts"], tables["distinct_sizes"], tables.get("class_changes")
    splits = splits_of(catalog)
    return write_page(
        folder / "report.html",
        "audit.html",
        title=f"Audit of {name}: what the images are",
        demonstration=demonstration,
        summary=audit_summary(tables, len(catalog)),
        findings=shown_findings(findings, catalog, boxes),
        verdict=verdict(findings),
        looked_at=looked_at,
        leak=_records(leak and leak["scores"].query("figure == 'accuracy'")),
        difference=_difference(leak),
        published=is_split(catalog),
        samples=_samples(folder, catalog, boxes, samples, seed, "label_shares" in tables, demonstration),
        sample_px=audit_figures.SAMPLE_PX,
        counts=counts.to_dict("records"),
        counts_columns={
            "class_name": "class",
            **{split: split or NO_SPLIT for split in splits},
            "total": "total",
            "share": "share",
        },
        shares=_records(tables.get("label_shares")),
        changes=_records(changes),
        changes_columns={
            "rule": "rule",
            **{split: split or NO_SPLIT for split in splits},
            "total": "changed",
            "n": "of",
        },
        unsure_below=UNSURE_BELOW,
        size_rows=tables["size_table"].replace({"split": {"": NO_SPLIT}}).to_dict("records"),
        sizes=sizes.head(MOST_SIZES).to_dict("records"),
        more_sizes=max(0, len(sizes) - MOST_SIZES),
        intensity=_records(tables.get("intensity_summary")),
        sampled=len(tables.get("noise_estimate", ())),
        noise_median=tables["noise_estimate"]["sigma"].median() if "noise_estimate" in tables else None,
        problems=_records(tables["problems"]),
        most_problems=MOST_ROWS,
        box_problems=_records(tables.get("box_problems"))[:MOST_ROWS],
        total=len(catalog),
        **_figures(folder / "figures", catalog, tables, demonstration),
    )


def audit_summary(tables: dict[str, pd.DataFrame], total: int) -> str:
    """Say in a few sentences what a person should know of the data set."""
    classes = tables["class_counts"].query("class_name != 'total'")
    unusable = len(tables["problems"])
    said = [f"{total:,} images, {len(classes)} classes; {f'{unusable:,} cannot' if unusable else 'all can'} be used."]
    if len(classes) > 1:
        most, least = classes.iloc[0], classes.iloc[-1]
        said.append(
            f"The largest class, {most['class_name']}, has {most['total']:,} usable images, {most['share']:.0%} of all "
            f"and {most['total'] / least['total']:.1f} times as many as the smallest, {least['class_name']}, with "
            f"{least['total']:,}; the mean is {classes['total'].mean():.1f}."
            if most["total"] > least["total"]
            else f"Every class has {most['total']:,} usable images."
        )
    sides = tables["size_table"].query("split == 'all'").set_index("side")
    if sides["n"].any():
        mean, median = (
            "x".join(f"{sides.loc[side, of]:.0f}" for side in ("width", "height")) for of in ("mean", "median")
        )
        said.append(f"Images are {mean} pixels on average, {median} in the median.")
    if "gray_scale" in tables:
        white = tables["gray_scale"]["white"].iloc[0]
        said.append(f"Images of more than 8 bits a gray pixel are all scaled by one rule: {white:,} is white.")
    if "label_shares" in tables:
        unsure = tables["label_shares"].query("class_name == 'all'")["unsure"].iloc[0]
        said.append(f"{unsure} labels won with less than {UNSURE_BELOW:.0%} of their image.")
    if "noise_estimate" in tables:
        grey = tables["intensity_summary"].set_index("channel").loc["grey"]
        said.append(
            f"The mean grey level is {grey['mean']:.0f}; {grey['lower_share']:.0%} of the pixels are below 128."
        )
        said.append(f"Median noise is {tables['noise_estimate']['sigma'].median():.1f} grey levels.")
    return " ".join(said)


def verdict(findings: Sequence[Finding]) -> str:
    """Say how many findings there are, of either kind."""
    serious = sum(finding.serious for finding in findings)
    look = len(findings) - serious
    if not findings:
        return "Nothing that makes a score wrong, and nothing that asks for a look."
    parts = [f"{counted(serious, 'finding')} {agree(serious, 'is', 'are')} serious"] if serious else []
    return f"{', '.join([*parts, *([f'{look:,} worth a look'] if look else [])])}."


def _difference(leak: dict | None) -> str:
    """The leak index in words; nothing where there is none."""
    if not leak or not leak["n"]:
        return ""
    return f"On the same {leak['n']:,} images the two differ by {leak['difference']:.3f} ({interval_words(leak)})."


def _figures(folder: Path, catalog: pd.DataFrame, tables: dict[str, pd.DataFrame], demonstration: bool) -> dict:
    """Draw what there is something to draw of; None otherwise."""
    drawn = dict.fromkeys(("counts_figure", "sizes_figure", "intensity_figure", "noise_figure", "shares_figure"))
    folder.mkdir(exist_ok=True)
    if not usable(catalog).empty:
        figure = audit_figures.count_figure(tables["class_counts"], demonstration)
        drawn["counts_figure"] = shown(figure, folder / "class_counts.png")
        figure = audit_figures.intensity_figure(tables["intensity_histogram"], demonstration)
        drawn["intensity_figure"] = shown(figure, folder / "intensity.png")
        noise = tables["noise_estimate"]["sigma"]
        figure = audit_figures.spread_figure(noise, "noise (grey levels)", demonstration)
        drawn["noise_figure"] = shown(figure, folder / "noise.png")
    if not tables["distinct_sizes"].empty:
        figure = audit_figures.size_figure(tables["distinct_sizes"], demonstration)
        drawn["sizes_figure"] = shown(figure, folder / "sizes.png")
    if "label_shares" in tables:
        shares = usable(catalog)["share"]
        figure = audit_figures.spread_figure(shares, "share of the winning class", demonstration)
        drawn["shares_figure"] = shown(figure, folder / "label_shares.png")
    return drawn


def _samples(
    folder: Path,
    catalog: pd.DataFrame,
    boxes: pd.DataFrame,
    samples: int,
    seed: int,
    by_boxes: bool,
    demonstration: bool,
) -> list[dict]:
    """Choose images with every class in turn, keep them as one figure, and return them for the page.

    Where boxes decide on the label, its share and what else the boxes hold stand under the picture.
    """
    shuffled = usable(catalog).sample(frac=1.0, random_state=seed)
    turn = shuffled.groupby("class_name").cumcount()
    chosen = shuffled.assign(turn=turn).sort_values(["turn", "class_name"], kind="stable").head(samples)
    good = boxes[is_usable(boxes)]
    colours = audit_figures.class_colours(sorted({*good["class_name"], *chosen["class_name"]}))
    pictures, titles, items = [], [], []
    for row in chosen.itertuples():
        of_image = good[good["image_id"] == row.image_id]
        picture = audit_figures.boxed_picture(row.path, of_image, colours)
        counts = of_image["class_name"].value_counts()
        title = f"{row.class_name} ({row.share:.2f})" if by_boxes else row.class_name
        held = ", ".join(f"{count} {name}" for name, count in counts.items()) if by_boxes else ""
        pictures.append(picture)
        titles.append(title)
        items.append({"src": jpeg_address(picture), "alt": row.image_id, "lines": [title, *([held] if held else [])]})
    if pictures:
        (folder / "figures").mkdir(exist_ok=True)
        save_png(audit_figures.sample_figure(pictures, titles, demonstration), folder / "figures" / "samples.png")
    return items


def _records(table: pd.DataFrame | None) -> list[dict]:
    return [] if table is None else table.to_dict("records")
