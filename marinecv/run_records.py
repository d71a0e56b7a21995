"""Typed records of the JSON files of a run."""

from pathlib import Path
from typing import Annotated, Generic, NotRequired, TypedDict, TypeVar

from msgspec import Meta, Struct

from marinecv.inputs.spec import ImageSpec
from marinecv.schema import Count, Positive, build, convert, names, read, read_json

T = TypeVar("T")


class FractionRight(TypedDict):
    """The accuracy of some images and its interval."""

    n: Count
    accuracy: float
    low: float
    high: float


class Bin(FractionRight):
    """A row of `reliability_table`."""

    bin: Count
    confidence: float


class CurvePoint(FractionRight):
    """A row of `selective_accuracy_curve`."""

    fraction: float
    reviewed: Count


class Figure(TypedDict):
    """A metric: value, 95% interval and n; without an interval, with few groups, the bounds are None."""

    value: float
    low: float | None
    high: float | None
    n: Positive
    method: NotRequired[str]
    groups: NotRequired[int]
    by_image: NotRequired[dict[str, float | str]]


class Preprocessing(Struct, frozen=True, kw_only=True):
    """`preprocessing.json`: what the model file cannot hold, see `Recipe.preprocessing`.

    Usable images lie below `data_dirs`. `crops` is the margin of a model of crops.
    """

    class_names: Annotated[tuple[str, ...], Meta(min_length=2)]
    image: ImageSpec
    color: str = ""
    data: str = ""
    label_rule: str = ""
    demonstration: bool
    select_on: str = ""
    split_sha256: str = ""
    data_dirs: tuple[str, ...] = ()
    crops: float | None = None

    def __post_init__(self):
        names(self.class_names, "The class names")


def read_preprocessing(path: str | Path) -> Preprocessing:
    """Read a `preprocessing.json`; ValueError where it is broken."""
    data = read_json(path)
    if isinstance(data.get("image"), dict):
        data["image"] = build(ImageSpec, data["image"], f"'image' of {path}")
    return convert(data, Preprocessing, path)


class Environment(Struct, frozen=True, kw_only=True):
    """Of `environment.json`: the command that made the run, and the commit of marinecv."""

    command: str
    commit: str


class Timing(Struct, frozen=True, kw_only=True):
    """`timing.json`: the cost of the training."""

    train_seconds: float
    seconds_per_epoch: float
    latency_ms_per_image: float
    parameters: Count
    trainable_parameters: Count
    epochs: Count
    best_epoch: Count
    device: str


class Both(Struct, Generic[T], frozen=True, kw_only=True):
    """A measurement before and after temperature scaling."""

    before: T
    after: T


class CalibrationErrors(Both[float], frozen=True, kw_only=True):
    """Expected calibration errors, and that of a perfectly calibrated model."""

    by_chance: float


class Review(Struct, frozen=True, kw_only=True):
    """The result of `evaluate_review`, and the distance to train above which an image is out-of-distribution."""

    goal: float
    probability: float | None
    n: Count
    reviewed: Count
    unflagged: Figure | None
    curve: Annotated[list[CurvePoint], Meta(min_length=1)]
    distance: float | None


class HeldOut(Struct, frozen=True, kw_only=True):
    """Of each calibration image: the calibrated probability of its predicted class, and its distance to train."""

    confidence: list[float]
    distance: list[float] | None


class Sets(Struct, frozen=True, kw_only=True):
    """Prediction sets: the threshold of `set_threshold` and its coverage."""

    threshold: float
    coverage: float
    low: float
    high: float
    n: Count
    meaning: str


class Calibration(Struct, frozen=True, kw_only=True):
    """`calibration.json`: results of `evaluate_temperature`, `evaluate_review` and `set_threshold`, and of which model.

    Fields that may be None are, where `reason` says why nothing was measured. `photo_temperature` is that of the
    photographs of crops, see `photo_table`.
    """

    method: str
    temperature: Annotated[float, Meta(gt=0)]
    reason: str
    n_chosen: Count
    n_calibration: Count
    cross_validated: Both[float] | None
    accuracy: Figure | None
    ece: CalibrationErrors | None
    log_loss: Both[Figure] | None
    reliability: Both[Annotated[list[Bin], Meta(min_length=1)]] | None
    unseen: bool
    sets: Sets | None
    no_sets: str
    review: Review | None
    held_out: HeldOut | None
    embeddings_sha256: str | None
    preprocessing_sha256: str
    model_sha256: str
    photo_temperature: Annotated[float, Meta(gt=0)] = 1.0

    def __post_init__(self):
        measured = ("cross_validated", "accuracy", "ece", "log_loss", "reliability", "review")
        if absent := [name for name in measured if getattr(self, name) is None and not self.reason]:
            raise ValueError(f"{absent[0]!r} is missing, and there is no reason. Expected a measurement.")


def read_metrics(path: Path) -> dict[str, dict[str, int | Figure]]:
    """Read a `metrics.json`; ValueError where metrics of validation are missing, or an accuracy is impossible."""
    metrics = read(path, dict[str, dict[str, int | Figure]])
    for split in dict.fromkeys(("validation", *metrics)):
        found = metrics.get(split, {})
        for name in ("n", "mse") if "mse" in found else ("n", "accuracy", "log_loss"):
            if not isinstance(found.get(name), int if name == "n" else dict):
                received = f"{found.get(name)!r:.60}"
                raise ValueError(f"'{split}.{name}' of {path} is {received}. Expected a count or a metric.")
        for name, figure in found.items():
            if isinstance(figure, dict) and None in (figure["low"], figure["high"]) and "by_image" not in figure:
                raise ValueError(f"'{split}.{name}' of {path} has no bounds. Expected `by_image` in their place.")
        value, *bounds = (found.get("accuracy", {}).get(key) for key in ("value", "low", "high"))
        low, high = bounds if None not in bounds else (value, value)
        if value is not None and not 0 <= low <= value <= high <= 1:
            received = f"{value} ({low} to {high})"
            raise ValueError(f"'{split}.accuracy' of {path} is {received}. Expected 0 to 1, within bounds.")
    return metrics
