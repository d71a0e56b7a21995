"""Birds (CUB-200-2011): a CNN from scratch, fine-tuned networks, and networks with attributes as a second input.

Run:        python run.py finetune --recipe birds_mobilenet
            python run.py recipes reproduce birds
Published:  validation 0.3004 / 0.8923 / 0.8520 / 0.8744 on 20 species (n=223), - / 0.7130 / 0.6845 / 0.6682 on 200
Here:       results/birds.csv
"""

from dataclasses import replace

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.model_config import BackboneModel, MultimodalModel, ScratchModel
from marinecv.training.recipe import DataConfig, Recipe, Training

N = {"cub_x20": 223, "cub_x200": 2358}  # of validation: what int(0.8 n) leaves
SIMPLE = Augmentation(flip=1.0, rotation_deg=15, zoom=0.2, variants="simple")
CHOSEN = (
    "patience 3 as PyTorch counts it, 4 as Keras does; factor 0.1, at most 50 epochs, batch 32, end after 3 reductions"
)
PYTORCH = "differs: Keras' initial weights and Adam (epsilon 1e-7) in place of PyTorch's"
RESNET_V1 = "differs: Keras' ResNet50, which strides in another convolution than torchvision's, and its weights"


def published(accuracy: str, data: str = "cub_x20") -> dict:
    """Return an accuracy as printed in the report's table, with its number of images."""
    return {"validation": {"accuracy": accuracy, "n": N[data]}}


CUSTOM_CNN = (
    Recipe(
        name="birds_customcnn",
        title="Birds from scratch: three convolutions with batch normalization",
        report="birds",
        data=DataConfig(name="cub_x20", split_by="random", fractions=(0.8, 0.2, 0.0)),
        image=ImageSpec(fit="stretch", antialias=True),
        model=ScratchModel(filters=(32, 64, 128), kernels=(3, 3, 3), pools=(2, 2, 2), dense=256, batch_norm=True),
        training=Training(optimizer="adam", epochs=50, monitor="val_accuracy", augmentation=SIMPLE),
        published=published("0.3004"),
        assumptions=f"Adam 1e-3; {CHOSEN}; {PYTORCH}; differs: batch normalization of Keras (momentum 0.99)",
    )
    .with_model(pooling="avg", normalization="unit")
    .with_training(lr_factor=0.1, lr_patience=4, early_stop_patience=50, early_stop_reductions=3)
)
RESNET50 = replace(
    CUSTOM_CNN,
    name="birds_resnet50",
    title="Birds, ResNet50, last block trained",
    model=BackboneModel(backbone="resnet50", trainable_blocks=("conv5_",), hidden=(512,), dropout=0.5),
    training=replace(CUSTOM_CNN.training, learning_rate=6.47e-5),
    published=published("0.8923"),
    assumptions="pixels in [0, 1], for no other range is stated; batch statistics of the last block are updated; "
    f"{CHOSEN}; {PYTORCH}; {RESNET_V1}",
).with_model(normalization="unit", freeze_batch_norm=False)
CONTRACT = replace(
    RESNET50,
    name="birds_resnet50_contract",
    title="Birds, ResNet50, last block trained, inputs in the range of ImageNet",
    model=replace(RESNET50.model, normalization="backbone"),
    published={},
    assumptions=f"the range of ImageNet; {CHOSEN}; {PYTORCH}; {RESNET_V1}",
)
EFFICIENTNETB4 = replace(
    RESNET50,
    name="birds_efficientnetb4",
    title="Birds, EfficientNetB4, last three blocks trained",
    model=replace(CONTRACT.model, backbone="efficientnetb4", hidden=()),
    training=replace(CUSTOM_CNN.training, learning_rate=1e-3),
    published=published("0.8520"),
    assumptions=f"three blocks are 6h, 7a and 7b (three stages is the other reading); {CHOSEN}; {PYTORCH}; differs: "
    "Keras' EfficientNetB4, which scales pixels inside, and its weights",
).with_model(trainable_blocks=("block6h", "block7a", "block7b", "top_"))
MULTIMODAL = replace(
    RESNET50,
    name="birds_multimodal",
    title="Birds, ResNet50 and 312 attributes",
    data=replace(RESNET50.data, attributes="image"),
    model=MultimodalModel(
        backbone="resnet50", trainable_blocks=("conv5_",), normalization="unit", freeze_batch_norm=False
    ),
    training=replace(RESNET50.training, augmentation=replace(SIMPLE, variants="quadruple")),
    published=published("0.8744"),
    assumptions=f"attributes whatever their certainty; {RESNET50.assumptions}",
)
GATED = replace(  # the report's future work
    MULTIMODAL,
    name="birds_multimodal_gated",
    title="Birds, ResNet50 and 312 attributes, gated by the image",
    model=replace(MULTIMODAL.model, fusion="gated"),
    published={},
)
MOBILENET = (
    replace(  # ours: only the head is trained, on cached features of both views
        CONTRACT,
        name="birds_mobilenet",
        title="Birds, mobilenet, frozen",
        image=ImageSpec(height=320, width=320),
        model=BackboneModel(backbone="mobilenet", alpha=0.75, trainable_layers=0, dropout=0.5),
        training=replace(
            CUSTOM_CNN.training, l2=6e-3, label_smoothing=0.1, augmentation=Augmentation(flip=0.5), cache_features=1
        ),
        assumptions="everything, in some ten trials: 320 pixels, l2, flip; both maps by 5 folds of train",
    )
    .with_model(pooling="avg_max", also_pooled=("conv_pw_12_relu",))
    .with_training(epochs=100, lr_factor=0.5, lr_patience=10, early_stop_patience=40, early_stop_reductions=0)
)


def x200(recipe: Recipe, accuracy: str) -> Recipe:
    """Return the recipe for all 200 species."""
    return replace(
        recipe,
        name=f"{recipe.name}_x200",
        title=f"{recipe.title}; all 200 species",
        data=replace(recipe.data, name="cub_x200"),
        published=published(accuracy, "cub_x200"),
    )


RECIPES = {
    recipe.name: recipe
    for recipe in [CUSTOM_CNN, RESNET50, CONTRACT, EFFICIENTNETB4, MULTIMODAL, GATED, MOBILENET]
    + [x200(RESNET50, "0.7130"), x200(EFFICIENTNETB4, "0.6845"), x200(MULTIMODAL, "0.6682")]
}
