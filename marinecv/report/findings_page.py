"""The findings of an audit as its page shows them: words, and the worst cases as pictures."""

import pandas as pd

from marinecv.audit.findings import BOXES, FLIPS, UNSURE, Finding
from marinecv.data.user_tables import is_usable
from marinecv.report.audit_figures import boxed_picture, class_colours
from marinecv.report.html import jpeg_address, thumbnail

MOST_SHOWN = 8
BOXED = (BOXES, UNSURE, FLIPS)
"""Findings whose pictures show the boxes they speak of."""


def shown_findings(findings: list[Finding], catalog: pd.DataFrame, boxes: pd.DataFrame) -> list[dict]:
    """Prepare findings for `findings.html`: of each up to eight `cases`, one picture or two, and how many `more`."""
    about = catalog.set_index("image_id")
    good = boxes[is_usable(boxes)] if not boxes.empty else boxes
    colours = class_colours(sorted(good["class_name"].unique())) if not good.empty else {}

    def picture(image_id, with_boxes):
        row = about.loc[image_id]
        labelled = f"{row['split'] or 'no split'}: {row['class_name']}" if row["class_name"] else row["split"]
        src = thumbnail(row["path"])
        if src and with_boxes:
            src = jpeg_address(boxed_picture(row["path"], good[good["image_id"] == image_id], colours))
        return {"src": src, "alt": f"{image_id}, {labelled}", "lines": [image_id, labelled]}

    shown = []
    for each in findings:
        distinct = each.cases.drop_duplicates(["image_id", "other"])
        cases = [
            {
                "pictures": [picture(image, each.name in BOXED) for image in (case.image_id, case.other) if image],
                "note": case.note,
            }
            for case in distinct.head(MOST_SHOWN).itertuples()
        ]
        more = len(distinct) - len(cases)
        words = {key: getattr(each, key) for key in ("name", "serious", "what", "why", "todo")}
        shown.append({**words, "cases": cases, "more": more})
    return shown
