"""The findings of an audit: each with a sentence, a count, its worst cases, and what to do."""

from dataclasses import dataclass

import pandas as pd

from marinecv.language import tr

HYPOTHETICAL = "Under a random split, "
"""Begins a sentence about a split that does not exist yet."""
CASE_COLUMNS = ["image_id", "other", "note"]
LEAKAGE, FRAMES, ACROSS = "train-test leakage", "neighboring frames across splits", "copies across splits"
TWO_LABELS, WITHIN = "one picture under two labels", "copies within a split"
BROKEN, OUTSIDE, BOXLESS = "files that cannot be read", "images outside the folders", "images without a box"
LIGHT, BLUR, SIZE = "dark, bright or flat images", "blurred images", "images of an odd size"
CLOCK = "times of a wrong camera clock"
ABSENT, FEW, UNEVEN = "classes that train lacks", "classes with few train images", "uneven classes"
BAD_ROWS, BOXES = "annotation rows that cannot be read", "odd boxes"
UNSURE, FLIPS = "low-margin dominant class", "labels that another rule changes"
LABEL_ERRORS = "probable label errors"
SERIOUS = (LEAKAGE, FRAMES, ACROSS, TWO_LABELS, BROKEN, ABSENT, BAD_ROWS)
"""Findings that make a score wrong or lose images."""
WHY_AND_TODO = {
    LEAKAGE: (
        "A model that memorizes pictures scores as well as one that recognizes animals. On a new dive or with another "
        "camera memory does not help, and those points are lost.",
        'Split with split_by="grouped", and trust the score on test images without a related training image.',
    ),
    FRAMES: (
        "Two frames of one scene look nearly the same. A model that memorizes the one recognizes the other, so the "
        "score says little about new scenes.",
        'Split with split_by="grouped": frames taken together stay on one side.',
    ),
    ACROSS: (
        "The test repeats an image of the training: its score shows nothing that was learned.",
        'Split with split_by="grouped", or remove one of each pair; a grouped split does not know pairs found by '
        "embedding alone.",
    ),
    TWO_LABELS: (
        "One of the two is wrong, or the picture shows both: training learns both, and a score counts a right answer "
        "as wrong.",
        "Decide which label is right, or remove one of each pair.",
    ),
    WITHIN: (
        "A duplicated picture counts twice, in training and in a score, and makes an interval too narrow.",
        "Remove one of each pair, if it is no more than a copy.",
    ),
    BROKEN: (
        "Training and scores exclude them, so classes shrink unnoticed. Broken files often come from a broken download "
        "or disk, which may have damaged others.",
        "Download or save these files again, or remove them.",
    ),
    OUTSIDE: (
        "They are not used, and were perhaps meant for training.",
        "Move them into the folder of their class, or remove them.",
    ),
    BOXLESS: (
        "They are excluded. If they show no animal, a model never learns the empty background.",
        "Correct the rows that the cases quote. If the others are empty, train with "
        'images_without_boxes="empty"; if not, draw their boxes.',
    ),
    LIGHT: (
        "Where a person sees nothing, a label is a guess, and a model may learn darkness itself.",
        "Check them; remove what nobody could identify.",
    ),
    BLUR: (
        "The details that tell species apart are lost, and the label may be a guess.",
        "Check them; remove what nobody could identify.",
    ),
    SIZE: (
        "A small image is enlarged and a long one squeezed, so the model gets them unlike the rest.",
        "Check them: thumbnails, screenshots and panoramas are often there by mistake.",
    ),
    CLOCK: (
        "A camera begins again at its factory date when its battery is changed: hours, dates and events of these "
        "images are wrong.",
        "Correct them by the shift of the clock, or remove their times; keep the originals.",
    ),
    ABSENT: (
        "A model cannot predict a class that it was never shown: every such image is an error.",
        'Put images of each class into train, or split again with split_by="stratified".',
    ),
    FEW: (
        "The model learns little of such a class, and its score says little.",
        "Add images of them; a learning curve estimates what more images would bring.",
    ),
    UNEVEN: (
        "Accuracy is then that of the large classes, and a model that never predicts the small ones looks good.",
        "Judge by balanced accuracy; try balanced=True or class_weights=True.",
    ),
    BAD_ROWS: (
        "The images are labeled from their other boxes, and the class of a lost box may be the right one.",
        "Correct the rows; each case quotes one, with its file and line.",
    ),
    BOXES: (
        "Boxes decide on the label and on where a model should look. A stray click counts like an animal.",
        "Fix them in the annotation tool; each case names its row.",
    ),
    UNSURE: (
        "They show two animals about equally: predicting the second counts as an error, which caps a score.",
        "Check them before you trust a few errors; leave out what is a draw.",
    ),
    LABEL_ERRORS: (
        "A model of the other images says another class. Some of these labels are wrong, some images only hard: "
        "wrong labels cost accuracy, and in validation and test they make the score itself wrong.",
        "Look at them with review, the most probable first, and correct the labels that are wrong.",
    ),
    FLIPS: (
        "The right answer is then a choice, and scores under different rules cannot be compared.",
        "Choose the rule once, with label_rule=, and state it beside every score.",
    ),
}
"""Name of a finding -> why it matters, and how to fix it."""


