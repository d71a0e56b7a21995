"""Animals-10, five classes: InceptionV3 from scratch and with frozen ImageNet weights.

Run:        python run.py finetune --recipe animals_mobilenet
            python run.py recipes reproduce animals
Published:  validation 0.92 from scratch, 0.99 with ImageNet weights (n=2627, the same images as test)
Here:       results/animals.csv
"""

from dataclasses import replace

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.model_config import BackboneModel
from marinecv.training.recipe import METRICS, DataConfig, Recipe, Training

N = 2627
SUPPORTS = {"butterfly": "422", "cat": "333", "chicken": "619", "elephant": "289", "spider": "964"}
"""Of the printed rows, the classes that have so many images; their printed names are in another order."""


def published(accuracy: str, table: str) -> dict:
    """Return precision, recall and F1 as printed in the rows of a report's table: by class, macro, weighted."""
    names = [*(f"{{}}[{name}]" for name in SUPPORTS), "macro_{}", "weighted_{}"]
    names = [name.format(metric) for name in names for metric in ("precision", "recall", "f1")]
    scores = dict(zip(names, table.split(), strict=True))
    supports = {f"support[{name}]": support for name, support in SUPPORTS.items()}
    return {"validation": {"accuracy": accuracy, "n": N, **scores, **supports}}


FROM_SCRATCH = published(
    "0.92", "0.86 0.89 0.87 0.92 0.84 0.88 0.91 0.95 0.93 0.95 0.85 0.90 0.93 0.95 0.94 0.91 0.90 0.90 0.92 0.92 0.91"
)
TRANSFER = published(
    "0.99", "0.99 0.96 0.97 0.99 1.00 0.99 1.00 1.00 1.00 0.99 0.99 0.99 0.99 0.99 0.99 0.99 0.99 0.99 0.99 0.99 0.99"
)
CHOSEN = "split by class; images stretched, bilinear"
ADAM = Recipe(
    name="animals_inceptionv3_adam",
    title="Animals, InceptionV3 from scratch, Adam",
    report="animals",
    data=DataConfig(name="animals10_5", split_by="stratified", fractions=(0.8, 0.2, 0.0)),
    image=ImageSpec(height=244, width=244, fit="stretch"),
    model=BackboneModel(
        backbone="inceptionv3", weights="none", trainable_layers=None, dropout=0.0, freeze_batch_norm=False
    ),
    training=Training(optimizer="adam", metrics=METRICS, augmentation=Augmentation(flip=0.5)),
    published=FROM_SCRATCH,
    assumptions=f"{CHOSEN}; differs: weights of the best epoch by validation loss, where no callback is named",
).with_training(epochs=20, batch_size=15, early_stop_patience=20, lr_factor=0.1, lr_patience=20)
FROZEN = replace(
    ADAM,
    name="animals_inceptionv3",
    title="Animals, InceptionV3, frozen",
    model=BackboneModel(backbone="inceptionv3", trainable_layers=0, hidden=(512,), dropout=0.0),
    training=replace(ADAM.training, epochs=7, batch_size=64, early_stop_patience=4, lr_patience=5),
    published=TRANSFER,
    assumptions=f"factor 0.1; {CHOSEN}",
)
UNFROZEN = replace(  # the report advises this for larger data sets: first the head, then all layers
    FROZEN,
    name="animals_inceptionv3_unfrozen",
    title="Animals, InceptionV3, the head first, then all layers",
    model=replace(FROZEN.model, trainable_layers=None),
    training=replace(FROZEN.training, epochs=14, head_epochs=7, learning_rate=1e-5),
    published={},
    assumptions=f"7 epochs of the head, 7 of all layers at 1e-5; {FROZEN.assumptions}",
)
MOBILENET = replace(  # ours: a head trained on cached features
    FROZEN,
    name="animals_mobilenet",
    title="Animals, mobilenet, frozen",
    image=ImageSpec(height=288, width=288),
    model=BackboneModel(backbone="mobilenet", alpha=0.75, trainable_layers=0, dropout=0.5),
    published={},
    assumptions="everything, by cross-validation in some eight trials: 288 pixels, padded, l2",
).with_training(
    learning_rate=3e-3, l2=2e-3, epochs=120, batch_size=32, early_stop_patience=40, lr_patience=12, cache_features=1
)
RECIPES = {
    recipe.name: recipe
    for recipe in [
        ADAM,
        replace(
            ADAM,
            name="animals_inceptionv3_sgd",
            title="Animals, InceptionV3 from scratch, SGD",
            training=replace(ADAM.training, optimizer="sgd", learning_rate=1e-2, momentum=0.9),
            published={},
            claim="tried, no metric",
            assumptions=f"SGD 1e-2 with momentum 0.9; {ADAM.assumptions}",
        ),
        FROZEN,
        UNFROZEN,
        replace(
            UNFROZEN,
            name="animals_inceptionv3_scenario3",
            title="Animals, InceptionV3, the head first, then all behind an early block",
            model=replace(FROZEN.model, trainable_layers=210),
            claim="scenario 3, few images unlike the source's: retrain from an earlier part on, and not the whole",
            assumptions=f"7 epochs of the head, 7 of all behind mixed3 at 1e-5; {FROZEN.assumptions}",
        ),
        MOBILENET,
        replace(  # ours
            MOBILENET,
            name="animals_mobilenet_scenario3",
            title="Animals, mobilenet, the head first, then all behind an early block",
            model=replace(MOBILENET.model, trainable_layers=50),
            assumptions="everything: 20 epochs of the head, 20 of blocks 6 to 13 at 1e-4, 288 pixels",
        ).with_training(epochs=40, head_epochs=20, head_learning_rate=3e-3, learning_rate=1e-4, l2=0.0),
    ]
}
