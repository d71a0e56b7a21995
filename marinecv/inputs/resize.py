"""Pad and resize in one step: the 1024x1024 float canvas of the report is never built."""

import tensorflow as tf

from marinecv.inputs.spec import ImageSpec


def fit_image(pixels: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Centre on a black square canvas and resize, in one interpolation.

    Equal to `tf.image.resize(tf.image.resize_with_crop_or_pad(pixels, canvas, canvas), size)`, to 1e-3 of a grey
    level. For an image larger than the canvas the canvas grows to its longer side, which shrinks the image whole.

    Args:
        pixels: `(h, w, 3)`, any numeric type.
        spec: the geometry.
    Returns:
        float32 `(spec.height, spec.width, 3)`, in the range of the input.
    """
    size = (spec.height, spec.width)
    if spec.fit == "stretch":
        return tf.image.resize(pixels, size, antialias=spec.antialias)
    source_hw = tf.shape(pixels)[:2]
    side = tf.maximum(tf.reduce_max(source_hw), spec.canvas_px or 0)
    before = (side - source_hw) // 2
    resize = _resize_averaged if spec.antialias else _resize_sampled
    return tf.ensure_shape(resize(pixels, side, before, size), spec.shape)


def _resize_sampled(pixels, side, before, size):
    """Bilinear from the four nearest canvas pixels, as `ResizeBilinear` with half-pixel centres does it."""
    length = tf.shape(pixels)
    rows, row_weights = _neighbours(side, before[0], length[0], size[0])
    columns, column_weights = _neighbours(side, before[1], length[1], size[1])
    flat = tf.reshape(pixels, (-1, 3))

    def line(index, weight):
        left, right = (tf.cast(tf.gather(flat, index[:, None] * length[1] + column), tf.float32) for column in columns)
        return (left * column_weights[0][:, None] + right * column_weights[1][:, None]) * weight[:, None, None]

    return line(rows[0], row_weights[0]) + line(rows[1], row_weights[1])


def _neighbours(side, before, length, out_length):
    """The two source indices of each output pixel, and their weights: 0 where the canvas is black."""
    scale = tf.cast(side, tf.float32) / out_length
    position = (tf.range(out_length, dtype=tf.float32) + 0.5) * scale - 0.5
    lower = tf.floor(position)
    share = position - lower
    canvas_indices = tf.maximum(lower, 0), tf.minimum(lower + 1, tf.cast(side - 1, tf.float32))
    indices = [tf.cast(index, tf.int32) - before for index in canvas_indices]
    on_image = [tf.cast((index >= 0) & (index < length), tf.float32) for index in indices]
    clipped = [tf.clip_by_value(index, 0, length - 1) for index in indices]
    return clipped, ((1 - share) * on_image[0], share * on_image[1])


def _resize_averaged(pixels, side, before, size):
    """Antialiased: every canvas pixel counts, weighted by a triangle as wide as two output pixels."""
    after = side - tf.shape(pixels)[:2] - before
    scale = tf.constant(size, tf.float32) / tf.cast(side, tf.float32)
    # The kernel renormalises its weights at the edge of its input, so the edge would not blend with the black around
    # it. A black rim twice as wide as the kernel restores that, where there is canvas for it.
    rim = 2 * tf.cast(tf.math.ceil(tf.maximum(1.0 / scale, 1.0)), tf.int32) + 1
    rim_before, rim_after = tf.minimum(rim, before), tf.minimum(rim, after)
    pixels = tf.pad(pixels, [[rim_before[0], rim_after[0]], [rim_before[1], rim_after[1]], [0, 0]])
    return tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis],
        size=size,
        scale=scale,
        translation=scale * tf.cast(before - rim_before, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]


def exceeds_canvas(height: int, width: int, spec: ImageSpec) -> bool:
    """Whether an image of this size would have to be shrunk onto the canvas."""
    return spec.fit == "pad" and spec.canvas_px is not None and max(height, width) > spec.canvas_px
