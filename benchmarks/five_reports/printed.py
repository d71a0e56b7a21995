"""Figures, names and words that the five reports print and no recipe holds."""

from fractions import Fraction

from marinecv.recipes import animals
from marinecv.training.recipe import Recipe

AVERAGES = ("precision", "recall", "f1")
ANIMALS_SUPPORTS = {"cat": 422, "ragno": 333, "butterfly": 619, "elephant": 289, "chicken": 964}


def animals_table(recipe: Recipe) -> dict:
    """Return precision, recall and F1 by the name that each row bears, and the two averages of each column."""
    scores = recipe.published["validation"]
    rows = {
        printed: tuple(scores[f"{name}[{owner}]"] for name in AVERAGES)
        for printed, owner in zip(ANIMALS_SUPPORTS, animals.SUPPORTS, strict=True)
    }
    return {"rows": rows} | {
        kind: tuple(scores[f"{kind}_{name}"] for name in AVERAGES) for kind in ("macro", "weighted")
    }


ANIMALS = {"from scratch": animals_table(animals.ADAM), "with ImageNet weights": animals_table(animals.FROZEN)}
ANIMALS_SIZES = (2000, 5000)  # images a class, "from 2,000 to 5,000"
ANIMALS_SHARE = Fraction(1, 5)
ANIMALS10 = {"butterfly": 2112, "cat": 1668, "chicken": 3098, "elephant": 1446, "spider": 4821}
"""Images of five folders of the public set, by their English names."""

BIRDS_SEARCHED = (1e-5, 1e-3)  # learning rates
BIRDS_RUNS, BIRDS_CANCELLED = 84, 7  # in the text
BIRDS_PROJECTS = {"classification": 24, "optuna-tuning-clasificacion": 67}  # in the figure

BIRDCNN_SPLIT = (892, 223)  # train and validation
BIRDCNN_FLATTENED = 256 * 16 * 16  # of the first dense layer, the same in the code of all its networks
BIRDCNN_MINUTES = {"birdcnn_base": 40, "birdcnn_two_conv": 40}

BUTTERFLIES_GAIN = 36  # percent, of the abstract
BUTTERFLIES_BATCH = 64
BUTTERFLIES_SPECIES = 100  # of the public set that the report's 20 are taken from
