"""Findings about classes, boxes and labels: absent or rare classes, odd boxes, ambiguous labels."""

import pandas as pd

from marinecv.audit import findings
from marinecv.audit.findings import Finding, finding_of_rows, make_cases, make_finding
from marinecv.audit.tables import OTHER_RULES, UNSURE_BELOW
from marinecv.data.boxes import CORNERS, is_bad_row
from marinecv.data.labels import ranked_classes
from marinecv.data.user_tables import is_usable, usable
from marinecv.language import local_number, recorded_text, tr

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
        notes = unreadable["problem"].map(recorded_text) + " (" + unreadable["source"] + ")"
        defect = tr("rows that cannot be parsed")
        found += finding_of_rows(findings.BAD_ROWS, unreadable, len(boxes), defect, notes, "boxes")
        found += _box_findings(boxes.drop(unreadable.index), catalog)
    if flips is None:
        return found
    unsure = rows[rows["dominance"] < UNSURE_BELOW].sort_values(["dominance", "image_id"])
    if len(unsure):
        ranked = ranked_classes(boxes[boxes["image_id"].isin(unsure["image_id"])])
        shares = ranked["class_name"] + ranked["dominance"].map(lambda value: local_number(f" {value:.0%}"))
        notes = unsure["image_id"].map(shares.groupby(ranked["image_id"]).agg(", ".join))
        defect = tr("a dominant class with less than {limit:.0%} of its image", limit=UNSURE_BELOW)
        found += finding_of_rows(findings.UNSURE, unsure, len(rows), defect, notes)
    counts = {rule: (flips[rule] != flips["dominant"]).sum() for rule in OTHER_RULES}
    by_rule = ", ".join(tr("{count:,} by {rule}", count=count, rule=tr(rule)) for rule, count in counts.items())
    notes = []
    for row in flips.to_dict("records"):
        others = {rule: row[rule] for rule in OTHER_RULES if row[rule] != row["dominant"]}.items()
        labels = ", ".join(tr("by {rule} {name}", rule=tr(rule), name=name) for rule, name in others)
        notes.append(f"{row['dominant']}; {labels}")
    defect = tr("another label under another rule: {counts}", counts=by_rule)
    return found + finding_of_rows(findings.FLIPS, flips, len(rows), defect, notes)


def label_error_findings(table: pd.DataFrame, total: int) -> list[Finding]:
    """Make the finding of a table of `label_errors` about so many images; nothing where it is empty."""
    probabilities = table["probability"].map(lambda value: local_number(f" ({value:.2f})"))
    notes = table["given_class"] + " -> " + table["suggested_class"] + probabilities
    defect = tr("another class is more probable than their label")
    return finding_of_rows(findings.LABEL_ERRORS, table, total, defect, notes)


def _class_findings(rows: pd.DataFrame) -> list[Finding]:
    train, found = rows[rows["split"] == "train"] if (rows["split"] == "train").any() else rows, []
    unknown = rows[~rows["class_name"].isin([*train["class_name"], ""])]
    if names := sorted(unknown["class_name"].unique()):
        text = "{names}: 1 image to score, and none to train on."
        text = text if len(unknown) == 1 else "{names}: {n:,} images to score, and none to train on."
        what = tr(text, names=", ".join(names), n=len(unknown))
        notes = [tr("{name}, which train lacks", name=name) for name in unknown["class_name"]]
        cases = make_cases(unknown["image_id"], notes)
        total = rows["class_name"].nunique()
        found.append(make_finding(findings.ABSENT, len(names), total, "classes", what, cases))
    counts = train["class_name"].value_counts()
    few = counts[counts < MIN_TRAIN_IMAGES].sort_values(kind="stable")
    if len(few):
        first = train.drop_duplicates("class_name").set_index("class_name").loc[few.index, "image_id"]
        shown = ", ".join(f"{name} ({count})" for name, count in few.head(10).items())
        shown += tr(" and {n} more", n=len(few) - 10) if len(few) > 10 else ""
        text = "1 class has fewer than {least} train images: {shown}."
        text = text if len(few) == 1 else "{n:,} classes have fewer than {least} train images: {shown}."
        what = tr(text, n=len(few), least=MIN_TRAIN_IMAGES, shown=shown)
        cases = make_cases(first, [tr("{name}, train images: {n}", name=name, n=n) for name, n in few.items()])
        found.append(make_finding(findings.FEW, len(few), len(counts), "classes", what, cases))
    counts = rows["class_name"].value_counts()
    if len(counts) > 1 and counts.iloc[0] >= MAX_CLASS_RATIO * counts.iloc[-1]:
        most, least = counts.iloc[0], counts.iloc[-1]
        text = "{largest} has {most:,} images, {times:.0f} times as many as {smallest} with {least:,}."
        names = {"largest": counts.index[0], "smallest": counts.index[-1]}
        what = tr(text, **names, most=most, least=least, times=most / least)
        count, cases = int((counts * MAX_CLASS_RATIO <= most).sum()), make_cases(pd.Series([], dtype=str), "")
        found.append(make_finding(findings.UNEVEN, count, len(counts), "classes", what, cases))
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
    reasons = rows["problem"].mask(rows["problem"] == "", rows["defect"]).map(recorded_text)
    notes = rows["class_name"] + ": " + reasons + " (" + rows["source"] + ")"
    defects = ", ".join(local_number(f"{count:,} ") + tr(name) for name, count in counts.items() if count)
    return finding_of_rows(findings.BOXES, rows, len(boxes), defects, notes, "boxes")
