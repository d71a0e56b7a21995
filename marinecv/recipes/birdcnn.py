"""BirdCNN: one small network for 20 bird species, and five changes of it.

Run:        python run.py pretrain --recipe birdcnn_base
            python run.py recipes reproduce birdcnn --seeds 3
Published:  in words: base is best, then kernel6, then weight_decay and sgd alike; two_conv is below base
Here:       results/birdcnn.csv
"""

from dataclasses import replace

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.model_config import ScratchModel
from marinecv.training.recipe import DataConfig, Recipe, Training

ALL = {"decay_scope": "all"}  # like weight decay in PyTorch optimizers
BASE = Recipe(
    name="birdcnn_base",
    title="BirdCNN: four convolutions, Adam",
    report="birdcnn",
    data=DataConfig(name="cub_x20", split_by="random", fractions=(0.8, 0.2, 0.0)),
    image=ImageSpec(height=256, width=256, fit="stretch"),
    model=ScratchModel(filters=(32, 64, 128, 256), dense=512, normalization="imagenet"),
    training=Training(optimizer="adam", augmentation=Augmentation(flip=0.5, vertical_flip=0.5)),
    claim="loss settles near epoch 20, accuracy peaks at epochs 10 to 12; 40 minutes on a CPU",
    assumptions="batch 32; differs: weights of the best epoch, where the report keeps the last; differs: images "
    "resized without antialiasing, which torchvision applies; differs: Keras' initial weights and Adam (epsilon 1e-7) "
    "in place of PyTorch's",
).with_training(epochs=40, early_stop_patience=40, lr_patience=40, monitor="val_accuracy")
SHORT = replace(
    BASE,
    name="birdcnn_base_20",
    title="BirdCNN: four convolutions, Adam, as many epochs as the others",
    training=replace(BASE.training, epochs=20),
    claim="",
)


def change(name: str, title: str, claim: str, model: dict | None = None, **training) -> Recipe:
    """Return the base recipe with one change, for 20 epochs."""
    return replace(
        SHORT,
        name=f"birdcnn_{name}",
        title=f"BirdCNN: {title}",
        model=replace(BASE.model, **(model or {})),
        training=replace(SHORT.training, **training),
        claim=claim,
    )


RECIPES = {
    recipe.name: recipe
    for recipe in [
        BASE,
        SHORT,
        change("weight_decay", "weight decay 0.01, coupled", "worse than base; 20 minutes", l2=0.01, **ALL),
        change("weight_decay_decoupled", "weight decay 0.01, decoupled as in AdamW", "", weight_decay=0.01, **ALL),
        change("sgd", "SGD with momentum 0.9", "like weight_decay; 18 minutes", optimizer="sgd", momentum=0.9),
        change(
            "kernel6",
            "kernels of 6",
            "better than weight_decay and sgd, below base, peak near epoch 8; 29 minutes",
            {"kernels": (6, 6, 6, 6), "padding": 1},
        ),
        change(
            "two_conv",
            "two convolutions",
            "peak near epoch 5, then it falls; training loss near 0 by epoch 8; below base; 40 minutes",
            {"filters": (32, 64), "kernels": (3, 3), "pools": (2, 2)},
        ),
        replace(
            change("x200", "all 200 species", "loss to 0.3, plateau near epoch 6, far below base", batch_size=128),
            data=replace(BASE.data, name="cub_x200"),
        ),
    ]
}
ORDER = (  # of the report: the better recipe first
    ("birdcnn_base", "birdcnn_kernel6"),
    ("birdcnn_base_20", "birdcnn_kernel6"),
    ("birdcnn_kernel6", "birdcnn_weight_decay"),
    ("birdcnn_kernel6", "birdcnn_sgd"),
    ("birdcnn_base", "birdcnn_two_conv"),
    ("birdcnn_base_20", "birdcnn_two_conv"),
)
