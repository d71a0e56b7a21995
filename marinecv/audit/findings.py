"""The findings of an audit: each with a sentence, a count and its worst cases."""

from dataclasses import dataclass

import pandas as pd

HYPOTHETICAL = "Under a random split, "
"""Begins a sentence about a split that does not exist yet."""
CASE_COLUMNS = ["image_id", "other", "note"]


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
        condition = ", if split at random" if self.what.startswith(HYPOTHETICAL) else ""
        return f"{self.name}{condition}: {self.count:,} of {self.of:,} {self.unit}. {self.todo}"


def finding_of(
    rows: pd.DataFrame, total: int, defect: str, notes: pd.Series | list[str], unit: str = "images", **fields
) -> list[Finding]:
    """Make the finding "ROWS of TOTAL images: DEFECT.", with a case for each row; an empty list if there is no row."""
    if rows.empty:
        return []
    what, cases = f"{len(rows):,} of {total:,} {unit}: {defect}.", make_cases(rows["image_id"], notes)
    return [Finding(count=len(rows), of=total, unit=unit, what=what, cases=cases, **{"serious": False} | fields)]


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """Return a row a finding: `finding, serious` (yes or no), `count, of, unit, what, why, todo`."""
    columns = ["finding", "serious", "count", "of", "unit", "what", "why", "todo"]
    rows = [
        (each.name, "yes" if each.serious else "no", *(getattr(each, name) for name in columns[2:]))
        for each in findings
    ]
    return pd.DataFrame(rows, columns=columns)


def cases_table(findings: list[Finding]) -> pd.DataFrame:
    """Return every case of every finding: `finding`, and `CASE_COLUMNS`."""
    parts = [each.cases.assign(finding=each.name) for each in findings]
    columns = ["finding", *CASE_COLUMNS]
    return pd.concat([pd.DataFrame(columns=columns, dtype=str), *parts], ignore_index=True)[columns]


def make_cases(image_ids: pd.Series, notes: pd.Series | list[str] | str, others: pd.Series | str = "") -> pd.DataFrame:
    """Build the table of cases of a finding from columns of one order."""
    cases = pd.DataFrame({"image_id": image_ids, "other": others, "note": notes}, columns=CASE_COLUMNS)
    return cases.astype(str).reset_index(drop=True)


def counted(number: int, noun: str) -> str:
    """Write a number and what it counts: "1 pair", "2,000 pairs"."""
    return f"{number:,} {agree(number, noun, f'{noun}s')}"


def agree(number: int, one: str, more: str) -> str:
    """Return the word that agrees with a number."""
    return one if number == 1 else more
