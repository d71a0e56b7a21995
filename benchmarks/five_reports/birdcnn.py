"""The BirdCNN report: one small network and four changes, in curves and words."""

from five_reports import printed
from five_reports.claims import map_sides, smallest_difference
from five_reports.words import CANNOT, FITS, accuracy, claim, filled, listed, section

from marinecv.data.manifests import load_manifest
from marinecv.evaluation.intervals import smallest_paired_difference
from marinecv.recipes.birdcnn import BASE, RECIPES
from marinecv.recipes.birds import CUSTOM_CNN

KERNEL6, TWO_CONV = RECIPES["birdcnn_kernel6"], RECIPES["birdcnn_two_conv"]


def findings() -> str:
    return section(
        "## BirdCNN: one small network and four changes",
        filled(
            "The same 20 species, a network of four convolutions, and what weight decay, SGD, larger kernels and fewer "
            "layers do to it. The results are curves and words: no score is printed."
        ),
        split(),
        base(),
        kernel6(),
        two_conv(),
        epochs(),
        order(),
    )


def flattened(recipe) -> tuple[list[int], int]:
    """Return the sides of a network's feature maps, and the input size of its first dense layer."""
    model = recipe.model
    sides = map_sides(recipe.image.height, model.kernels, model.padding, model.pools)
    return sides, sides[-1] ** 2 * model.filters[-1]


def split() -> str:
    total = sum(load_manifest("cub_x20").expected["images"].values())
    train = int(0.8 * total)
    return claim(
        "The split.",
        f"{listed(printed.BIRDCNN_SPLIT)} images.",
        f"`int(0.8 * {total})` is {train}, which leaves {total - train}.",
        FITS if (train, total - train) == printed.BIRDCNN_SPLIT else CANNOT,
    )


def base() -> str:
    sides, numbers = flattened(BASE)
    return claim(
        "The code of the base network fits itself.",
        f"a first dense layer for {printed.BIRDCNN_FLATTENED:,} numbers.",
        f"Maps of {BASE.image.height} pixels shrink to {listed(sides[1::2])}, and {BASE.model.filters[-1]} maps of "
        f"the last size are {numbers:,} numbers.",
        FITS if numbers == printed.BIRDCNN_FLATTENED else CANNOT,
        map_sides,
    )


def kernel6() -> str:
    sides, numbers = flattened(KERNEL6)
    return claim(
        "With kernels of 6 it does not.",
        f"four convolutions with kernels of 6 and padding {KERNEL6.model.padding}, and no dense layer but the base's.",
        f"The sides are now {listed(sides)}. That leaves {numbers:,} numbers for a layer that waits for "
        f"{printed.BIRDCNN_FLATTENED:,}: a line that is not printed must have changed too.",
        FITS if numbers == printed.BIRDCNN_FLATTENED else f"{CANNOT} all that was changed",
        map_sides,
    )


def two_conv() -> str:
    numbers, before = flattened(TWO_CONV)[1], flattened(BASE)[1]
    minutes = [printed.BIRDCNN_MINUTES[recipe.name] for recipe in (BASE, TWO_CONV)]
    pace = [time / recipe.training.epochs for time, recipe in zip(minutes, (BASE, TWO_CONV), strict=True)]
    return claim(
        "Two convolutions.",
        f'"simpler and more efficient"; {minutes[1]} minutes for {TWO_CONV.training.epochs} epochs, the base '
        f"{minutes[0]} for {BASE.training.epochs}.",
        f"That is {pace[1]:g} minutes an epoch against {pace[0]:g}. Fewer poolings leave larger maps: {numbers:,} "
        f"numbers reach the first dense layer, {numbers / before:g} times as many, and most weights of such a network "
        "are there.",
        "contradicts its own times" if pace[1] > pace[0] else FITS,
        map_sides,
    )


def epochs() -> str:
    return claim(
        "The base had more epochs.",
        f"{BASE.training.epochs} against {TWO_CONV.training.epochs}; its accuracy peaks by epoch "
        f"{printed.BIRDCNN_PEAK}.",
        f"The peak lies within the {TWO_CONV.training.epochs} that all had, so the peaks compare.",
        FITS if TWO_CONV.training.epochs >= printed.BIRDCNN_PEAK else "not comparable",
    )


def order() -> str:
    n, level = printed.BIRDCNN_SPLIT[1], float(accuracy(CUSTOM_CNN))
    return claim(
        "The base above kernel 6 above weight decay and SGD.",
        "this order, in words, of one run each.",
        f"On {n} images two curves near {level:.2f}, where the small CNN of the other birds report stands, must be "
        f"{smallest_difference(level, n):.3f} apart to be told apart as separate samples, and "
        f"{round(smallest_paired_difference(0, n) * n)} images in any case. By how much they differ is not printed.",
        "says nothing about how sure the order is; [results.md](results.md) has it over seeds",
        smallest_difference,
        smallest_paired_difference,
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    return (
        "**BirdCNN.** Its curves are worth reading for their shape: when a network peaks, and when it begins to learn "
        "by heart. And it teaches to count the numbers that reach the first dense layer before one calls a network "
        "small."
    )
