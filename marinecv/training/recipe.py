"""Recipe: every setting of a training as data, and checks of them. Nothing here imports TensorFlow."""

from collections.abc import Sequence
from dataclasses import asdict, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from marinecv import choices
from marinecv.choices import SPLIT_BY, CacheDtype, ClassLevel, FrameOrder, ImagesWithoutBoxes, JitCompile, LabelRule
from marinecv.inputs.spec import NONE, Augmentation, ImageSpec, Reach
from marinecv.schema import Count, Fraction, Positive, Rate, Seed, Size, build, check_choice, checked_dataclass, convert
from marinecv.training.model_config import MODELS, ModelConfigs

if TYPE_CHECKING:  # a recipe is read by `--help` too, which imports nothing heavy
    from marinecv.runs import Run


@checked_dataclass
class DataConfig:
    """Which images, how they are labeled and how they are split.

        >>> import marinecv as mcv
        >>> mcv.DataConfig(name="my_photos", split_by="grouped").fractions
        (0.7, 0.15, 0.15)

    Args:
        name: of a manifest, or of the user's folder.
        label_rule: how boxes become one class: `"dominant"`, `"area"`, `"count"` or `"union"`.
        images_without_boxes: images without a box: `"skip"` them, or `"empty"` makes them a class.
        class_level: which level of nested class folders is the class, `"first"` or `"leaf"`; empty: by their names.
        merge_case: merge classes whose names differ only in case.
        columns: of a table of images, what a column holds -> its name, such as `{"class": "Species"}`.
        split_by: `"published"`, `"random"`, `"stratified"`, `"grouped"` or a CSV of splits; None: as the data has it.
        fractions: of train, validation and test, if they are not published.
        frame_order: frames belong together by `"number"` in the file name, `"time"` or `"none"`; None: the best there
            is.
        fold: the fold of cross-validation that is validation, such as `"2/5"`; empty without cross-validation.
        limit: maximum number of images a split, stratified; None: all.
        label_fraction: fraction of the train images whose label is used; the others are in no split.
        pseudo_labels: minimum probability of a predicted label to be used in a second training; 0: none.
        attributes: attributes for a multimodal model, annotated by `"image"` or by `"class"`; empty: none.
        min_certainty: minimum certainty of their annotator, 1 (not visible) to 4 (definitely).
        synthetic: add the report's synthetic images to train: True, or how many, those of the largest second classes.
        demonstration: the images are generated demo images, whose metrics say nothing about real animals.
        crops: use crops of the boxes, with this margin: a fraction of the longer side of a box; None: photographs.
        boxes: a file of detections, as MegaDetector writes it, whose boxes are cropped; None: those of the data.
        min_confidence: of the detections that are used.
    """

    name: str
    label_rule: LabelRule = "dominant"
    images_without_boxes: ImagesWithoutBoxes = "skip"
    class_level: ClassLevel = ""
    merge_case: bool = False
    columns: dict[str, str] = field(default_factory=dict)
    split_by: str | None = None
    fractions: tuple[float, ...] = (0.7, 0.15, 0.15)
    frame_order: FrameOrder = None
    fold: str = ""
    limit: Positive | None = None
    label_fraction: Fraction = 1.0
    pseudo_labels: Fraction = 0.0
    attributes: Literal["", "image", "class"] = ""
    min_certainty: Annotated[int, Meta(ge=1, le=4)] = 1
    synthetic: bool | Annotated[int, Meta(ge=2)] = False
    demonstration: bool = False
    crops: Fraction | None = None
    boxes: str | None = None
    min_confidence: Fraction = 0.2

    def __post_init__(self):
        if self.crops is None and self.boxes:
            raise ValueError("boxes= names the boxes of crops. Add crops=0.1, the margin, or leave out boxes=.")
        only_whole = {"synthetic": False, "attributes": "", "pseudo_labels": 0, "label_fraction": 1}
        for name in [name for name, value in only_whole.items() if getattr(self, name) != value]:
            if self.crops is not None:
                raise ValueError(f"{name} is for whole photographs, and crops={self.crops}. Leave out one of both.")
        if not str(self.split_by).endswith(".csv") and "-" not in str(self.split_by):  # the names of saved splits
            check_choice((*SPLIT_BY, None), split_by=self.split_by)

    @property
    def reading(self) -> dict[str, Any]:
        """How files are read: arguments of `find_data`, and fields of `Manifest`."""
        return {name: getattr(self, name) for name in choices.READING}

    @classmethod
    def of(cls, run: "Run") -> "DataConfig":
        """Read the data part of a run's recipe, also if its model was trained elsewhere."""
        return cls(name=run.preprocessing.data) if run.is_external else Recipe.of(run).data


