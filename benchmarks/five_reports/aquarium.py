"""The aquarium report: three CNNs, three fine-tunings, 127 and 63 images."""

from five_reports.bounds import counts_behind, fits_batch_average, fitting_sizes
from five_reports.claims import distinguishable_by_chance, expected_best, place_of, smallest_difference
from five_reports.words import CANNOT, PLACES, claim, could_be, filled, hits, in_images, listed, section

from marinecv.evaluation.intervals import wilson
from marinecv.recipes import aquarium

SPLITS = ("validation", "test")
SCRATCH = {split: [recipe.published[split]["accuracy"] for recipe in aquarium.GRID] for split in SPLITS}
TUNED = {split: [row[split]["accuracy"] for row in aquarium.PUBLISHED.values()] for split in SPLITS}
N = {split: aquarium.BEST.published[split]["n"] for split in SPLITS}
TRIED = 1000  # sizes


def findings() -> str:
    return section(
        "## The aquarium: seven animals, three small networks and a large one",
        filled(
            f"{N['validation']} validation and {N['test']} test images, frames of the same videos. Three CNNs from "
            "scratch and three fine-tunings of MobileNetV3Large are compared, and the best of each is named."
        ),
        claim(
            "The scores on validation are whole numbers of images.",
            f"{listed(SCRATCH['validation'] + TUNED['validation'])}.",
            f"They are {in_images(SCRATCH['validation'] + TUNED['validation'], N['validation'])}.",
            could_be(SCRATCH["validation"] + TUNED["validation"], N["validation"]),
            counts_behind,
        ),
        claim(
            "So are the three test scores from scratch.",
            f"{listed(SCRATCH['test'])}.",
            f"They are {in_images(SCRATCH['test'], N['test'])}.",
            could_be(SCRATCH["test"], N["test"]),
            counts_behind,
        ),
        fine_tuning_on_test(),
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
        "The three test scores of fine-tuning are not.",
        f"{listed(figures)}.",
        f"Of the three, {len(single) or 'none'} is a whole number of {n} images, rounded or cut off. Numbers of "
        f"images up to {TRIED:,} that would give all three: {listed(sizes)}. A program that averages the accuracies "
        f"of batches, the last one shorter, prints other numbers; batch sizes from 2 to {n - 1} that would give even "
        f"one of the three so: {listed(averaged)}. Where they come from the report does not say.",
        f"{CANNOT} scores on these {n} images" if not single else "open",
        counts_behind,
        fitting_sizes,
        fits_batch_average,
    )


def best_from_scratch() -> str:
    n = N["test"]
    on_validation = dict(zip("123", SCRATCH["validation"], strict=True))
    best, second, third = (hits(figure, n) for figure in SCRATCH["test"])
    mean = (best + second + third) / 3 / n
    return claim(
        "The best network from scratch.",
        f"model 1, with {SCRATCH['test'][0]} on test.",
        f"On validation it is {PLACES[place_of('1', on_validation)]} of three: the test chose it, and a score that "
        f"has chosen its model flatters it. Its lead is {best - second} images over the next "
        f"({distinguishable_by_chance(best, second, n)}) and {best - third} over the last "
        f"({distinguishable_by_chance(best, third, n)}: it hangs on which images they are). Three equal models with "
        f"{mean:.3f}, the mean of these, would show {expected_best(mean, n, 3):.3f} at best by chance.",
        f"the first two are {distinguishable_by_chance(best, second, n)}",
        place_of,
        distinguishable_by_chance,
        expected_best,
    )


def best_patience() -> str:
    n = N["validation"]
    counts = [hits(figure, n) for figure in TUNED["validation"]]
    return claim(
        "The best patience.",
        f"{aquarium.BEST_PATIENCE}; on validation {listed(TUNED['validation'])} for {listed(aquarium.PATIENCES)}.",
        f"That is {listed(counts)} images: two are equal and the other is {max(counts) - min(counts)} behind. The tie "
        "was broken by test scores that cannot be.",
        f"{distinguishable_by_chance(max(counts), min(counts), n)}; it says nothing about patience",
        distinguishable_by_chance,
    )


def test_above_validation() -> str:
    on_validation, on_test = (float(SCRATCH[split][0]) for split in SPLITS)
    enough = smallest_difference(on_test, N["test"], N["validation"])
    return claim(
        "Test is easier than validation.",
        f"{SCRATCH['test'][0]} on test, {SCRATCH['validation'][0]} on validation, of one model.",
        f"They differ by {on_test - on_validation:.3f}, where samples of these sizes have to differ by {enough:.3f}. "
        "The report gives a reason itself: test images resemble train images, for they are frames of the same videos. "
        "The effect was measured: `results/leakage.csv` has the published split beside splits that keep "
        "neighboring frames together, with a nearest neighbor on thumbnails for comparison.",
        "just more than chance" if on_test - on_validation >= enough else "within chance",
        smallest_difference,
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    n = N["validation"]
    bounds = [wilson(hits(figure, N["test"]), N["test"]) for figure in SCRATCH["test"]]
    tuned, scratch = (sorted(hits(figure, n) for figure in part["validation"]) for part in (TUNED, SCRATCH))
    return (
        f"**Aquarium.** Small images go a long way: networks that see {aquarium.BEST.image.height} pixels get most of "
        f"this test right, between {min(low for low, _ in bounds):.2f} and {max(high for _, high in bounds):.2f} over "
        "the three intervals. On validation every fine-tuning is ahead of every network from scratch, by "
        f"{tuned[0] - scratch[-1]} to {tuned[-1] - scratch[0]} images. And the report's own warning about frames of "
        "one video is its best sentence."
    )
