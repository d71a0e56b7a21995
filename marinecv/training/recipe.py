"""Recipe: every choice of an experiment, as data. Nothing here imports TensorFlow."""

from collections.abc import Sequence
from dataclasses import asdict, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from marinecv.choices import SPLIT_BY, BankDtype, ClassLevel, Frames, JitCompile, LabelRule, NoBox
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.schema import Count, Positive, Rate, Seed, Share, Size, build, checked_dataclass, convert, no_such, one_of
from marinecv.training.model_choice import MODELS, ModelChoice

if TYPE_CHECKING:  # a recipe is read by `--help` too, which imports nothing heavy
    from marinecv.runs import Run


@checked_dataclass
class DataChoice:
    """Which images, how they are labelled and how they are split.

        >>> import marinecv as mcv
        >>> mcv.DataChoice(name="my_photos", split_by="grouped").fractions
        (0.7, 0.15, 0.15)

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
    label_rule: LabelRule = "dominant"
    no_box: NoBox = "skip"
    class_level: ClassLevel = ""
    merge_case: bool = False
    split_by: str | None = None
    fractions: tuple[float, ...] = (0.7, 0.15, 0.15)
    frames: Frames = None
    fold: str = ""
    limit: Positive | None = None
    labelled: Share = 1.0
    pseudo_labels: Share = 0.0
    attributes: Literal["", "image", "class"] = ""
    min_certainty: Annotated[int, Meta(ge=1, le=4)] = 1
    synthetic: bool = False
    demonstration: bool = False

    def __post_init__(self):
        if not str(self.split_by).endswith(".csv") and "-" not in str(self.split_by):  # which a saved split's name has
            one_of((*SPLIT_BY, None), split_by=self.split_by)

    @classmethod
    def of(cls, run: "Run") -> "DataChoice":
        """Read the data part of the recipe of a run, also of one whose model was trained elsewhere."""
        return cls(name=run.contract.data) if run.own else Recipe.of(run).data


METRICS = ("accuracy", "precision", "recall")


@checked_dataclass
class Training:
    """How the model learns.

        >>> import marinecv as mcv
        >>> mcv.Training(epochs=5, optimizer="adam").learning_rate
        0.001

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

    optimizer: Literal["rmsprop", "adam", "sgd"] = "rmsprop"
    learning_rate: Rate = 1e-3
    momentum: Share = 0.9
    weight_decay: Rate = 0.0
    l2: Rate = 0.0
    decay_scope: Literal["kernels", "all"] = "kernels"
    label_smoothing: Share = 0.0
    epochs: Positive = 60
    batch_size: Size = 32
    early_stop_patience: Count = 12
    early_stop_reductions: Count = 0
    lr_factor: Share = 0.2
    lr_patience: Count = 5
    metrics: tuple[str, ...] = ("accuracy",)
    monitor: str = "val_loss"
    head_epochs: Count = 0
    head_learning_rate: Rate = 1e-3
    class_weights: bool = False
    balanced: bool = False
    augmentation: Augmentation | None = None
    mixed_precision: bool = False
    bank: Count = 0
    bank_dtype: BankDtype = "float32"
    jit_compile: JitCompile = "auto"
    calibration: Share = 0.0
    seed: Seed = 0

    def __post_init__(self):
        if not {"accuracy"} <= set(self.metrics) <= set(METRICS):
            raise ValueError(f"Expected metrics to be accuracy and others of {METRICS}. Received: {self.metrics}.")

    @property
    def exact_bank(self) -> bool:
        """Whether a bank keeps every digit of what the frozen layers give, so that a score may be had from it too."""
        return self.bank > 0 and self.bank_dtype == "float32"


@checked_dataclass
class Recipe:
    """An experiment: data, image, model and training, and what a report published of it.

        >>> import marinecv as mcv
        >>> parts = {"data": mcv.DataChoice(name="reef"), "image": mcv.ImageSpec(), "model": mcv.ScratchModel()}
        >>> mcv.Recipe(name="mine", title="Mine", training=mcv.Training(), **parts).training.epochs
        60

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
            recipe = build(cls, {**data, "model": _model(data.get("model"))}, "Recipe")
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
        data = run.read("recipe.json")
        with run.mending("recipe.json"):
            try:
                return cls.from_dict(data)
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
        for name, figure in convert(figures, dict[str, Any], f"The published {split!r}").items():
            convert(figure, Positive if name == "n" else str, f"{name!r} of the published {split!r}")


def _model(data: Any) -> ModelChoice:
    entries = convert(data, dict[str, Any], "'model' of Recipe")
    one_of(MODELS, kind=entries.get("kind"))
    return build(MODELS[entries["kind"]], {key: entries[key] for key in entries if key != "kind"}, "'model' of Recipe")
