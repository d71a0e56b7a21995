"""What differs on a GPU: arithmetic, half precision, XLA, memory. These tests skip where TensorFlow sees none."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import marinecv as mcv

ROOT = Path(mcv.__file__).resolve().parents[1]

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu():
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees no GPU")


def losses_and_weights(device, jit_compile):
    """Three steps of a small CNN from the same weights on the same images, with full single precision."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(0, 255, (16, 64, 64, 3)).astype(np.float32), np.eye(3)[rng.integers(0, 3, 16)]
    with tf.device(device):
        model = mcv.cnn((64, 64, 3), 3, dropout=0.0)
        model.compile(keras.optimizers.SGD(1e-3), "categorical_crossentropy", jit_compile=jit_compile)
        losses = [float(model.train_on_batch(images, labels)) for _ in range(3)]
    return losses, np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "xla"])
def test_training_steps_equal_those_of_the_cpu(jit_compile):
    losses, weights = losses_and_weights("/GPU:0", jit_compile)
    expected_losses, expected = losses_and_weights("/CPU:0", False)
    assert losses == pytest.approx(expected_losses, rel=1e-4) and len(set(losses)) == 3
    np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-5)


def test_half_precision_is_float16_and_stays_finite(shared_tank, tmp_path):
    how = {"folder": tmp_path / "run", "epochs": 3, "mixed_precision": True, "log": None}
    run = mcv.train(shared_tank, "aquarium_four_conv", **how)
    model, predictions = run.load_model(), mcv.read_predictions(run.path("predictions.csv"))
    assert np.isfinite(run.history["loss"]).all() and np.allclose(
        predictions.filter(like="p_").sum(axis=1), 1, atol=1e-3
    )
    assert model.get_layer("conv1").compute_dtype == "float16"
    assert model.get_layer("probabilities").compute_dtype == "float32"


def test_two_commands_share_a_gpu(shared_tank, tmp_path):
    words = [sys.executable, str(ROOT / "run.py"), "pretrain", "--data-dir", str(shared_tank), "--epochs", "2"]
    options = {"env": os.environ | {"MARINECV_HOME": str(tmp_path / "home")}, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*words, "--output-dir", str(tmp_path / name)], **options) for name in "ab"]
    errors = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
