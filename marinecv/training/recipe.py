"""Recipe: every choice of an experiment, as data. Nothing here imports TensorFlow."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

from marinecv import choices
from marinecv.checked import among, build, checked, no_such, read_json, spelled, take, typed, within
from marinecv.choices import CLASS_LEVELS, FRAMES, LABEL_RULES, NO_BOX, SPLIT_BY
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.model_choice import MODELS, ModelChoice

if TYPE_CHECKING:  # a recipe is read by `--help` too, which imports nothing heavy
    from marinecv.runs import Run


@spelled
@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Which images, how they are labelled and how they are split.

    Args:
        name: of a manifest, or of the user's folder.
        label_rule: how boxes become one class: `"dominant"`, `"area"`, `"count"` or `"union"`.
        no_box: what an image without a box is: `"skip"`, or a class `"empty"` of its own.
        class_level: of class folders, the `"first"` or the `"leaf"` is the class; empty where their names tell.
        merge_case: classes whose names differ only in case are one.
        split_by: `"published"`, `"random"`, `"stratified"`, `"grouped"`, or a CSV of splits; None takes the data's own.
        fractions: of train, validation and test, where they are not published.
        frames: what says which images follow each other and belong together, `"number"` in the file name, `"time"` in
            the EXIF data or the name, or `"none"`; None takes what tells best.
        fold: which of how many folds validation is, such as `"2/5"`; empty outside cross-validation.
        limit: at most so many images a split, stratified; None takes all.
        labelled: share of the train images whose label is used; the others are in no split.
        pseudo_labels: from which probability on a first training's word for an image without a label is its label in a
            second; 0 takes none.
        attributes: what a multimodal model is told of each image: `"image"`, what somebody saw on it, or `"class"`,
            what is true of its class; empty for nothing.
        min_certainty: how sure that somebody was at least, 1 (not visible) to 4 (definitely).
        synthetic: add the report's synthetic images to train.
        demonstration: the images are drawn, so figures say nothing about real animals.
    """

    name: str
    label_rule: str = "dominant"
    no_box: str = "skip"
    class_level: str = ""
    merge_case: bool = False
    split_by: str | None = None
    fractions: tuple[float, ...] = (0.7, 0.15, 0.15)
    frames: str | None = None
    fold: str = ""
    limit: int | None = None
    labelled: float = 1.0
    pseudo_labels: float = 0.0
    attributes: str = ""
    min_certainty: int = 1
    synthetic: bool = False
    demonstration: bool = False

    def __post_init__(self):
        typed(self)
        within(self, limit=(1, inf), labelled=(0, 1), pseudo_labels=(0, 1), min_certainty=(1, 4))
        among(self, label_rule=LABEL_RULES, no_box=NO_BOX, class_level=CLASS_LEVELS, frames=(None, *FRAMES))
        among(self, attributes=("", *choices.ATTRIBUTE_KINDS))
        if not str(self.split_by).endswith(".csv") and "-" not in str(self.split_by):  # which a saved split's name has
            among(self, split_by=(*SPLIT_BY, None))

    @classmethod
    def of(cls, run: "Run") -> "DataChoice":
        """Read the data part of the recipe of a run, also of one whose model was trained elsewhere."""
        return cls(name=run.read("contract.json")["data"]) if run.own else Recipe.of(run).data


METRICS = ("accuracy", "precision", "recall")


@spelled
@dataclass(frozen=True, kw_only=True)
class Training:
    """How the model learns.

    Args:
        optimizer: `"rmsprop"`, `"adam"` or `"sgd"`.
        learning_rate: at the start.
        momentum: of SGD.
        weight_decay: of the optimizer, decoupled from its steps, as in AdamW.
        l2: weight of half the squares of the variables, in the loss: weight decay coupled to the steps.
        decay_scope: what both act on: `"kernels"`, without biases and the parameters of normalization, which hardly
            overfit; or `"all"` that learns, as `weight_decay` of PyTorch's Adam, AdamW and SGD does.
        label_smoothing: share of the label spread over all classes.
        epochs: at most.
        batch_size: images a step.
        early_stop_patience: epochs without a better value of what is watched before the end; the best weights return.
        early_stop_reductions: learning-rate reductions without one before the end, beside that; 0 does not count them.
        lr_factor: what the learning rate is multiplied by when validation loss stands still.
        lr_patience: epochs it may stand still before that.
        metrics: what history keeps of each epoch beside the loss: `"accuracy"`; by choice `"precision"` and `"recall"`.
        monitor: what is watched, a name in the logs of Keras: `"val_loss"`, `"val_accuracy"`, `"loss"`, that of
            training; with a model of one's own any metric that it is compiled with, such as `"val_auc"`.
        head_epochs: epochs in which the backbone is wholly frozen and only the head learns, before the rest.
        head_learning_rate: in those.
        class_weights: whether each class is weighed by the inverse of its frequency; other weights go to Keras' `fit`.
        balanced: draw each class equally often.
        augmentation: bounds of the random movements of training images, or None.
        mixed_precision: compute in half precision: float16 on a GPU, bfloat16 on a processor.
        bank: how many drawn views of each image the frozen layers are computed for, once and beforehand; 0 computes
            them anew each epoch. Without random movements it is one view, with a horizontal flip alone both.
        bank_dtype: how their numbers are kept: `"float32"`, or `"float16"` in half the room.
        jit_compile: compile with XLA; `"auto"` leaves the choice to Keras, which takes it on a GPU.
        calibration: share of validation that is held out from choosing epochs and rates, to calibrate on.
        seed: of weights, order and augmentation.
    """

    optimizer: str = "rmsprop"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    l2: float = 0.0
    decay_scope: str = "kernels"
    label_smoothing: float = 0.0
    epochs: int = 60
    batch_size: int = 32
    early_stop_patience: int = 12
    early_stop_reductions: int = 0
    lr_factor: float = 0.2
    lr_patience: int = 5
    metrics: tuple[str, ...] = ("accuracy",)
    monitor: str = "val_loss"
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    class_weights: bool = False
    balanced: bool = False
    augmentation: Augmentation | None = None
    mixed_precision: bool = False
    bank: int = 0
    bank_dtype: str = "float32"
    jit_compile: str = "auto"
    calibration: float = 0.0
    seed: int = 0

    def __post_init__(self):
        typed(self)
        rates = dict.fromkeys(("learning_rate", "head_learning_rate", "weight_decay", "l2"), (0, inf))
        shares = dict.fromkeys(("momentum", "label_smoothing", "lr_factor", "calibration"), (0, 1))
        waits = ("early_stop_patience", "early_stop_reductions", "lr_patience", "head_epochs", "bank")
        counts = {"epochs": (1, inf), "batch_size": (1, 65536), "seed": (0, 2**32 - 1)}
        within(self, **rates, **shares, **dict.fromkeys(waits, (0, inf)), **counts)
        if not {"accuracy"} <= set(self.metrics) <= set(METRICS):
            raise ValueError(f"Expected metrics to be accuracy and others of {METRICS}. Received: {self.metrics}.")
        among(
            self,
            optimizer=("rmsprop", "adam", "sgd"),
            decay_scope=("kernels", "all"),
            jit_compile=choices.JIT_COMPILE,
            bank_dtype=choices.BANK_DTYPES,
        )

    @property
    def exact_bank(self) -> bool:
        """Whether a bank keeps every digit of what the frozen layers give, so that a score may be had from it too."""
        return self.bank > 0 and self.bank_dtype == "float32"


