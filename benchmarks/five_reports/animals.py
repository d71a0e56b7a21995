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
        "## Animals: InceptionV3 on five classes",
        filled(f"From random weights and frozen with ImageNet's; {N:,} images."),
        *names_of_rows(),
        images_a_class(),
        averages(),
        scratch_and_frozen(),
        plateau(),
        validation_is_test(),
    )


def names_of_rows() -> tuple[str, str]:
    owners = {row: names[0] for row, names in rows_with_support(SUPPORTS, FIFTHS).items() if names}
    moved = [row for row, owner in owners.items() if owner != SAME_ANIMAL.get(row, row)]
    recalls = {row: figures[1] for row, figures in printed.ANIMALS["from scratch"]["rows"].items()}
    text = claim(
        "Names of rows:",
        "",
        "By the sizes of the public set's folders the numbers are in alphabetical order: "
        f"{len(moved)} of {len(SUPPORTS)} rows are another animal's.",
        f"{FITS} once the names are moved" if moved else FITS,
    )
    rows = [[row, support, owners.get(row, "?"), recalls[row]] for row, support in SUPPORTS.items()]
    return text, table(["printed name", "support", "whose row it is", "recall from scratch"], rows)


def images_a_class() -> str:
    few, many = (sizes_before_split(bound(SUPPORTS.values()), SHARE) for bound in (min, max))
    low, high = printed.ANIMALS_SIZES
    return claim(
        "Images a class:",
        f'"from {low:,} to {high:,}".',
        f"Supports of {min(SUPPORTS.values())} and {max(SUPPORTS.values())} are a fifth of {few[0]:,} to {few[-1]:,} "
        f"and {many[0]:,} to {many[-1]:,}.",
        AGAINST if few[-1] < low or many[0] > high else FITS,
    )


def averages() -> str:
    fits = []
    for run in printed.ANIMALS.values():
        columns = list(zip(*run["rows"].values(), strict=True))
        for kind, weights in (("macro", None), ("weighted", list(SUPPORTS.values()))):
            pairs = zip(columns, run[kind], strict=True)
            fits += [bool(ways_within(figure, average_bounds(column, weights))) for column, figure in pairs]
        fits += [bool(ways_within(f1, f1_bounds(precision, recall))) for precision, recall, f1 in run["rows"].values()]
    return claim(
        "Averages and F1:",
        f"{sum(fits)} of {len(fits)} follow from their rows.",
        "",
        FITS if all(fits) else CANNOT,
    )


def scratch_and_frozen() -> str:
    scratch, frozen = (counts_behind(accuracy(recipe), N) for recipe in (ADAM, FROZEN))
    word = distinguishable_by_chance(min(frozen), max(scratch), N)
    return claim(
        "Pretrained weights win:",
        f"{accuracy(ADAM)} from scratch ({min(scratch):,} to {max(scratch):,} images), {accuracy(FROZEN)} with "
        f"ImageNet's ({min(frozen):,} to {max(frozen):,}).",
        "",
        f"{FITS}: {word}",
    )


def plateau() -> str:
    training = FROZEN.training
    patience, stop, epochs = training.lr_patience, training.early_stop_patience, training.epochs
    flat = reductions([1.0] * epochs, patience, stop)
    crept = reductions([1 - 1e-6 * epoch for epoch in range(epochs)], patience, stop)
    return claim(
        "Learning rate:",
        f"`ReduceLROnPlateau` after {patience} epochs, `EarlyStopping` after {stop}; {epochs} epochs.",
        f"Reductions on a flat curve: {listed(flat)}; on one that falls by less than {MIN_DELTA:g}: after epoch "
        f"{listed(crept)}.",
        "in practice the callback cannot act",
    )


def validation_is_test() -> str:
    epochs, level = FROZEN.training.epochs, float(accuracy(FROZEN))
    return claim(
        "Validation is test:",
        "it chose the epoch and gave the table.",
        f"The best of {epochs} equal epochs gains {expected_best(level, N, epochs) - level:.3f} by chance.",
        "too little to explain the result",
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    return (
        "**Animals.** A frozen network with ImageNet's weights beats the same network from scratch. Move the names "
        "before you quote a class."
    )
