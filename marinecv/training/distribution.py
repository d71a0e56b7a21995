"""Train one model on several devices, of this machine (mirrored) or of several machines (data-parallel)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

from marinecv.inputs.pipeline import ALL_ROWS, DeviceShard

BACKENDS = {"mirrored": "tensorflow", "data-parallel": "jax"}
"""How to distribute -> the Keras backend for it."""
PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
ENVIRONMENT_VARIABLES = ("KERAS_DISTRIBUTION_JOB_ADDRESSES", PROCESSES, "KERAS_DISTRIBUTION_PROCESS_ID")


@contextmanager
def distributed(how: str | None) -> Iterator[DeviceShard]:
    """Train the models of the block on all devices: each gets a part of every batch, all have the same weights.

    `"mirrored"` uses the GPUs of this machine; `"data-parallel"`, on JAX, all devices of every process that has joined;
    None one device. Yields the share of this process. After the block load the saved model.
    """
    join(how)
    if how == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        with tf.distribute.MirroredStrategy([device.name for device in devices]).scope():
            yield shard_here()
    elif how == "data-parallel":
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        try:
            yield shard_here()
        finally:
            keras.distribution.set_distribution(None)
    else:
        yield ALL_ROWS


def shard_here() -> DeviceShard:
    """Return the share of this process within `distributed`, `ALL_ROWS` elsewhere."""
    if keras.backend.backend() == "tensorflow":
        return DeviceShard(devices=tf.distribute.get_strategy().num_replicas_in_sync)
    return ALL_ROWS if keras.distribution.distribution() is None else _jax_shard()


@contextmanager
def one_device(model: keras.Model) -> Iterator[keras.Model]:
    """Yield a model that this process can compute with alone: a copy, if there are several processes."""
    if shard_here().processes == 1:
        yield model
        return
    outer_distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        yield copy
    finally:
        keras.distribution.set_distribution(outer_distribution)


def join(how: str | None) -> DeviceShard:
    """Join the other processes of a training and return the share of this one; call it before any computation.

    Keras' environment variables name the processes: `KERAS_DISTRIBUTION_JOB_ADDRESSES`, address and port of the first;
    `KERAS_DISTRIBUTION_NUM_PROCESSES`; `KERAS_DISTRIBUTION_PROCESS_ID`. Without them there is one process.
    """
    if how and keras.backend.backend() != BACKENDS[how]:
        hint = f"Set KERAS_BACKEND={BACKENDS[how]} before Keras is imported. Received: {keras.backend.backend()}."
        raise ValueError(f"{how!r} runs on Keras' {BACKENDS[how]} backend. {hint}")
    if how != "data-parallel":
        return ALL_ROWS
    try:
        tf.config.set_visible_devices([], "GPU")  # it only reads images, and would take all memory of a GPU
    except RuntimeError as error:
        raise ValueError("TensorFlow uses a GPU already. Restart Python and call `distributed` first.") from error
    missing = [name for name in ENVIRONMENT_VARIABLES if name not in os.environ]
    if 0 < len(missing) < len(ENVIRONMENT_VARIABLES):
        raise ValueError(f"{missing[0]} is not set. Expected all of {', '.join(ENVIRONMENT_VARIABLES)}, or none.")
    jax = _jax()
    if not missing and int(os.environ[PROCESSES]) > 1 and not jax.distributed.is_initialized():
        keras.distribution.initialize()
    return _jax_shard()


def broadcast_from_leader(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Return the weights of process 0, so that all processes have the same to the last digit."""
    if shard_here().processes == 1:
        return weights
    return [np.asarray(array) for array in _jax().experimental.multihost_utils.broadcast_one_to_all(weights)]


def accelerator() -> str:
    """Return the accelerator of Keras: `"GPU"`, `"TPU"` or an empty string."""
    kinds = {device.lower().split(":")[0] for device in keras.distribution.list_devices()}
    return "GPU" if kinds & {"gpu", "cuda"} else "TPU" if "tpu" in kinds else ""


def device_sentence() -> str:
    """Return backend and devices: "TensorFlow 2.21.0 on 2 CPU cores", "JAX 0.5.0 on 2 x NVIDIA H200"."""
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
    """Wait until every process has reached the point of this name."""
    if shard_here().processes > 1:
        _jax().experimental.multihost_utils.sync_global_devices(point)


def leave() -> None:
    """Leave the other processes, so that none waits for the end of this one."""
    if keras.backend.backend() == "jax" and _jax().distributed.is_initialized():
        _jax().distributed.shutdown()


def _jax() -> ModuleType:
    import jax.experimental.multihost_utils

    return jax


def _jax_shard() -> DeviceShard:
    jax = _jax()
    if jax.local_device_count() * jax.process_count() != jax.device_count():
        counts = f"{jax.local_device_count()} of {jax.device_count()} devices of {jax.process_count()} processes"
        raise ValueError(f"This process has {counts}. Expected equally many each: set CUDA_VISIBLE_DEVICES.")
    return DeviceShard(process=jax.process_index(), processes=jax.process_count(), devices=jax.device_count())
