"""Read a pack: shards of image files as they were, an index of every image, and its boxes."""

from pathlib import Path

import pandas as pd
from msgspec import Struct

from marinecv.data.columns import read_columns
from marinecv.data.images import IMAGE_COLUMNS
from marinecv.data.manifests import Manifest, is_file_name
from marinecv.data.readers import Reader
from marinecv.data.records import MEND, record_path
from marinecv.hashes import sha256
from marinecv.hold import LOCK
from marinecv.schema import Count, read

VERSION = 2
PACK, PACKING = "pack.json", "packing.json"  # of a pack, and of one that is not complete yet
INDEX, BOXES = "index.npz", "boxes.npz"
RECORD_COLUMNS = ["shard", "offset", "length", "crc32", "by_pillow"]  # -1 is no shard: an image with a problem


class About(Struct, frozen=True, kw_only=True):
    """`pack.json`: what a pack says of itself, from `FACTS` of its manifest on; `shards` has bytes, `tables` hashes."""

    name: str
    title: str
    class_names: tuple[str, ...]
    merge_case: bool
    licence: str
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


FACTS = About.__struct_fields__[:8]


def read_about(root: Path) -> About:
    """Read what a pack says of itself.

    Raise ValueError where it is not complete, it is broken, or another version of marinecv made it.
    """
    if not (root / PACK).is_file() and (root / PACKING).is_file():
        raise ValueError(
            f"The pack in {root} is not complete: it was stopped. Give the `data pack` command that began it again; it "
            "goes on where it stopped."
        )
    about = read(root / PACK, About)
    if about.version != VERSION:
        raise ValueError(
            f"{root / PACK} is of version {about.version}. Expected {VERSION}: pack the images again, or read it "
            "with the marinecv that made it."
        )
    return about


def read_packed(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes as the reader of their layout did; the path of an image is its `record_path`."""
    root, about = manifest.root, read_about(manifest.root)
    for shard, size in about.shards.items():
        found = (root / shard).stat().st_size if (root / shard).is_file() else None
        if found != size:
            state = "is absent" if found is None else f"holds {found:,} bytes"
            raise ValueError(f"The shard {root / shard} {state}. Expected {size:,} bytes. {MEND}")
    index, boxes = (_read_table(root / name, about.tables.get(name)) for name in (INDEX, BOXES))
    return index.assign(path=_paths(root, index, list(about.shards)))[IMAGE_COLUMNS], boxes


def _read_table(path: Path, expected: str | None) -> pd.DataFrame:
    if path.is_file() and sha256(path) == expected:
        return read_columns(path)
    raise ValueError(f"{path} is not the table that {PACK} names. {MEND}")


def _paths(root: Path, index: pd.DataFrame, shards: list[str]) -> pd.Series:
    places = [str(root.absolute() / shard) for shard in shards]
    records = zip(*(index[column].tolist() for column in RECORD_COLUMNS), strict=True)
    paths = [record_path(places[shard], *record) if shard >= 0 else "" for shard, *record in records]
    unread = index["shard"].to_numpy() < 0
    paths = pd.Series(paths, index=index.index, dtype=str)
    return paths.mask(unread, str(root.absolute()) + "/" + index["image_id"]) if unread.any() else paths


def _facts(root: Path) -> dict:
    """What a pack says of the data set that it was made of, as its manifest takes it."""
    about = read_about(root)
    if not is_file_name(about.name):
        raise ValueError(f"The name {root / PACK} gives is {about.name!r:.60}. Expected that of a file, no way out.")
    return {name: getattr(about, name) for name in FACTS}


def _tables(manifest: Manifest) -> list[Path]:
    return [manifest.root / name for name in (PACK, INDEX, BOXES, LOCK, *read_about(manifest.root).shards)]


READER = Reader(
    rank=0,
    detects=lambda root: (root / PACK).is_file() or (root / PACKING).is_file(),
    read=read_packed,
    holds=f"{PACK} (of `data pack`)",
    class_order=lambda manifest: list(read_about(manifest.root).class_order),
    tables=_tables,
    facts=_facts,
    source=lambda root: read_about(root).layout,
)
