"""Time of a training step against the floor that arithmetic sets, with and without XLA, in single and half precision.

    python benchmarks/train_step.py                       TensorFlow, or JAX where TensorFlow is not installed
    KERAS_BACKEND=jax python benchmarks/train_step.py     JAX; on a GPU or on a CPU, whichever the backend finds
    python benchmarks/train_step.py --model mobilenetv3large --precision float32 --xla off on --batch 256

marinecv need not be installed: PYTHONPATH with the clone is enough, and under JAX so are jax, keras and pandas. On a
GPU resnet50 and half precision with float16 are measured too. Under JAX everything goes through XLA; `--xla off` runs
it operation by operation, which no one would want. Each setting is a process of its own, one_step.py: one that
crashes, or runs out of memory or time, is a row with the reason as its note.

    model, image_size, batch   four_conv is the report's CNN; of the others the last layers learn, as `learns` says
    step_ms                    forward, backward and optimizer, on one batch that stays on the device
    first_step_s               the first step, with tracing and compiling
    forward_ms                 the forward pass alone, as prediction makes it
    images_per_second          of such steps
    gflop_per_step             arithmetic of a step, two a multiply-add: see `flop` in one_step.py
    peak_gflops                a second, of a large matrix product in the same precision, backend and process
    floor_ms, share_of_peak    gflop_per_step / peak_gflops, and that over step_ms; forward_share_of_peak likewise
    fed_images_per_second      of `fit`, with the input: see `batches` there
    fed_to_resident            that over images_per_second: near 1 where the input keeps up; Keras' own loop is in it,
                               on a GPU the way to the card, on a CPU the cores that the input takes from the step

Figures are medians of some rounds, the matrix product the best of them: it is a ceiling. The floor knows of no memory
traffic, and counts neither normalization nor activations, pooling and optimizer. Single precision on a recent NVIDIA
card may be TensorFloat-32, for the product as for the steps, as the backend chooses. The weights are random, and the
images noise: neither changes what a step costs. Quiet the machine first.

The table goes to benchmarks/results/train_step.csv, anew after each setting; rows of other settings, backends and
devices stay.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import pandas as pd
from machine import machine

from marinecv.files.csv_tables import read_table, write_table

CHILD = Path(__file__).parent / "one_step.py"
RESULTS = Path(__file__).parent / "results" / "train_step.csv"
KEY = ["device", "backend", "model", "image_size", "batch", "xla", "precision"]
COLUMNS = ["model", "image_size", "batch", "learns", "backend", "xla", "precision", "step_ms", "first_step_s"]
COLUMNS += ["forward_ms", "images_per_second", "gflop_per_step", "peak_gflops", "floor_ms", "share_of_peak"]
COLUMNS += ["forward_share_of_peak", "fed_images_per_second", "fed_to_resident", "note", "device", "machine"]
MODELS = {"four_conv": 64, "mobilenetv3large": 224, "resnet50": 224}  # and the size of their images
PRECISIONS = ["float32", "mixed_bfloat16", "mixed_float16"]
BATCH, TRAINABLE_LAYERS = 32, 20
SHOWN = ["step_ms", "floor_ms", "fed_to_resident", "note"]
MARK = "result: "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), help="these alone")
    parser.add_argument("--xla", nargs="+", choices=["off", "on"], help="these alone")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, help="these alone")
    parser.add_argument("--batch", type=int, nargs="+", default=[BATCH])
    parser.add_argument("--image-size", type=int, help="instead of the recipe's")
    parser.add_argument("--limit-s", type=int, default=600, help="seconds after which a setting is given up")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    installed = "tensorflow" if importlib.util.find_spec("tensorflow") else "jax"
    backend = os.environ.setdefault("KERAS_BACKEND", installed)
    found = in_child({}, args.limit_s)
    if found["note"]:
        sys.exit(f"The backend {backend} does not start: {found['note']}. Expected KERAS_BACKEND=tensorflow or jax.")
    device, on_gpu = found["device"], found["on_gpu"]
    models = args.model or (list(MODELS) if on_gpu else ["four_conv", "mobilenetv3large"])
    precisions = args.precision or PRECISIONS[: 3 if on_gpu else 2]
    print(f"{backend}, {machine()}", flush=True)
    for model, batch, precision, xla in product(
        models, args.batch, precisions, args.xla or (["on"] if backend == "jax" else ["off", "on"])
    ):
        job = {"model": model, "image_size": args.image_size or MODELS[model], "batch": batch}
        job |= {"learns": "all" if model == "four_conv" else f"last {TRAINABLE_LAYERS}"}
        job |= {"trainable_layers": TRAINABLE_LAYERS, "backend": backend, "xla": xla, "precision": precision}
        start = time.perf_counter()
        row = job | in_child(job, args.limit_s) | {"device": device, "machine": machine()}
        figures = ", ".join(f"{name} {row[name]}" for name in SHOWN if row.get(name))
        print(f"{model} {batch} {precision} xla {xla}: {figures}, {time.perf_counter() - start:.0f} s", flush=True)
        save(args.output, row)


def in_child(job: dict, limit_s: int) -> dict:
    """What a process of its own finds out, with an empty `note`; or the reason why it did not, as `note`."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        try:
            command = [sys.executable, str(CHILD), json.dumps(job)]
            ended = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            return {"note": f"not done after {limit_s} s"}
        errors.seek(0)
        said = [line for line in errors.read().splitlines() if line.strip()]
    answers = [line.removeprefix(MARK) for line in ended.stdout.splitlines() if line.startswith(MARK)]
    if ended.returncode < 0:
        return {"note": f"killed by signal {-ended.returncode}"}
    if ended.returncode or not answers:
        whys = [line for line in said if "Error" in line or "RESOURCE_EXHAUSTED" in line] or said
        return {"note": " ".join(whys[-1:])[:200] or f"ended with {ended.returncode}"}
    return json.loads(answers[-1]) | {"note": ""}


def save(output: Path, row: dict) -> None:
    """Put a row into the table, in place of the one of the same setting."""
    table = pd.DataFrame([{name: row.get(name) for name in COLUMNS}]).astype(object)
    table = table.where(table.notna(), "").astype(str)
    if output.is_file():
        table = pd.concat([read_table(output), table], ignore_index=True).drop_duplicates(KEY, keep="last")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_table(output, table)


if __name__ == "__main__":
    main()
