"""The birds report: four networks on 20 species, three of them on 200."""

from five_reports import printed
from five_reports.bounds import counts_behind, fitting_sizes
from five_reports.claims import FAR, distinguishable_by_chance, expected_best, place_of
from five_reports.words import (
    AGAINST,
    CANNOT,
    FITS,
    PLACES,
    accuracy,
    claim,
    could_be,
    filled,
    hits,
    in_images,
    listed,
    section,
)

from marinecv.data.manifests import load_manifest
from marinecv.recipes.birds import CUSTOM_CNN, EFFICIENTNETB4, MULTIMODAL, RECIPES, RESNET50, N

FEW, MANY = N["cub_x20"], N["cub_x200"]
NAMES = {RESNET50.name: "ResNet-50", MULTIMODAL.name: "multimodal", EFFICIENTNETB4.name: "EfficientNet-B4"}
X20 = {word: accuracy(RECIPES[name]) for name, word in NAMES.items()}
X200 = {word: accuracy(RECIPES[f"{name}_x200"]) for name, word in NAMES.items()}
RIGHT = {word: hits(figure, FEW) for word, figure in X20.items()}
ABOUT = {word: hits(figure, MANY) for word, figure in X200.items()}


def findings() -> str:
    return section(
        "## Birds: four networks on 20 species and on 200",
        filled(
            f"A fifth of the images is validation, {FEW} of 20 species and {MANY:,} of 200, and there is no test. "
            "ResNet-50, EfficientNet-B4, a ResNet-50 that reads attributes beside the image, and a small CNN."
        ),
        on_20(),
        on_200(),
        first(),
        second(),
        last(),
        runs(),
        learning_rates(),
        best_of_many(),
    )


def on_20() -> str:
    figures = [*X20.values(), accuracy(CUSTOM_CNN)]
    ways = fitting_sizes(figures, [FEW]).get(FEW, ())
    return claim(
        "The scores on 20 species are whole numbers of images.",
        f"{listed(figures)}.",
        f"They are {in_images(figures, FEW)}, all {listed(ways)}: {RIGHT['ResNet-50']}/{FEW} is "
        f"{RIGHT['ResNet-50'] / FEW:.5f}, and {X20['ResNet-50']} is printed.",
        could_be(figures, FEW),
        counts_behind,
        fitting_sizes,
    )


