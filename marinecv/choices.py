"""The values that settings may have, for recipes and `--help`; nothing heavy is imported."""

from typing import Literal, get_args

SPLITS = ("train", "validation", "test")
RANDOM_SPLITS = ("random", "stratified", "grouped")
SPLIT_BY = ("published", *RANDOM_SPLITS)
FOLD_BY = ("group", "camera")
LabelRule = Literal["dominant", "area", "count", "union"]
LABEL_RULES = get_args(LabelRule)
ImagesWithoutBoxes = Literal["skip", "empty"]
IMAGES_WITHOUT_BOXES = get_args(ImagesWithoutBoxes)
FLAT_BOXES = ("keep", "error")
ClassLevel = Literal["", "first", "leaf"]
CLASS_LEVELS = get_args(ClassLevel)
READING = ("class_level", "merge_case", "columns")
"""Settings of how the classes of files are read."""
FrameOrder = Literal["number", "time", "none", None]
FRAME_ORDERS = get_args(FrameOrder)[:-1]
HEAT_METHODS = ("gradcam", "gradcam++", "scorecam", "saliency", "lime")
ENCODER_DATA = ("train", "unlabeled")
LABEL_FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)
TRACKERS = ("tensorboard", "wandb")
WEIGHTS = ("imagenet", "none")
"""Initial weights of a backbone that are no file."""
FITTED_SPLITS, SCORED_SPLITS = SPLITS[:2], SPLITS[1:]
"""The splits that a training uses, and those that a model is evaluated on."""
ATTRIBUTE_KINDS = ("image", "class")
Fit = Literal["pad", "stretch"]
Pooling = Literal["flatten", "avg"]
BackbonePooling = Literal["avg", "max", "avg_max"]
Normalization = Literal["standardize", "unit", "imagenet"]
NORMALIZATIONS = get_args(Normalization)
InputRange = Literal["", "0..255", "0..1", "signed", "imagenet", "bgr"]
INPUT_RANGES = get_args(InputRange)[1:]
Fusion = Literal["concatenate", "gated"]
FUSIONS = get_args(Fusion)
JitCompile = Literal["auto", "on", "off"]
JIT_COMPILE = get_args(JitCompile)
CacheDtype = Literal["float32", "float16"]
CACHE_DTYPES = get_args(CacheDtype)
LANGUAGES = ("en", "es")
REPORT_FORMATS = ("latex", "xlsx", "card")
TABLE_FORMATS = ("csv", "xlsx", "megadetector", "camtrapdp")
DISTRIBUTED = ("mirrored", "data-parallel")
WORK_FILES = {"search.json": "search", "curve.json": "curve", "reproduction.json": "reproduction"}
WORK_FILES |= {"experiment.json": "experiment", "recipe.json": "run"}
"""File of a folder -> what the folder holds; the first file that is there decides."""
