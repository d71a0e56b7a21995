"""The reef: a built-in data set of drawn underwater scenes, for machines where no photographs are at hand.

It has the layout, the classes, the image sizes and the imbalance of the aquarium set, and none of its pixels: a result
on the reef shows that the machinery works and says nothing about animals.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.reef_scene import draw_scene
from marinecv.data.store import making
from marinecv.progress import progress_bar

VERSION = 1
STAMP = "reef.json"
# Images by split folder and dominant class, as in the aquarium set (447/127/63).
COUNTS = {
    "train": dict(fish=191, shark=53, stingray=48, penguin=47, puffin=45, starfish=32, jellyfish=31),
    "valid": dict(fish=50, penguin=17, puffin=15, shark=12, starfish=12, stingray=12, jellyfish=9),
    "test": dict(fish=23, jellyfish=11, penguin=7, shark=6, puffin=6, starfish=5, stingray=5),
}


def make_reef(folder: str | Path, seed: int = 0, say: Callable[[str], None] | None = None) -> Path:
    """Draw the reef into a folder, once; a second call finds it there, and FileExistsError of anything else.

    The layout is Roboflow's CSV. It appears whole or not at all; the same seed gives the same bytes on a machine.
    """
    folder = Path(folder).absolute()
    stamp = {"reef": VERSION, "seed": seed}
    if _is_complete(folder, stamp):
        return folder
    with making(folder, say) as workplace:
        if not _is_complete(folder, stamp):
            _draw(workplace / "reef", seed, say)
            (workplace / "reef" / STAMP).write_text(json.dumps(stamp), encoding="utf-8")
            os.replace(workplace / "reef", folder)
    return folder


def _draw(folder: Path, seed: int, say: Callable[[str], None] | None) -> None:
    total, done = sum(sum(counts.values()) for counts in COUNTS.values()), 0
    with progress_bar(total, "drawing demo images", log=say) as show:
        for number, (split, counts) in enumerate(COUNTS.items()):
            for _ in _draw_split(folder / split, counts, (seed, number)):
                done += 1
                show(done)


def _is_complete(folder: Path, stamp: dict) -> bool:
    """Whether the reef of this stamp lies there; an error if something else does."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = (folder / STAMP).read_text(encoding="utf-8") if (folder / STAMP).is_file() else None
    if found != json.dumps(stamp):
        raise FileExistsError(
            f"{folder} holds {f'another reef, {found}' if found else 'files that are no reef'}. "
            f"Expected the reef {json.dumps(stamp)} or no folder. Name another folder, or remove this one."
        )
    return True


def _draw_split(folder: Path, counts: dict[str, int], seed: tuple[int, int]) -> Iterator[None]:
    """Draw one split; yields after each image and writes the table at the end."""
    folder.mkdir(parents=True)
    order = np.random.default_rng(seed).permutation([name for name, count in counts.items() for _ in range(count)])

    def draw(number: int) -> list[dict]:
        image, boxes = draw_scene(np.random.default_rng([*seed, number]), str(order[number]))
        filename = f"reef_{folder.name}_{number:04d}.jpg"
        image.save(folder / filename, quality=85)
        shared = {"filename": filename, "width": image.width, "height": image.height}
        return [shared | dict(zip(("class", "xmin", "ymin", "xmax", "ymax"), box, strict=True)) for box in boxes]

    rows: list[dict] = []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:  # Pillow draws outside Python's lock
        for boxes in pool.map(draw, range(len(order))):
            rows.extend(boxes)
            yield
    pd.DataFrame(rows).to_csv(folder / "_annotations.csv", index=False)
