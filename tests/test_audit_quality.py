"""What is hard to see is remarked on: beyond a bound, and unlike the rest of the set."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scenes import draw_scene
from scipy.ndimage import gaussian_filter

from marinecv.audit.quality import measure_quality

SCENES = np.stack([np.asarray(draw_scene(n, n).resize((128, 128), Image.Resampling.BOX)) for n in range(30)])


def measured(thumbs, sizes=None):
    sizes = sizes or [(800, 600)] * len(thumbs)
    rows = [(f"{n}.jpg", "train", "ray", *size) for n, size in enumerate(sizes)]
    return measure_quality(pd.DataFrame(rows, columns=["image_id", "split", "class_name", "width", "height"]), thumbs)


def with_first(change):
    thumbs = SCENES.copy()
    thumbs[0] = np.asarray(change(thumbs[0].astype(float))).clip(0, 255).astype(np.uint8)
    return thumbs


def test_what_is_measured_is_the_grey_picture():
    table = measured(np.stack([np.full((128, 128, 3), 200, np.uint8), *SCENES[:2]]))
    assert list(table)[5:] == ["brightness", "contrast", "sharpness", "remark"]
    assert table.loc[0, ["brightness", "contrast", "sharpness"]].tolist() == pytest.approx([200, 0, 0], abs=1e-3)


def test_ordinary_pictures_have_no_remark():
    assert (measured(SCENES)["remark"] == "").all()


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (lambda pixels: pixels * 0.08, "dark"),
        (lambda pixels: 255 - (255 - pixels) * 0.1, "bright"),
        (lambda pixels: 110 + pixels * 0.03, "low contrast"),
        (lambda pixels: gaussian_filter(pixels, (4, 4, 0)), "blurred"),
        (lambda pixels: gaussian_filter(pixels, (8, 8, 0)), "blurred"),
    ],
)
def test_a_picture_unlike_the_rest_is_remarked_on(change, remark):
    table = measured(with_first(change))
    assert remark in table["remark"][0]
    assert (table["remark"][1:] == "").all()


def test_light_and_contrast_hardly_change_what_is_sharp():
    plain, pale = measured(SCENES)["sharpness"], measured((60 + SCENES * 0.5).astype(np.uint8))["sharpness"]
    assert np.abs(pale / plain - 1).max() < 0.1


def test_a_dark_or_soft_set_is_what_it_is_and_none_of_it_stands_out():
    assert (measured((SCENES * 0.15).astype(np.uint8))["remark"] == "").all()
    soft = np.stack([gaussian_filter(scene.astype(float), (3, 3, 0)).astype(np.uint8) for scene in SCENES])
    assert (measured(soft)["remark"] == "").all()


@pytest.mark.parametrize(
    ("size", "remark"), [((60, 50), "small"), ((1500, 400), "long"), ((300, 1000), "long"), ((4000, 3000), "large")]
)
def test_an_odd_size_is_remarked_on(size, remark):
    table = measured(SCENES, [size] + [(800, 600)] * 29)
    assert table["remark"].tolist() == [remark] + [""] * 29


def test_a_set_of_small_pictures_is_not_odd():
    assert (measured(SCENES, [(32, 32)] * 30)["remark"] == "").all()


def test_several_remarks_stand_beside_each_other():
    assert measured(with_first(lambda pixels: pixels * 0.02))["remark"][0] == "dark, low contrast"


def test_no_image_has_no_quality():
    table = measured(SCENES[:0])
    assert table.empty and list(table)[-1] == "remark"
