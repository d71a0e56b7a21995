"""The words that settings may be, in one place, for recipes and `--help` read them too; nothing heavy is imported."""

from typing import Literal, get_args

SPLITS = ("train", "validation", "test")
MADE = ("random", "stratified", "grouped")
SPLIT_BY = ("published", *MADE)
LabelRule = Literal["dominant", "area", "count", "union"]
LABEL_RULES = get_args(LabelRule)
NoBox = Literal["skip", "empty"]
NO_BOX = get_args(NoBox)
FLAT_BOXES = ("keep", "error")
ClassLevel = Literal["", "first", "leaf"]
CLASS_LEVELS = get_args(ClassLevel)
Frames = Literal["number", "time", "none", None]
FRAMES = get_args(Frames)[:-1]
HEAT_METHODS = ("gradcam", "gradcam++", "scorecam", "saliency", "lime")
TRACKERS = ("tensorboard", "wandb")
WEIGHTS = ("imagenet", "none")
"""Of a pretrained network, where they are no file."""
