"""The butterflies report: three classifiers, five shares of the labels, fifteen rows."""

import math

import numpy as np
from five_reports import printed
from five_reports.bounds import f1_bounds, fitting_sizes
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
from marinecv.recipes.butterflies import DENOISE, PUBLISHED, PUBLISHED_N, published_at

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
        "## Butterflies: 20 species, few labels, and a U-Net's encoder",
        filled(
            "Classifier A learns from scratch, B1 on a frozen encoder, B2 on one that learns on, each with five shares "
            f"of the labels: {len(ROWS)} rows of accuracy, F1, precision and recall."
        ),
        how_many(),
        recall_beside_accuracy(),
        f1_beside_accuracy(),
        *averages_of_batches(),
        f1_beside_both(),
        best_f1(),
        worst(),
        gain(),
        significantly(),
        more_labels(),
        restoration(),
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
        "How many images it was.",
        f"{len(figures)} accuracies of three decimals, and no number of images.",
        f"All are whole numbers of {first} images. No smaller number gives them all, and the next that does is "
        f"{following}. The test split of these {classes} species, as we have it, has {ours}: {ours // classes} of "
        f"each. The whole set has {printed.BUTTERFLIES_SPECIES} species, which at {ours // classes} of each makes "
        f"{printed.BUTTERFLIES_SPECIES * ours // classes}; perhaps all of them were scored.",
        f"{FITS} {first} images; it compares with no score on our {ours}",
        fitting_sizes,
    )


def recall_beside_accuracy() -> str:
    classes, images = next(iter(species().items()))
    figures = ROWS[BEST]
    share = max(largest_class_at_least(row["accuracy"], row["macro_recall"], classes) for row in ROWS.values())
    return claim(
        "Most images right, and a fifth of the species.",
        f"accuracy {figures['accuracy']} beside a macro recall of {figures['macro_recall']}, in the best row.",
        "With equally many images of each species these two are one number. They part only where the species with "
        f"most images are also those most often right. For all {len(ROWS)} rows to be true, one of {classes} species "
        f"must have at least {math.ceil(share * N)} of the {N} images, where an equal share is {images}.",
        f"{CANNOT}, if the species have about equally many images",
        largest_class_at_least,
    )


def f1_beside_accuracy() -> str:
    lowest = {
        classes: {row: lowest_macro_f1(classes, images, right) for row, right in RIGHT.items()}
        for classes, images in species().items()
    }
    below = {c: sum(float(ROWS[row]["macro_f1"]) < low for row, low in rows.items()) for c, rows in lowest.items()}
    words = [
        f"{lowest[classes][BEST]:.3f} with {classes} species of {images} images ({below[classes]} of {len(ROWS)} rows "
        "lie below theirs)"
        for classes, images in species().items()
    ]
    return claim(
        "F1 beside accuracy.",
        f"a macro F1 of {ROWS[BEST]['macro_f1']} beside that accuracy.",
        f"A classifier with {RIGHT[BEST]} of {N} right has a lowest possible macro F1, however it errs: "
        f"{listed(words)}.",
        f"{CANNOT} macro F1 of equally many images a species" if any(below.values()) else FITS,
        lowest_macro_f1,
    )


def averages_of_batches() -> tuple[str, str]:
    size, mixed = printed.BUTTERFLIES_BATCH, np.random.default_rng(0).permutation(N)
    rows = [["printed, the best row", *(ROWS[BEST][figure] for figure in MACRO)]]
    for classes, images in species().items():
        true, predicted = spread_errors(classes, images, RIGHT[BEST])
        for words, order, batch in (
            ("in order", slice(None), size),
            ("mixed", mixed, size),
            ("at once", slice(None), N),
        ):
            averages = batch_averages(true[order], predicted[order], batch)
            name = f"made, {classes} species, {f'all {N}' if batch == N else f'batches of {size}'} {words}"
            rows.append([name, *(f"{averages[figure]:.3f}" for figure in MACRO)])
    falling = [
        float(row["macro_precision"]) > float(row["macro_f1"]) > float(row["macro_recall"]) for row in ROWS.values()
    ]
    text = claim(
        "What it may be instead.",
        "precision, recall and F1 as a training loop logs them.",
        "Such a loop may score batch by batch and average. With images in the order of their folders a batch of "
        f"{size} holds few species, and whatever is mistaken for an absent one counts as a species never right. The "
        f"table shows made classifiers with {RIGHT[BEST]} of {N} right, their errors spread evenly. In order, their "
        "averages shrink to the size of the printed ones, which lie between the two; mixed, they do not. In order, "
        f"precision is above F1 and F1 above recall, as in {sum(falling)} of the {len(falling)} printed rows.",
        f"{FITS} averages over batches in order, which say nothing about macro F1",
        batch_averages,
        spread_errors,
    )
    return text, table(["", *(figure.replace("_", " ").replace("f1", "F1") for figure in MACRO)], rows)


def f1_beside_both() -> str:
    keeps = [
        float(row["macro_f1"])
        <= max(high for _, high in f1_bounds(row["macro_precision"], row["macro_recall"]).values())
        for row in ROWS.values()
    ]
    return claim(
        "F1 beside precision and recall.",
        f"{len(keeps)} triples.",
        f"A mean F1 is never above the F1 of mean precision and mean recall. {sum(keeps)} of {len(keeps)} keep to "
        "that.",
        FITS if all(keeps) else CANNOT,
        f1_bounds,
    )


