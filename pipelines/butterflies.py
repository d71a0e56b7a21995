"""Butterflies: networks that give back their image, for what they learn on the way.

Run:        python run.py autoencode --recipe butterflies_denoise
Published:  a mean squared error of 0.0315 for the denoiser (the report does not say on which images); else figures
"""

from dataclasses import replace

from marinecv.inputs.spec import ImageSpec
from marinecv.training.model_choice import DenseAutoencoder, UNet
from marinecv.training.recipe import DataChoice, Recipe, Training

UNET = Recipe(
    name="butterflies_unet",
    title="Butterflies, a U-Net that gives back its image",
    report="butterflies",
    data=DataChoice(name="butterflies20"),
    image=ImageSpec(height=128, width=128, fit="stretch", canvas_px=None),
    model=UNet(convolutions=1),
    training=Training(
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=64,
        epochs=30,
        early_stop_patience=5,
        lr_patience=30,
        monitor="loss",
    ),
    chosen="32-64-128-256 filters and 256 for the code, one convolution a level; Adam 1e-3, batch 64, 30 epochs",
)
WITHOUT_SKIPS = replace(  # ours: the report's future work
    UNET,
    name="butterflies_unet_without_skips",
    title="Butterflies, the same without skips: all of the image goes through the code",
    model=replace(UNET.model, skips=False),
    chosen=f"no skips, past which the code can be left empty; {UNET.chosen}",
)
DENOISE = Recipe(
    name="butterflies_denoise",
    title="Butterflies, dense layers that take salt and pepper away",
    report="butterflies",
    data=DataChoice(name="butterflies20"),
    image=ImageSpec(height=28, width=28, fit="stretch", canvas_px=None),
    model=DenseAutoencoder(salt=0.1, pepper=0.1),
    training=Training(
        optimizer="adam", learning_rate=1e-3, batch_size=128, epochs=50, early_stop_patience=5, lr_patience=50
    ),
    published={"validation": {"mse": "0.0315"}},
    chosen="grey images; early stopping after 5 epochs, on validation loss",
)
PLAIN = replace(  # to tell what the noise brings
    DENOISE,
    name="butterflies_dense",
    title="Butterflies, the same dense layers without noise",
    model=DenseAutoencoder(),
    published={},
)
VAE = replace(
    DENOISE,
    name="butterflies_vae",
    title="Butterflies, a variational autoencoder that takes salt and pepper away",
    model=replace(DENOISE.model, variational=True),
    published={},
    chosen=f"32 numbers, beta 1; {DENOISE.chosen}",
)
RECIPES = {recipe.name: recipe for recipe in [UNET, WITHOUT_SKIPS, DENOISE, PLAIN, VAE]}