@spelled
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment: data, image, model and training, and what a report published of it.

    Args:
        name: as a person types it.
        report: the source report, if any.
        title: one line.
        published: figures as printed, `{"validation": {"accuracy": "0.7480", "n": 127}}`.
        claim: what a report says of it in words.
        chosen: the settings that the report leaves open, in words.
        budget: what makes this run smaller than its recipe, in words; empty for a whole run.
    """

    name: str
    title: str
    report: str = ""
    data: DataChoice
    image: ImageSpec
    model: ModelChoice
    training: Training
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    claim: str = ""
    chosen: str = ""
    budget: str = ""

    def __post_init__(self):
        typed(self)
        logged = ("loss",) if self.model.is_autoencoder else ("loss", *self.training.metrics)
        known = [f"{part}{name}" for name in logged for part in ("val_", "")]
        if self.training.monitor not in known:
            raise ValueError(no_such("monitor", self.training.monitor, known))

    def with_training(self, **changes) -> "Recipe":
        """Return a copy with other training settings."""
        return replace(self, training=replace(self.training, **changes))

    def with_model(self, **changes) -> "Recipe":
        """Return a copy with other model settings."""
        return replace(self, model=replace(self.model, **changes))

    def to_dict(self) -> dict:
        """Plain data for JSON; `from_dict` reads it back equal."""
        return {**asdict(self), "model": {"kind": self.model.kind, **asdict(self.model)}}

    @classmethod
    def from_dict(cls, data: dict) -> "Recipe":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: a part is missing or has an unknown entry.
        """
        try:
            recipe = build(cls, {**data, "model": _model(data)}, "Recipe")
            check_published(recipe.published)
            return recipe
        except (TypeError, ValueError) as error:
            raise ValueError(f"This is no recipe of this version of marinecv: {error}") from error

    @classmethod
    def of(cls, run: "Run") -> "Recipe":
        """Read the recipe of a run.

        Raises:
            ValueError: its file is missing, broken, or no recipe of this version, or the model was trained elsewhere.
        """
        if run.own:
            raise ValueError(
                f"The model of {run.folder} was trained elsewhere, so there is no recipe to train by: it cannot be "
                "resumed, trained in folds or trained again. Expected a run that pretrain or finetune made."
            )
        with run.mending("recipe.json"):
            try:
                return cls.from_dict(read_json(run.path("recipe.json")))
            except ValueError as error:
                raise ValueError(f"{run.path('recipe.json')}: {error}") from error

    def contract(self, class_names: Sequence[str]) -> dict:
        """What a model cannot hold and what travels beside it: `Run.create` writes it, predict and evaluate read it."""
        return {
            "class_names": list(class_names),
            "image": asdict(self.image),
            "colour": "RGB, 0 to 255; EXIF orientation applied; transparency over black",
            "restores": self.model.is_autoencoder,
            "data": self.data.name,
            "label_rule": self.data.label_rule,
            "demonstration": self.data.demonstration,
        }


def check_published(published: dict[str, dict]) -> None:
    """Raise ValueError where a published figure of a split is no text, or its n no whole number."""
    for split, figures in published.items():
        for name, figure in figures.items():
            checked(figure, int if name == "n" else str, f"{name!r} of the published {split!r}")
        if figures.get("n", 1) < 1:
            raise ValueError(f"'n' of the published {split!r} is {figures['n']}. Expected at least one image.")


def _model(data: dict) -> ModelChoice:
    entries = take(data, "model", kind=dict, what="Recipe")
    kind = take(entries, "kind", kind=str, what="'model' of Recipe")
    if kind not in MODELS:
        raise ValueError(f"{kind!r} is no kind of model. Expected one of {', '.join(MODELS)}.")
    return build(MODELS[kind], {key: entries[key] for key in entries if key != "kind"}, "'model' of Recipe")
