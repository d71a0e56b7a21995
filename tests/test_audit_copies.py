"""The same file and the same picture are found, whatever was done to it; others are not."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scenes import CHANGES, draw_scene

from marinecv.audit.copies import NEAR, exact_copies, near_copies, perceptual_hashes
from marinecv.data.groups import LINK_COLUMNS

RECALL, PRECISION = 0.95, 0.97
PLACES = 40


def thumbs_of(pictures):
    return np.stack(
        [np.asarray(picture.convert("RGB").resize((128, 128), Image.Resampling.BOX)) for picture in pictures]
    )


def pairs_of(links):
    return set(zip(links["first"], links["second"], strict=True))


def test_files_of_the_same_bytes_are_chained_whatever_their_names(tmp_path):
    contents = {"a": b"one", "b": b"two", "c": b"one", "d": b"six", "e": b"one", "f": b"longer"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    links = exact_copies(pd.DataFrame({"path": [str(tmp_path / name) for name in contents]}))
    assert list(links) == LINK_COLUMNS
    assert pairs_of(links) == {(0, 2), (2, 4)}
    assert set(links["kind"]) == {"copy"} and set(links["found_by"]) == {"content"} and set(links["likeness"]) == {1.0}


def test_files_of_one_size_that_differ_are_no_copies(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    links = exact_copies(pd.DataFrame({"path": [str(tmp_path / name) for name in "ab"]}))
    assert links.empty and list(links) == LINK_COLUMNS


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(place, place) for place in range(PLACES)]


@pytest.mark.parametrize("change", CHANGES)
def test_of_each_kind_of_change_nearly_all_are_found_and_nothing_else(scenes, change):
    changed = [CHANGES[change](scene) for scene in scenes]
    links = near_copies(thumbs_of([*scenes, *changed]))
    right = {(number, PLACES + number) for number in range(PLACES)}
    found = pairs_of(links)
    assert len(found & right) / len(right) >= RECALL
    assert len(found & right) / len(found) >= PRECISION
    assert (links["likeness"] > NEAR).all() and set(links["found_by"]) <= {"hash", "colours"}


def test_frames_of_one_place_with_other_things_in_them_are_no_copies():
    frames = [draw_scene(place, 10 * place + frame) for place in range(5) for frame in range(6)]
    assert near_copies(thumbs_of(frames)).empty


def test_pictures_of_one_grey_are_copies_of_nothing():
    assert near_copies(thumbs_of([Image.new("RGB", (60, 40), (90, 90, 90))] * 3)).empty


def test_codes_find_what_hashes_and_colours_do_not(scenes):
    odd = [CHANGES["cropped"](scene).point(lambda level: min(255, level * 1.6)) for scene in scenes]
    thumbs = thumbs_of([*scenes, *odd])
    codes = np.random.default_rng(0).normal(size=(PLACES, 16)).astype(np.float32)
    plain, told = near_copies(thumbs), near_copies(thumbs, np.concatenate([codes, codes]))
    assert pairs_of(plain) < pairs_of(told)
    assert set(told.loc[~told["found_by"].isin(["hash", "colours"]), "found_by"]) == {"embedding"}


def test_a_hash_hardly_changes_with_light_and_compression(scenes):
    grey = np.stack([np.asarray(scene.convert("L").resize((64, 64)), np.float32) for scene in scenes[:10]])
    hashes = perceptual_hashes(grey)
    assert hashes.shape == (10, 63) and hashes.dtype == bool
    assert np.array_equal(perceptual_hashes(0.5 * grey + 20), hashes)
    assert 20 < (hashes[0] ^ hashes[1]).sum() < 43  # two scenes are as far apart as chance
