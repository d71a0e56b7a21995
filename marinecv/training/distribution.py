"""One training on several devices: those of this machine (mirrored), or of several machines (data-parallel)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

from marinecv.inputs.pipeline import ALONE, Share

BACKENDS = {"mirrored": "tensorflow", "data-parallel": "jax"}
"""How to distribute -> the Keras backend that can do it."""
PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
VARIABLES = ("KERAS_DISTRIBUTION_JOB_ADDRESSES", PROCESSES, "KERAS_DISTRIBUTION_PROCESS_ID")


@contextmanager
def distributed(how: str | None) -> Iterator[Share]:
    """Train on all devices what is trained in the block: each sees its part of every batch, all have the same weights.

    `"mirrored"` is the GPUs of this machine; `"data-parallel"`, on JAX, all devices of every process that has joined;
    None changes nothing. Yields the share of this process. Behind the block load the saved model.
    """
    join(how)
    if how == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        with tf.distribute.MirroredStrategy([device.name for device in devices]).scope():
            yield share_here()
    elif how == "data-parallel":
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        try:
            yield share_here()
        finally:
            keras.distribution.set_distribution(None)
    else:
        yield ALONE


def share_here() -> Share:
    """The share of this process in the training around; alone outside of `distributed`."""
    if keras.backend.backend() == "tensorflow":
        return Share(devices=tf.distribute.get_strategy().num_replicas_in_sync)
    return ALONE if keras.distribution.distribution() is None else _of_jax()


@contextmanager
def one_device(model: keras.Model) -> Iterator[keras.Model]:
    """Give a model that this process can compute with by itself: of several processes, a copy."""
    if share_here().processes == 1:
        yield model
        return
    around = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        yield copy
    finally:
        keras.distribution.set_distribution(around)


def join(how: str | None) -> Share:
    """Meet the other processes of a training and return who is who; call it before anything is computed.

    Keras' own variables tell it: `KERAS_DISTRIBUTION_JOB_ADDRESSES`, the address and port of the first process;
    `KERAS_DISTRIBUTION_NUM_PROCESSES`; `KERAS_DISTRIBUTION_PROCESS_ID`, which alone differs. Without them there is one.
    """
    if how and keras.backend.backend() != BACKENDS[how]:
        raise ValueError(
            f"{how!r} runs on Keras' {BACKENDS[how]} backend. Set KERAS_BACKEND={BACKENDS[how]} before Keras is "
            f"imported. Received: {keras.backend.backend()}."
        )
    if how != "data-parallel":
        return ALONE
    try:
        tf.config.set_visible_devices([], "GPU")  # it only reads images here, and would take all of a GPU for itself
    except RuntimeError as error:
        raise ValueError("TensorFlow has taken a GPU already. Start anew, and call `distributed` first.") from error
    missing = [name for name in VARIABLES if name not in os.environ]
    if 0 < len(missing) < len(VARIABLES):
        raise ValueError(f"{missing[0]} is not set. Expected all of {', '.join(VARIABLES)}, or none.")
    jax = _jax()
    if not missing and int(os.environ[PROCESSES]) > 1 and not jax.distributed.is_initialized():
        keras.distribution.initialize()
    return _of_jax()


def of_leader(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Return what process 0 has of something that every process has computed, to the last digit."""
    if share_here().processes == 1:
        return weights
    return [np.asarray(array) for array in _jax().experimental.multihost_utils.broadcast_one_to_all(weights)]


def accelerator() -> str:
    """What Keras computes on beside the processor: `"GPU"`, `"TPU"` or nothing."""
    kinds = {device.lower().split(":")[0] for device in keras.distribution.list_devices()}
    return "GPU" if kinds & {"gpu", "cuda"} else "TPU" if "tpu" in kinds else ""


def device_sentence() -> str:
    """Return what Keras computes with and on: "TensorFlow 2.21.0 on 2 CPU cores", "JAX 0.5.0 on 2 x NVIDIA H200"."""
    backend = keras.backend.backend()
    if backend == "jax":
        names = [device.device_kind for device in _jax().devices() if device.platform != "cpu"]
    else:
        gpus = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
        names = [gpu.get("device_name", "GPU") for gpu in gpus]
    devices = f"{len(names)} x {names[0]}".removeprefix("1 x ") if names else f"{os.cpu_count()} CPU cores"
    name = {"tensorflow": "TensorFlow", "jax": "JAX"}.get(backend, backend)
    return f"{name} {version(backend)} on {devices}"


def wait_for_all(point: str) -> None:
    """Wait until every process that has joined has come to a point of this name."""
    if share_here().processes > 1:
        _jax().experimental.multihost_utils.sync_global_devices(point)


def leave() -> None:
    """Part from the other processes for good, so that none waits for another's end."""
    if keras.backend.backend() == "jax" and _jax().distributed.is_initialized():
        _jax().distributed.shutdown()


def _jax() -> ModuleType:
    import jax.experimental.multihost_utils

    return jax


def _of_jax() -> Share:
    jax = _jax()
    if jax.local_device_count() * jax.process_count() != jax.device_count():
        raise ValueError(
            f"This process has {jax.local_device_count()} of {jax.device_count()} devices of {jax.process_count()} "
            "processes. Expected equally many each: hide the others, with CUDA_VISIBLE_DEVICES say."
        )
    return Share(process=jax.process_index(), processes=jax.process_count(), devices=jax.device_count())
