"""Figures, names and words that the five reports print and no recipe holds."""

from fractions import Fraction

AVERAGES = ("precision", "recall", "f1")
ANIMALS = {  # precision, recall, F1 by the name that each row bears, and the two averages of each column
    "from scratch": {
        "rows": {
            "cat": ("0.86", "0.89", "0.87"),
            "ragno": ("0.92", "0.84", "0.88"),
            "butterfly": ("0.91", "0.95", "0.93"),
            "elephant": ("0.95", "0.85", "0.90"),
            "chicken": ("0.93", "0.95", "0.94"),
        },
        "macro": ("0.91", "0.90", "0.90"),
        "weighted": ("0.92", "0.92", "0.91"),
    },
    "with ImageNet weights": {
        "rows": {
            "cat": ("0.99", "0.96", "0.97"),
            "ragno": ("0.99", "1.00", "0.99"),
            "butterfly": ("1.00", "1.00", "1.00"),
            "elephant": ("0.99", "0.99", "0.99"),
            "chicken": ("0.99", "0.99", "0.99"),
        },
        "macro": ("0.99", "0.99", "0.99"),
        "weighted": ("0.99", "0.99", "0.99"),
    },
}
ANIMALS_SUPPORTS = {"cat": 422, "ragno": 333, "butterfly": 619, "elephant": 289, "chicken": 964}
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
BIRDCNN_PEAK = 12  # the last of "epochs 10 to 12"

BUTTERFLIES_GAIN = 36  # percent, of the abstract
BUTTERFLIES_BATCH = 64
BUTTERFLIES_SPECIES = 100  # of the public set that the report's 20 are taken from
