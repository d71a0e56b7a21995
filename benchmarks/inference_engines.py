"""A feature extractor on several inference engines: images a second, and the difference of their outputs from Keras.

    python benchmarks/inference_engines.py                                    all engines that are installed
    python benchmarks/inference_engines.py --backbone mobilenet --size 448    also --trainable, --rounds

    keras           the extractor of `features.split_point.split_model`, in a `tf.function`
    fused           the same behind `models.fuse_batch_norm`: what the feature cache and ordinary training run
    litert          LiteRT with XNNPACK, two threads (`pip install ai-edge-litert`)
    onnx runtime    the CPU provider, two threads (`pip install onnxruntime tf2onnx`)

An engine of its own is worth an extra where it is 1.5 times as fast as what is there without. Batches of 64 random
images; the engines take turns, round after round. `ratio_to_keras` is the median of the ratios within each round,
`difference` the largest one between what an engine and Keras give, over the largest value, and `seconds_to_make` the
conversion with the first batch. Weights are ImageNet's where they are at hand (KERAS_HOME), else random. An engine that
fails has its error as `note`. The table goes to benchmarks/results/inference_engines.csv; rows of other networks stay.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from machine import machine

from marinecv.features.split_point import split_model
from marinecv.files.csv_tables import read_table, write_table
from marinecv.models.backbones import backbone_classifier, set_batch_norm_statistics, weights_file
from marinecv.models.fuse_batch_norm import fuse_batch_norm

RESULTS = Path(__file__).parent / "results" / "inference_engines.csv"
KEY = ["backbone", "image_size", "trainable", "engine"]
ALPHAS = {"mobilenet": 0.75, "mobilenetv2": 0.35}  # of the recipes
BATCH, THREADS = 64, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", nargs="+", default=["mobilenetv3large", "mobilenet", "mobilenetv2", "resnet50"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--trainable", type=int, default=20, help="last layers that are not in the front")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    for backbone in args.backbone:
        about = {"backbone": backbone, "image_size": args.size, "trainable": args.trainable}
        table = measure(front_of(backbone, args.size, args.trainable), args.size, args.rounds).assign(**about)
        print(table.to_string(index=False), flush=True)
        table = table.assign(machine=machine()).astype(object)
        table = table.where(table.notna(), "").astype(str)
        if RESULTS.is_file():
            table = pd.concat([read_table(RESULTS), table], ignore_index=True).drop_duplicates(KEY, keep="last")
        write_table(RESULTS, table)
        keras.backend.clear_session()


def front_of(backbone: str, size: int, trainable: int) -> keras.Model:
    """The front; random weights get statistics that let a signal through."""
    alpha = ALPHAS.get(backbone, 1.0)
    weights = "imagenet" if weights_file(backbone, alpha).is_file() else None
    settings = {"backbone": backbone, "alpha": alpha, "weights": weights, "trainable_layers": trainable}
    model = backbone_classifier((size, size, 3), 5, **settings)
    if weights is None:
        set_batch_norm_statistics(model, [images(size)[:16]])
    return split_model(model)[0]


def images(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3)).astype(np.float32)


def measure(extractor: keras.Model, size: int, rounds: int) -> pd.DataFrame:
    """A row an engine."""
    seen, engines, rows = images(size), {}, []
    for name, (package, make) in ENGINES.items():
        if not importlib.util.find_spec(package):
            print(f"{name} is not installed: left out")
            continue
        row, start = {"engine": name, "note": ""}, time.perf_counter()
        rows.append(row)
        try:
            run = make(extractor)
            given = run(seen)
        except Exception as error:  # whatever another library raises
            row["note"] = f"{type(error).__name__}: {error}"[:120]
            continue
        row["seconds_to_make"] = round(time.perf_counter() - start, 1)
        engines[name] = run
        if name == "keras":
            expected = given
        pairs = zip(sorted(given, key=np.shape), sorted(expected, key=np.shape), strict=True)
        difference = max(float(np.abs(mine - theirs).max() / np.abs(theirs).max()) for mine, theirs in pairs)
        row["difference"] = f"{difference:.1e}"
    seconds = {name: [] for name in engines}
    for _ in range(rounds):
        for name, run in engines.items():
            start = time.perf_counter()
            run(seen)
            seconds[name].append(time.perf_counter() - start)
    for row in (row for row in rows if row["engine"] in engines):
        mine = seconds[row["engine"]]
        row["images_per_second"] = round(BATCH / statistics.median(mine), 1)
        ratios = [theirs / own for own, theirs in zip(mine, seconds["keras"], strict=True)]
        row["ratio_to_keras"] = round(statistics.median(ratios), 2)
    return pd.DataFrame(rows)


def in_graph(extractor: keras.Model) -> Callable[[np.ndarray], list[np.ndarray]]:
    see = tf.function(lambda seen: keras.tree.flatten(extractor(seen, training=False)))
    return lambda seen: [tensor.numpy() for tensor in see(tf.constant(seen))]


def in_litert(extractor: keras.Model) -> Callable[[np.ndarray], list[np.ndarray]]:
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as place:
        extractor.export(f"{place}/front.tflite", format="litert", verbose=False)
        interpreter = Interpreter(model_content=Path(f"{place}/front.tflite").read_bytes(), num_threads=THREADS)
    into = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(into, (BATCH, *extractor.input_shape[1:]))
    interpreter.allocate_tensors()
    out = [tensor["index"] for tensor in interpreter.get_output_details()]

    def run(seen: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(into, seen)
        interpreter.invoke()
        return [interpreter.get_tensor(place) for place in out]

    return run


def in_onnx(extractor: keras.Model) -> Callable[[np.ndarray], list[np.ndarray]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    with tempfile.TemporaryDirectory() as place:
        extractor.export(f"{place}/front.onnx", format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(f"{place}/front.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda seen: session.run(None, {name: seen})


ENGINES = {  # what must be installed, and what makes a function from a batch to the tensors of the frontier
    "keras": ("keras", in_graph),
    "fused": ("keras", lambda extractor: in_graph(fuse_batch_norm(extractor))),
    "litert": ("ai_edge_litert", in_litert),
    "onnx runtime": ("onnxruntime", in_onnx),
}

if __name__ == "__main__":
    main()
