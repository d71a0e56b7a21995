"""The animals report: InceptionV3 on five classes, from scratch and frozen."""

from five_reports import printed
from five_reports.bounds import (
    average_bounds,
    counts_behind,
    f1_bounds,
    rows_with_support,
    sizes_before_split,
    ways_within,
)
from five_reports.claims import MIN_DELTA, distinguishable_by_chance, expected_best, reductions
from five_reports.words import AGAINST, CANNOT, FITS, accuracy, claim, filled, listed, section, table

from marinecv.recipes.animals import ADAM, FROZEN, N

SUPPORTS, SHARE = printed.ANIMALS_SUPPORTS, printed.ANIMALS_SHARE
FIFTHS = {name: int(count * SHARE) for name, count in printed.ANIMALS10.items()}
SAME_ANIMAL = {"ragno": "spider"}


def findings() -> str:
    return section(
        "## Animals: five classes, with and without ImageNet",
        filled(
            f"InceptionV3, once from random weights and once frozen, on {N:,} images: the largest test of the five. "
            "Its tables have a row a class, so they can be checked from inside."
        ),
        *names_of_rows(),
        images_a_class(),
        *averages(),
        scratch_and_frozen(),
        plateau(),
        validation_is_test(),
    )


def names_of_rows() -> tuple[str, str]:
    owners = {row: names[0] for row, names in rows_with_support(SUPPORTS, FIFTHS).items() if names}
    moved = [row for row, owner in owners.items() if owner != SAME_ANIMAL.get(row, row)]
    recalls = {row: figures[1] for row, figures in printed.ANIMALS["from scratch"]["rows"].items()}
    text = claim(
        "The rows bear the wrong names.",
        f"supports of {listed(SUPPORTS.values())} for {listed(SUPPORTS)}.",
        "A fifth of the folders of the public set, rounded down, is "
        f"{listed([f'{count} ({name})' for name, count in FIFTHS.items()])}. So the numbers stand in the alphabetical "
        "order of the classes, as a program lists them, and the names in the order of the report's text. "
        f"{len(moved)} of {len(SUPPORTS)} rows are another animal's. The hardest one from scratch, for instance, is "
        f"not the spider (ragno) but the {owners['ragno']}.",
        f"{FITS} once the names are moved; with the names as printed it {CANNOT}" if moved else FITS,
        rows_with_support,
    )
    rows = [[row, support, owners.get(row, "?"), recalls[row]] for row, support in SUPPORTS.items()]
    return text, table(["printed name", "support", "whose row it is", "recall from scratch"], rows)


def images_a_class() -> str:
    few, many = (sizes_before_split(bound(SUPPORTS.values()), SHARE) for bound in (min, max))
    low, high = printed.ANIMALS_SIZES
    return claim(
        "Images a class.",
        f'"from {low:,} to {high:,}".',
        f"A support of {min(SUPPORTS.values())} is a fifth of {few[0]:,} to {few[-1]:,} images, one of "
        f"{max(SUPPORTS.values())} a fifth of {many[0]:,} to {many[-1]:,}.",
        AGAINST if few[-1] < low or many[0] > high else FITS,
        sizes_before_split,
    )


def averages() -> tuple[str, str]:
    means, f1s = [], []
    for run in printed.ANIMALS.values():
        columns = list(zip(*run["rows"].values(), strict=True))
        for kind, weights in (("macro", None), ("weighted", list(SUPPORTS.values()))):
            pairs = zip(columns, run[kind], strict=True)
            means += [bool(ways_within(figure, average_bounds(column, weights))) for column, figure in pairs]
        f1s += [bool(ways_within(f1, f1_bounds(precision, recall))) for precision, recall, f1 in run["rows"].values()]
    name, run = next(iter(printed.ANIMALS.items()))
    low, high = average_bounds([row[2] for row in run["rows"].values()])["rounded"]
    return (
        claim(
            "The averages follow from the rows.",
            f"{len(means)} averages, macro and weighted, in two tables.",
            f"{sum(means)} of {len(means)} lie where their rows allow them. The macro F1 {name}, for instance: rows "
            f"rounded to two decimals put it between {float(low):.3f} and {float(high):.3f}, and {run['macro'][2]} is "
            "printed.",
            FITS if all(means) else CANNOT,
            average_bounds,
            ways_within,
        ),
        claim(
            "Each F1 follows from its precision and recall.",
            f"{len(f1s)} rows.",
            f"{sum(f1s)} of {len(f1s)} do.",
            FITS if all(f1s) else CANNOT,
            f1_bounds,
            ways_within,
        ),
    )


def scratch_and_frozen() -> str:
    scratch, frozen = (counts_behind(accuracy(recipe), N) for recipe in (ADAM, FROZEN))
    word = distinguishable_by_chance(min(frozen), max(scratch), N)
    return claim(
        "Pretrained weights win.",
        f"{accuracy(ADAM)} from scratch, {accuracy(FROZEN)} with ImageNet's.",
        f"{accuracy(ADAM)} stands for {min(scratch):,} to {max(scratch):,} images of {N:,}, {accuracy(FROZEN)} for "
        f"{min(frozen):,} to {max(frozen):,}. Even the nearest two of these are {word}. But up there two decimals are "
        f"few: {accuracy(FROZEN)} stands for anything from {N - max(frozen)} to {N - min(frozen)} errors.",
        f"{FITS}: {word}",
        counts_behind,
        distinguishable_by_chance,
    )


def plateau() -> str:
    training = FROZEN.training
    patience, stop, epochs = training.lr_patience, training.early_stop_patience, training.epochs
    flat = reductions([1.0] * epochs, patience, stop)
    crept = reductions([1 - 1e-6 * epoch for epoch in range(epochs)], patience, stop)
    return claim(
        "The learning rate falls on a plateau.",
        f"`ReduceLROnPlateau` after {patience} epochs, `EarlyStopping` after {stop}, both on validation loss; "
        f"{epochs} epochs.",
        f"On a flat curve training is over before the rate would fall (reductions: {listed(flat)}). One door stays "
        f"open. Keras' first callback wants a fall of {MIN_DELTA:g} and its second any fall, so a loss that creeps "
        f"down by less than that over {patience} epochs does lower the rate (after epoch {listed(crept)} of {epochs}).",
        "in practice the callback cannot act; the result says nothing about it",
        reductions,
    )


def validation_is_test() -> str:
    epochs, level = FROZEN.training.epochs, float(accuracy(FROZEN))
    return claim(
        "Validation is test.",
        "one split; its fifth stopped the training, kept the best epoch and gave the table.",
        f"The best of {epochs} equal epochs of accuracy {level} would gain "
        f"{expected_best(level, N, epochs) - level:.3f} by chance on {N:,} images.",
        "a fault of method, too small to explain the result",
        expected_best,
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    return (
        "**Animals.** The surest result of the five: on thousands of images a frozen network with ImageNet's weights "
        "beats the same network from scratch. Its tables add up to the last digit. Move the names before you quote a "
        "class."
    )
