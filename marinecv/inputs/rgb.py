"""One way from an opened picture to RGB, for the model, the audit and the pages alike."""

import numpy as np
from PIL import Image, ImageOps


def as_rgb(image: Image.Image) -> Image.Image:
    """Return a picture as a person sees it, decoded to its last pixel.

    EXIF orientation is applied, an alpha channel is laid over black, 16-bit grey is scaled to 8 bits, and of an
    animation the first frame is taken.

    Args:
        image: of any mode; not changed.
    Returns:
        An RGB image.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # convert("RGB") would clip 16 bits at 255
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image.convert("RGB")
