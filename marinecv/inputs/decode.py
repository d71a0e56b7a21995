"""Bytes of a file -> RGB pixels, as a person sees them: orientation honoured, any colour mode, any common format."""

import io
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from marinecv.data.images import MAX_PIXELS
from marinecv.data.records import is_record, read_bytes
from marinecv.inputs.rgb import open_rgb

CORES = os.cpu_count() or 1
HEADER_BYTES = 32768  # as far as a header is looked for; EXIF may stand behind a thumbnail and a profile


def decode_with_pillow(data: bytes, ratio: int = 1, white: int | None = None) -> np.ndarray:
    """Decode any image Pillow reads, as `open_rgb` does: uint8 `(height, width, 3)`.

    Each side is divided by `ratio`, 1, 2, 4 or 8, and rounded up; `white` is as of `as_rgb`. Raises ValueError where
    the bytes are no image, are cut short, or hold more than `MAX_PIXELS` pixels.
    """
    return np.asarray(open_rgb(io.BytesIO(data), white).reduce(ratio))


def decode(data: tf.Tensor, ratio: int = 1, by_pillow: tf.Tensor | bool = False, white: int | None = None) -> tf.Tensor:
    """Decode the bytes of a file to uint8 `(height, width, 3)`: a plain JPEG by TensorFlow, everything else by Pillow.

    At ratio 1 both give the same pixels, bit for bit: TensorFlow's default for JPEG would differ by up to 18 gray
    levels. A reduced JPEG is averaged over its frequencies, everything else over its pixels. `by_pillow` decodes a JPEG
    that TensorFlow refused; `ratio` and `white` are as of `decode_with_pillow`.
    """
    pixels = tf.cond(
        ~tf.convert_to_tensor(by_pillow) & _is_plain_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"),
        lambda: tf.numpy_function(_decode_tensor, [data, ratio, white or 0], tf.uint8, stateful=False),
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def read_decodable(paths: Iterable[str]) -> Iterator[tuple[bytes, bool, str]]:
    """Read files, or records of a pack, and decode each whole, on all cores.

    Yields `(data, by_pillow, problem)` of each, in order: its bytes; whether Pillow decodes what TensorFlow refuses;
    and "" or why neither does. Raises ValueError as `read_bytes`.
    """
    paths = list(paths)
    read = reader_of(paths)

    def load(index, path):
        data = read(path)
        return index, data, tf.shape(decode(data))  # or nothing would ask for the pixels

    images = tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), as_tensor(paths)))
    images = images.map(load, num_parallel_calls=CORES).ignore_errors().prefetch(CORES)
    done = 0
    for index, data, _ in without_autotune(images).as_numpy_iterator():
        yield from map(_decodable_by_pillow, paths[done:index])
        yield data, False, ""
        done = index + 1
    yield from map(_decodable_by_pillow, paths[done:])


def retry_with_pillow(path: str, ratio: int = 1, white: int | None = None) -> tuple[bytes, np.ndarray | None, str]:
    """Return bytes and pixels of a file that TensorFlow refused, and "" or why Pillow does, as `decode_with_pillow`.

    Raises ValueError as `read_bytes`: of a damaged pack no image is taken for a broken one.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        return b"", None, str(error)
    try:
        return data, decode_with_pillow(data, ratio, white), ""
    except ValueError as error:
        return b"", None, str(error)


def _decodable_by_pillow(path: str) -> tuple[bytes, bool, str]:
    data, _, problem = retry_with_pillow(path)
    return data, not problem, problem


def reader_of(paths: Iterable[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return how to read some paths inside `tf.data`: TensorFlow's own way is the faster one, and knows files alone."""
    return _read if any(map(is_record, paths)) else tf.io.read_file


def _read(path: tf.Tensor) -> tf.Tensor:
    def read(name):
        return read_bytes(os.fsdecode(np.array(name, dtype=object).item()))

    return tf.ensure_shape(tf.numpy_function(read, [path], tf.string), ())


def as_tensor(paths: Iterable[str]) -> tf.Tensor:
    """Return paths as a reader takes them: TensorFlow takes a name that is not UTF-8 as bytes alone."""
    return tf.constant([os.fsencode(path) for path in paths], tf.string)


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Leave tf.data's tuning of itself out: the end of a pass would wait for its next tick, a second and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _decode_tensor(data, ratio, white) -> np.ndarray:
    """The bytes come as they are in a graph, and eagerly in an array."""
    return decode_with_pillow(np.array(data, dtype=object).item(), int(ratio), int(white) or None)


def _is_plain_jpeg(data: tf.Tensor) -> tf.Tensor:
    """A header without a word of orientation or inks, and a size to be decoded; the rest goes to Pillow."""
    head = tf.strings.substr(data, 0, tf.minimum(tf.strings.length(data), HEADER_BYTES))
    jpeg = tf.strings.substr(head, 0, 3) == b"\xff\xd8\xff"
    parts = tf.raw_ops.StringSplitV2(input=[head], sep=b"\xff\xda", maxsplit=1).values  # that is where pixels begin
    whole = tf.size(parts) == 2
    # `\C` is any byte; a dot would only match valid UTF-8, which the first byte of a JPEG is not.
    fancy = tf.reduce_any(tf.strings.regex_full_match(parts[:1], rb"\C*(Exif|Adobe|Orientation)\C*"))
    return tf.cond(jpeg & whole & ~fancy, lambda: _is_colour_within_bounds(data), lambda: False)


def _is_colour_within_bounds(data: tf.Tensor) -> tf.Tensor:
    """By the header alone: TensorFlow mistakes four inks without a marker of Adobe for their negative."""
    height, width, channels = tf.unstack(tf.image.extract_jpeg_shape(data, tf.int64))
    return (channels != 4) & (height * width <= MAX_PIXELS)
