"""How well an autoencoder gives back its image: errors, baselines, and pictures that are kept."""

import keras
import numpy as np
import pandas as pd
import pytest

from marinecv.evaluation import reconstruction
from marinecv.inputs.spec import ImageSpec
from marinecv.models.autoencoders import dense_autoencoder, target_of, unet

SPEC = ImageSpec(height=8, width=8)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
ROWS = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(13)], "path": "", "class_name": "eel"}).assign(
    split=["train", "validation"] * 6 + ["test"], problem=[""] * 12 + ["broken"]
)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return dense_autoencoder((8, 8, 3), units=(12, 4), variational=True)


def test_each_usable_image_has_its_error_and_those_that_take_no_network(model):
    table = reconstruction.reconstruction_table(model, ROWS, SPEC, PIXELS)
    assert sorted(table["image_id"]) == sorted(ROWS["image_id"][:12])
    clean = np.asarray(target_of(model)(PIXELS.astype(np.float32)))
    given = np.asarray(model(PIXELS.astype(np.float32), training=False))
    mean = clean[::2].mean(axis=0)
    table = table.set_index("image_id").loc[ROWS["image_id"][:12]]
    for name, images in (("mse", given), ("mse_of_mean", mean), ("mse_of_input", clean)):
        np.testing.assert_allclose(table[name], np.square(images - clean).mean(axis=(1, 2, 3)), rtol=1e-4)


def test_noise_is_in_what_is_shown_never_in_what_is_wanted_and_the_same_each_time(model):
    noise = {"salt": 0.2, "pepper": 0.2, "seed": 3}
    once, again = (reconstruction.reconstruction_table(model, ROWS, SPEC, PIXELS, **noise) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)
    without = reconstruction.reconstruction_table(model, ROWS, SPEC, PIXELS)
    assert (once["mse_of_input"] > 0).all()
    np.testing.assert_array_equal(once["mse_of_mean"], without["mse_of_mean"])
    assert (once["mse"] != without["mse"]).all()


def test_figures_are_means_with_their_n_and_an_interval_about_them(model):
    table = reconstruction.reconstruction_table(model, ROWS, SPEC, PIXELS)
    metrics = reconstruction.reconstruction_metrics(table)
    assert list(metrics) == ["train", "validation"]
    for split, figures in metrics.items():
        part = table[table["split"] == split]
        assert figures["n"] == figures["mse"]["n"] == 6
        assert figures["mse"]["value"] == pytest.approx(part["mse"].mean())
        assert part["mse"].min() <= figures["mse"]["low"] <= figures["mse"]["value"] <= figures["mse"]["high"]


def test_without_train_images_there_is_no_mean_to_beat(model):
    table = reconstruction.reconstruction_table(model, ROWS[ROWS["split"] == "validation"], SPEC, PIXELS[1::2])
    assert table["mse_of_mean"].isna().all()
    assert set(reconstruction.reconstruction_metrics(table)["validation"]) == {"n", "mse", "mse_of_input"}


def test_pictures_are_of_validation_as_the_model_has_them_and_are_read_back(model, tmp_path):
    pictures = reconstruction.reconstructed_pictures(model, ROWS, SPEC, PIXELS, salt=0.2, pepper=0.2)
    shapes = {name: array.shape for name, array in pictures.items()}
    three = dict.fromkeys(("original", "noisy", "restored"), (6, 8, 8, 1))
    assert shapes == three | {"samples": (8, 8, 8, 1), "walk": (4, 8, 8, 8, 1)}
    gray = PIXELS[1::2] @ np.float32([[0.2989], [0.587], [0.114]])
    np.testing.assert_allclose(pictures["original"], gray, atol=1)
    assert (pictures["noisy"] == 255).mean() > 0.1
    reconstruction.write_pictures(pictures, tmp_path / "pictures.npz")
    for name, array in reconstruction.read_pictures(tmp_path / "pictures.npz").items():
        np.testing.assert_array_equal(array, pictures[name])
    color = reconstruction.reconstructed_pictures(unet((8, 8, 3), filters=(2,), bottleneck=2), ROWS, SPEC, PIXELS)
    assert set(color) == {"original", "noisy", "restored"}
    np.testing.assert_array_equal(color["original"], PIXELS[1::2])


IMAGES = np.zeros((2, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    "wrong", [None, {"restored": IMAGES[0]}, {"walk": IMAGES}, {"noisy": IMAGES.astype(float)}, {"noisy": IMAGES[:0]}]
)
def test_a_file_without_the_images_is_refused(wrong, tmp_path):
    path = tmp_path / "pictures.npz"
    path.write_text("no pictures")
    if wrong:
        reconstruction.write_pictures(dict.fromkeys(("original", "noisy", "restored"), IMAGES) | wrong, path)
    with pytest.raises(ValueError, match=r"pictures\.npz (cannot be read|has no uint8 images)"):
        reconstruction.read_pictures(path)
