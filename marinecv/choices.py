"""The words that settings may be, in one place and without imports, for recipes and `--help` read them too."""

SPLITS = ("train", "validation", "test")
MADE = ("random", "stratified", "grouped")
SPLIT_BY = ("published", *MADE)
LABEL_RULES = ("dominant", "area", "count", "union")
NO_BOX = ("skip", "empty")
FLAT_BOXES = ("keep", "error")
CLASS_LEVELS = ("", "first", "leaf")
FRAMES = ("number", "time", "none")
HEAT_METHODS = ("gradcam", "gradcam++", "scorecam", "saliency", "lime")
ENCODER_DATA = ("train", "unlabelled")
LABEL_FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)
TRACKERS = ("tensorboard", "wandb")
WEIGHTS = ("imagenet", "none")
"""Of a pretrained network, where they are no file."""
