"""How the search for near-duplicates scales: hashes and embeddings alone, and all of `find_pairs` on made images.

    python benchmarks/audit_growth.py                            up to 100,000 embeddings and 5,120 images
    python benchmarks/audit_growth.py --sizes 1000 300000 --images 640 --data butterflies20

Pairing: 63 random bits and 128 random values an image, of which one in a hundred has a copy, 1 to 8 bits or a little
noise away. `crowded` are hashes of a camera that never moves: all within some bits of each other. Beside it every pair
by xor, up to 10,000. Images: windows of a quarter of the area of the images of a set, 256 by 192 pixels, decoded anew;
`cpu_decoding` is the part until every image is decoded.

Each size has a process of its own, whose peak of resident memory is asked of the system; some 670 MiB of it are
libraries, TensorFlow above all. Seconds of the wall tell what else the machine did; those of its processors, over all
threads, tell the growth: `exponent` is log(seconds / seconds) / log(n / n) against the size before, 1 linear, 2
quadratic. `reviewed` counts the pairs that were compared. The table goes to benchmarks/results/audit_growth.csv. Needs
Linux or macOS.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
from machine import machine

import marinecv as mcv
from marinecv.audit import neighbor_search
from marinecv.audit.near_duplicates import CANDIDATES, MAX_HASH_DISTANCE
from marinecv.audit.pairs import find_pairs
from marinecv.audit.thumbnails import load_thumbs
from marinecv.data.cache_dir import cache_path
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.user_tables import usable
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "audit_growth.csv"
BITS, VALUES = 63, 128
COPIED = 100  # one image in so many
MOST_BY_XOR = 10_000
WINDOW = (256, 192)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--images", type=int, nargs="+", default=[640, 2560, 5120])
    parser.add_argument("--data", help="name of the set that images are made of")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for what in CASES:
            for n in args.sizes:
                if what != "every pair by xor" or n <= MOST_BY_XOR:
                    rows.append(in_own_process(what, n, place))
        data = args.data or ("aquarium" if cache_path("data", "aquarium").exists() else "reef")
        make_images(usable(mcv.read_catalog(mcv.find_data(data))), Path(place) / "images", max(args.images))
        rows += [in_own_process("find_pairs", n, place) for n in args.images]
    table = pd.DataFrame(rows)
    growth = np.log(table[["n", "cpu_seconds"]]).groupby(table["what"], sort=False).diff()
    table.insert(4, "exponent", (growth["cpu_seconds"] / growth["n"]).round(2))
    table.insert(5, "cpu_ms_an_image", (1000 * table["cpu_seconds"] / table["n"]).round(3))
    print(table.to_string(index=False))
    write_table(args.output, table.assign(data=data, machine=machine()))


def in_own_process(what: str, n: int, place: str) -> dict:
    words = [sys.executable, __file__, "--child", what, str(n), place]
    env = os.environ | {"MARINECV_HOME": f"{place}/store{n}"}  # nothing decoded before
    row = {"what": what, "n": n} | json.loads(subprocess.run(words, env=env, stdout=subprocess.PIPE, check=True).stdout)
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def child(what: str, n: int, place: str) -> None:
    """Measure one size and print the row as JSON."""
    row = measure_links(n, Path(place) / "images") if what == "find_pairs" else measure_pairing(what, n)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(json.dumps(row | {"peak_mib": round(peak)}))


def measure_pairing(what: str, n: int) -> dict:
    make, pair = CASES[what]
    rng = np.random.default_rng(0)
    embeddings, copied = make(n, rng)
    reviewed, count = [0], np.bitwise_count

    def counting(bits, *args, **kwargs):
        reviewed[0] += len(bits)
        return count(bits, *args, **kwargs)

    np.bitwise_count = counting
    start, worked = time.perf_counter(), time.process_time()
    pairs = pair(embeddings)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    found = np.isin(copied[:, 0] * n + copied[:, 1], pairs[:, 0] * n + pairs[:, 1])
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(worked, 3),
        "reviewed": reviewed[0] or n * (n - 1) // 2,  # up to 5,000 embeddings `nearest` multiplies all with all
        "pairs": len(pairs),
        "planted": len(copied),
        "recall": round(float(found.mean()), 4) if len(found) else None,
    }


def random_hashes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hashes, and which of them are copies, 1 to 8 bits away."""
    hashes = rng.random((n, BITS)) < 0.5
    copied = copied_places(n)
    for (first, second), bits in zip(copied, rng.integers(1, 9, len(copied)), strict=True):
        hashes[second] = hashes[first]
        hashes[second, rng.choice(BITS, bits, replace=False)] ^= True
    return hashes, copied


