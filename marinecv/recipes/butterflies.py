"""Butterflies: autoencoders, and classifiers with few labels that start from their encoders.

Run:        python run.py autoencode --recipe butterflies_denoise
            python run.py learning-curve --recipe butterflies_fractions --label-fractions 0.1 0.25 0.3 0.5 0.75 1
            --seeds 3
Published:  a mean squared error of 0.0315 for the denoiser (the report does not say on which images); test accuracy
            0.606 of the classifier on a frozen encoder with all labels (of 500 images, where this test split has 100)
"""

from dataclasses import replace

from marinecv.inputs.spec import ImageSpec
from marinecv.training.model_config import BackboneModel, DenseAutoencoder, EncoderModel, UNet
from marinecv.training.recipe import DataConfig, Recipe, Training

PYTORCH = (
    "differs: Keras' initial weights and Adam (epsilon 1e-7) in place of PyTorch's; differs: images resized without "
    "antialiasing, which torchvision applies; differs: weights of the epoch with the best monitored loss, not the last"
)
UNET = Recipe(
    name="butterflies_unet",
    title="Butterflies, a U-Net autoencoder",
    report="butterflies",
    data=DataConfig(name="butterflies20"),
    image=ImageSpec(height=128, width=128, fit="stretch"),
    model=UNet(convolutions=1),
    training=Training(
        optimizer="adam", batch_size=64, epochs=30, early_stop_patience=5, lr_patience=30, monitor="loss"
    ),
    assumptions="32-64-128-256 filters and 256 for the embedding, one convolution a level; Adam 1e-3, batch 64, 30 "
    f"epochs; {PYTORCH}",
)
WITHOUT_SKIPS = replace(  # ours: future work in the report
    UNET,
    name="butterflies_unet_without_skips",
    title="Butterflies, a U-Net autoencoder without skip connections",
    model=replace(UNET.model, skips=False),
    assumptions=f"no skip connections, which bypass the embedding; {UNET.assumptions}",
)
DENOISE = replace(
    UNET,
    name="butterflies_denoise",
    title="Butterflies, a dense denoising autoencoder",
    image=ImageSpec(height=28, width=28, fit="stretch"),
    model=DenseAutoencoder(salt=0.1, pepper=0.1),
    training=replace(UNET.training, batch_size=128, epochs=50, lr_patience=50, monitor="val_loss"),
    published={"validation": {"mse": "0.0315"}},
    assumptions=f"gray images; early stopping after 5 epochs, by validation loss; {PYTORCH}",
)
PLAIN = replace(  # without noise, for comparison
    DENOISE,
    name="butterflies_dense",
    title="Butterflies, a dense autoencoder without noise",
    model=DenseAutoencoder(),
    published={},
)
VAE = replace(
    DENOISE,
    name="butterflies_vae",
    title="Butterflies, a variational denoising autoencoder",
    model=replace(DENOISE.model, variational=True, beta=0.03),
    published={},
    assumptions=f"32 numbers; beta 0.03; with 1 it returns the mean image; {DENOISE.assumptions}",
)
RECIPES = {recipe.name: recipe for recipe in [UNET, WITHOUT_SKIPS, DENOISE, PLAIN, VAE]}


PUBLISHED = {  # by line and share of labels, on test: loss, accuracy, macro-F1, precision and recall as printed
    "butterflies_a": {
        0.10: "2.2339 0.444 0.1428 0.2166 0.1121",
        0.25: "2.3971 0.288 0.0994 0.1351 0.0922",
        0.50: "1.9073 0.458 0.1547 0.2088 0.1339",
        0.75: "1.6097 0.520 0.1666 0.2447 0.1366",
        1.00: "1.4649 0.540 0.1919 0.2670 0.1689",
    },
    "butterflies_b1": {
        0.10: "2.1316 0.396 0.1336 0.2054 0.1134",
        0.25: "2.5134 0.410 0.1608 0.2417 0.1451",
        0.50: "1.7965 0.448 0.1516 0.2596 0.1249",
        0.75: "1.5332 0.562 0.1853 0.2507 0.1620",
        1.00: "1.2880 0.606 0.2210 0.2889 0.1927",
    },
    "butterflies_b2": {
        0.10: "2.9522 0.198 0.0858 0.1456 0.0854",
        0.25: "2.8354 0.294 0.1328 0.2012 0.1158",
        0.50: "1.8815 0.488 0.1760 0.2368 0.1539",
        0.75: "1.5371 0.564 0.1632 0.2205 0.1398",
        1.00: "1.6223 0.566 0.1856 0.2400 0.1671",
    },
}
PUBLISHED_METRICS = ("log_loss", "accuracy", "macro_f1", "macro_precision", "macro_recall")
PUBLISHED_N = 500
"""All fifteen accuracies are k/500 and no other n fits: they are not of the 100 images of this test split."""


