"""Scale pixels in [0, 255] to the input range of a network, by stock Keras layers."""

from keras import KerasTensor, layers, ops

IMAGENET_RGB_MEAN, IMAGENET_RGB_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of [0, 1]
IMAGENET_BGR_MEAN = (103.939, 116.779, 123.68)


def standardize(x: KerasTensor) -> KerasTensor:
    """Scale each image to mean 0 and deviation 1 over all channels: `tf.image.per_image_standardization` to 2e-6."""
    return layers.LayerNormalization(axis=[1, 2, 3], center=False, scale=False, epsilon=1e-6, name="standardize")(x)


def unit(x: KerasTensor) -> KerasTensor:
    """Scale [0, 255] to [0, 1]."""
    return layers.Rescaling(1 / 255, name="unit_range")(x)


def imagenet(x: KerasTensor) -> KerasTensor:
    """Scale to [0, 1], subtract the channel means of ImageNet and divide by their deviations, as PyTorch does."""
    variance = [deviation**2 for deviation in IMAGENET_RGB_DEVIATION]
    return layers.Normalization(mean=IMAGENET_RGB_MEAN, variance=variance, name="imagenet_range")(unit(x))


def signed_unit(x: KerasTensor) -> KerasTensor:
    """Scale [0, 255] to [-1, 1]: MobileNet, MobileNetV2, MobileNetV3, InceptionV3."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="signed_unit_range")(x)


def bgr_centered(x: KerasTensor) -> KerasTensor:
    """Order channels blue, green, red and subtract the means of ImageNet: ResNet50."""
    return layers.Normalization(mean=IMAGENET_BGR_MEAN, variance=(1.0, 1.0, 1.0), name="bgr_centered")(ops.flip(x, -1))


def raw(x: KerasTensor) -> KerasTensor:
    """Keep [0, 255]: EfficientNet rescales inside."""
    return x


NORMALIZATIONS = {"standardize": standardize, "unit": unit, "imagenet": imagenet}