def crowded_hashes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hashes that differ from one in each bit by a chance of one in twenty: each is near to all, none is a copy."""
    return (rng.random(BITS) < 0.5) ^ (rng.random((n, BITS)) < 0.05), np.empty((0, 2), int)


def random_codes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    embeddings = rng.normal(size=(n, VALUES)).astype(np.float32)
    copied = copied_places(n)
    embeddings[copied[:, 1]] = embeddings[copied[:, 0]] + 0.3 * rng.normal(size=(len(copied), VALUES)).astype(
        np.float32
    )
    return embeddings, copied


def copied_places(n: int) -> np.ndarray:
    """The first ones are copied to the end."""
    return np.arange(n // COPIED)[:, None] + [0, n - n // COPIED]


def by_xor(hashes: np.ndarray) -> np.ndarray:
    """Every pair within the radius: what `close_hashes` is to find without looking at them all."""
    packed, found = np.packbits(hashes, axis=1), []
    for first in range(len(packed) - 1):
        near = np.bitwise_count(packed[first] ^ packed[first + 1 :]).sum(axis=1) <= MAX_HASH_DISTANCE
        seconds = first + 1 + np.flatnonzero(near)
        found.append(np.stack([np.full(len(seconds), first), seconds], axis=1))
    return np.concatenate(found)


CASES = {
    "close_hashes": (random_hashes, lambda hashes: neighbor_search.close_hashes(hashes, MAX_HASH_DISTANCE)),
    "close_hashes, crowded": (crowded_hashes, lambda hashes: neighbor_search.close_hashes(hashes, MAX_HASH_DISTANCE)),
    "nearest": (random_codes, lambda embeddings: neighbor_search.nearest(embeddings, CANDIDATES)),
    "every pair by xor": (random_hashes, by_xor),
}


def make_images(rows: pd.DataFrame, folder: Path, n: int) -> None:
    """Cut n windows out of the images of a set, in class folders."""
    from marinecv.inputs.to_rgb import open_rgb

    rng = np.random.default_rng(0)
    for name in rows["class_name"].unique():
        (folder / name).mkdir(parents=True)
    order = np.argsort(np.arange(n) % len(rows), kind="stable")  # each image is opened once
    image = None
    for number in order:
        row = rows.iloc[number % len(rows)]
        if image is None or number < len(rows):
            image = open_rgb(row["path"])
        width, height = image.width // 2, image.height // 2
        left, top = rng.integers(image.width - width + 1), rng.integers(image.height - height + 1)
        window = image.crop((left, top, left + width, top + height)).resize(WINDOW)
        window.save(folder / row["class_name"] / f"{number:06d}.jpg", quality=85)


def measure_links(n: int, folder: Path) -> dict:
    catalog = mcv.read_catalog(manifest_of_folder(folder)).sample(n, random_state=0).reset_index(drop=True)
    load_thumbs(catalog.iloc[:8])  # TensorFlow is loaded, graphs are traced
    start, worked = time.perf_counter(), time.process_time()
    loaded = load_thumbs(catalog)
    decoded = time.process_time() - worked
    pairs = find_pairs(catalog, None, loaded, log=lambda line: None)
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "cpu_decoding": round(decoded, 2),
        "pairs": len(pairs),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
