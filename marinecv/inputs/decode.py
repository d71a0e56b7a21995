"""Decode the bytes of a file to RGB pixels: EXIF orientation applied, any color mode, any common format."""

import io
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from marinecv.data.images import MAX_PIXELS
from marinecv.data.records import is_record, read_bytes
from marinecv.inputs.rgb import open_rgb

CORES = os.cpu_count() or 1
HEADER_BYTES = 32768  # searched for a header; EXIF may stand behind a thumbnail and a profile


def decode_with_pillow(data: bytes, white: int | None = None) -> np.ndarray:
    """Decode any image that Pillow reads: uint8 `(height, width, 3)`; `white` as in `as_rgb`.

    Raises ValueError where the bytes are no image, are cut short, or hold more than `MAX_PIXELS` pixels.
    """
    return np.asarray(open_rgb(io.BytesIO(data), white))


def decode(data: tf.Tensor, by_pillow: tf.Tensor | bool = False, white: int | None = None) -> tf.Tensor:
    """Decode the bytes of a file to uint8 `(height, width, 3)`: a plain JPEG by TensorFlow, everything else by Pillow.

    Both give the same pixels, bit for bit: TensorFlow's default for JPEG would differ by up to 18 gray levels.
    `by_pillow` decodes a JPEG that TensorFlow refused.
    """
    pixels = tf.cond(
        ~tf.convert_to_tensor(by_pillow) & _is_plain_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.numpy_function(_decode_tensor, [data, white or 0], tf.uint8, stateful=False),
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def read_decodable(paths: Iterable[str]) -> Iterator[tuple[bytes, bool, str]]:
    """Read files, or records of a pack, and decode each on all cores to see whether that works.

    Yields `(data, by_pillow, problem)` of each, in order: its bytes; whether Pillow alone decodes it; and "" or why
    neither Pillow nor TensorFlow does. Raises ValueError where a pack is damaged.
    """
    paths = list(paths)
    read = reader_of(paths)

    def load(index, path):
        data = read(path)
        return index, data, tf.shape(decode(data))  # without it nothing would ask for the pixels

    images = tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), as_tensor(paths)))
    images = images.map(load, num_parallel_calls=CORES).ignore_errors().prefetch(CORES)
    done = 0
    for index, data, _ in without_autotune(images).as_numpy_iterator():
        yield from map(_decodable_by_pillow, paths[done:index])
        yield data, False, ""
        done = index + 1
    yield from map(_decodable_by_pillow, paths[done:])


def retry_with_pillow(path: str, white: int | None = None) -> tuple[bytes, np.ndarray | None, str]:
    """Return bytes and pixels of a file that TensorFlow refused, and "" or why Pillow refuses it too.

    Raises ValueError where the pack that holds it is damaged.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        return b"", None, str(error)
    try:
        return data, decode_with_pillow(data, white), ""
    except ValueError as error:
        return b"", None, str(error)


def _decodable_by_pillow(path: str) -> tuple[bytes, bool, str]:
    data, _, problem = retry_with_pillow(path)
    return data, not problem, problem


def reader_of(paths: Iterable[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function that reads these paths inside `tf.data`: TensorFlow's is faster, but reads no records."""
    return _read if any(map(is_record, paths)) else tf.io.read_file


def _read(path: tf.Tensor) -> tf.Tensor:
    def read(name):
        return read_bytes(os.fsdecode(np.array(name, dtype=object).item()))

    return tf.ensure_shape(tf.numpy_function(read, [path], tf.string), ())


def as_tensor(paths: Iterable[str]) -> tf.Tensor:
    """Return paths as bytes: TensorFlow takes a name that is not UTF-8 in no other form."""
    return tf.constant([os.fsencode(path) for path in paths], tf.string)


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off tf.data's autotuning: the end of a pass would wait a second and more for its next tick."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _decode_tensor(data, white) -> np.ndarray:
    """Decode bytes, which come as they are in a graph and in an array eagerly."""
    return decode_with_pillow(np.array(data, dtype=object).item(), int(white) or None)


def _is_plain_jpeg(data: tf.Tensor) -> tf.Tensor:
    """Return whether TensorFlow decodes these bytes as Pillow does: no EXIF, no CMYK, not too large."""
    head = tf.strings.substr(data, 0, tf.minimum(tf.strings.length(data), HEADER_BYTES))
    jpeg = tf.strings.substr(head, 0, 3) == b"\xff\xd8\xff"
    parts = tf.raw_ops.StringSplitV2(input=[head], sep=b"\xff\xda", maxsplit=1).values  # where pixels begin
    whole = tf.size(parts) == 2
    # `\C` is any byte; a dot would only match valid UTF-8, which the first byte of a JPEG is not.
    fancy = tf.reduce_any(tf.strings.regex_full_match(parts[:1], rb"\C*(Exif|Adobe|Orientation)\C*"))

    def is_color_within_bounds():  # TensorFlow takes CMYK without a marker of Adobe for its negative
        height, width, channels = tf.unstack(tf.image.extract_jpeg_shape(data, tf.int64))
        return (channels != 4) & (height * width <= MAX_PIXELS)

    return tf.cond(jpeg & whole & ~fancy, is_color_within_bounds, lambda: False)
