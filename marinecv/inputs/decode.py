"""Decode the bytes of a file to RGB pixels, and fit them to the size of the network in one step."""

import io
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from marinecv.data.images import MAX_PIXELS
from marinecv.data.shards.records import Box, is_record, photo_and_box, read_bytes
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.to_rgb import cut, open_rgb

CORES = os.cpu_count() or 1
plain = tf.autograph.experimental.do_not_convert  # of functions for tf.data: AutoGraph takes up to half a second
HEADER_BYTES = 32768  # searched for a header; EXIF may stand behind a thumbnail and a profile


def decode_with_pillow(data: bytes, white: int | None = None, box: Box | None = None) -> np.ndarray:
    """Decode any image that Pillow reads, by `open_rgb`: uint8 `(height, width, 3)`; ValueError if it is none."""
    return np.asarray(cut(open_rgb(io.BytesIO(data), white), box))


def decode(data: tf.Tensor, by_pillow: tf.Tensor | bool = False, white: int | None = None) -> tf.Tensor:
    """Decode the bytes of a file to uint8 `(height, width, 3)`: a plain JPEG by TensorFlow, everything else by Pillow.

    Both give the same pixels, bit for bit. `by_pillow` decodes a JPEG that TensorFlow refused.
    """
    pixels = tf.cond(
        ~tf.convert_to_tensor(by_pillow) & _is_plain_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),  # the default differs
        lambda: tf.numpy_function(_decode_bytes, [data, white or 0], tf.uint8, stateful=False),
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def read_decodable(paths: Iterable[str]) -> Iterator[tuple[bytes, bool, str]]:
    """Read files, or records of a pack, and decode each on all cores.

    Yields `(data, by_pillow, problem)` of each, in order: its bytes, whether Pillow alone decodes it, and "" or why
    neither does. Raises ValueError where a pack is damaged.
    """
    paths = list(paths)
    read = reader_of(paths)

    @plain
    def load(index, path):
        data = read(path)
        return index, data, tf.shape(decode(data))  # without it nothing would ask for the pixels

    def by_pillow(path):
        data, _, problem = retry_with_pillow(path)
        return data, not problem, problem

    images = tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), paths_as_bytes(paths)))
    images = images.map(load, num_parallel_calls=CORES).ignore_errors().prefetch(CORES)
    num_yielded = 0
    for index, data, _ in without_autotune(images).as_numpy_iterator():
        yield from map(by_pillow, paths[num_yielded:index])
        yield data, False, ""
        num_yielded = index + 1
    yield from map(by_pillow, paths[num_yielded:])


def retry_with_pillow(path: str, white: int | None = None) -> tuple[bytes, np.ndarray | None, str]:
    """Return bytes and pixels of a file that TensorFlow refused, and "" or why Pillow refuses it too."""
    try:
        data = read_bytes(path)
    except OSError as error:
        return b"", None, str(error)
    try:
        return data, decode_with_pillow(data, white, photo_and_box(path)[1]), ""
    except ValueError as error:
        return b"", None, str(error)


