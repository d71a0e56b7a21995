"""Measured numbers of the documentation stand in a results file, and what is stale there is marked.

A block (text without an empty line) is led by a comment that names the files of its numbers, with the rows that count:

    <!-- numbers: results/leakage.csv split=test metric=accuracy | results/default.csv; pairs: a>b; others: 0.75 -->

Every decimal of the block is, rounded as printed, a number of those rows, or stands under `others`: a setting, a
published number, or one computed from several. `pairs` adds the differences of two recipes over seeds. A table of
decimals needs a comment, and so does a block with a number of three decimals.
"""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.published_comparison import next_seed_interval
from marinecv.files.csv_tables import read_table
from marinecv.recipes.registry import is_stale
from marinecv.workflows.results import order_sentences

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("audit", "butterflies", "crops", "default", "performance", "results", "searches", "trust")
PAGES = ["README.md", *(f"docs/{name}.md" for name in NAMES)]
COMMENT = re.compile(
    r"<!-- numbers: (?P<files>[^;]*?)(; pairs: (?P<pairs>[^;]*?))?(; others: (?P<others>[^;]*?))? -->\n"
)
DECIMAL = re.compile(r"(?<![\w.,])[+-]?\d+\.\d+(?![\d.]*\w)")
STALE = "†"
COSTS = ("seed", "n", "epochs", "image_size", "n_train", "train_seconds", "parameters", "latency_ms", "label_fraction")


def blocks_of(page):
    """The comment before each block of a page outside code, as a match or None, and the block."""
    text = re.sub(r"```.*?```|\n    [^\n]*", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in re.split(r"\n\s*\n", text):
        comment = COMMENT.match(block.lstrip())
        yield comment, re.sub(r"<!--.*?-->|`[^`]*`|\]\([^)]*\)", "", block, flags=re.DOTALL)


def files_of(comment):
    """The path and the rows of each file of a comment: `FILE column=value ...`; several values have commas between."""
    for words in comment["files"].split(" | ") if comment and comment["files"] != "none" else ():
        path, *filters = shlex.split(words)
        rows = read_table(ROOT / path)
        for name, values in (word.split("=") for word in filters):
            rows = rows[rows[name].isin(values.split(","))]
            assert len(rows), f"{words}: {name} has no {values}"
        yield path, rows


def numbers_of(comment):
    """Every number of the rows of a comment, and those that follow from them."""
    for path, rows in files_of(comment):
        if {"found", "planted"} <= set(rows):  # of several sets together
            sums = (
                rows[rows["planted"] != ""]
                .astype({"found": int, "planted": int})
                .groupby(["change", "ways"])[["found", "planted"]]
                .sum()
            )
            for found, planted in sums.to_numpy():
                yield from (found / planted, *wilson(found, planted)) if planted else ()
            continue
        for name in rows.columns.drop([*(COSTS if "verdict" in rows else ()), "commit"], errors="ignore"):
            yield from pd.to_numeric(rows[name], errors="coerce").dropna()
        if "verdict" in rows:
            for _, runs in rows[rows["metric"] == "accuracy"].groupby(["recipe", "split"]):
                yield from of_all_seeds(runs.assign(ours=pd.to_numeric(runs["ours"])).dropna(subset="ours"))
        for pair in (comment["pairs"] or "").split():
            yield from map(float, DECIMAL.findall(" ".join(order_sentences(ROOT / path, [tuple(pair.split(">"))]))))


def of_all_seeds(runs):
    """Wilson's interval of a mean over seeds, as one seed's images allow, and the bounds of one more seed."""
    means, seeds = runs[runs["seed"] == "all"], runs[runs["seed"].str.isdigit()]
    for mean, n in zip(means["ours"], means["n"].astype(float), strict=True):
        yield from wilson(mean * n, n)
    if len(seeds) > 2 and len(means) == 1:
        n = float(seeds["n"].iloc[0])
        yield from (bound / n for bound in next_seed_interval(list((seeds["ours"] * n).round()), int(n)))


def is_printed(text, numbers):
    unit = 10 ** -len(text.partition(".")[2])
    return any(abs(abs(number) - abs(float(text))) <= 0.50001 * unit for number in numbers)


@pytest.mark.parametrize("page", PAGES)
def test_measured_numbers_of_a_page_stand_in_the_results_that_it_names(page):
    wrong = []
    for comment, text in blocks_of(page):
        decimals, start = DECIMAL.findall(text), text.strip()[:60]
        if comment is None:
            if decimals and (start.startswith("|") or any(len(number.partition(".")[2]) > 2 for number in decimals)):
                wrong.append(f"no comment names the results of {decimals}: {start}")
            continue
        others, numbers = (comment["others"] or "").split(), list(numbers_of(comment))
        unknown = [number for number in decimals if number not in others and not is_printed(number, numbers)]
        unused = [number for number in others if number not in decimals]
        if unknown or unused:
            wrong.append(f"not in the results: {unknown}, not in the text: {unused}: {start}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_marks_what_is_stale(page):
    wrong = []
    for comment, text in blocks_of(page):
        stale = {}
        for _, rows in files_of(comment):
            for row in rows.to_dict("records") if "recipe_hash" in rows else ():
                if row["recipe"] and row.get("ours", "-"):
                    stale[row["recipe"]] = stale.get(row["recipe"], False) or is_stale(row)
        if (STALE in text.replace(f"**{STALE}**", "")) != any(stale.values()):  # bold where it is explained
            wrong.append(text.strip()[:80])
        cells = [line.split("|")[1].split() for line in text.splitlines() if line.startswith("| ")]
        wrong += [cell for cell in cells if cell and cell[0] in stale and (STALE in cell) != stale[cell[0]]]
    assert not wrong, wrong


def test_every_results_file_names_the_commit_and_the_hash_of_its_recipe():
    for path in (ROOT / "results").glob("*.csv"):
        rows = read_table(path)
        assert {"recipe", "commit", "recipe_hash"} <= set(rows), path
        measured = rows[rows["ours"] != ""] if "ours" in rows else rows
        assert measured["commit"].str.fullmatch(r"[0-9a-f]{7,}\+?").all(), path
        assert measured["recipe_hash"].str.fullmatch("([0-9a-f]{8})?").all(), path
