"""The BirdCNN report: one small network and four changes, in curves and words."""

from five_reports import printed
from five_reports.claims import map_sides, smallest_difference
from five_reports.words import CANNOT, FITS, accuracy, claim, filled, section

from marinecv.evaluation.intervals import smallest_paired_difference
from marinecv.recipes.birdcnn import BASE, RECIPES
from marinecv.recipes.birds import CUSTOM_CNN

KERNEL6, TWO_CONV = RECIPES["birdcnn_kernel6"], RECIPES["birdcnn_two_conv"]


def findings() -> str:
    return section(
        "## BirdCNN: one small network and four changes",
        filled("The same 20 species. Results are curves and words: no accuracy is printed."),
        kernel6(),
        two_conv(),
        order(),
    )


def flattened(recipe) -> tuple[list[int], int]:
    """Return the sides of a network's feature maps, and the input size of its first dense layer."""
    model = recipe.model
    sides = map_sides(recipe.image.height, model.kernels, model.padding, model.pools)
    return sides, sides[-1] ** 2 * model.filters[-1]


def kernel6() -> str:
    sides, numbers = flattened(KERNEL6)
    return claim(
        "Kernels of 6:",
        f"padding {KERNEL6.model.padding}, the base's dense layer.",
        f"Maps of {sides[-1]} pixels leave {numbers:,} numbers for {printed.BIRDCNN_FLATTENED:,}.",
        FITS if numbers == printed.BIRDCNN_FLATTENED else f"it {CANNOT} all that was changed",
    )


def two_conv() -> str:
    numbers, before = flattened(TWO_CONV)[1], flattened(BASE)[1]
    minutes = [printed.BIRDCNN_MINUTES[recipe.name] for recipe in (BASE, TWO_CONV)]
    pace = [time / recipe.training.epochs for time, recipe in zip(minutes, (BASE, TWO_CONV), strict=True)]
    return claim(
        "Two convolutions:",
        f'"simpler and more efficient"; {minutes[1]} minutes for {TWO_CONV.training.epochs} epochs, the base '
        f"{minutes[0]} for {BASE.training.epochs}.",
        f"That is {pace[1]:g} minutes an epoch against {pace[0]:g}; the first dense layer takes {numbers / before:g} "
        "times as many numbers.",
        "contradicts its own times" if pace[1] > pace[0] else FITS,
    )


def order() -> str:
    n, level = printed.BIRDCNN_SPLIT[1], float(accuracy(CUSTOM_CNN))
    return claim(
        "Base above kernel 6 above weight decay and SGD:",
        "one run each.",
        f"Accuracies near {level:.2f} on {n} images are distinguishable from {smallest_difference(level, n):.3f}, on "
        f"the same images from {round(smallest_paired_difference(0, n) * n)} images.",
        "open; [results.md](results.md) has the order over seeds",
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    return "**BirdCNN.** The shape of its curves: when a network peaks, and when it begins to overfit."
