"""Read a pack: shards of image files byte for byte, an index of every image, and its boxes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from msgspec import Struct

from marinecv.data.images import IMAGE_COLUMNS
from marinecv.data.manifests import Manifest, is_file_name
from marinecv.data.readers import Reader
from marinecv.data.shards.records import HINT, record_path
from marinecv.data.user_tables import PLACE_COLUMNS
from marinecv.files.atomic import whole_file
from marinecv.files.hashes import sha256
from marinecv.files.lock import LOCK
from marinecv.schema import Count, read

VERSION = 3
PACK, PACKING = "pack.json", "packing.json"  # of a complete pack, and of an incomplete one
INDEX, BOXES = "index.npz", "boxes.npz"
TEXT_PREFIX = "words of "  # before the name of a text column: its distinct values
RECORD_COLUMNS = ["shard", "offset", "length", "crc32", "by_pillow"]  # shard -1: an image with a problem


class PackInfo(Struct, frozen=True, kw_only=True):
    """Hold `pack.json`: `MANIFEST_FIELDS` of the manifest first; `shards` has bytes, and `tables` SHA-256."""

    name: str
    title: str
    class_names: tuple[str, ...]
    merge_case: bool
    license: str
    citation: str
    homepage: str
    demonstration: bool
    version: Count
    layout: str
    class_order: tuple[str, ...]
    images: Count
    shards: dict[str, Count]
    tables: dict[str, str]
    source: str


MANIFEST_FIELDS = PackInfo.__struct_fields__[:8]


def read_pack_info(root: Path) -> PackInfo:
    """Read `pack.json`; raise ValueError where the pack is incomplete, damaged or of another version."""
    if not (root / PACK).is_file() and (root / PACKING).is_file():
        raise ValueError(f"The pack in {root} is not complete. Give the same `data pack` command again to go on.")
    about = read(root / PACK, PackInfo)
    if about.version != VERSION or not is_file_name(about.name):
        raise ValueError(
            f"{root / PACK} is of version {about.version} and name {about.name!r:.60}. Expected version {VERSION} and "
            "a name that a file may have: pack the images again, or read it with the marinecv that made it."
        )
    return about


def read_packed(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes as the reader of their original layout did; the path of an image is its `record_path`."""
    root, about = manifest.root, read_pack_info(manifest.root)
    for shard, size in about.shards.items():
        num_bytes = (root / shard).stat().st_size if (root / shard).is_file() else 0
        if num_bytes != size:
            raise ValueError(f"The shard {root / shard} holds {num_bytes:,} bytes. Expected {size:,} bytes. {HINT}")
    for table in (INDEX, BOXES):
        if not (root / table).is_file() or sha256(root / table) != about.tables.get(table):
            raise ValueError(f"{root / table} is not the table that {PACK} names. {HINT}")
    index = read_columns(root / INDEX)
    images = index.assign(path=_paths(root, index, list(about.shards)))[IMAGE_COLUMNS + PLACE_COLUMNS]
    return images, read_columns(root / BOXES)


def write_columns(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table of numbers and text without its index: numbers as arrays, each distinct text once."""
    arrays = {}
    for name in table:
        if pd.api.types.is_numeric_dtype(table[name]):
            arrays[name] = table[name].to_numpy()
        else:
            indices, words = pd.factorize(table[name].to_numpy(dtype=object))  # a missing one is -1
            arrays[name] = indices.astype(np.int32)
            arrays[TEXT_PREFIX + name] = np.frombuffer(json.dumps([*map(str, words)]).encode(), np.uint8)
    with whole_file(path) as part, open(part, "wb") as file:
        np.savez(file, **arrays)


def read_columns(path: str | Path) -> pd.DataFrame:
    """Read what `write_columns` wrote; raise OSError where it cannot be opened, and ValueError where it is damaged."""
    columns = {}
    with open(path, "rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            for name in (name for name in arrays.files if not name.startswith(TEXT_PREFIX)):
                columns[name] = arrays[name]
                if TEXT_PREFIX + name in arrays:
                    texts = np.array([*json.loads(arrays[TEXT_PREFIX + name].tobytes()), None], object)  # never 2-D
                    columns[name] = pd.Series(texts[columns[name]], dtype=str)
            return pd.DataFrame(columns)
        except Exception as error:  # a damaged zip file raises many kinds
            raise ValueError(f"{path} cannot be read: {error}. Expected a table of a pack. {HINT}") from error


def _paths(root: Path, index: pd.DataFrame, shards: list[str]) -> pd.Series:
    files = [str(root.absolute() / shard) for shard in shards]
    records = zip(*(index[column].tolist() for column in RECORD_COLUMNS), strict=True)
    paths = [record_path(files[shard], *record) if shard >= 0 else "" for shard, *record in records]
    paths = pd.Series(np.array(paths, object), index=index.index, dtype=str)  # of a list pandas takes ten times as long
    unread = index["shard"].to_numpy() < 0
    return paths.mask(unread, str(root.absolute()) + "/" + index["image_id"]) if unread.any() else paths


def _tables(manifest: Manifest) -> list[Path]:
    return [manifest.root / name for name in (PACK, INDEX, BOXES, LOCK, *read_pack_info(manifest.root).shards)]


READER = Reader(
    rank=0,
    detects=lambda root: (root / PACK).is_file() or (root / PACKING).is_file(),
    read=read_packed,
    holds=f"{PACK} (of `data pack`)",
    class_order=lambda manifest: list(read_pack_info(manifest.root).class_order),
    tables=_tables,
    facts=lambda root: {name: getattr(read_pack_info(root), name) for name in MANIFEST_FIELDS},
    source=lambda root: read_pack_info(root).layout,
)