def best_f1() -> str:
    place = place_of("B2", at(LITTLE, "macro_f1"))
    lowest = min(ROWS, key=lambda row: float(ROWS[row]["macro_f1"])) == ("B2", LITTLE)
    first = [f"{share:.0%}" for share in SHARES if place_of("B2", at(share, "macro_f1")) == 1]
    return claim(
        "The best F1.",
        '"B2, above all at 90/10".',
        f"With {LITTLE:.0%} of the labels B2 has {ROWS['B2', LITTLE]['macro_f1']}: {PLACES[place]} of "
        f"three{', and the lowest of the table' if lowest else ''}. A row with 90% of the labels is not there. B2 is "
        f"first with {listed(first)}, of {listed([f'{share:.0%}' for share in SHARES])}.",
        FITS if place == 1 else AGAINST,
        place_of,
    )


def worst() -> str:
    places = {share: place_of("A", at(share, "accuracy")) for share in SHARES}
    last = [f"{share:.0%}" for share, place in places.items() if place == len(LINES)]
    return claim(
        "The worst.",
        '"A, from scratch".',
        f"By accuracy A is last with {listed(last)} of the labels. With {LITTLE:.0%} it is {PLACES[places[LITTLE]]}: "
        f"{listed([f'{RIGHT[line, LITTLE]} ({line})' for line in LINES])} images right.",
        FITS if len(last) == len(SHARES) else f"{AGAINST} with {LITTLE:.0%} of the labels",
        place_of,
    )


def gain() -> str:
    names = {row: f"{row[0]} with {row[1]:.0%}" for row in ROWS}
    found = find_gains(printed.BUTTERFLIES_GAIN, {names[row]: figures["accuracy"] for row, figures in ROWS.items()})
    against = [worse for better, worse in found if better == names[BEST]]
    a, b1 = (ROWS[line, ALL]["accuracy"] for line in ("A", "B1"))
    ahead = RIGHT["B1", ALL] - RIGHT["A", ALL]
    return claim(
        f"{printed.BUTTERFLIES_GAIN}% better than without transfer learning.",
        f"{ROWS[BEST]['accuracy']} ({names[BEST]}) and that gain.",
        f"Only one other row gives it: {listed(against)} of the labels. Like for like, both with {ALL:.0%}, it is "
        f"{b1} against {a}: {float(b1) / float(a) - 1:.0%} in proportion, {ahead} images of {N}.",
        "compares unlike rows; like for like the two are "
        f"{distinguishable_by_chance(RIGHT['B1', ALL], RIGHT['A', ALL], N)}",
        find_gains,
        distinguishable_by_chance,
    )


def significantly() -> str:
    a, b2 = RIGHT["A", ALL], RIGHT["B2", ALL]
    ahead = [share for share in SHARES if RIGHT["B2", share] > RIGHT["A", share]]
    return claim(
        "B2 is significantly better than A.",
        f"with all labels {ROWS['B2', ALL]['accuracy']} against {ROWS['A', ALL]['accuracy']}.",
        f"That is {b2 - a} images; two separate samples would have to differ by "
        f"{math.ceil(smallest_difference(b2 / N, N) * N)}. B2 is ahead with {len(ahead)} of {len(SHARES)} shares, in "
        f"one run each. Its F1 with all labels is the lower one: {ROWS['B2', ALL]['macro_f1']} against "
        f"{ROWS['A', ALL]['macro_f1']}.",
        f"{distinguishable_by_chance(b2, a, N)}: it hangs on which images they are, and no test was made",
        distinguishable_by_chance,
        smallest_difference,
    )


def more_labels() -> str:
    share = SHARES[1]
    before, after = RIGHT["A", LITTLE], RIGHT["A", share]
    claimed = [RIGHT[line, ALL] - RIGHT["A", ALL] for line in ("B1", "B2")]
    return claim(
        "More labels, fewer right.",
        f"A has {ROWS['A', LITTLE]['accuracy']} with {LITTLE:.0%} of the labels, {ROWS['A', share]['accuracy']} with "
        f"{share:.0%}.",
        f"{before} images against {after}: {distinguishable_by_chance(before, after, N)}. So this is no luck of the "
        f"test images but of the training, and it moved a score by {before - after} images the wrong way, where the "
        f"differences claimed above are {listed(claimed)}.",
        "a single run a row says nothing about a classifier",
        distinguishable_by_chance,
    )


def restoration() -> str:
    return claim(
        "What the noise remover leaves.",
        f"a mean error of {DENOISE.published['validation']['mse']}.",
        "Neither the images it stands on nor the error of the noisy image itself is printed, so there is nothing to "
        "hold it against. Ours stands beside both in [butterflies.md](butterflies.md).",
        "says nothing about how much noise is gone",
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    low, high = (wilson(RIGHT[line, ALL], N) for line in ("A", "B1"))
    return (
        f"**Butterflies.** With all labels the frozen encoder is ahead of scratch ({high[0]:.2f} to {high[1]:.2f} "
        f"against {low[0]:.2f} to {low[1]:.2f}), in one run each. The plan, shares of the labels against three "
        "classifiers, is a good one. It wants several seeds a row, and scores from all predictions at once."
    )
