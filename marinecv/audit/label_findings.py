"""Findings about classes, boxes and labels: absent or rare classes, odd boxes, ambiguous labels."""

import pandas as pd

from marinecv.audit import findings
from marinecv.audit.findings import Finding, finding_of_rows, make_cases, make_finding, singular_or_plural, with_count
from marinecv.audit.tables import OTHER_RULES, UNSURE_BELOW
from marinecv.data.boxes import CORNERS, is_bad_row
from marinecv.data.labels import ranked_classes
from marinecv.data.user_tables import is_usable, usable

MIN_TRAIN_IMAGES = 20  # train images of a class
MAX_CLASS_RATIO = 10.0  # times as many images in the largest class as in the smallest
MIN_BOX_FRACTION, MAX_BOX_FRACTION = 0.001, 0.999  # fraction of the image that a box covers


def label_findings(catalog: pd.DataFrame, boxes: pd.DataFrame, flips: pd.DataFrame | None = None) -> list[Finding]:
    """Find what is odd about classes, boxes and labels; without a train split all images count as train.

    `boxes` may be empty; `flips`, of `label_flips`, are None if boxes do not decide on labels.
    """
    rows = usable(catalog)
    found = _class_findings(rows)
    if not boxes.empty:
        unreadable = boxes[is_bad_row(boxes["problem"])]
        notes = unreadable["problem"] + " (" + unreadable["source"] + ")"
        defect = "rows that cannot be parsed"
        found += finding_of_rows(findings.BAD_ROWS, unreadable, len(boxes), defect, notes, "boxes")
        found += _box_findings(boxes.drop(unreadable.index), catalog)
    if flips is None:
        return found
    unsure = rows[rows["dominance"] < UNSURE_BELOW].sort_values(["dominance", "image_id"])
    if len(unsure):
        ranked = ranked_classes(boxes[boxes["image_id"].isin(unsure["image_id"])])
        shares = ranked["class_name"] + ranked["dominance"].map(" {:.0%}".format)
        notes = unsure["image_id"].map(shares.groupby(ranked["image_id"]).agg(", ".join))
        defect = f"a dominant class with less than {UNSURE_BELOW:.0%} of its image"
        found += finding_of_rows(findings.UNSURE, unsure, len(rows), defect, notes)
    by_rule = [f"{(flips[rule] != flips['dominant']).sum():,} by {rule}" for rule in OTHER_RULES]
    notes = [
        f"{row['dominant']}; by " + ", by ".join(f"{r} {row[r]}" for r in OTHER_RULES if row[r] != row["dominant"])
        for row in flips.to_dict("records")
    ]
    defect = f"another label under another rule: {', '.join(by_rule)}"
    return found + finding_of_rows(findings.FLIPS, flips, len(rows), defect, notes)


def label_error_findings(table: pd.DataFrame, total: int) -> list[Finding]:
    """Make the finding of a table of `label_errors` about so many images; nothing where it is empty."""
    notes = table["given_class"] + " -> " + table["suggested_class"] + table["probability"].map(" ({:.2f})".format)
    defect = "another class is more probable than their label"
    return finding_of_rows(findings.LABEL_ERRORS, table, total, defect, notes)


def _class_findings(rows: pd.DataFrame) -> list[Finding]:
    train, found = rows[rows["split"] == "train"] if (rows["split"] == "train").any() else rows, []
    unknown = rows[~rows["class_name"].isin(train["class_name"])]
    if names := sorted(unknown["class_name"].unique()):
        what = f"{', '.join(names)}: {with_count(len(unknown), 'image')} to score, and none to train on."
        cases = make_cases(unknown["image_id"], unknown["class_name"] + ", which train lacks")
        total = rows["class_name"].nunique()
        found.append(make_finding(findings.ABSENT, len(names), total, "classes", what, cases))
    counts = train["class_name"].value_counts()
    few = counts[counts < MIN_TRAIN_IMAGES].sort_values(kind="stable")
    if len(few):
        first = train.drop_duplicates("class_name").set_index("class_name").loc[few.index, "image_id"]
        shown = ", ".join(f"{name} ({count})" for name, count in few.head(10).items())
        more = f" and {len(few) - 10} more" if len(few) > 10 else ""
        have = singular_or_plural(len(few), "class has", "classes have")
        what = f"{len(few):,} {have} fewer than {MIN_TRAIN_IMAGES} train images: {shown}{more}."
        cases = make_cases(first, [f"{name}, train images: {count}" for name, count in few.items()])
        found.append(make_finding(findings.FEW, len(few), len(counts), "classes", what, cases))
    counts = rows["class_name"].value_counts()
    if len(counts) > 1 and counts.iloc[0] >= MAX_CLASS_RATIO * counts.iloc[-1]:
        most, least = counts.iloc[0], counts.iloc[-1]
        what = f"{counts.index[0]} has {most:,} images, {most / least:.0f} times as many as {counts.index[-1]} with "
        count, cases = int((counts * MAX_CLASS_RATIO <= most).sum()), make_cases(pd.Series([], dtype=str), "")
        found.append(make_finding(findings.UNEVEN, count, len(counts), "classes", f"{what}{least:,}.", cases))
    return found


def _box_findings(boxes: pd.DataFrame, catalog: pd.DataFrame) -> list[Finding]:
    sizes = catalog.set_index("image_id").reindex(boxes["image_id"])
    area = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    fraction = area / (sizes["width"] * sizes["height"]).where(sizes["width"] > 0).to_numpy()
    known = is_usable(boxes) & fraction.notna()
    defects = {  # the worst first
        "without area or outside the image": ~is_usable(boxes),
        "duplicated": boxes.duplicated(["image_id", "class_name", *CORNERS]) & is_usable(boxes),
        "cut at the edge of the image": boxes["clipped"].astype(bool),
        "tiny": known & (fraction < MIN_BOX_FRACTION),
        "all of the image": known & (fraction > MAX_BOX_FRACTION),
    }
    defects_of_box = pd.DataFrame(defects)
    defects_of_box = defects_of_box[defects_of_box.any(axis=1)]
    if defects_of_box.empty:
        return []
    defect = defects_of_box.idxmax(axis=1)
    order = defects_of_box.to_numpy().argmax(axis=1)
    rows = boxes.loc[defect.index].assign(defect=defect, order=order, area_fraction=fraction)
    rows = rows.sort_values(["order", "area_fraction"], kind="stable")
    counts = defect.value_counts().reindex(defects_of_box.columns, fill_value=0)
    notes = [f"{row.class_name}: {row.problem or row.defect} ({row.source})" for row in rows.itertuples()]
    defects = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return finding_of_rows(findings.BOXES, rows, len(boxes), defects, notes, "boxes")
