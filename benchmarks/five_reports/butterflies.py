"""The butterflies report: three classifiers, five shares of the labels, fifteen rows."""

import math

from five_reports import printed
from five_reports.bounds import fitting_sizes
from five_reports.claims import (
    batch_averages,
    distinguishable_by_chance,
    find_gains,
    largest_class_at_least,
    lowest_macro_f1,
    place_of,
    smallest_difference,
    spread_errors,
)
from five_reports.words import AGAINST, CANNOT, FITS, PLACES, claim, filled, hits, listed, section, table

from marinecv.data.manifests import load_manifest
from marinecv.evaluation.intervals import wilson
from marinecv.recipes.butterflies import PUBLISHED, PUBLISHED_N, published_at

N = PUBLISHED_N
LINES = {line.removeprefix("butterflies_").upper(): line for line in PUBLISHED}
SHARES = sorted({share for shares in PUBLISHED.values() for share in shares})
LITTLE, ALL = SHARES[0], SHARES[-1]
ROWS = {(line, share): published_at(name, share)["test"] for line, name in LINES.items() for share in SHARES}
RIGHT = {row: hits(figures["accuracy"], N) for row, figures in ROWS.items()}
BEST = max(RIGHT, key=RIGHT.get)
MACRO = ("macro_precision", "macro_recall", "macro_f1")


def findings() -> str:
    return section(
        "## Butterflies: few labels, and a U-Net's encoder",
        filled(
            "A from scratch, B1 on a frozen encoder, B2 fine-tuned, each with five fractions of the labels: "
            f"{len(ROWS)} rows."
        ),
        how_many(),
        recall_beside_accuracy(),
        f1_beside_accuracy(),
        *averages_of_batches(),
        best_f1(),
        worst(),
        gain(),
        significantly(),
        more_labels(),
    )


