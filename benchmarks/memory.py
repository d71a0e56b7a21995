"""Resident memory of a training run over many images: it must stay flat after the first epoch.

    python benchmarks/memory.py                         20,000 links to the drawn reef
    python benchmarks/memory.py --data-dir FOLDER       to your own images; also --images, --epochs, --image-size

The images are linked into class folders again and again under other names, so that every one is read and decoded at its
own size. Two runs: with the pixels in memory, and with the pixels in a mapped file of the store. A thread of the run
asks the system ten times a second; a row an epoch has the largest figures within it, in MiB: `resident` of the process,
and what of it is `private` (the rest are pages of files, which the system takes back when it needs them). Epoch 0 is
everything before training. The table goes to benchmarks/results/memory.csv. Needs Linux.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
from machine import machine

import marinecv as mcv
from marinecv.data.cache_dir import cache_path
from marinecv.data.demo.dataset import write_demo_images
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.user_tables import usable
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "memory.csv"
WHERE = ("in memory", "on disk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of images, in any layout")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        data = link_often(args.data_dir, Path(place) / "images", args.images)
        for where in WHERE:
            size, epochs = str(args.image_size), str(args.epochs)
            words = ["--data-dir", f"{place}/images", "--image-size", size, "--epochs", epochs]
            output = ["--split-by", "stratified", "--output-dir", f"{place}/{where}"]
            shown = subprocess.run(
                [sys.executable, __file__, "--child", where, "pretrain", *words, *output],
                env=os.environ | {"MARINECV_HOME": f"{place}/store"},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout
            peaks = [line.split()[1:] for line in shown.splitlines() if line.startswith("peak ")]
            rows += [
                {"pixels": where, "epoch": epoch, "resident_mib": int(resident), "private_mib": int(private)}
                for epoch, (resident, private) in enumerate(peaks)
            ]
    table = pd.DataFrame(rows)
    first = table[table["epoch"] == 1].set_index("pixels")
    for column in ("resident_mib", "private_mib"):
        ratio = table[column] / table["pixels"].map(first[column])
        table[column.replace("mib", "to_first_epoch")] = ratio.round(3)
    print(table.to_string(index=False))
    about = {"images": args.images, "image_size": args.image_size, "data": data, "machine": machine()}
    write_table(args.output, table.assign(**about))


def link_often(data_dir: Path | None, folder: Path, images: int) -> str:
    """Class folders with so many links to the images of a folder, else of the reef; returns the name of the data."""
    manifest = manifest_of_folder(data_dir or write_demo_images(cache_path("data", "reef")))
    catalog = usable(mcv.read_catalog(manifest))
    for name in catalog["class_name"].unique():
        (folder / name).mkdir(parents=True)
    rows = list(catalog[["class_name", "path"]].itertuples(index=False))
    for number in range(images):
        class_name, path = rows[number % len(rows)]
        (folder / class_name / f"{number:06d}{Path(path).suffix}").symlink_to(path)
    return manifest.name


class Watch:
    """The largest resident and private memory since it was last asked, in MiB."""

    def __init__(self):
        self.peaks = (0, 0)
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.peaks = tuple(map(max, self.peaks, now_mib()))
            time.sleep(0.1)

    def log(self) -> None:
        """Print the peaks and begin anew."""
        print("peak", *self.peaks, flush=True)
        self.peaks = now_mib()


def now_mib(names: tuple[str, ...] = ("VmRSS", "RssAnon")) -> tuple[int, ...]:
    """What the system says of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) // 1024 for name in names)


def child(where: str, words: list[str]) -> int:
    """The command in a process of its own, which says its peaks before training and after each epoch."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from marinecv import console as silent
    from pipelines.cli import main as command

    silent.import_tensorflow()
    from marinecv.training import fit
    from marinecv.training.checkpoint import Checkpoint

    watch = Watch()
    whole_load, whole_end = fit.load_pixels, Checkpoint.on_epoch_end

    def load_pixels(*args, **options):
        loaded = whole_load(*args, **options, memory_budget_bytes=0 if where == "on disk" else 2**40)
        watch.log()
        return loaded

    def on_epoch_end(history, epoch, logs=None):
        whole_end(history, epoch, logs)
        watch.log()

    fit.load_pixels, Checkpoint.on_epoch_end = load_pixels, on_epoch_end
    return command(words)


if __name__ == "__main__":
    sys.exit(child(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["--child"] else main())
