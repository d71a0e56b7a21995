"""Grad-CAM of the prediction of one image after another, for the review page."""

from collections.abc import Callable

from PIL import Image

from marinecv.explain.heatmaps import NO_HEAT, heatmaps, layers_of
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.models.outputs import with_probabilities
from marinecv.report.explain_page import overlay_pictures
from marinecv.runs import Run

SIDE_PX = 1000


def heat_drawer(run: Run) -> Callable[[str, str], Image.Image]:
    """Load the model of a run; return a function of a path and a class that draws Grad-CAM over the image.

    Either raises ValueError: the model has no maps to weigh, the class is none of the run, the image cannot be read, or
    there is no heat.
    """
    model = with_probabilities(run.load_model(), run.class_names)
    layers_of(model, "gradcam")

    def draw(path: str, class_name: str) -> Image.Image:
        if class_name not in run.class_names:
            raise ValueError(f"{class_name!r} is no class of the model")
        pixels, problems = read_pixels([path], run.spec)
        if problems:
            raise ValueError(problems[0])
        heat = heatmaps(model, pixels, [run.class_names.index(class_name)])[0]
        if not heat.any():
            raise ValueError(NO_HEAT)
        return overlay_pictures(path, heat, run.spec, side=SIDE_PX)[1]

    return draw