METRICS = ("accuracy", "precision", "recall")


@checked_dataclass
class Training:
    """How the model learns.

        >>> import marinecv as mcv
        >>> mcv.Training(epochs=5, optimizer="adam").learning_rate
        0.001

    Args:
        optimizer: `"rmsprop"`, `"adam"`, `"adamw"` (for `weight_decay`, Loshchilov & Hutter 2019) or `"sgd"`.
        learning_rate: at the start, or after a warm-up.
        momentum: of SGD.
        weight_decay: decoupled from the gradient, as in AdamW.
        clip_norm: maximum norm of the gradient of all variables together; 0: any.
        ema: momentum of a moving average of the trained weights, such as 0.99, which is validated and saved; 0: none.
        l2: weight of half the squared variables in the loss: weight decay coupled to the gradient.
        decay_scope: where both act: `"kernels"`, without biases and normalization, or `"all"`, as in PyTorch.
        label_smoothing: fraction of the label spread over all classes.
        focal_gamma: exponent that lowers the loss of images classified well, such as 2 (Lin et al. 2017); 0: none.
        epochs: maximum number.
        batch_size: images a step.
        early_stop_patience: epochs without a better value of the monitor before the end; the best weights are restored.
        early_stop_reductions: reductions of the learning rate without a better value before the end; 0: any number.
        schedule: of the learning rate: `"plateau"` multiplies it by `lr_factor`, `"cosine"` lowers it at each step
            down to 0 in the last epoch (Loshchilov & Hutter 2017).
        warmup_epochs: epochs in which it rises from 0 before the cosine.
        lr_factor: factor of the learning rate when the monitor stands still.
        lr_patience: epochs it may stand still before that.
        metrics: metrics of the history: `"accuracy"`, and optionally `"precision"` and `"recall"`.
        monitor: the metric to watch: `"val_loss"`, `"val_accuracy"`, `"loss"`, or one that your own model logs.
        head_epochs: epochs in which only the head learns, before the others.
        head_learning_rate: in those.
        head_l2: solve the head by logistic regression on pooled features, in place of `head_epochs`: the penalty of its
            squared weights, on centered features of mean squared length 1. It counts as the first epoch. 0: do not.
        keep_if_better: keep the epochs after a solved head only if they lower the log loss of validation by more than
            its standard error.
        class_weights: weigh each class by the inverse of its frequency; other weights go to Keras' `fit`.
        balanced: draw each class equally often.
        augmentation: bounds of the random augmentation of train images, or None.
        mixed_precision: compute in half precision: float16 on a GPU, bfloat16 on a processor.
        cache_features: augmented views of each image whose frozen features are cached (all there are, if few); 0: no
            cache.
        cache_dtype: of the feature cache, `"float32"` or `"float16"`.
        jit_compile: compile with XLA; `"auto"`: Keras' choice, on a GPU.
        calibration: fraction of validation that is held out as the calibration set.
        seed: of weights, order and augmentation.
    """

    optimizer: Literal["rmsprop", "adam", "adamw", "sgd"] = "rmsprop"
    learning_rate: Rate = 1e-3
    momentum: Fraction = 0.9
    weight_decay: Rate = 0.0
    clip_norm: Rate = 0.0
    ema: Reach = 0.0
    l2: Rate = 0.0
    decay_scope: Literal["kernels", "all"] = "kernels"
    label_smoothing: Fraction = 0.0
    focal_gamma: Rate = 0.0
    epochs: Positive = 60
    batch_size: Size = 32
    early_stop_patience: Count = 12
    early_stop_reductions: Count = 0
    schedule: Literal["plateau", "cosine"] = "plateau"
    warmup_epochs: Count = 0
    lr_factor: Fraction = 0.2
    lr_patience: Count = 5
    metrics: tuple[str, ...] = ("accuracy",)
    monitor: str = "val_loss"
    head_epochs: Count = 0
    head_learning_rate: Rate = 1e-3
    head_l2: Rate = 0.0
    keep_if_better: bool = False
    class_weights: bool = False
    balanced: bool = False
    augmentation: Augmentation | None = None
    mixed_precision: bool = False
    cache_features: Count = 0
    cache_dtype: CacheDtype = "float32"
    jit_compile: JitCompile = "auto"
    calibration: Fraction = 0.0
    seed: Seed = 0

    def __post_init__(self):
        if not {"accuracy"} <= set(self.metrics) <= set(METRICS):
            raise ValueError(f"Expected metrics to be accuracy and others of {METRICS}. Received: {self.metrics}.")
        if (self.augmentation or NONE).mixes:
            instead = {"cache_features": "cache_features=0", "class_weights": "class_weights=False, or balanced=True"}
            for name in [name for name in instead if getattr(self, name)]:
                hint = f"Expected {instead[name]}; or mixup=0 and cutmix=0."
                raise ValueError(f"mixup and cutmix mix two images and labels, so {name} cannot act. {hint}")

    @property
    def optimizer_options(self) -> dict[str, float]:
        """Arguments of the Keras optimizer beside the learning rate."""
        has_decay = self.weight_decay or self.optimizer == "adamw"  # whose default in Keras is not 0
        options = {"weight_decay": self.weight_decay} if has_decay else {}
        options |= {"momentum": self.momentum} if self.optimizer == "sgd" else {}
        options |= {"global_clipnorm": self.clip_norm} if self.clip_norm else {}
        return options | ({"use_ema": True, "ema_momentum": self.ema} if self.ema else {})

    @property
    def has_flips(self) -> bool:
        """Whether train images are mirrored at random."""
        return bool(self.augmentation and self.augmentation.flip)

    @property
    def exact_cache(self) -> bool:
        """Whether there is a feature cache that keeps every digit, so that images can be scored from it too."""
        return self.cache_features > 0 and self.cache_dtype == "float32"


