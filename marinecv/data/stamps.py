"""Size, time and hash of image files, by which a run notices that its images have changed."""

import hashlib
import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from marinecv.data.cache_dir import cache_path
from marinecv.data.photos import photos_of
from marinecv.data.shards.records import file_problem, file_state, is_present, is_record, read_bytes
from marinecv.data.user_tables import as_table, usable
from marinecv.files.csv_tables import read_number_table, read_table, write_table

IMAGES = "images.csv"  # of a run or a review: the stamps of its images
STAMP_COLUMNS = ["image_id", "bytes", "modified", "sha256"]


def stamp_images(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return `STAMP_COLUMNS` of the usable image files of a catalog: size in bytes, modification time in ns, SHA-256.

    Of crops they are the photographs'. An image of a pack has no row: its path holds a checksum.
    """
    photos = as_table(usable(photos_of(catalog)), optional={"path": ""})
    photos = photos.loc[[not (is_record(path) or file_problem(path)) for path in photos["path"].tolist()]]
    states = [(name, *(file_state(path) or (0, 0))[:2]) for name, path in photos[["image_id", "path"]].to_numpy()]
    cache_file = cache_path("hashes", files_hash(photos["path"]) + ".csv")
    if not cache_file.is_file():
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            hashes = list(pool.map(_hash_of, photos["path"]))
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        write_table(cache_file, pd.DataFrame({"sha256": hashes}, dtype=str))
    return pd.DataFrame(states, columns=STAMP_COLUMNS[:3]).assign(sha256=read_table(cache_file)["sha256"])


def read_stamps(path: Path) -> pd.DataFrame:
    """Read the table of `stamp_images`, numbers as floats; ValueError where it is none."""
    return read_number_table(path, STAMP_COLUMNS, ["bytes", "modified"])


def compare_images(
    stamps: pd.DataFrame, catalog: pd.DataFrame, now: pd.DataFrame | None = None
) -> tuple[list[str], list[str]]:
    """Return the ids of the usable images of a catalog whose bytes have changed, and of those without a file.

    `stamps` are theirs, of `read_stamps`; a file is read only if its size is the same and its time is not. `now`
    has the images at other paths, or lacks those without a file.
    """
    known = {row.image_id: (row.bytes, row.modified, row.sha256) for row in stamps.itertuples()}
    before, now = usable(photos_of(catalog)), photos_of(catalog if now is None else now)
    paths, changed, missing = dict(zip(now["image_id"], now["path"], strict=True)), [], []
    for image_id, old_path in zip(before["image_id"], before["path"], strict=True):
        path = paths.get(image_id, "")
        size, modified, digest = known.get(image_id) or file_state(old_path) or (0, 0, "")
        state = file_state(path) if is_present(path) else None
        if state is None:
            missing.append(image_id)
        elif state[0] != size:
            changed.append(image_id)
        elif (float(state[1]), state[2]) not in ((modified, ""), (modified, digest)):
            changed += [image_id] if _hash_of(path, like=digest) != digest else []
    return changed, missing


def files_hash(paths: Iterable[str], facts: object = "") -> str:
    """Return a hash of the paths, sizes and times of image files, and of other facts."""
    digest = hashlib.sha256(f"{facts}\n".encode())
    for path in paths:
        digest.update(os.fsencode(path) + f"\0{file_state(path)}\n".encode())
    return digest.hexdigest()[:32]


def _hash_of(path: str, like: str = "") -> str:
    """Return the SHA-256 of an image, or its CRC-32 where `like` has 8 digits; "" where it cannot be read."""
    try:
        data = read_bytes(path)
    except OSError:
        return ""
    return f"{zlib.crc32(data):08x}" if len(like) == 8 else hashlib.sha256(data).hexdigest()