@dataclass(frozen=True)
class Finding:
    """A defect of a data set; `serious` if it makes a score wrong or loses images.

    It concerns `count` `of` so many of a `unit`: `images`, `pairs`, `boxes` or `classes`. `what` is a sentence, `why`
    says why it matters, and `todo` how to fix it. `cases` are `CASE_COLUMNS`, the worst first.
    """

    name: str
    serious: bool
    count: int
    of: int
    unit: str
    what: str
    why: str
    todo: str
    cases: pd.DataFrame

    @property
    def line(self) -> str:
        """The finding in one line: name, count, how to fix it."""
        text = "{name}: {count:,} of {total:,} {unit}. {todo}"
        if self.what.startswith(tr(HYPOTHETICAL)):
            text = "{name}, if split at random: {count:,} of {total:,} {unit}. {todo}"
        values = {"name": tr(self.name), "count": self.count, "total": self.of, "unit": tr(self.unit)}
        return tr(text, **values, todo=self.todo)


def make_finding(name: str, count: int, total: int, unit: str, what: str, cases: pd.DataFrame) -> Finding:
    """Make a finding of those named above."""
    why, todo = map(tr, WHY_AND_TODO[name])
    return Finding(name, name in SERIOUS, count, total, unit, what, why, todo, cases)


def finding_of_rows(
    name: str, rows: pd.DataFrame, total: int, defect: str, notes: pd.Series | list[str], unit: str = "images"
) -> list[Finding]:
    """Make the finding "ROWS of TOTAL images: DEFECT.", with a case for each row; an empty list if there is no row."""
    if rows.empty:
        return []
    text = "{count:,} of {total:,} {unit}: {defect}."
    what = tr(text, count=len(rows), total=total, unit=tr(unit), defect=defect)
    return [make_finding(name, len(rows), total, unit, what, make_cases(rows["image_id"], notes))]


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """Return a row a finding: `finding, serious` (yes or no), `count, of, unit, what, why, todo`."""
    columns = ["name", "serious", "count", "of", "unit", "what", "why", "todo"]
    table = pd.DataFrame([[getattr(each, name) for name in columns] for each in findings], columns=columns)
    return table.assign(serious=table["serious"].map({True: "yes", False: "no"})).rename(columns={"name": "finding"})


def cases_table(findings: list[Finding]) -> pd.DataFrame:
    """Return every case of every finding: `finding`, and `CASE_COLUMNS`."""
    tables = [each.cases.assign(finding=each.name) for each in findings]
    columns = ["finding", *CASE_COLUMNS]
    return pd.concat([pd.DataFrame(columns=columns, dtype=str), *tables], ignore_index=True)[columns]


def make_cases(image_ids: pd.Series, notes: pd.Series | list[str] | str, others: pd.Series | str = "") -> pd.DataFrame:
    """Build the table of cases of a finding from columns of one order."""
    cases = pd.DataFrame({"image_id": image_ids, "other": others, "note": notes}, columns=CASE_COLUMNS)
    return cases.astype(str).reset_index(drop=True)
