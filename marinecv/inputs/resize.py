"""Pad and resize in one step, without building the padded image."""

import tensorflow as tf

from marinecv.inputs.spec import ImageSpec


def fit_image(pixels: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Center on a black square and resize, in one interpolation: float32, in the range of the input.

    Equal to `tf.image.resize(tf.image.resize_with_crop_or_pad(pixels, side, side), size)`, to 2e-3 of a gray level.
    For an image larger than `canvas_px` the square grows to its longer side, which shrinks the image whole.
    """
    size = (spec.height, spec.width)
    if spec.fit == "stretch":
        return tf.cast(tf.image.resize(pixels, size, antialias=spec.antialias), tf.float32)
    source_hw = tf.shape(pixels)[:2]
    side = tf.maximum(tf.reduce_max(source_hw), spec.canvas_px or 0)
    before = (side - source_hw) // 2
    resize = _resize_averaged if spec.antialias else _resize_sampled
    return tf.ensure_shape(resize(pixels, side, before, size), spec.shape)


def fitted(pixels: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Fit decoded pixels and round to the nearest gray level: uint8 `(height, width, 3)`."""
    return tf.saturate_cast(tf.round(fit_image(pixels, spec)), tf.uint8)


def _resize_sampled(pixels, side, before, size):
    """Interpolate from the four nearest pixels of the square, as `ResizeBilinear` with half-pixel centers does.

    Only the rows that are sampled are built, two for each output row, still as bytes: the operation interpolates along
    them, this function across them. Gathering whole rows is cheap, gathering single pixels is not.
    """
    length = tf.shape(pixels)
    rows, weights = _neighbours(side, before[0], length[0], size[0])
    band = tf.gather(pixels, tf.reshape(rows, [-1]))
    band = tf.pad(band, [[0, 0], [before[1], side - length[1] - before[1]], [0, 0]])
    lines = tf.raw_ops.ResizeBilinear(images=band[tf.newaxis], size=(2 * size[0], size[1]), half_pixel_centers=True)
    upper, lower = tf.split(lines[0], 2)
    return upper * weights[0][:, None, None] + lower * weights[1][:, None, None]


def _neighbours(side, before, length, out_length):
    """Return the two source rows of each output row and their weights, 0 on black: both `(2, out_length)`."""
    scale = tf.cast(side, tf.float32) / out_length
    position = (tf.range(out_length, dtype=tf.float32) + 0.5) * scale - 0.5
    lower = tf.floor(position)
    share = position - lower
    on_canvas = tf.stack([tf.maximum(lower, 0), tf.minimum(lower + 1, tf.cast(side - 1, tf.float32))])
    rows = tf.cast(on_canvas, tf.int32) - before
    weights = tf.stack([1 - share, share])
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
    return tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis],
        size=size,
        scale=scale,
        translation=scale * tf.cast(offset, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]


def _exact_offset(at_most, scale):
    """Return the largest offset in pixels, up to `at_most`, that survives `ScaleAndTranslate`.

    The operation divides the translation by the scale again, in float32: half a unit in the last place is an error of
    7e-3 gray levels at a sharp edge. The black rim makes up for a smaller offset.
    """
    offsets = tf.range(tf.maximum(at_most, 0) + 1)
    exact = tf.cast(offsets, tf.float32)
    return tf.reduce_max(tf.where((1.0 / scale) * (scale * exact) == exact, offsets, 0))
