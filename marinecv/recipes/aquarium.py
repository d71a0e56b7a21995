"""Aquarium: three CNNs from scratch at 64x64, and pretrained networks with 20 trainable layers at 224x224.

Run:        python run.py pretrain --grid
Published:  validation 0.7480 / 0.7795 / 0.7717 (n=127), test 0.8730 / 0.8254 / 0.7460 (n=63)
Here:       results/aquarium_pretrain.csv (5 seeds, mean and range)

Run:        python run.py finetune --backbone mobilenetv3large --grid
Published:  validation 0.8346 / 0.8268 / 0.8346 (n=127), test 0.9263 / 0.9367 / 0.9578 (no k/63 gives these)
Here:       results/aquarium_finetune.csv
"""

from dataclasses import replace
from pathlib import Path

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.model_config import BackboneModel, ScratchModel
from marinecv.training.recipe import DataConfig, Recipe, Training

SCRATCH_CHOSEN = (
    "kernels, pools, filters, dense 128, dropout 0.5, initial learning rate, batch 32, at most 60 epochs, early stop "
    "after 12; flip 0.5, rotation 10 degrees, zoom and crop 0.1; standardized per image"
)
SMALL_AUGMENTATION = Augmentation(flip=0.5, rotation_deg=10, zoom=0.1, crop=0.1)


def published(validation: str, test: str, **more: str) -> dict:
    """Return accuracies as printed in the aquarium report, with its numbers of images, and its best epoch if named."""
    return {"validation": {"accuracy": validation, "n": 127, **more}, "test": {"accuracy": test, "n": 63}}


BEST = Recipe(
    name="aquarium_four_conv",
    title="Aquarium from scratch: four convolutions",
    report="aquarium",
    data=DataConfig(name="aquarium"),
    image=ImageSpec(height=64, width=64, letterbox_px=1024),
    model=ScratchModel(filters=(32, 64, 128, 128), kernels=(3, 3, 3, 3), pools=(2, 2, 2, 2)),
    training=Training(
        learning_rate=1e-3, lr_factor=0.2, lr_patience=5, monitor="val_accuracy", augmentation=SMALL_AUGMENTATION
    ),
    published=published("0.7480", "0.8730", best_epoch="18"),
    assumptions=SCRATCH_CHOSEN,
)
GRID = [  # the report's table
    BEST,
    replace(
        BEST,
        name="aquarium_three_conv",
        title="Aquarium from scratch: three convolutions",
        model=ScratchModel(filters=(32, 64, 128), kernels=(5, 5, 5), pools=(3, 2, 2)),
        training=replace(BEST.training, lr_factor=0.1, lr_patience=3),
        published=published("0.7795", "0.8254"),
    ),
    replace(
        BEST,
        name="aquarium_five_conv",
        title="Aquarium from scratch: five convolutions",
        model=ScratchModel(filters=(32, 64, 128, 128, 256), kernels=(5, 3, 3, 3, 3), pools=(2, 2, 2, 2, 2)),
        training=replace(BEST.training, learning_rate=5e-4, lr_factor=0.3, lr_patience=8),
        published=published("0.7717", "0.7460"),
    ),
]
SYNTHETIC = replace(  # tried in the report
    BEST,
    name="aquarium_four_conv_synthetic",
    title="Aquarium from scratch: four convolutions, with synthetic images",
    data=replace(BEST.data, synthetic=True),
    published={},
    assumptions=f"{SCRATCH_CHOSEN}; synthetic images from every train image whose second class is not fish",
)
SYNTHETIC_24 = replace(
    SYNTHETIC,
    name="aquarium_four_conv_synthetic24",
    title="Aquarium from scratch: four convolutions, with 24 synthetic images",
    data=replace(BEST.data, synthetic=24),
    assumptions=f"{SCRATCH_CHOSEN}; the report made about 24, unnamed: those of the largest second classes",
)
SCRATCH = {recipe.name: recipe for recipe in [*GRID, SYNTHETIC, SYNTHETIC_24]}

