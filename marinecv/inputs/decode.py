"""Bytes of a file -> RGB pixels, as a person sees them: orientation honoured, any colour mode, any common format."""

import io

import numpy as np
import tensorflow as tf

from marinecv.data.images import MAX_PIXELS
from marinecv.inputs.rgb import open_rgb

HEADER_BYTES = 32768  # as far as a header is looked for; EXIF may stand behind a thumbnail and a profile


def decode_with_pillow(data: bytes, ratio: int = 1) -> np.ndarray:
    """Decode any image Pillow reads, as `open_rgb` does.

    Args:
        data: the bytes of a file.
        ratio: 1, 2, 4 or 8, by which each side is divided, rounded up.
    Returns:
        uint8 array `(height, width, 3)`.
    Raises:
        ValueError: the bytes are no image, are cut short, or hold more than `MAX_PIXELS` pixels.
    """
    return np.asarray(open_rgb(io.BytesIO(data)).reduce(ratio))


def decode(data: tf.Tensor, ratio: int = 1) -> tf.Tensor:
    """Decode inside or outside `tf.data`: a plain JPEG by TensorFlow, everything else by Pillow.

    Args:
        data: scalar string tensor, the bytes of a file.
        ratio: 1, 2, 4 or 8, by which each side is divided, rounded up; a JPEG is decoded at that size.
    Returns:
        uint8 tensor `(height, width, 3)`.
    """
    pixels = tf.cond(
        _is_plain_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, ratio=ratio),
        lambda: tf.numpy_function(_decode_tensor, [data, ratio], tf.uint8, stateful=False),
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def _decode_tensor(data, ratio) -> np.ndarray:
    """The bytes come as they are in a graph, and eagerly in an array."""
    return decode_with_pillow(np.array(data, dtype=object).item(), int(ratio))


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