def reader_of(paths: Iterable[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function that reads these paths inside `tf.data`: TensorFlow's is faster, but reads no records."""
    return _read if any(map(is_record, paths)) else tf.io.read_file


def _read(path: tf.Tensor) -> tf.Tensor:
    def read(name):
        return read_bytes(os.fsdecode(np.array(name, dtype=object).item()))

    return tf.ensure_shape(tf.numpy_function(read, [path], tf.string), ())


def crop_pixels(pixels: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Cut a decoded image at one of `crop_places`; an error of TensorFlow where that is not inside."""
    return tf.ensure_shape(tf.slice(pixels, [place[0], place[1], 0], [place[2], place[3], -1]), (None, None, 3))


def crop_places(paths: Iterable[str]) -> np.ndarray:
    """Return what to cut out of the image of each path, int32 `(n, 4)`: top, left, height, width; -1 is all."""
    corners = np.array([photo_and_box(path)[1] or (0, 0, -1, -1) for path in paths], np.int32).reshape(-1, 4)
    size = np.where(corners[:, 2:] < 0, -1, corners[:, 2:] - corners[:, :2])
    return np.concatenate([corners[:, 1::-1], size[:, ::-1]], axis=1)


def paths_as_bytes(paths: Iterable[str]) -> tf.Tensor:
    """Return paths, of crops those of the photographs, as bytes: TensorFlow takes no other form of a name not UTF-8."""
    return tf.constant([os.fsencode(photo_and_box(path)[0]) for path in paths], tf.string)


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off tf.data's autotuning: the end of a pass would wait a second and more for its next tick."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _decode_bytes(data, white) -> np.ndarray:
    """Decode bytes, which come as they are in a graph and in an array eagerly."""
    return decode_with_pillow(np.array(data, dtype=object).item(), int(white) or None)


def _is_plain_jpeg(data: tf.Tensor) -> tf.Tensor:
    """Return whether TensorFlow decodes these bytes as Pillow does: no EXIF, no CMYK, not too large."""
    header = tf.strings.substr(data, 0, tf.minimum(tf.strings.length(data), HEADER_BYTES))
    is_jpeg = tf.strings.substr(header, 0, 3) == b"\xff\xd8\xff"
    parts = tf.raw_ops.StringSplitV2(input=[header], sep=b"\xff\xda", maxsplit=1).values  # where pixels begin
    has_pixels = tf.size(parts) == 2
    # `\C` is any byte; a dot would only match valid UTF-8, which the first byte of a JPEG is not.
    needs_pillow = tf.reduce_any(tf.strings.regex_full_match(parts[:1], rb"\C*(Exif|Adobe|Orientation)\C*"))

    def is_color_within_bounds():  # TensorFlow takes CMYK without a marker of Adobe for its negative
        height, width, channels = tf.unstack(tf.image.extract_jpeg_shape(data, tf.int64))
        return (channels != 4) & (height * width <= MAX_PIXELS)

    return tf.cond(is_jpeg & has_pixels & ~needs_pillow, is_color_within_bounds, lambda: False)


def fit_image(pixels: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Center on a black square and resize, in one interpolation: float32, in the range of the input.

    Equal to `tf.image.resize(tf.image.resize_with_crop_or_pad(pixels, side, side), size)`, to 2e-3 of a gray level.
    For an image larger than `letterbox_px` the square grows to its longer side, which shrinks the image whole.
    """
    size = (spec.height, spec.width)
    if spec.fit == "stretch":
        return tf.cast(tf.image.resize(pixels, size, antialias=spec.antialias), tf.float32)
    source_hw = tf.shape(pixels)[:2]
    side = tf.maximum(tf.reduce_max(source_hw), spec.letterbox_px or 0)
    before = (side - source_hw) // 2
    resize = _resize_averaged if spec.antialias else _resize_sampled
    return tf.ensure_shape(resize(pixels, side, before, size), spec.shape)


def fit_to_bytes(pixels: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Fit decoded pixels and round to the nearest gray level: uint8 `(height, width, 3)`."""
    return tf.saturate_cast(tf.round(fit_image(pixels, spec)), tf.uint8)


def _resize_sampled(pixels, side, before, size):
    """Interpolate from the four nearest pixels of the square, as `ResizeBilinear` with half-pixel centers does.

    Only the sampled rows are built, two for each output row: the operation interpolates along them, this across them.
    """
    length = tf.shape(pixels)
    rows, weights = _row_weights(side, before[0], length[0], size[0])
    band = tf.gather(pixels, tf.reshape(rows, [-1]))
    band = tf.pad(band, [[0, 0], [before[1], side - length[1] - before[1]], [0, 0]])
    band = tf.raw_ops.ResizeBilinear(images=band[tf.newaxis], size=(2 * size[0], size[1]), half_pixel_centers=True)
    upper, lower = tf.split(band[0], 2)
    return upper * weights[0][:, None, None] + lower * weights[1][:, None, None]


def _row_weights(side, before, length, out_length):
    """Return the two source rows of each output row and their weights, 0 on black: both `(2, out_length)`."""
    scale = tf.cast(side, tf.float32) / out_length
    position = (tf.range(out_length, dtype=tf.float32) + 0.5) * scale - 0.5
    lower = tf.floor(position)
    fraction = position - lower
    on_square = tf.stack([tf.maximum(lower, 0), tf.minimum(lower + 1, tf.cast(side - 1, tf.float32))])
    rows = tf.cast(on_square, tf.int32) - before
    weights = tf.stack([1 - fraction, fraction])
    return tf.clip_by_value(rows, 0, length - 1), tf.where((rows >= 0) & (rows < length), weights, 0)


def _resize_averaged(pixels, side, before, size):
    """Antialias: average all pixels of the square, weighted by a triangle as wide as two output pixels."""
    after = side - tf.shape(pixels)[:2] - before
    scale = tf.constant(size, tf.float32) / tf.cast(side, tf.float32)
    # The kernel renormalizes its weights at the edge of its input, so the edge would not blend with the black around
    # it. A black rim at least twice as wide as the kernel restores that, where the square has room for it.
    rim = 2 * tf.cast(tf.math.ceil(tf.maximum(1.0 / scale, 1.0)), tf.int32) + 1
    offset = tf.stack([_exact_offset(before[axis] - rim[axis], scale[axis]) for axis in (0, 1)])
    rim_before, rim_after = before - offset, tf.minimum(rim, after)
    pixels = tf.pad(pixels, [[rim_before[0], rim_after[0]], [rim_before[1], rim_after[1]], [0, 0]])
    options = {"translation": scale * tf.cast(offset, tf.float32), "kernel_type": "triangle", "antialias": True}
    return tf.raw_ops.ScaleAndTranslate(images=pixels[tf.newaxis], size=size, scale=scale, **options)[0]


def _exact_offset(max_offset, scale):
    """Return the largest offset in pixels, up to `max_offset`, that survives `ScaleAndTranslate`.

    It divides the translation by the scale again, in float32: half a unit in the last place is an error of 7e-3 gray
    levels at a sharp edge. The black rim makes up for a smaller offset.
    """
    offsets = tf.range(tf.maximum(max_offset, 0) + 1)
    exact = tf.cast(offsets, tf.float32)
    return tf.reduce_max(tf.where((1.0 / scale) * (scale * exact) == exact, offsets, 0))