def on_200() -> str:
    total = sum(load_manifest("cub_x200").expected["images"].values())
    fifths = [total // 5, MANY]
    alone = [
        f"of {size:,} images only {listed([f for f in X200.values() if counts_behind(f, size)])} can be"
        for size in fifths
    ]
    fitting = fitting_sizes(X200.values(), range(1000, 2 * MANY))
    nearest = min(fitting, key=lambda size: abs(size - MANY))
    return claim(
        "The scores on 200 species are not, together.",
        f"{listed(X200.values())}.",
        f"A fifth of {total:,} images is {listed([f'{size:,}' for size in fifths])}, as one rounds; {listed(alone)}. "
        f"The nearest number of images that gives all three is {nearest:,}. So they stand on other images than a "
        "fifth, or not on the same.",
        FITS if set(fifths) & set(fitting) else f"{CANNOT} three scores on one fifth of the images",
        counts_behind,
        fitting_sizes,
    )


def first() -> str:
    lead = RIGHT["ResNet-50"] - RIGHT["multimodal"], RIGHT["ResNet-50"] - RIGHT["EfficientNet-B4"]
    few = distinguishable_by_chance(RIGHT["ResNet-50"], RIGHT["multimodal"], FEW)
    many = distinguishable_by_chance(ABOUT["ResNet-50"], ABOUT["EfficientNet-B4"], MANY)
    return claim(
        "ResNet-50 is the best on both.",
        f"{X20['ResNet-50']} and {X200['ResNet-50']}.",
        f"On 20 species it is {lead[0]} images ahead of the multimodal network ({few}) and {lead[1]} ahead of "
        f"EfficientNet-B4 ({distinguishable_by_chance(RIGHT['ResNet-50'], RIGHT['EfficientNet-B4'], FEW)}: it hangs "
        f"on which images they are). On 200 it is about {ABOUT['ResNet-50'] - ABOUT['EfficientNet-B4']} ahead of the "
        f"next ({many}).",
        f"{FITS} on 200 species; on 20 the first two are {few}" if many == FAR else "open",
        distinguishable_by_chance,
    )


def second() -> str:
    place = {"20": place_of("EfficientNet-B4", X20), "200": place_of("EfficientNet-B4", X200)}
    return claim(
        "The second best.",
        '"EfficientNet-B4, on both".',
        f"It is {PLACES[place['20']]} on 20 species and {PLACES[place['200']]} on 200. On 20 it is "
        f"{RIGHT['multimodal'] - RIGHT['EfficientNet-B4']} images behind the multimodal network "
        f"({distinguishable_by_chance(RIGHT['multimodal'], RIGHT['EfficientNet-B4'], FEW)}), on 200 about "
        f"{ABOUT['EfficientNet-B4'] - ABOUT['multimodal']} ahead of it "
        f"({distinguishable_by_chance(ABOUT['EfficientNet-B4'], ABOUT['multimodal'], MANY)}).",
        FITS if set(place.values()) == {2} else AGAINST,
        place_of,
        distinguishable_by_chance,
    )


def last() -> str:
    worst, next_best = hits(accuracy(CUSTOM_CNN), FEW), min(RIGHT.values())
    return claim(
        "The CNN from scratch is far behind.",
        f"{accuracy(CUSTOM_CNN)}.",
        f"It is {next_best - worst} images of {FEW} behind the next.",
        f"{FITS}: {distinguishable_by_chance(next_best, worst, FEW)}",
        distinguishable_by_chance,
    )


def runs() -> str:
    said, cancelled = printed.BIRDS_RUNS, printed.BIRDS_CANCELLED
    shown = sum(printed.BIRDS_PROJECTS.values())
    word = FITS if shown == said else "contradicts its own figure as it is worded"
    if shown - cancelled == said:
        word += f"; it {FITS} if {said} are those that were not"
    return claim(
        "How many runs.",
        f"{said} experiments, {cancelled} of them cancelled; in the figure {listed(printed.BIRDS_PROJECTS.values())}.",
        f"The figure adds up to {shown}. Less {cancelled} cancelled ones that is {shown - cancelled}.",
        word,
    )


def learning_rates() -> str:
    low, high = printed.BIRDS_SEARCHED
    rates = {
        name: recipe.training.learning_rate for name, recipe in zip(("r", "e"), (RESNET50, EFFICIENTNETB4), strict=True)
    }
    inside = low < rates["e"] < high
    return claim(
        "The best learning rates.",
        f"{rates['r']:.2e} for ResNet-50 and {rates['e']:.0e} for EfficientNet-B4, searched from {low:.0e} to "
        f"{high:.0e}.",
        f"The second lies {'inside' if inside else 'on the edge of'} the range. A best value on the edge says that "
        "the search was too narrow, or that little depends on it.",
        FITS if inside else f"{FITS} for ResNet-50; for EfficientNet-B4 it says nothing about larger rates",
    )


def best_of_many() -> str:
    level = float(X20["multimodal"])
    return claim(
        "The best of many.",
        f"validation scores of the winners of {printed.BIRDS_RUNS} runs, which validation chose.",
        f"{printed.BIRDS_RUNS} equal models of accuracy {level:.3f} with nothing in common would show "
        f"{expected_best(level, FEW, printed.BIRDS_RUNS):.3f} at best. Runs of a search are not equal and have much "
        "in common, so the true gift is smaller; without a test nobody can say how small.",
        "says nothing about new images yet",
        expected_best,
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    return (
        "**Birds.** Pretrained networks beat a CNN from scratch by a margin that no doubt about decimals touches. "
        "Attributes beside the image did not help, and the report says so. Which of the three is best on 20 species is "
        "open."
    )
