"""How start, memory and speed of the input grow from a thousand images to a million, as loose files and as a pack.

    python benchmarks/growth.py                          1,000 to 1,000,000 rows
    python benchmarks/growth.py --rows 1000 10000        fewer

A thousand small JPEGs are drawn, and each row is one of them: as loose files by a hard link (a copy where links are not
to be had) in class folders, in a pack by a record of its own. Packs are written by `pack` itself, only that the rows
are told instead of read from files and decoded.

Each line is a fresh process. `catalog_seconds`, `split_seconds` and `first_batch_seconds`, from the imported library to
the first training batch with the augmentation of `pretrain`; `start_up_seconds` is their sum, `cpu_seconds` what the
processors worked for it, over all threads. Then the training batches are counted for some seconds, without a model:
`images_per_second`. `resident_mib` and `private_mib` are what the process then has above one that has imported
TensorFlow and run one tiny data set, `peak_mib` what it had at most. Pixels are `streamed`, decoded as they are asked
for, or `kept` as an array, which loose files always are: all are decoded before the first batch. `command` is all of
`pretrain`, from its first line to the first batch, with what it writes and says; it chooses by itself. Where a cell is
left out, `reason` says why. The table goes to benchmarks/results/growth.csv. Needs Linux and 20 GB of disk.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
from machine import machine
from memory import now_mib
from PIL import Image

import marinecv as mcv
from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers import folders
from marinecv.data.shards.write import pack
from marinecv.data.user_tables import usable
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "growth.csv"
DISTINCT, CLASSES, SIZE = 1000, 10, (128, 96)
SECONDS = 5  # of counting batches
KEPT_ROWS = {64: 100_000, 224: 10_000}  # as many as are decoded beforehand here
CASES = [("loose", "kept", 64), ("loose", "kept", 224), ("pack", "kept", 64), ("pack", "kept", 224)]
CASES += [("pack", "streamed", 64), ("pack", "streamed", 224), ("pack", "command", 64)]
TOO_MANY = "all would be decoded before the first batch: too long for this benchmark"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as place:
        drawn = draw(Path(place) / "drawn")
        for rows in args.rows:
            made = {"loose": Path(place) / "loose", "pack": Path(place) / "pack"}
            link(drawn, made["loose"], rows)
            write_pack(drawn, made["pack"], rows)
            for form, pixels, size in CASES:
                line = {"rows": rows, "form": form, "pixels": pixels, "image_size": size}
                if pixels == "kept" and rows > KEPT_ROWS[size] and size == 224:
                    lines.append(line | {"reason": TOO_MANY})  # its catalog is that of 64 pixels
                    continue
                store = Path(place) / "store"
                words = [sys.executable, __file__, "--child", pixels, str(size), str(made[form])]
                env = os.environ | {"MARINECV_HOME": str(store)}
                out = subprocess.run(words, env=env, stdout=subprocess.PIPE, check=True).stdout
                lines.append(line | json.loads(out))
                print(", ".join(f"{name} {value}" for name, value in lines[-1].items()), flush=True)
                for left in (store, store.parent / "run"):
                    shutil.rmtree(left, ignore_errors=True)
            for folder in made.values():
                shutil.rmtree(folder)
    write_table(args.output, pd.DataFrame(lines).assign(machine=machine()))


def draw(folder: Path) -> list[Path]:
    """Small JPEGs, each another."""
    rng, paths = np.random.default_rng(0), []
    folder.mkdir()
    for number in range(DISTINCT):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        paths.append(folder / f"{number:04d}.jpg")
        Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def image_id(number: int) -> str:
    return f"class{number % CLASSES}/{number:07d}.jpg"


def link(drawn: list[Path], folder: Path, rows: int) -> None:
    """Class folders of loose files."""
    for number in range(CLASSES):
        (folder / f"class{number}").mkdir(parents=True)
    for number in range(rows):
        try:
            os.link(drawn[number % DISTINCT], folder / image_id(number))
        except OSError:
            shutil.copy2(drawn[number % DISTINCT], folder / image_id(number))


def write_pack(drawn: list[Path], folder: Path, rows: int) -> None:
    """A pack of the same images."""
    data = {str(path): path.read_bytes() for path in drawn}
    known = list(data)
    images = pd.DataFrame(
        {
            "image_id": [image_id(number) for number in range(rows)],
            "path": [known[number % DISTINCT] for number in range(rows)],
            "split": "",
            "class_name": [f"class{number % CLASSES}" for number in range(rows)],
            "group": "",
            "width": SIZE[0],
            "height": SIZE[1],
            "problem": "",
        }
    )
    folders.READER = replace(folders.READER, read=lambda manifest: (images, pd.DataFrame(columns=BOX_COLUMNS)))
    manifest = mcv.Manifest(name="growth", layout="folders", root=drawn[0].parent)
    pack(manifest, folder, lambda paths: ((data[path], False, "") for path in paths), log=lambda line: None)


def child(pixels_are: str, size: int, folder: Path) -> dict:
    """Measure one line."""
    import tensorflow as tf

    from marinecv.inputs import pixel_cache as room
    from marinecv.inputs.spec import ImageSpec
    from marinecv.recipes.aquarium import SMALL_AUGMENTATION

    list(tf.data.Dataset.range(4).map(lambda number: number + 1).batch(2).as_numpy_iterator())
    before, worked, marks = now_mib(), time.process_time(), [time.perf_counter()]

    def lap() -> float:
        marks.append(time.perf_counter())
        return round(marks[-1] - marks[-2], 2)

    manifest = manifest_of_folder(folder)
    catalog = mcv.read_catalog(manifest)
    line = {"catalog_seconds": lap()}
    catalog = mcv.split_catalog(catalog, "stratified")
    line["split_seconds"] = lap()
    if pixels_are == "kept" and len(catalog) > KEPT_ROWS[size]:
        return line | {"reason": TOO_MANY}
    spec = ImageSpec(height=size, width=size)
    room.DISK_BUDGET_BYTES = 2**40
    room.STREAMED_BYTES = 0 if pixels_are == "streamed" else 2**40
    pixels, catalog = room.load_pixels(catalog, spec, memory_budget_bytes=0)
    rows, part = room.split_of(usable(catalog), pixels, "train")
    names = mcv.class_names_of(catalog, manifest)
    batches = mcv.make_dataset(rows, spec, names, training=True, augmentation=SMALL_AUGMENTATION, pixels=part)
    batches = iter(batches.repeat())
    next(batches)
    line["first_batch_seconds"] = lap()
    line |= {"start_up_seconds": round(marks[-1] - marks[0], 2), "cpu_seconds": round(time.process_time() - worked, 2)}
    seen = 0
    while time.perf_counter() - marks[-1] < SECONDS:
        seen += len(next(batches)[1])
    return line | {"images_per_second": round(seen / lap())} | memory_above(before)


def command(size: int, folder: Path, run: Path) -> dict:
    """Measure the command up to its first batch, where it is stopped."""
    import keras
    import tensorflow as tf
    from marinecv.pipelines.cli import main as command_line

    list(tf.data.Dataset.range(4).map(lambda number: number + 1).batch(2).as_numpy_iterator())
    before, worked, started = now_mib(), time.process_time(), time.perf_counter()
    seconds = []

    def stop(self, batches, **options):
        next(iter(batches))
        seconds.extend((time.perf_counter() - started, time.process_time() - worked))
        raise KeyboardInterrupt

    keras.Model.fit = stop
    words = ["--data-dir", str(folder), "--split-by", "stratified", "--image-size", str(size), "--output-dir", str(run)]
    with contextlib.redirect_stdout(sys.stderr):
        command_line(["pretrain", *words])
    start_up, cpu = (round(value, 2) for value in seconds)
    return {"start_up_seconds": start_up, "cpu_seconds": cpu} | memory_above(before)


def memory_above(before: tuple[int, int]) -> dict:
    """What this process has, and had at most, above what it had before."""
    resident, private = (now - then for now, then in zip(now_mib(), before, strict=True))
    [peak] = now_mib(("VmHWM",))
    return {"resident_mib": resident, "private_mib": private, "peak_mib": peak - before[0], "reason": ""}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        pixels, size, folder = sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
        run = folder.parent / "run"
        print(json.dumps(command(size, folder, run) if pixels == "command" else child(pixels, size, folder)))
    else:
        main()
