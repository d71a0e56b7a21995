"""Write the demo images: the layout, classes, image sizes and imbalance of the aquarium set, and none of its pixels.

A result on them shows that the machinery works and says nothing about animals.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.console import Log
from marinecv.data.cache_dir import building
from marinecv.data.demo.scenes import draw_scene
from marinecv.progress import progress_bar

VERSION = 2
STAMP_FILE = "reef.json"
# Images by split folder and dominant class, as in the aquarium set (447/127/63).
COUNTS = {
    "train": dict(fish=191, shark=53, stingray=48, penguin=47, puffin=45, starfish=32, jellyfish=31),
    "valid": dict(fish=50, penguin=17, puffin=15, shark=12, starfish=12, stingray=12, jellyfish=9),
    "test": dict(fish=23, jellyfish=11, penguin=7, shark=6, puffin=6, starfish=5, stingray=5),
}


def write_demo_images(folder: str | Path, seed: int = 0, log: Log | None = None) -> Path:
    """Draw the demo images into a folder, in Roboflow's CSV layout; return the folder.

    It appears whole or not at all, and a second call draws nothing. The same seed gives the same bytes on a machine.
    Raises FileExistsError where the folder holds anything else.
    """
    folder = Path(folder).absolute()
    stamp = json.dumps({"reef": VERSION, "seed": seed})
    if _is_complete(folder, stamp):
        return folder
    with building(folder, log) as workplace:
        if not _is_complete(folder, stamp):  # another process may have drawn them meanwhile
            total, done = sum(sum(counts.values()) for counts in COUNTS.values()), 0
            with progress_bar(total, "drawing demo images", log=log) as show:
                for number, (split, counts) in enumerate(COUNTS.items()):
                    for _ in _draw_split(workplace / "reef" / split, counts, (seed, number)):
                        done += 1
                        show(done)
            (workplace / "reef" / STAMP_FILE).write_text(stamp, encoding="utf-8")
            os.replace(workplace / "reef", folder)
    return folder


def _is_complete(folder: Path, stamp: str) -> bool:
    """Return whether the demo images of this stamp lie there; raise FileExistsError if something else does."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = (folder / STAMP_FILE).read_text(encoding="utf-8") if (folder / STAMP_FILE).is_file() else "other files"
    if found != stamp:
        raise FileExistsError(
            f"{folder} holds {found}. Expected the demo images {stamp}, or no folder. Name another folder, or remove "
            "this one."
        )
    return True


def _draw_split(folder: Path, counts: dict[str, int], seed: tuple[int, int]) -> Iterator[None]:
    """Draw one split; yield after each image, and write the table of boxes at the end."""
    folder.mkdir(parents=True)
    classes = np.random.default_rng(seed).permutation([name for name, count in counts.items() for _ in range(count)])

    def draw(number: int) -> list[tuple]:
        image, boxes = draw_scene(np.random.default_rng([*seed, number]), str(classes[number]))
        filename = f"reef_{folder.name}_{number:04d}.jpg"
        image.save(folder / filename, quality=85)
        return [(filename, image.width, image.height, *box) for box in boxes]

    rows = []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:  # Pillow draws outside Python's lock
        for boxes in pool.map(draw, range(len(classes))):
            rows += boxes
            yield
    columns = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "_annotations.csv", index=False)
