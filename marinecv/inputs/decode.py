"""Bytes of a file -> RGB pixels, as a person sees them: orientation honoured, any colour mode, any common format."""

import io
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image

from marinecv.inputs.rgb import as_rgb

MAX_PIXELS = 200_000_000


def decode_with_pillow(data: bytes, ratio: int = 1) -> np.ndarray:
    """Decode any image Pillow reads, as `as_rgb` shows it.

    Args:
        data: the bytes of a file.
        ratio: 1, 2, 4 or 8, by which each side is divided, rounded up.
    Returns:
        uint8 array `(height, width, 3)`.
    Raises:
        ValueError: the bytes are no image, are cut short, or hold more than `MAX_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning; the bound below is ours
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
                return np.asarray(as_rgb(image).reduce(ratio))
    except Exception as error:  # Pillow raises many kinds for hostile bytes; each is one unreadable image
        reason = "it is no image that Pillow can read" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ValueError(f"cannot be decoded: {reason}") from error


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
    """A JFIF file without an Exif segment in its first bytes; the rest takes Pillow's slower, fuller way."""
    head = tf.strings.substr(data, 0, tf.minimum(tf.strings.length(data), 4096))
    jpeg = tf.strings.substr(head, 0, 3) == b"\xff\xd8\xff"
    # `\C` is any byte; a dot would only match valid UTF-8, which the first byte of a JPEG is not.
    fancy = tf.strings.regex_full_match(head, rb"\C*(Exif|Adobe)\C*")
    return jpeg & ~fancy
