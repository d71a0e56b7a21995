"""The child of train_step.py: one setting, measured on the backend that KERAS_BACKEND names.

    python benchmarks/one_step.py JOB      JOB is the setting as JSON, or `{}` to learn what device there is

It prints one line of JSON behind `MARK`. Nothing here needs TensorFlow where the backend is JAX.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
from machine import processor
from train_step import MARK

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.training.build import build_model, compile_model
from marinecv.training.model_config import BackboneModel, ScratchModel
from marinecv.training.recipe import DataConfig, Recipe, Training

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
if ON_TENSORFLOW:
    import pandas as pd
    import tensorflow as tf

    from marinecv.inputs.pipeline import make_dataset
else:
    import jax

CLASSES, IMAGES = 6, 1024
SMALL_MOVES = Augmentation(flip=0.5, rotation_deg=10, zoom=0.1, crop=0.1)  # of the recipes
ROUNDS = 3
ROUND_SECONDS, MOST_STEPS = 1.0, 500  # a round takes about so long, or one step, or so many


def main() -> None:
    job = json.loads(sys.argv[1])
    answer = measure(job) if job else {"device": device(), "on_gpu": on_gpu()}
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)


def measure(job: dict) -> dict:
    """Time a setting: the figures of its row."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(job["precision"])
    size, batch = job["image_size"], job["batch"]
    recipe = recipe_of(job)
    model = build_model(recipe, CLASSES)
    compile_model(model, recipe.training)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (max(1, IMAGES // batch) * batch, size, size, 3), np.uint8)  # whole batches
    labels = rng.integers(0, CLASSES, len(pixels))
    feed = batches(recipe, pixels, labels)

    start = time.perf_counter()
    model.fit(feed, epochs=1, steps_per_epoch=1, verbose=0)
    first_step_s = time.perf_counter() - start
    resident = on_device(next(iter(feed)))
    step_s = statistics.median(seconds_each(steps(model, resident)))
    forward_s = statistics.median(seconds_each(forwards(model, resident[0], job["xla"] == "on")))
    number = steps_a_round(step_s)
    clock = Clock()
    model.fit(feed, epochs=1 + ROUNDS, steps_per_epoch=number, verbose=0, callbacks=[clock])
    fed_s = statistics.median(clock.seconds[1:]) / number
    peak = peak_gflops(job["precision"])
    forward_gflop, step_gflop = (batch * each / 1e9 for each in flop(model))
    return {
        "step_ms": round(1e3 * step_s, 3),
        "first_step_s": round(first_step_s, 1),
        "forward_ms": round(1e3 * forward_s, 3),
        "images_per_second": round(batch / step_s, 1),
        "gflop_per_step": round(step_gflop, 2),
        "peak_gflops": round(peak),
        "floor_ms": round(1e3 * step_gflop / peak, 3),
        "share_of_peak": round(step_gflop / peak / step_s, 4),
        "forward_share_of_peak": round(forward_gflop / peak / forward_s, 4),
        "fed_images_per_second": round(batch / fed_s, 1),
        "fed_to_resident": round(step_s / fed_s, 2),
    }


def recipe_of(job: dict) -> Recipe:
    """The recipe of a setting, as `pretrain` and `finetune` have it, but with random weights."""
    backbone = {"backbone": job["model"], "trainable_layers": job["trainable_layers"], "weights": "none"}
    if job["model"] == "mobilenetv3large":
        backbone["normalization"] = "standardize"
    training = {"batch_size": job["batch"], "jit_compile": job["xla"], "augmentation": SMALL_MOVES}
    return Recipe(
        name=job["model"],
        title="",
        data=DataConfig(name="drawn"),
        image=ImageSpec(height=job["image_size"], width=job["image_size"]),
        model=ScratchModel() if job["model"] == "four_conv" else BackboneModel(**backbone),
        training=Training(learning_rate=1e-4, **training),
    )


def batches(recipe: Recipe, pixels: np.ndarray, labels: np.ndarray):
    """What training is fed with, without end.

    Under TensorFlow our pipeline over pixels in memory: gathered by a drawn order, moved at random, as float32. Under
    JAX, where there is no `tf.data`, the same pixels gathered by a drawn order and handed over as bytes.
    """
    if ON_TENSORFLOW:
        names = tuple(f"class {number}" for number in range(CLASSES))
        catalog = pd.DataFrame({"path": "", "class_name": [names[label] for label in labels], "problem": ""})
        training = recipe.training
        options = {"training": True, "batch_size": training.batch_size, "augmentation": training.augmentation}
        return make_dataset(catalog, recipe.image, names, pixels=pixels, **options).repeat()

    one_hot, rng = np.eye(CLASSES, dtype=np.float32)[labels], np.random.default_rng(0)

    def drawn() -> Iterator[tuple]:
        while True:
            for rows in rng.permutation(len(labels)).reshape(-1, recipe.training.batch_size):
                yield pixels[rows], one_hot[rows]

    return drawn()


def on_device(batch: tuple) -> tuple:
    """A batch that lies where the model is."""
    if ON_TENSORFLOW:
        with tf.device("/GPU:0" if on_gpu() else "/CPU:0"):
            return tuple(tf.identity(part) for part in batch)
    return jax.block_until_ready(jax.device_put(batch))


def steps(model: keras.Model, batch: tuple) -> Callable[[int], None]:
    """A function that takes some steps, with what `fit` has compiled, and waits for the last."""
    if ON_TENSORFLOW:

        def run(number: int) -> None:
            for _ in range(number):
                logs = model.train_function(iter([batch]))
            float(logs["loss"])

        return run
    parts = (model.trainable_variables, model.non_trainable_variables)
    parts += (model.optimizer.variables, model.metrics_variables)

    def run_jax(number: int) -> None:
        state = tuple([variable.value for variable in part] for part in parts)
        for _ in range(number):
            _, state = model.train_function(state, iter([batch]))
        jax.block_until_ready(state)
        for part, values in zip(parts, state, strict=True):  # what was there is spent
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)

    return run_jax


def forwards(model: keras.Model, images, xla: bool) -> Callable[[int], None]:
    """A function that predicts the batch some times and waits for the last."""
    if ON_TENSORFLOW:
        forward = tf.function(lambda x: model(x, training=False), jit_compile=xla)
        return lambda number: [forward(images) for _ in range(number)][-1].numpy()

    def forward(learned, fixed, x):
        return model.stateless_call(learned, fixed, x, training=False)[0]

    forward = jax.jit(forward) if xla else forward
    parts = (model.trainable_variables, model.non_trainable_variables)
    state = [[variable.value for variable in part] for part in parts]

    def run(number: int) -> None:
        for _ in range(number):
            out = forward(*state, images)
            if jax.default_backend() == "cpu":
                out.block_until_ready()  # a CPU would begin the next beside it
        out.block_until_ready()

    return run


def peak_gflops(precision: str) -> float:
    """Arithmetic a second of a large matrix product, the best of some rounds."""
    side = 8192 if on_gpu() else 2048
    kind = precision.removeprefix("mixed_")
    made = np.random.default_rng(0).standard_normal((side, side), np.float32)
    axis = made[0] / np.linalg.norm(made[0])
    reflection = np.eye(side, dtype=np.float32) - 2 * np.outer(axis, axis)  # however often: numbers keep their size
    left, right = (keras.ops.cast(each, kind) for each in (made, reflection))
    multiply = tf.function(tf.matmul) if ON_TENSORFLOW else jax.jit(jax.numpy.matmul)

    def run(number: int) -> None:
        x = left
        for _ in range(number):
            x = multiply(x, right)
        float(x[0, 0])

    return 2 * side**3 / 1e9 / min(seconds_each(run))


def seconds_each(run: Callable[[int], None]) -> list[float]:
    """Seconds of one of what `run(number)` does, in each round."""
    run(1)  # compiled
    start = time.perf_counter()
    run(1)
    number = steps_a_round(time.perf_counter() - start)
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run(number)
        rounds.append((time.perf_counter() - start) / number)
    return rounds


def steps_a_round(seconds: float) -> int:
    """How many of what takes so long make a round."""
    return max(1, min(MOST_STEPS, int(ROUND_SECONDS / seconds)))


class Clock(keras.callbacks.Callback):
    """Keeps the seconds of each epoch, to the end of its last step."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):  # the logs are numbers by now: all is computed
        self.seconds.append(time.perf_counter() - self.start)


def flop(model: keras.Model) -> tuple[int, int]:
    """Arithmetic of an image, `(forward, step)`: convolutions and dense layers, two a multiply-add.

    Backward costs once the forward pass for the gradient of a kernel, where it learns, and once more for that of the
    input, where something before it learns.
    """
    counted = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    forward, step, moving = 0, 0, set()  # the tensors that change as the model learns
    for operation in model.operations:
        is_layer = isinstance(operation, keras.layers.Layer)
        learns = is_layer and bool(operation.trainable_weights)
        behind = any(id(tensor) in moving for tensor in keras.tree.flatten(operation.input))
        if learns or behind:
            moving |= {id(tensor) for tensor in keras.tree.flatten(operation.output)}
        if isinstance(operation, counted):
            once = 2 * int(np.prod(operation.kernel.shape)) * int(np.prod(operation.output.shape[1:-1]))
            forward, step = forward + once, step + once * (1 + learns + behind)
        elif is_layer and any(len(weight.shape) > 1 for weight in operation.weights):
            raise ValueError(f"The arithmetic of {operation.name} is not counted: {type(operation).__name__}.")
    return forward, step


def on_gpu() -> bool:
    """Whether the backend has found an accelerator."""
    return bool(cards())


def device() -> str:
    """Name of the accelerator; without one cores and processor."""
    return cards()[0] if on_gpu() else f"{os.cpu_count()} cores, {processor()}"


def cards() -> list[str]:
    """Names of the accelerators that the backend has found."""
    if ON_TENSORFLOW:
        details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
        return [each.get("device_name", "GPU") for each in details]
    return [each.device_kind for each in jax.devices() if each.platform != "cpu"]


if __name__ == "__main__":
    main()