def published_at(line: str, fraction: float) -> dict[str, dict]:
    """Return the published metrics of a recipe at a label fraction; empty if there are none."""
    figures = PUBLISHED.get(line, {}).get(fraction)
    return {"test": {**dict(zip(PUBLISHED_METRICS, figures.split(), strict=True)), "n": PUBLISHED_N}} if figures else {}


A = replace(
    UNET,
    name="butterflies_a",
    title="Butterflies, classifier A: from scratch",
    model=EncoderModel(convolutions=1, pooling="flatten"),
    training=replace(UNET.training, learning_rate=1e-4),
    assumptions=f"the U-Net's encoder, its embedding flattened, dropout 0.2 and softmax; {PYTORCH}",
)
B1 = replace(
    A,
    name="butterflies_b1",
    title="Butterflies, classifier B1: on the U-Net's encoder, frozen",
    model=replace(A.model, weights=UNET.name, frozen=True),
    training=replace(A.training, cache_features=1),
    assumptions=f"{A.assumptions}; differs: the embedding scaled to unit variance, image by image",
)
B2 = replace(
    A,
    name="butterflies_b2",
    title="Butterflies, classifier B2: on the U-Net's encoder, fine-tuned",
    model=replace(A.model, weights=UNET.name),
)
A_CONVERGED, B1_CONVERGED = (  # ours: after the report's 30 epochs at 1e-4 the training loss of both is still falling
    replace(
        line,
        name=f"{line.name}_converged",
        title=f"{line.title}; trained until the training loss stands still",
        assumptions=f"Adam 1e-3, at most {epochs} epochs, early stop after 20, factor 0.5 after 8; l2 1e-3, so that "
        f"there is an end; {line.assumptions}",
    ).with_training(learning_rate=1e-3, l2=1e-3, epochs=epochs, early_stop_patience=20, lr_patience=8, lr_factor=0.5)
    for line, epochs in ((A, 100), (B1, 300))
)
B1_WITHOUT_SKIPS, B2_WITHOUT_SKIPS = (  # ours: embeddings that must represent the whole image
    replace(
        line,
        name=f"{line.name}_without_skips",
        title=f"{line.title}; of the U-Net without skip connections",
        model=replace(line.model, weights=WITHOUT_SKIPS.name),
    )
    for line in (B1, B2)
)
A_VALIDATION = replace(  # the report monitors the training loss
    A,
    name="butterflies_a_val_loss",
    title="Butterflies, classifier A, monitored by validation loss",
    training=replace(A.training, monitor="val_loss"),
)
MOBILENET = replace(  # ours, recommended
    A,
    name="butterflies_mobilenet",
    title="Butterflies, mobilenet, frozen",
    image=ImageSpec(height=224, width=224),
    model=BackboneModel(backbone="mobilenet", alpha=0.75, trainable_layers=0, dropout=0.2),
    training=replace(A.training, learning_rate=3e-3, l2=2e-3, epochs=100, monitor="val_loss", cache_features=1),
    assumptions="everything: 224 pixels, padded, mean pooled, Adam 3e-3, l2 2e-3; dropout 0.2 on held-out train images",
).with_training(early_stop_patience=30, lr_patience=12, lr_factor=0.5)
PSEUDO = replace(  # future work in the report: semi-supervised
    MOBILENET,
    name="butterflies_mobilenet_pseudo",
    title="Butterflies, mobilenet, frozen, retrained with pseudo-labels",
    data=replace(MOBILENET.data, pseudo_labels=0.9),
    assumptions=f"pseudo-labels from a probability of 0.9; {MOBILENET.assumptions}",
)
FRACTIONS = {
    recipe.name: replace(recipe, published=published_at(recipe.name, 1.0)) for recipe in [A, B1, B2, MOBILENET, PSEUDO]
}
"""The recipes of `learning-curve` that `FAMILY` means."""
FAMILY = "butterflies_fractions"
LINES = FRACTIONS | {
    recipe.name: recipe for recipe in [A_CONVERGED, B1_CONVERGED, B1_WITHOUT_SKIPS, B2_WITHOUT_SKIPS, A_VALIDATION]
}
