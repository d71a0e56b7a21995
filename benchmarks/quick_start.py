"""Seconds from the import of TensorFlow to the first step of a fine-tuning whose images and frozen layers are kept.

    python benchmarks/quick_start.py                      the drawn reef
    python benchmarks/quick_start.py --data-dir FOLDER    your own images; also --rounds

The command is `finetune --recipe aquarium_mobilenetv3large_p2 --cache-features 5`: the last 20 layers, 224 pixels. The
first time it decodes the images and computes the frozen layers; later it finds both in the store, as the next row of a
grid does and the next command. `seconds_more` is from the end of the import to the end of the first step. Goal, of what
is kept: 5. Weights are random, from a file. The table goes to benchmarks/results/quick_start.csv.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "quick_start.csv"
MARK = "\x1emark "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of images, in any layout")
    parser.add_argument("--rounds", type=int, default=3, help="after the first")
    args = parser.parse_args()
    import pandas as pd
    from finetune_epoch import random_weights
    from machine import machine

    from marinecv.data.demo.dataset import write_demo_images
    from marinecv.files.csv_tables import write_table

    rows = []
    with tempfile.TemporaryDirectory() as place:
        weights = f"{place}/random.weights.h5"
        random_weights({"weights": weights})
        words = ["finetune", "--recipe", "aquarium_mobilenetv3large_p2", "--weights", weights, "--cache-features", "5"]
        words += ["--epochs", "1"]
        words += ["--data-dir", str(args.data_dir or write_demo_images(Path(place) / "reef"))]
        environment = os.environ | {"MARINECV_HOME": f"{place}/home", "TF_CPP_MIN_LOG_LEVEL": "3"}
        for number in range(1 + args.rounds):
            command = [sys.executable, __file__, MARK, *words, "--output-dir", f"{place}/run{number}"]
            ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            said = json.loads(ended.stdout.rpartition(MARK)[2])
            rows.append({"kept": "yes" if number else "no", **said})
            print(rows[-1], flush=True)
    write_table(RESULTS, pd.DataFrame(rows).assign(machine=machine()))


def child(words: list[str]) -> None:
    """Run the command, and print how long the import of TensorFlow and the way to the first step took."""
    import time

    start = time.perf_counter()
    import keras
    import tensorflow  # noqa: F401

    imported = time.perf_counter()
    first = []

    class FirstStep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            first.append(time.perf_counter())

    whole = keras.Model.fit
    keras.Model.fit = lambda model, *args, callbacks=(), **options: whole(
        model, *args, callbacks=[FirstStep(), *callbacks], **options
    )
    from pipelines.cli import main as command

    if code := command(words):
        sys.exit(code)
    said = {"seconds_import": round(imported - start, 2), "seconds_more": round(first[0] - imported, 2)}
    print(MARK + json.dumps(said))


if __name__ == "__main__":
    child(sys.argv[2:]) if sys.argv[1:2] == [MARK] else main()
