"""Write a pack: the image files of a data set, byte for byte, as TFRecord shards, with an index for a quick start."""

import hashlib
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from msgspec.structs import asdict

from marinecv.console import Log, silent
from marinecv.data.boxes import clean_boxes
from marinecv.data.catalog import read_layout, source_layout
from marinecv.data.manifests import Manifest
from marinecv.data.readers import reader_of, shards
from marinecv.data.shards.records import FRAME, HINT, file_state
from marinecv.data.stamps import files_hash
from marinecv.data.user_tables import is_usable
from marinecv.files.atomic import whole_file, write_json
from marinecv.files.hashes import sha256
from marinecv.files.lock import LOCK, lock_folder
from marinecv.progress import progress_bar
from marinecv.schema import read_json

SHARD_BYTES = 128 * 2**20
Decode = Callable[[Iterable[str]], Iterator[tuple[bytes, bool, str]]]


def pack(
    manifest: Manifest, folder: str | Path, decode: Decode, *, shard_bytes: int = SHARD_BYTES, log: Log | None = None
) -> Path:
    """Pack the images and boxes of a data set of any layout; after a kill the same call goes on.

    Each image is decoded once by `decode` (`read_decodable` of inputs); one that cannot be is a row with its reason and
    no record. Shards have about `shard_bytes` and are read back at the end. Attributes of CUB-200-2011 are not packed.
    Raises ValueError where the folder holds anything else, the disk has no space, or a shard is not what was written.
    """
    folder, log = Path(folder).absolute(), log or silent
    images, boxes = read_layout(manifest)
    clean_boxes(boxes, images)  # raises now rather than when the pack is read
    sizes, source = _sizes_and_hash(images, boxes, shard_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        if _is_complete(folder, source):
            log(f"{folder} is packed already.")
            _remove_partial_files(folder)
            return folder
        write_json(folder / shards.PACKING, {"version": shards.VERSION, "source": source})
        parts = _partition(sizes, shard_bytes)
        missing = [number for number in range(len(parts)) if not _shard_index(folder, number).is_file()]
        needed, free = sum(int(sizes[parts[number]].sum()) for number in missing), shutil.disk_usage(folder).free
        if needed > free:
            reason = f"The pack takes {needed:,} bytes and {free:,} are free on the disk of {folder}."
            raise ValueError(f"{reason} Make room, or name a folder on another disk.")
        total, num_left = sum(map(len, parts)), sum(len(parts[number]) for number in missing)
        with progress_bar(total, "packing images", done=total - num_left, log=log) as show:
            for number in missing:
                _write_shard(folder, number, images["path"].iloc[parts[number]], decode)
                num_left -= len(parts[number])
                show(total - num_left)
        records = [shards.read_columns(_shard_index(folder, number)) for number in range(len(parts))]
        for number, rows in enumerate(records):
            _verify_shard(_shard(folder, number), rows[is_usable(rows)])
        _finish(folder, manifest, images, boxes, parts, records, source)
        _remove_partial_files(folder)
    return folder


def _sizes_and_hash(images: pd.DataFrame, boxes: pd.DataFrame, shard_bytes: int) -> tuple[np.ndarray, str]:
    """Return the bytes of each image, -1 for one with a problem, and a hash of all that the pack is made of."""
    good = is_usable(images)
    sizes = np.array(
        [file_state(path)[0] if fine else -1 for path, fine in zip(images["path"], good, strict=True)], int
    )
    digest = hashlib.sha256(files_hash(images["path"][good], (shards.VERSION, shard_bytes)).encode())
    for table in (images, boxes.astype(str)):
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return sizes, digest.hexdigest()


def _is_complete(folder: Path, source: str) -> bool:
    """Return whether the folder holds this pack; raise ValueError where it holds anything else."""
    for name in (shards.PACK, shards.PACKING):
        if (folder / name).is_file() and read_json(folder / name).get("source") == source:
            return name == shards.PACK
        if (folder / name).is_file():
            raise ValueError(
                f"{folder} holds a pack of other images or labels, or of earlier versions of these. Expected a new or "
                "empty folder: nothing is overwritten. Name another."
            )
    if any(path.name != LOCK for path in folder.iterdir()):
        raise ValueError(f"{folder} is not empty. Expected a new or an empty folder: name another.")
    return False


def _partition(sizes: np.ndarray, shard_bytes: int) -> list[np.ndarray]:
    """Return the positions of the images of each shard."""
    positions = np.flatnonzero(sizes >= 0)
    ends = np.cumsum(sizes[positions] + sum(FRAME))
    _, first = np.unique((ends - 1) // shard_bytes, return_index=True)
    return np.split(positions, first[1:]) if len(positions) else []


def _shard(folder: Path, number: int) -> Path:
    return folder / f"images-{number:05d}.tfrecord"


def _shard_index(folder: Path, number: int) -> Path:
    """Return where the index of a shard is kept until the pack is complete; it is written after the shard."""
    return folder / f"images-{number:05d}.npz"


def _write_shard(folder: Path, number: int, paths: pd.Series, decode: Decode) -> None:
    rows, offset = [], 0
    try:
        with whole_file(_shard(folder, number)) as part, tf.io.TFRecordWriter(str(part)) as writer:
            for data, by_pillow, problem in decode(paths):
                if problem:
                    rows.append((-1, 0, 0, 0, False, problem))
                    continue
                writer.write(data)
                rows.append((number, offset + FRAME[0], len(data), zlib.crc32(data), by_pillow, ""))
                offset += len(data) + sum(FRAME)
    except tf.errors.OpError as error:
        raise ValueError(f"{_shard(folder, number)} cannot be written: {error.message}. Make room there.") from error
    shards.write_columns(_shard_index(folder, number), pd.DataFrame(rows, columns=[*shards.RECORD_COLUMNS, "problem"]))


def _verify_shard(shard: Path, rows: pd.DataFrame) -> None:
    """Read a whole shard and raise ValueError where it differs from its rows."""
    with open(shard, "rb") as file:
        for offset, length, crc32 in zip(rows["offset"], rows["length"], rows["crc32"], strict=True):
            head = file.read(FRAME[0])
            sound = file.tell() == offset and head[:8] == struct.pack("<Q", length)
            if not sound or zlib.crc32(file.read(length)) != crc32 or len(file.read(FRAME[1])) != FRAME[1]:
                raise ValueError(f"The shard {shard} is not what was written to it, from byte {offset:,} on. {HINT}")


def _finish(folder, manifest, images, boxes, parts, records, source) -> None:
    """Write the tables, then `pack.json`, which completes the pack."""
    index = images.drop(columns="path").assign(shard=-1, offset=0, length=0, crc32=0, by_pillow=False)
    if parts:
        positions, rows = np.concatenate(parts), pd.concat(records, ignore_index=True)
        for column in rows:
            values = index[column].to_numpy(copy=True)
            values[positions] = rows[column].to_numpy()
            index[column] = values
    shards.write_columns(folder / shards.INDEX, index)
    shards.write_columns(folder / shards.BOXES, boxes)
    about = shards.PackInfo(
        **{name: getattr(manifest, name) for name in shards.MANIFEST_FIELDS},
        version=shards.VERSION,
        layout=source_layout(manifest),
        class_order=tuple(reader_of(manifest.layout).class_order(manifest)),
        images=len(images),
        shards={_shard(folder, number).name: _shard(folder, number).stat().st_size for number in range(len(parts))},
        tables={name: sha256(folder / name) for name in (shards.INDEX, shards.BOXES)},
        source=source,
    )
    write_json(folder / shards.PACK, asdict(about))


def _remove_partial_files(folder: Path) -> None:
    for path in (*folder.glob("images-*.npz"), folder / shards.PACKING):
        path.unlink(missing_ok=True)