PUBLISHED = {
    8: published("0.8346", "0.9263"),
    4: published("0.8268", "0.9367"),
    2: published("0.8346", "0.9578", best_epoch="36"),
}
PATIENCES = tuple(PUBLISHED)
BEST_PATIENCE = 2
ALPHAS = {"mobilenet": 0.75, "mobilenetv2": 0.35}  # small enough for a laptop
CHOSEN = (
    "factor 0.2, RMSprop 1e-4, batch 32, at most 60 epochs, early stop after 12; global average, dropout 0.2, softmax; "
    "batch normalization frozen; flip 0.5, rotation 10 degrees, zoom and crop 0.1"
)


def row(backbone: str, patience: int) -> Recipe:
    """Return a recipe of the report's table, for its backbone or another one."""
    is_report, stem = backbone == "mobilenetv3large", Path(backbone).stem  # of a file; a name is its own
    normalization = "standardize" if is_report else "backbone"
    return replace(
        BEST,
        name=f"aquarium_{stem}_p{patience}",
        title=f"Aquarium, {stem}, last 20 layers, patience {patience}",
        image=ImageSpec(height=224, width=224, letterbox_px=1024),
        model=BackboneModel(backbone=backbone, alpha=ALPHAS.get(backbone, 1.0), normalization=normalization),
        published=PUBLISHED[patience] if is_report else {},
        assumptions=CHOSEN + ("; standardized per image, as the report says" if is_report else "; 25 epochs"),
    ).with_training(learning_rate=1e-4, lr_patience=patience, epochs=60 if is_report else 25)


MOBILENET = row("mobilenet", BEST_PATIENCE)
LARGE = replace(  # ours
    MOBILENET,
    name="aquarium_mobilenet_448",
    title="Aquarium, mobilenet at 448x448: head first, then the last 20 layers",
    image=replace(MOBILENET.image, height=448, width=448),
    model=replace(MOBILENET.model, dropout=0.4),
    training=replace(MOBILENET.training, optimizer="adam", lr_factor=0.5, lr_patience=3, label_smoothing=0.1),
    assumptions="everything; 448 pixels, with which a linear probe gains three points over 224",
).with_training(epochs=16, head_epochs=8, head_learning_rate=3e-3, learning_rate=1e-4)
LARGER = replace(  # ours: with cached features an epoch of the head takes 0.1 s, so it has many epochs
    MOBILENET,
    name="aquarium_mobilenet_640",
    title="Aquarium, mobilenet at 640x640: only the head is trained",
    image=replace(MOBILENET.image, height=640, width=640),
    model=replace(MOBILENET.model, trainable_layers=0),
    training=replace(MOBILENET.training, optimizer="adam", label_smoothing=0.1, augmentation=Augmentation(flip=0.5)),
    assumptions="everything, by validation accuracy: 640 pixels, flip only, so that both views are cached",
).with_training(learning_rate=3e-3, lr_factor=0.5, lr_patience=15, epochs=150, early_stop_patience=40, cache_features=1)
SIZES = [  # ours: nothing but the size differs from LARGER
    replace(
        LARGER,
        name=f"aquarium_mobilenet_frozen_{px}",
        title=f"Aquarium, mobilenet at {px}x{px}: only the head is trained",
        image=replace(LARGER.image, height=px, width=px),
        assumptions="everything but the size as at 640 pixels, where it was chosen",
    )
    for px in (64, 128, 224, 320, 448)
]
PRETRAINED = {
    recipe.name: recipe
    for recipe in [row(name, patience) for name in ("mobilenetv3large", "mobilenet") for patience in PATIENCES]
    + [row(name, BEST_PATIENCE) for name in ("mobilenetv2", "inceptionv3", "resnet50", "efficientnetb4")]
    + [LARGE, LARGER, *SIZES]
}
