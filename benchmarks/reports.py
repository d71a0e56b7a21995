"""docs/reports.md: what the figures of the five reports can and cannot say, every number computed.

python benchmarks/reports.py

It also writes the table of docs/results.md that names the recipes without a result.

Printed figures come from the recipes, or from five_reports/printed.py where no recipe holds them. The functions that
judge them are those of five_reports/claims.py, five_reports/bounds.py and `marinecv.evaluation`.
"""

import textwrap
from pathlib import Path

from five_reports import animals, aquarium, birdcnn, birds, butterflies
from five_reports.claims import expected_best, smallest_difference
from five_reports.stated import fidelity, without_result
from five_reports.words import filled, section, table

from marinecv.evaluation.intervals import LEVEL, smallest_paired_difference, wilson

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reports.md"
RESULTS_PAGE, HEADING = PAGE.with_name("results.md"), "## Recipes without a result, and why\n\n"
REPORTS = (aquarium, animals, birds, birdcnn, butterflies)
SCORE, SEVERAL, MANY = 0.8, 3, 20  # of the table of sizes: a score, and models to choose from
HEAD = """# What the five reports' numbers can and cannot say

Five student reports are the origin of this project. Each is honest work, and each prints numbers. This page reads those
numbers a second time, with a pencil: a good habit with any table, and best practised on one's own.

Four questions are enough. **Could it be?** A score on {n} images is a whole number of {n}, so most decimals are
impossible. **Does it add up?** An average lies where its rows put it. **Is it more than luck?** Two models
that differ by a few images may be equally good. **Is it what the words say?** The table decides.

A finding here is about a printed number, not about its author: a number that cannot be may come from another run, and
a claim that a table does not carry may still be true. *Fits* means that nothing speaks against it. The reports are in
Spanish; words between quotation marks are translated. Behind each verdict stand the functions that computed it, where
it took more than a sum; `python benchmarks/reports.py` writes this page, and a test compares.

## What so many images can tell

Suppose that a model has {score:.0%} right. The table says where it may be in truth ({level:.0%}, Wilson), and by how
much another must differ before a test of two separate samples tells them apart. Two models on the *same* images can be
told apart by less where their predictions are kept (McNemar's test), but never by fewer than {fewest} images. Hence
three words below: *distinguishable* as separate samples, *not distinguishable* by any test, and *open*, where it hangs
on predictions that nobody printed. The last columns say what the best of several equal models is expected to show by
chance, if they have nothing in common: that much a choice can flatter."""
CLOSE = """What this project measured with the same recipes, with its own n, intervals and seeds, stands in
[results.md](results.md)."""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    before, heading, after = RESULTS_PAGE.read_text(encoding="utf-8").partition(HEADING)
    following = after[after.index("\n\n") :]
    RESULTS_PAGE.write_text(f"{before}{heading}{without_result()}{following}", encoding="utf-8")


def page() -> str:
    """The whole page."""
    n = aquarium.N["test"]
    fewest = round(smallest_paired_difference(0, n) * n)
    head = HEAD.format(n=n, score=SCORE, level=LEVEL, fewest=fewest)
    return section(
        *(filled(paragraph) for paragraph in head.split("\n\n")),
        sizes(),
        *(report.findings() for report in REPORTS),
        fidelity(),
        "## What you may still take from each",
        "\n".join(textwrap.fill(f"- {report.taken()}", 120, subsequent_indent="  ") for report in REPORTS),
        filled(CLOSE) + "\n",
    )


def sizes() -> str:
    """What each report's numbers of images can tell."""
    rows = []
    for n in (*sorted(aquarium.N.values()), birds.FEW, butterflies.N, birds.MANY, animals.N):
        low, high = wilson(round(SCORE * n), n)
        best = [f"{expected_best(SCORE, n, models):.3f}" for models in (SEVERAL, MANY)]
        rows.append([f"{n:,}", f"{low:.3f} to {high:.3f}", f"{smallest_difference(SCORE, n):.3f}", *best])
    header = ["images", "the truth may be", "another must differ by"]
    return table([*header, f"the best of {SEVERAL} shows", f"the best of {MANY} shows"], rows)


if __name__ == "__main__":
    main()
