"""Pictures overlap where one shows a part of the other, whatever the light, and not otherwise."""

import numpy as np
import pytest
from scenes import CHANGES, draw_scene

from marinecv.audit.copies import details, overlap

HIGH = 0.8


def pictures_of(*pictures):
    side = [np.asarray(picture.convert("L").resize((64, 64)), np.float32) for picture in pictures]
    return details(np.stack(side))


def overlap_of(*pictures):
    return float(overlap(pictures_of(*pictures), np.array([[0, 1]]))[0])


def test_a_picture_overlaps_wholly_with_itself():
    assert overlap_of(draw_scene(1, 1), draw_scene(1, 1)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_overlaps_and_the_order_of_the_two_says_nothing(change):
    picture = draw_scene(2, 2)
    found = overlap_of(picture, CHANGES[change](picture))
    assert found > HIGH
    assert overlap_of(CHANGES[change](picture), picture) == pytest.approx(found, abs=1e-4)


def test_a_crop_that_is_mirrored_and_brighter_overlaps_too():
    picture = draw_scene(3, 3)
    assert overlap_of(picture, CHANGES["brightened"](CHANGES["mirrored"](CHANGES["cropped"](picture)))) > HIGH


def test_the_same_water_with_other_things_in_it_does_not_overlap():
    assert overlap_of(draw_scene(4, 40), draw_scene(4, 41)) < HIGH
    assert overlap_of(draw_scene(5, 5), draw_scene(6, 6)) < HIGH


def test_a_picture_of_one_grey_overlaps_with_nothing():
    flat = np.zeros((2, 64, 64), np.float32)
    assert overlap(flat, np.array([[0, 1]]))[0] == 0


def test_without_pairs_there_is_nothing_to_say():
    assert overlap(np.zeros((2, 64, 64), np.float32), np.empty((0, 2), np.int64)).shape == (0,)


def test_details_leave_out_what_is_broad():
    ramp = np.add.outer(np.arange(64.0), np.arange(64.0))[None]
    assert np.abs(details(ramp)[0, 16:-16, 16:-16]).max() < 1e-6
