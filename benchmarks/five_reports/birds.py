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
        "## Birds: four networks on 20 and 200 species",
        filled(
            f"{FEW} validation images of 20 species, {MANY:,} of 200, no test. The multimodal ResNet-50 also reads "
            "attributes."
        ),
        on_20(),
        on_200(),
        first(),
        second(),
        runs(),
        learning_rates(),
        best_of_many(),
    )


def on_20() -> str:
    figures = [*X20.values(), accuracy(CUSTOM_CNN)]
    ways = fitting_sizes(figures, [FEW]).get(FEW, ())
    return claim(
        "Accuracies on 20 species",
        f"{listed(figures)}.",
        f"{in_images(figures, FEW)}, all {listed(ways)}.",
        could_be(figures, FEW),
    )


def on_200() -> str:
    total = sum(load_manifest("cub_x200").expected["images"].values())
    fifths = [total // 5, MANY]
    alone = [
        f"of {size:,} only {listed([f for f in X200.values() if counts_behind(f, size)])} can be" for size in fifths
    ]
    fitting = fitting_sizes(X200.values(), range(1000, 2 * MANY))
    nearest = min(fitting, key=lambda size: abs(size - MANY))
    return claim(
        "Accuracies on 200 species",
        f"{listed(X200.values())}.",
        f"A fifth of {total:,} images is {fifths[0]:,} or {fifths[1]:,}; {listed(alone)}. All three fit {nearest:,} "
        "at the nearest.",
        FITS if set(fifths) & set(fitting) else f"they {CANNOT} accuracies on one fifth of the images",
    )


def first() -> str:
    lead = RIGHT["ResNet-50"] - RIGHT["multimodal"], RIGHT["ResNet-50"] - RIGHT["EfficientNet-B4"]
    few = distinguishable_by_chance(RIGHT["ResNet-50"], RIGHT["multimodal"], FEW)
    many = distinguishable_by_chance(ABOUT["ResNet-50"], ABOUT["EfficientNet-B4"], MANY)
    return claim(
        "ResNet-50 is best on both:",
        f"{X20['ResNet-50']} and {X200['ResNet-50']}.",
        f"On 20 it is {lead[0]} images ahead of the multimodal network and {lead[1]} of EfficientNet-B4 "
        f"({distinguishable_by_chance(RIGHT['ResNet-50'], RIGHT['EfficientNet-B4'], FEW)}), on 200 about "
        f"{ABOUT['ResNet-50'] - ABOUT['EfficientNet-B4']} of the next.",
        f"{FITS} on 200; on 20 the first two are {few}" if many == FAR else "open",
    )


def second() -> str:
    place = {"20": place_of("EfficientNet-B4", X20), "200": place_of("EfficientNet-B4", X200)}
    return claim(
        "Second best:",
        '"EfficientNet-B4, on both".',
        f"It is {PLACES[place['20']]} on 20, {RIGHT['multimodal'] - RIGHT['EfficientNet-B4']} images behind the "
        f"multimodal network ({distinguishable_by_chance(RIGHT['multimodal'], RIGHT['EfficientNet-B4'], FEW)}), and "
        f"{PLACES[place['200']]} on 200.",
        FITS if set(place.values()) == {2} else AGAINST,
    )


def runs() -> str:
    said, cancelled = printed.BIRDS_RUNS, printed.BIRDS_CANCELLED
    shown = sum(printed.BIRDS_PROJECTS.values())
    word = FITS if shown == said else "contradicts its own figure"
    if shown - cancelled == said:
        word += f"; {FITS} if {said} are without the cancelled"
    return claim(
        "Number of runs:",
        f"{said} experiments, {cancelled} of them cancelled; in the figure {listed(printed.BIRDS_PROJECTS.values())}.",
        f"These are {shown}.",
        word,
    )


def learning_rates() -> str:
    low, high = printed.BIRDS_SEARCHED
    rates = {
        name: recipe.training.learning_rate for name, recipe in zip(("r", "e"), (RESNET50, EFFICIENTNETB4), strict=True)
    }
    inside = low < rates["e"] < high
    return claim(
        "Best learning rates:",
        f"{rates['r']:.2e} for ResNet-50 and {rates['e']:.0e} for EfficientNet-B4, searched from {low:.0e} to "
        f"{high:.0e}.",
        "",
        FITS if inside else "the second is on the edge: it says nothing about larger rates",
    )


def best_of_many() -> str:
    level = float(X20["multimodal"])
    return claim(
        "Best of many:",
        f"validation chose the winners of {printed.BIRDS_RUNS} runs.",
        f"The best of {printed.BIRDS_RUNS} equal, independent models of accuracy {level:.3f} would show "
        f"{expected_best(level, FEW, printed.BIRDS_RUNS):.3f}.",
        "says nothing about new images",
    )


def taken() -> str:
    """Return what a reader may still conclude from the report."""
    return (
        "**Birds.** Pretrained networks beat a CNN from scratch. Attributes did not help, as the report says. The best "
        "of the three on 20 species is open."
    )