@checked_dataclass
class Recipe:
    """The settings of an experiment: data, image, model and training, and the published metrics.

        >>> import marinecv as mcv
        >>> parts = {"data": mcv.DataConfig(name="reef"), "image": mcv.ImageSpec(), "model": mcv.ScratchModel()}
        >>> mcv.Recipe(name="mine", title="Mine", training=mcv.Training(), **parts).training.epochs
        60

    Args:
        name: of the recipe, for the command line.
        report: the source report, if any.
        title: one line.
        published: metrics as printed, `{"validation": {"accuracy": "0.7480", "n": 127}}`.
        claim: a statement of the report.
        assumptions: the settings that the report leaves open, and behind each "differs: " what is not as it states.
        shortened: how this run is shortened; empty for a whole run.
        base_hash: `recipe_hash` of the recipe that was changed into that of this run.
    """

    name: str
    title: str
    report: str = ""
    data: DataConfig
    image: ImageSpec
    model: ModelConfigs
    training: Training
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    claim: str = ""
    assumptions: str = ""
    shortened: str = ""
    base_hash: str | None = None

    def __post_init__(self):
        if self.training.head_l2 and not self.model.has_linear_head:
            raise ValueError(
                f"head_l2={self.training.head_l2} solves a head of one layer on a pretrained network. Expected "
                "model.hidden=() and no attributes, or head_l2=0."
            )
        logged_metrics = ("loss",) if self.model.is_autoencoder else ("loss", *self.training.metrics)
        known = [f"{part}{name}" for name in logged_metrics for part in ("val_", "")]
        check_choice(known, monitor=self.training.monitor)
        if self.model.is_autoencoder:
            settings = vars(self.training.augmentation or NONE) | vars(self.training)
            for name in [name for name in ("focal_gamma", "mixup", "cutmix", "erasing") if settings[name]]:
                raise ValueError(f"{name} is for classification, and {self.name} trains an autoencoder. Expected 0.")

    @property
    def is_linear_probe(self) -> bool:
        """Whether a solved head on frozen layers is all that learns."""
        return self.training.head_l2 > 0 and self.training.epochs == 1

    @property
    def shares_features(self) -> bool:
        """Whether all splits share one feature cache: in cross-validation, and of a linear probe."""
        return bool(self.data.fold) or self.is_linear_probe

    def with_training(self, **changes) -> "Recipe":
        """Return a copy with other training settings."""
        return replace(self, training=replace(self.training, **changes))

    def with_model(self, **changes) -> "Recipe":
        """Return a copy with other model settings."""
        return replace(self, model=replace(self.model, **changes))

    def to_dict(self) -> dict:
        """Return plain data for JSON, which `from_dict` reads back equal."""
        return {**asdict(self), "model": {"kind": self.model.kind, **asdict(self.model)}}

    @classmethod
    def from_dict(cls, data: dict) -> "Recipe":
        """Read plain data of `to_dict`; ValueError if a part is missing or has an unknown entry."""
        try:
            recipe = build(cls, {**data, "model": _model(data.get("model"))}, "Recipe")
            check_published(recipe.published)
            return recipe
        except (TypeError, ValueError) as error:
            raise ValueError(f"This is no recipe of this version of marinecv: {error}") from error

    @classmethod
    def of(cls, run: "Run") -> "Recipe":
        """Read the recipe of a run; ValueError if it is broken or missing, or the model was trained elsewhere."""
        if run.is_external:
            hint = "so it cannot be resumed or retrained. Expected a run that pretrain or finetune made."
            raise ValueError(f"The model of {run.folder} was trained elsewhere and has no recipe, {hint}")
        data = run.read("recipe.json")
        with run.with_hint("recipe.json"):
            try:
                return cls.from_dict(data)
            except ValueError as error:
                raise ValueError(f"{run.path('recipe.json')}: {error}") from error

    def preprocessing(self, class_names: Sequence[str]) -> dict:
        """Return the preprocessing and label metadata, which `Run.create` writes beside a model."""
        return {
            "class_names": list(class_names),
            "image": asdict(self.image),
            "color": "RGB, 0 to 255; EXIF orientation applied; transparency over black",
            "is_autoencoder": self.model.is_autoencoder,
            "data": self.data.name,
            "label_rule": self.data.label_rule,
            "demonstration": self.data.demonstration,
            **({} if self.data.crops is None else {"crops": self.data.crops}),
        }


