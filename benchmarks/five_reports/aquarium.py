"""The aquarium report: three CNNs, three fine-tunings, 127 and 63 images."""

from five_reports.bounds import counts_behind, fits_batch_average, fitting_sizes
from five_reports.claims import distinguishable_by_chance, expected_best, place_of, smallest_difference
from five_reports.words import CANNOT, FITS, PLACES, claim, could_be, filled, hits, in_images, listed, section

from marinecv.evaluation.intervals import wilson
from marinecv.recipes import aquarium

SPLITS = ("validation", "test")
SCRATCH = {split: [recipe.published[split]["accuracy"] for recipe in aquarium.GRID] for split in SPLITS}
TUNED = {split: [row[split]["accuracy"] for row in aquarium.PUBLISHED.values()] for split in SPLITS}
N = {split: aquarium.BEST.published[split]["n"] for split in SPLITS}
COUNTED = [(SCRATCH["validation"], "validation"), (TUNED["validation"], "validation"), (SCRATCH["test"], "test")]
TRIED = 1000  # sizes


def findings() -> str:
    return section(
        "## Aquarium: three CNNs from scratch, three fine-tunings",
        filled(
            f"{N['validation']} validation and {N['test']} test images, frames of the same videos; MobileNetV3Large."
        ),
        fine_tuning_on_test(),
        claim(
            "Other accuracies:",
            f"{in_images(SCRATCH['validation'] + TUNED['validation'], N['validation'])} and "
            f"{in_images(SCRATCH['test'], N['test'])}.",
            "",
            FITS if {could_be(figures, N[split]) for figures, split in COUNTED} == {FITS} else CANNOT,
        ),
        best_from_scratch(),
        best_patience(),
        test_above_validation(),
    )


def fine_tuning_on_test() -> str:
    n, figures = N["test"], TUNED["test"]
    sizes = fitting_sizes(figures, range(1, TRIED + 1))
    averaged = [size for size in range(2, n) if any(fits_batch_average(figure, n, size) for figure in figures)]
    single = [figure for figure in figures if counts_behind(figure, n)]
    return claim(
        "Test accuracies of fine-tuning",
        f"{listed(figures)}.",
        f"{str(len(single) or 'none').capitalize()} is a whole number of {n} images. Numbers of images up to {TRIED:,} "
        f"that give all: {listed(sizes)}; batch sizes whose averages give one: {listed(averaged)}.",
        f"they {CANNOT} accuracies on {n} images" if not single else "open",
    )


def best_from_scratch() -> str:
    n = N["test"]
    on_validation = dict(zip("123", SCRATCH["validation"], strict=True))
    best, second, third = (hits(figure, n) for figure in SCRATCH["test"])
    mean = (best + second + third) / 3 / n
    return claim(
        "Best network from scratch:",
        f"model 1, with {SCRATCH['test'][0]} on test.",
        f"On validation it is {PLACES[place_of('1', on_validation)]} of three. It is {best - second} images ahead of "
        f"the next, {best - third} of the last ({distinguishable_by_chance(best, third, n)}). The best of three equal "
        f"models with the mean {mean:.3f} would show {expected_best(mean, n, 3):.3f}.",
        f"the first two are {distinguishable_by_chance(best, second, n)}",
    )


def best_patience() -> str:
    n = N["validation"]
    counts = [hits(figure, n) for figure in TUNED["validation"]]
    return claim(
        "Best patience:",
        f"{aquarium.BEST_PATIENCE}; {listed(TUNED['validation'])} for {listed(aquarium.PATIENCES)}.",
        f"These are {listed(counts)} images.",
        distinguishable_by_chance(max(counts), min(counts), n),
    )


def test_above_validation() -> str:
    on_validation, on_test = (float(SCRATCH[split][0]) for split in SPLITS)
    enough = smallest_difference(on_test, N["test"], N["validation"])
    return claim(
        "Test above validation:",
        f"{SCRATCH['test'][0]} and {SCRATCH['validation'][0]}, of one model.",
        f"The difference is {on_test - on_validation:.3f}, distinguishable from {enough:.3f}. The report's reason: "
        "frames of the same videos ([trust.md](trust.md)).",
        "just more than chance" if on_test - on_validation >= enough else "within chance",
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    n = N["validation"]
    bounds = [wilson(hits(figure, N["test"]), N["test"]) for figure in SCRATCH["test"]]
    tuned, scratch = (sorted(hits(figure, n) for figure in part["validation"]) for part in (TUNED, SCRATCH))
    return (
        f"**Aquarium.** CNNs that see {aquarium.BEST.image.height} pixels classify most of this test correctly "
        f"(intervals from {min(low for low, _ in bounds):.2f} to {max(high for _, high in bounds):.2f}). On validation "
        "every fine-tuning is ahead of every network from scratch, by "
        f"{tuned[0] - scratch[-1]} to {tuned[-1] - scratch[0]} images."
    )
