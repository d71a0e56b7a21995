"""docs/reports.md: what the figures of the five reports can and cannot say, every number computed.

python benchmarks/reports.py

It also writes the table of docs/results.md that names the recipes without a result.

Printed figures come from the recipes, or from five_reports/printed.py where no recipe holds them. The functions that
judge them are those of five_reports/claims.py, five_reports/bounds.py and `marinecv.evaluation`.
"""

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

Is an accuracy of the five student reports a whole number of its images, do averages follow from their rows, is a
difference more than chance, do the words say what the table says? A number that cannot be may come from another run,
and a claim may be true though its table does not show it. *Fits*: nothing speaks against it. Quotations are translated
from Spanish. Our own numbers: [results.md](results.md).

## How much a number of images can tell

For a model with {score:.0%} correct: its {level:.0%} interval (Wilson), the difference from which a second model on
other images is distinguishable, and the expected best of 3 or 20 equal models. Paired predictions on the *same* images
can show smaller differences, but never fewer than {fewest} images. *Open*: it depends on these, which are not
printed."""


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
        "## What you may conclude from each",
        "\n".join(filled(f"- {report.taken()}") for report in REPORTS) + "\n",
    )


def sizes() -> str:
    """What each report's numbers of images can tell."""
    rows = []
    for n in (*sorted(aquarium.N.values()), birds.FEW, butterflies.N, birds.MANY, animals.N):
        low, high = wilson(round(SCORE * n), n)
        best = [f"{expected_best(SCORE, n, models):.3f}" for models in (SEVERAL, MANY)]
        rows.append([f"{n:,}", f"{low:.3f} to {high:.3f}", f"{smallest_difference(SCORE, n):.3f}", *best])
    header = ["images", "interval", "distinguishable from", f"best of {SEVERAL}", f"best of {MANY}"]
    return table(header, rows)


if __name__ == "__main__":
    main()