def check_published(published: dict[str, dict]) -> None:
    """Raise ValueError if a published metric of a split is no text, or its n no whole number."""
    for split, scores in published.items():
        for name, score in convert(scores, dict[str, Any], f"The published {split!r}").items():
            convert(score, Positive if name == "n" else str, f"{name!r} of the published {split!r}")


def _model(data: Any) -> ModelConfigs:
    settings = convert(data, dict[str, Any], "'model' of Recipe")
    kind = settings.pop("kind", None)
    check_choice(MODELS, kind=kind)
    return build(MODELS[kind], settings, "'model' of Recipe")


def recipe_warnings(recipe: Recipe) -> list[str]:
    """Return one sentence for each setting that has no effect or undoes another."""
    training, model = recipe.training, recipe.model
    warnings = []
    is_cosine = training.schedule == "cosine"
    if is_cosine and training.early_stop_reductions:
        warnings.append("early_stop_reductions never acts: a cosine lowers the rate at each step. Set it to 0.")
    if training.warmup_epochs and not is_cosine:
        warnings.append(f"warmup_epochs={training.warmup_epochs} never acts. Set schedule='cosine'.")
    if is_cosine and training.warmup_epochs >= training.epochs - training.head_epochs:
        warnings.append(f"warmup_epochs={training.warmup_epochs} leaves no epoch of {training.epochs} to the cosine.")
    if training.optimizer == "adamw" and not training.weight_decay:
        warnings.append("adamw without weight_decay is adam. Set weight_decay, for example to 0.004.")
    if not is_cosine and training.early_stop_patience <= training.lr_patience < training.epochs:  # meant never to act
        why = f"training stops after {training.early_stop_patience} epochs without progress"
        warnings.append(f"lr_patience={training.lr_patience} never acts: {why}. Set it below early_stop_patience.")
    if not is_cosine and training.lr_factor >= 1:
        warnings.append(f"lr_factor={training.lr_factor} does not lower the learning rate. Set it below 1.")
    if recipe.data.min_confidence != DataConfig.min_confidence and not recipe.data.boxes:
        warnings.append("min_confidence never acts: it is of the detections of a file. Name that with boxes=.")
    if (training.augmentation or NONE).mixes and training.batch_size == 1:
        warnings.append("mixup and cutmix never act: a batch has one image. Set batch_size above 1.")
    if training.class_weights and training.balanced:
        warnings.append("class_weights and balanced both answer imbalance: rare classes count twice. Choose one.")
    if model.has_backbone and not model.is_pretrained and model.trainable_layers == 0:
        warnings.append("The backbone is frozen with random weights: only the head learns, from random features.")
    if training.head_epochs and not model.has_backbone:
        warnings.append(f"head_epochs={training.head_epochs} never acts: this network has no backbone to freeze.")
    if training.head_epochs and training.head_l2:
        warnings.append(f"head_epochs={training.head_epochs} never acts: the head is solved at once. Set head_l2=0.")
    elif model.has_backbone and training.head_epochs >= training.epochs:
        warnings.append(f"head_epochs={training.head_epochs} leaves no epoch of {training.epochs} to the backbone.")
    return warnings