def species() -> dict[int, int]:
    """Return images a species by number of species: of the report, and of the data set they come from."""
    few = len(load_manifest("butterflies20").folder_classes)
    return {classes: N // classes for classes in (few, printed.BUTTERFLIES_SPECIES)}


def at(share: float, figure: str) -> dict[str, str]:
    """Return a printed metric of the three classifiers at a fraction of the labels."""
    return {line: ROWS[line, share][figure] for line in LINES}


def how_many() -> str:
    manifest = load_manifest("butterflies20")
    ours, classes = manifest.expected["images"]["test"], len(manifest.folder_classes)
    figures = [figures["accuracy"] for figures in ROWS.values()]
    first, following, *_ = fitting_sizes(figures, range(1, 2 * N))
    return claim(
        "Number of test images:",
        "not printed.",
        f"All accuracies are whole numbers of {first} (next: {following}). The test split of all "
        f"{printed.BUTTERFLIES_SPECIES} species has {printed.BUTTERFLIES_SPECIES * ours // classes} images.",
        f"{FITS} {first} images; not comparable with our {ours}",
    )


def recall_beside_accuracy() -> str:
    classes, images = next(iter(species().items()))
    figures = ROWS[BEST]
    share = max(largest_class_at_least(row["accuracy"], row["macro_recall"], classes) for row in ROWS.values())
    return claim(
        "Macro recall:",
        f"{figures['macro_recall']} beside accuracy {figures['accuracy']} in the best row.",
        "With equally many images of each species both are equal. For all rows to be true one of "
        f"{classes} species needs at least {math.ceil(share * N)} of the {N} images, not {images}.",
        f"{CANNOT} of about equally many images a species",
    )


def f1_beside_accuracy() -> str:
    lowest = {
        classes: {row: lowest_macro_f1(classes, images, right) for row, right in RIGHT.items()}
        for classes, images in species().items()
    }
    below = {c: sum(float(ROWS[row]["macro_f1"]) < low for row, low in rows.items()) for c, rows in lowest.items()}
    words = [
        f"{lowest[classes][BEST]:.3f} with {classes} species (below: {below[classes]} of {len(ROWS)} rows)"
        for classes in species()
    ]
    return claim(
        "Macro F1:",
        f"{ROWS[BEST]['macro_f1']} beside that accuracy.",
        f"With {RIGHT[BEST]} of {N} correct it is at least {listed(words)}.",
        f"{CANNOT} of equally many images a species" if any(below.values()) else FITS,
    )


def averages_of_batches() -> tuple[str, str]:
    size = printed.BUTTERFLIES_BATCH
    rows = [["printed, the best row", *(ROWS[BEST][figure] for figure in MACRO)]]
    for classes, images in species().items():
        true, predicted = spread_errors(classes, images, RIGHT[BEST])
        averages = batch_averages(true, predicted, size)
        rows.append([f"{classes} species, batches of {size}", *(f"{averages[figure]:.3f}" for figure in MACRO)])
    falling = [
        float(row["macro_precision"]) > float(row["macro_f1"]) > float(row["macro_recall"]) for row in ROWS.values()
    ]
    text = claim(
        "What it may be instead:",
        f"averages over batches of {size} in the order of the folders.",
        "Simulated classifiers then have precision above F1 above recall, as in "
        f"{sum(falling)} of {len(falling)} printed rows.",
        f"{FITS}; such averages say nothing about macro F1",
    )
    return text, table(["", *(figure.replace("_", " ").replace("f1", "F1") for figure in MACRO)], rows)


def best_f1() -> str:
    place = place_of("B2", at(LITTLE, "macro_f1"))
    lowest = min(ROWS, key=lambda row: float(ROWS[row]["macro_f1"])) == ("B2", LITTLE)
    first = [f"{share:.0%}" for share in SHARES if place_of("B2", at(share, "macro_f1")) == 1]
    return claim(
        "Best F1:",
        '"B2, above all at 90/10".',
        f"With {LITTLE:.0%} of the labels B2 is {PLACES[place]} of three{', the lowest of all' if lowest else ''}; "
        f"first only with {listed(first)}.",
        FITS if place == 1 else AGAINST,
    )


def worst() -> str:
    places = {share: place_of("A", at(share, "accuracy")) for share in SHARES}
    last = [f"{share:.0%}" for share, place in places.items() if place == len(LINES)]
    return claim(
        "Worst:",
        '"A, from scratch".',
        f"By accuracy A is last with {listed(last)} and {PLACES[places[LITTLE]]} with {LITTLE:.0%}.",
        FITS if len(last) == len(SHARES) else AGAINST,
    )


def gain() -> str:
    names = {row: f"{row[0]} with {row[1]:.0%}" for row in ROWS}
    found = find_gains(printed.BUTTERFLIES_GAIN, {names[row]: figures["accuracy"] for row, figures in ROWS.items()})
    against = [worse for better, worse in found if better == names[BEST]]
    a, b1 = (ROWS[line, ALL]["accuracy"] for line in ("A", "B1"))
    ahead = RIGHT["B1", ALL] - RIGHT["A", ALL]
    return claim(
        f"{printed.BUTTERFLIES_GAIN}% better than without transfer learning:",
        f"{ROWS[BEST]['accuracy']} ({names[BEST]}) and that gain.",
        f"Only {listed(against)} of the labels gives it. With {ALL:.0%}: {b1} against {a}, "
        f"{float(b1) / float(a) - 1:.0%}, {ahead} images.",
        f"compares unlike rows; with equal labels {distinguishable_by_chance(RIGHT['B1', ALL], RIGHT['A', ALL], N)}",
    )


def significantly() -> str:
    a, b2 = RIGHT["A", ALL], RIGHT["B2", ALL]
    ahead = [share for share in SHARES if RIGHT["B2", share] > RIGHT["A", share]]
    return claim(
        "B2 is significantly better than A:",
        f"with all labels {ROWS['B2', ALL]['accuracy']} against {ROWS['A', ALL]['accuracy']}.",
        f"That is {b2 - a} images; separate samples must differ by {math.ceil(smallest_difference(b2 / N, N) * N)}. "
        f"B2 is ahead with {len(ahead)} of {len(SHARES)} fractions.",
        f"{distinguishable_by_chance(b2, a, N)}: no test was made",
    )


def more_labels() -> str:
    share = SHARES[1]
    before, after = RIGHT["A", LITTLE], RIGHT["A", share]
    claimed = [RIGHT[line, ALL] - RIGHT["A", ALL] for line in ("B1", "B2")]
    return claim(
        "More labels, lower accuracy:",
        f"A has {ROWS['A', LITTLE]['accuracy']} with {LITTLE:.0%} of the labels, {ROWS['A', share]['accuracy']} with "
        f"{share:.0%}.",
        f"That is {before - after} images ({distinguishable_by_chance(before, after, N)}), more than the claimed "
        f"differences of {listed(claimed)}.",
        "one run a row says little",
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    low, high = (wilson(RIGHT[line, ALL], N) for line in ("A", "B1"))
    return (
        f"**Butterflies.** With all labels the frozen encoder is ahead of scratch ({high[0]:.2f} to {high[1]:.2f} "
        f"against {low[0]:.2f} to {low[1]:.2f}), in one run each."
    )
