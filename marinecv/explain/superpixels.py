"""LIME: which pieces of an image speak for a class, found by covering pieces at random."""

import io
from contextlib import redirect_stderr

import keras
import numpy as np

from marinecv.explain.cam import probabilities

SAMPLES = 200
SUPERPIXELS = 50
BATCH = 32


def lime(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: None, seed: int) -> np.ndarray:
    """Raw heat of one batch, as `cam` describes it: the weight of each superpixel that speaks for the class, else 0.

    About `SUPERPIXELS` pieces by SLIC; `SAMPLES` versions with a random half of them in their mean colour; a linear
    model of the class's probability, near versions weighing more. Source: Ribeiro et al. (2016).
    """
    try:
        from lime.lime_image import LimeImageExplainer
        from skimage.segmentation import slic
    except ImportError as error:
        raise ValueError(
            f"LIME cannot be used: {error}. Install it with `pip install marinecv[explain]`, or take another method."
        ) from error

    def pieces(picture):
        return slic(picture, n_segments=SUPERPIXELS, start_label=0)

    def one(class_index, image, attributes):
        with redirect_stderr(io.StringIO()):  # it shows a progress bar an image
            found = LimeImageExplainer(random_state=seed).explain_instance(
                image.round().astype(np.uint8),
                lambda versions: probabilities(scores, versions.astype(np.float32), attributes).numpy(),
                labels=(class_index,),
                top_labels=None,
                num_samples=SAMPLES,
                batch_size=BATCH,
                segmentation_fn=pieces,
            )
        weights = dict(found.local_exp[class_index])
        return np.vectorize(lambda piece: max(weights[piece], 0.0), otypes=[np.float32])(found.segments)

    pixels, *attributes = inputs
    return np.stack([one(int(c), pixels[i], [part[i : i + 1] for part in attributes]) for i, c in enumerate(classes)])
