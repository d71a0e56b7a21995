"""What the JSON files of a run hold, as typed records."""

from pathlib import Path
from typing import Annotated, Generic, NotRequired, TypedDict, TypeVar

from msgspec import Meta, Struct

from marinecv.inputs.spec import ImageSpec
from marinecv.schema import Count, Positive, build, convert, names, read_json

T = TypeVar("T")
COUNTS = ("n", "unlabelled")
"""What a split has beside its figures."""


class Figure(TypedDict):
    """A value, its 95% interval and the n it stands on; the bounds are null where too few groups give no interval."""

    value: float
    low: float | None
    high: float | None
    n: Positive
    method: NotRequired[str]
    groups: NotRequired[int]
    by_image: NotRequired[dict[str, float | str]]


class ImageStamp(Struct, frozen=True, kw_only=True):
    """An image file as it was trained on: bytes and SHA-256."""

    size: Count
    sha256: str


class Contract(Struct, frozen=True, kw_only=True):
    """`contract.json`: what the model cannot hold and travels beside it, see `Recipe.contract`.

    The usable images lie below `data_dirs`. `images` has the stamp of each by `image_id`, where a run keeps them.
    """

    class_names: Annotated[tuple[str, ...], Meta(min_length=2)]
    image: ImageSpec
    colour: str = ""
    data: str = ""
    label_rule: str = ""
    demonstration: bool
    select_on: str = ""
    split_sha256: str = ""
    data_dirs: tuple[str, ...] = ()
    images: dict[str, ImageStamp] | None = None

    def __post_init__(self):
        names(self.class_names, "The class names")


def read_contract(path: str | Path) -> Contract:
    """Read a `contract.json`; ValueError where it is broken."""
    data = read_json(path)
    if isinstance(data.get("image"), dict):
        data["image"] = build(ImageSpec, data["image"], f"'image' of {path}")
    return convert(data, Contract, path)


class Environment(Struct, frozen=True, kw_only=True):
    """Of `environment.json`: the command that made the run, and the commit of marinecv."""

    command: str
    commit: str


class Timing(Struct, frozen=True, kw_only=True):
    """`timing.json`: what the training cost."""

    train_seconds: float
    seconds_per_epoch: float
    latency_ms_per_image: float
    parameters: Count
    trainable_parameters: Count
    epochs: Count
    best_epoch: Count
    device: str


class Both(Struct, Generic[T], frozen=True, kw_only=True):
    """Something measured before and after the temperature."""

    before: T
    after: T


class CalibrationErrors(Both[float], frozen=True, kw_only=True):
    """Expected calibration errors, and that of a perfectly calibrated model by chance."""

    by_chance: float


class ShareRight(TypedDict):
    """How many of some images are right, and the interval of that share."""

    n: Count
    accuracy: float
    low: float
    high: float


class Bin(ShareRight):
    """A row of `reliability_table`."""

    bin: Count
    confidence: float


class TriageRow(ShareRight):
    """A row of `triage_curve`."""

    share: float
    looked_at: Count


class Review(Struct, frozen=True, kw_only=True):
    """Which images to look at, as `judge_review` gives it; `distance` from train, None of a multimodal model."""

    goal: float
    probability: float | None
    n: Count
    looked_at: Count
    rest: Figure | None
    curve: Annotated[list[TriageRow], Meta(min_length=1)]
    distance: float | None


class Sets(Struct, frozen=True, kw_only=True):
    """Prediction sets: the threshold of `set_threshold`, and what they cover."""

    threshold: float
    coverage: float
    low: float
    high: float
    n: Count
    meaning: str


class Calibration(Struct, frozen=True, kw_only=True):
    """`calibration.json`: what `judge_temperature`, `judge_review` and `set_threshold` found, and of which model.

    Where `reason` says why nothing was measured, the fields that may be None are.
    """

    method: str
    temperature: Annotated[float, Meta(gt=0)]
    reason: str
    n_chosen: Count
    n_held: Count
    cross_validated: Both[float] | None
    accuracy: Figure | None
    ece: CalibrationErrors | None
    log_loss: Both[Figure] | None
    reliability: Both[Annotated[list[Bin], Meta(min_length=1)]] | None
    unseen: bool
    sets: Sets | None
    no_sets: str
    review: Review | None
    codes_sha256: str | None
    contract_sha256: str
    model_sha256: str

    def __post_init__(self):
        measured = ("cross_validated", "accuracy", "ece", "log_loss", "reliability", "review")
        if absent := [name for name in measured if getattr(self, name) is None and not self.reason]:
            raise ValueError(f"{absent[0]!r} is missing, and there is no reason. Expected what was measured.")


def check_figures(metrics: dict[str, dict], path: Path) -> None:
    """Refuse `metrics.json` where a split has no figures, or one that cannot be."""
    for split in dict.fromkeys(("validation", *metrics)):
        figures = metrics.get(split, {})
        expected = ("n", "mse") if "mse" in figures else ("n", "accuracy", "log_loss")  # of an autoencoder, or else
        for name in dict.fromkeys((*expected, *figures)):
            way = f"'{split}.{name}' of {path}"
            figure = convert(figures.get(name), int if name in COUNTS else Figure, way)
            if name in COUNTS:
                continue
            value, low, high = figure["value"], figure["low"], figure["high"]
            if (low is None or high is None) and not {"method", "by_image"} <= figure.keys():
                raise ValueError(f"{way} has no bounds. Expected `method` and `by_image` in their place.")
            if name == "accuracy" and not (0 <= value <= 1 and (low is None or high is None or low <= value <= high)):
                raise ValueError(f"{way} is {value} ({low} to {high}). Expected 0 to 1, and between its bounds.")
