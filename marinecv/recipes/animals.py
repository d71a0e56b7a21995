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
FROM_SCRATCH = {"accuracy": "0.92", "macro_precision": "0.91", "macro_recall": "0.90", "macro_f1": "0.90"}
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
    published={"validation": {**FROM_SCRATCH, "n": N}},
    assumptions="weights of the best epoch by validation loss; images stretched",
).with_training(epochs=20, batch_size=15, early_stop_patience=20, lr_factor=0.1, lr_patience=20)
FROZEN = replace(
    ADAM,
    name="animals_inceptionv3",
    title="Animals, InceptionV3, frozen",
    model=BackboneModel(backbone="inceptionv3", trainable_layers=0, hidden=(512,), dropout=0.0),
    training=replace(ADAM.training, epochs=7, batch_size=64, early_stop_patience=4, lr_patience=5),
    published={"validation": {"accuracy": "0.99", "macro_f1": "0.99", "n": N}},
    assumptions="factor 0.1; images stretched",
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
            assumptions="SGD 1e-2 with momentum 0.9; images stretched",
        ),
        FROZEN,
        replace(  # the report advises this for larger data sets: first the head, then all layers
            FROZEN,
            name="animals_inceptionv3_unfrozen",
            title="Animals, InceptionV3, the head first, then all layers",
            model=replace(FROZEN.model, trainable_layers=None),
            training=replace(FROZEN.training, epochs=14, head_epochs=7, learning_rate=1e-5),
            published={},
            assumptions="7 epochs of the head, 7 of all layers at 1e-5; images stretched",
        ),
        MOBILENET,
    ]
}
