"""Images a second of the input pipeline, beside what it replaces and beside what cannot be avoided.

    python benchmarks/inputs.py                        the aquarium images if they are at hand, else the drawn reef
    python benchmarks/inputs.py --data-dir FOLDER      your own images; also --data, --limit, --image-size, --rounds

Seven things are timed in turn, round after round, so that whatever else the machine does meets them all alike:

    decode alone          read and `tf.io.decode_jpeg` in a parallel map, tracing included: the floor
    first epoch           `load_pixels`, then the first pass over `make_dataset(training=True)`, tracing included
    later epochs          any further pass, without augmentation
    augmented epochs      any further pass, with the small moves of the recipes
    naive                 decode, pad to a float canvas of 1024, resize: as the report does, each epoch anew
    keras folder          `keras.utils.image_dataset_from_directory(pad_to_aspect_ratio=True)`, each epoch anew
    decode and fit        `decode` and `fit_image` in a parallel map, without keeping anything: what the cache saves

Figures are medians over the rounds; a ratio is the median of the ratios within each round. Compare ratios: images a
second belong to the machine and to the moment. Quiet the machine first. The table goes to
benchmarks/results/inputs.csv.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pandas as pd
import tensorflow as tf
from machine import machine

import marinecv as mcv
from marinecv.data.cache_dir import cache_path
from marinecv.data.catalog import limit_catalog
from marinecv.data.materialize import materialize
from marinecv.data.user_tables import usable
from marinecv.files.csv_tables import write_table
from marinecv.inputs.decode import decode
from marinecv.inputs.pixel_cache import loader_of
from marinecv.recipes.aquarium import SMALL_AUGMENTATION

BATCH = 32
CANVAS_PX = 1024
PASSES = 5  # of what is over in a blink
FLOOR, NAIVE = "decode alone", "naive"
RESULTS = Path(__file__).parent / "results" / "inputs.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="name of a bundled data set")
    parser.add_argument("--data-dir", type=Path, help="folder of images, in any layout")
    parser.add_argument("--limit", type=int, help="at most so many images a split")
    parser.add_argument("--image-size", type=int, nargs="+", default=[64, 224])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    if not (args.data or args.data_dir):
        args.data = "aquarium" if cache_path("data", "aquarium").exists() else "reef"

    manifest = mcv.find_data(args.data, args.data_dir)
    catalog = usable(mcv.read_catalog(manifest))
    catalog = catalog[catalog["path"].str.lower().str.endswith((".jpg", ".jpeg"))]  # the floor decodes JPEG
    if args.limit:
        catalog = limit_catalog(catalog, args.limit, seed=0)
    print(f"{len(catalog)} images of {manifest.name}, {args.rounds} rounds, {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        materialize(catalog.assign(split="all"), folder)
        rows = [row for size in args.image_size for row in measure(catalog, size, f"{folder}/all", args.rounds)]
    table = pd.DataFrame(rows).assign(n=len(catalog), rounds=args.rounds, data=manifest.name, machine=machine())
    print(table.drop(columns=["n", "rounds", "data", "machine"]).to_string(index=False))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_table(args.output, table)


def measure(catalog: pd.DataFrame, size: int, folder: str, rounds: int) -> list[dict]:
    """Time everything at one size; one row a thing."""
    things = contenders(catalog, size, folder)
    for run, _ in things.values():  # traced, the files read once, AUTOTUNE settled
        run()
    speeds = {what: [] for what in things}
    for _ in range(rounds):
        for what, (run, passes) in things.items():
            start = time.perf_counter()
            in_memory = [run() for _ in range(passes)]
            speeds[what].append(passes * len(catalog) / (time.perf_counter() - start))
            del in_memory

    def ratio(what: str, to: str) -> float:
        return round(statistics.median(a / b for a, b in zip(speeds[what], speeds[to], strict=True)), 2)

    return [
        {
            "what": what,
            "image_size": size,
            "images_per_second": round(statistics.median(speeds[what])),
            "ratio_to_decode": ratio(what, FLOOR),
            "ratio_to_naive": ratio(what, NAIVE),
        }
        for what in things
    ]


def contenders(catalog: pd.DataFrame, size: int, folder: str) -> dict:
    """What is timed: name -> (a function that makes one epoch, epochs to time at once)."""
    spec = mcv.ImageSpec(height=size, width=size, letterbox_px=CANVAS_PX)
    class_names = tuple(sorted(catalog["class_name"].unique()))

    def load():
        loader_of.cache_clear()  # traced anew, as in a process of its own
        return mcv.load_pixels(catalog, spec, memory_budget_bytes=2**40)[0]  # decoded each time, never kept

    pixels = load()

    def batches(augmentation=None, pixels=pixels):
        return mcv.make_dataset(
            catalog, spec, class_names, training=True, batch_size=BATCH, augmentation=augmentation, pixels=pixels
        )

    def first_epoch():
        return consume(batches(pixels=load()))

    def jpeg(path):
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")

    def decode_alone():  # hands one pixel on: no copy
        return consume(map_paths(lambda path: jpeg(path)[0, 0]))

    def naive(path):
        pixels = tf.cast(jpeg(path), tf.float32)
        return tf.image.resize(tf.image.resize_with_crop_or_pad(pixels, CANVAS_PX, CANVAS_PX), (size, size))

    paths = tf.data.Dataset.from_tensor_slices(catalog["path"].tolist())

    def map_paths(function):
        return paths.map(function, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    plain, augmented = batches(), batches(SMALL_AUGMENTATION)
    fitted = map_paths(lambda path: fitted(decode(tf.io.read_file(path)), spec))
    slow = map_paths(naive)
    of_keras = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=BATCH, shuffle=False, pad_to_aspect_ratio=True, verbose=False
    )
    return {
        FLOOR: (decode_alone, 1),
        "first epoch": (first_epoch, 1),
        "later epochs": (lambda: consume(plain), PASSES),
        "augmented epochs": (lambda: consume(augmented), PASSES),
        NAIVE: (lambda: consume(slow), 1),
        "keras folder": (lambda: consume(of_keras), 1),
        "decode and fit": (lambda: consume(fitted), 1),
    }


def consume(dataset: tf.data.Dataset) -> Iterator:
    """Make one pass, as `fit` does: batch by batch.

    The spent iterator is given back, so that its end is not timed: under AUTOTUNE that waits for a tick of a clock.
    """
    batches = iter(dataset)
    for _ in batches:
        pass
    return batches


if __name__ == "__main__":
    main()
