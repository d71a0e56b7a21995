"""Wall time and memory of `predict_table` in a loop over fresh pixels, before and after datasets freed what they hold.

    python benchmarks/predict_loop.py                   20 calls with 28 MiB of pixels each, three processes a variant
    python benchmarks/predict_loop.py --calls 50        also --images, --image-size, --repeats

"before" is the code that was: the function that TensorFlow calls for each batch referred to the pixels themselves, and
TensorFlow frees no such function. "after" is the code that is. Both run in processes of their own, in turn, and predict
with the same small network; the first call, which traces, is left out. A row a variant: the median seconds of a call,
by how much the resident memory of the process grew from the second call to the last, and both as ratios to "before".
The table goes to benchmarks/results/predict_loop.csv. Needs Linux.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine
from memory import now_mib

import marinecv as mcv
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "predict_loop.csv"
VARIANTS = ("before", "after")
CLASSES = ("crab", "eel", "ray")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--images", type=int, default=2400)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    seen = {variant: [] for variant in VARIANTS}
    for _ in range(args.repeats):
        for variant in VARIANTS:
            words = [variant, str(args.calls), str(args.images), str(args.image_size)]
            child = subprocess.run([sys.executable, __file__, "--child", *words], capture_output=True, check=True)
            seen[variant].append(json.loads(child.stdout.splitlines()[-1]))
    rows = [
        {
            "variant": variant,
            "call_s": round(statistics.median(run["call_s"] for run in runs), 4),
            "growth_mib": int(statistics.median(run["growth_mib"] for run in runs)),
        }
        for variant, runs in seen.items()
    ]
    table = pd.DataFrame(rows)
    for column in ("call_s", "growth_mib"):
        table[f"{column}_to_before"] = (table[column] / table[column].iloc[0]).round(3)
    print(table.to_string(index=False))
    mib = args.images * args.image_size**2 * 3 / 2**20
    about = {"calls": args.calls, "pixels_mib": round(mib, 1), "repeats": args.repeats, "machine": machine()}
    write_table(args.output, table.assign(**about))


def child(variant: str, calls: int, images: int, side: int) -> None:
    """Predict so often, and print what it took."""
    import keras
    import tensorflow as tf

    from marinecv.inputs import pipeline

    def gather(pixels, places):
        chosen = tf.numpy_function(lambda places: pixels[places], [places], tf.uint8, stateful=False)
        return tf.ensure_shape(chosen, (None, *pixels.shape[1:]))

    if variant == "before":
        pipeline.gather = gather
    names = [f"{number}.jpg" for number in range(images)]
    catalog = pd.DataFrame({"image_id": names, "path": names, "split": "test", "problem": ""})
    catalog["class_name"] = [CLASSES[number % 3] for number in range(images)]
    spec = mcv.ImageSpec(height=side, width=side)
    network = [keras.Input(spec.shape), keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*network, keras.layers.Dense(len(CLASSES), activation="softmax")])
    seconds, resident = [], []
    for number in range(calls):
        pixels = np.random.default_rng(number).integers(0, 256, (images, *spec.shape), dtype=np.uint8)
        start = time.perf_counter()
        mcv.predict_table(model, catalog, spec, CLASSES, pixels=pixels)
        seconds.append(time.perf_counter() - start)
        del pixels
        resident += now_mib(("VmRSS",))
    print(json.dumps({"call_s": statistics.median(seconds[1:]), "growth_mib": resident[-1] - resident[1]}))


if __name__ == "__main__":
    child(sys.argv[2], *map(int, sys.argv[3:])) if sys.argv[1:2] == ["--child"] else main()
