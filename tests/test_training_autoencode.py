"""Training an autoencoder: its targets and loss, what it saves, and that a kill changes nothing."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.inputs.spec import ImageSpec
from marinecv.models.autoencoders import dense_autoencoder, target_of
from marinecv.runs import Run
from marinecv.training.build import with_loss, with_targets
from marinecv.training.fit import fit_autoencoder, load_run
from marinecv.training.model_config import DenseAutoencoder, UNet
from marinecv.training.recipe import DataConfig, Recipe, Training

DENSE = Recipe(
    name="small",
    title="Small",
    data=DataConfig(name="tank"),
    image=ImageSpec(height=8, width=8),
    model=DenseAutoencoder(units=(12, 6, 4), salt=0.1, pepper=0.1),
    training=Training(optimizer="adam", epochs=4, batch_size=8),
)
VARIATIONAL = DENSE.with_model(variational=True)
UNETS = replace(DENSE, model=UNet(filters=(2, 4), bottleneck=4, batch_norm=True))


@pytest.fixture
def make_run(shared_tank, tmp_path):
    catalog = read_catalog(manifest_of_folder(shared_tank))

    def make(name, recipe):
        return Run.create(tmp_path / name, recipe.to_dict(), recipe.preprocessing(["crab", "eel", "ray"]), catalog)

    return make


def train(run, recipe):
    return fit_autoencoder(recipe, run, load_run(run, recipe))


SLOW = [pytest.param(recipe, marks=pytest.mark.slow) for recipe in (VARIATIONAL, UNETS)]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [DENSE, *SLOW], ids=["dense", "variational", "unet"])
def test_a_killed_training_ends_as_if_it_had_not_been(make_run, recipe):
    whole, killed = make_run("whole", recipe), make_run("killed", recipe)
    train(whole, recipe)

    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
        fit_autoencoder(recipe, killed, load_run(killed, recipe), extra_callbacks=[stop])
    assert len(killed.history) == 2 and not killed.path("model.keras").exists()
    train(killed, recipe)
    pd.testing.assert_frame_equal(killed.history.drop(columns="seconds"), whole.history.drop(columns="seconds"))
    for name in ("model", "encoder", "decoder"):
        one, other = (keras.saving.load_model(run.path(f"{name}.keras")).get_weights() for run in (whole, killed))
        for here, there in zip(one, other, strict=True):
            np.testing.assert_array_equal(here, there)


@pytest.mark.slow
def test_it_learns_to_give_back_more_than_at_first(make_run):
    recipe = UNETS.with_training(epochs=12, learning_rate=1e-2)
    run = make_run("unet", recipe)
    train(run, recipe)
    assert run.history["loss"].iloc[-1] < 0.7 * run.history["loss"].iloc[0]


def test_the_target_is_the_clean_image_in_the_range_of_the_model():
    model = dense_autoencoder((8, 8, 3), units=(4, 2))
    clean, noisy = np.full((3, 8, 8, 3), 51, np.float32), np.zeros((3, 8, 8, 3), np.float32)
    pairs = tf.data.Dataset.from_tensors((noisy, clean))
    [(shown, targets)] = with_targets(pairs, model)
    np.testing.assert_array_equal(shown, noisy)
    np.testing.assert_array_equal(targets["restored"], target_of(model)(clean))


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_a_variational_loss_is_the_error_and_beta_times_the_divergence_of_the_code(beta):
    keras.utils.set_random_seed(0)
    model = dense_autoencoder((8, 8, 3), units=(12, 6, 4), variational=True)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.float32)
    targets = {"restored": np.asarray(target_of(model)(images)), "divergence": np.zeros((5, 1), np.float32)}
    outputs = [model.get_layer(name).output for name in ("code", "log_variance")]
    mean, log_variance = map(np.asarray, keras.Model(model.inputs[0], outputs)(images))
    divergence = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1).mean() / 2
    error = np.square(np.asarray(model(images, training=False)) - targets["restored"]).mean()
    learns = with_loss(model, VARIATIONAL.with_model(beta=beta))
    loss = learns.evaluate(images, targets, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(error + beta * divergence / 64, rel=1e-5)
