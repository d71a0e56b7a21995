"""Salt and pepper: how much, on what, and when it changes."""

import numpy as np
import pandas as pd
import pytest

from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.augment import noisy_pixels, with_noise
from marinecv.inputs.pipeline import make_dataset
from marinecv.inputs.spec import ImageSpec

IMAGES, SIDE = 70, 20
PIXELS = np.random.default_rng(0).integers(1, 255, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
ROWS = pd.DataFrame({"image_id": [f"{i}" for i in range(IMAGES)], "path": "", "class_name": "eel", "problem": ""})


def images(start_epoch=None):
    """Batches of training, or of validation."""
    spec, drawn = ImageSpec(height=SIDE, width=SIDE), {}
    if start_epoch is not None:
        drawn = {"training": True, "start_epoch": start_epoch}
    return make_dataset(ROWS, spec, ("eel",), pixels=PIXELS, batch_size=32, **drawn)


def collect(pairs):
    noisy, clean = zip(*pairs, strict=True)
    return np.concatenate(noisy), np.concatenate(clean)


def noisy(start_epoch=None, salt=0.1, pepper=0.2, seed=0):
    return with_noise(images(start_epoch), salt=salt, pepper=pepper, seed=seed, start_epoch=start_epoch)


def laid():
    return noisy_pixels(ROWS, PIXELS, salt=0.1, pepper=0.2), PIXELS


@pytest.mark.parametrize("pairs", [lambda: collect(noisy()), laid], ids=["batches", "pixels"])
def test_so_much_is_white_and_so_much_black_in_all_channels_and_the_rest_is_as_it_was(pairs):
    shown, clean = pairs()
    np.testing.assert_array_equal(clean, PIXELS)
    white, black = (shown == 255).all(axis=-1), (shown == 0).all(axis=-1)
    pixels = IMAGES * SIDE * SIDE
    for share, found in ((0.1, white.mean()), (0.2, black.mean())):
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / pixels)
    np.testing.assert_array_equal(shown[~(white | black)], clean[~(white | black)])


def test_noise_of_validation_stays():
    pairs = noisy()
    np.testing.assert_array_equal(collect(pairs)[0], collect(pairs)[0])
    assert not np.array_equal(collect(noisy(seed=1))[0], collect(pairs)[0])


def test_noise_of_training_is_drawn_afresh_each_epoch_and_differs_from_image_to_image():
    pairs = noisy(start_epoch=0)
    hit = []
    for _ in range(2):
        shown, clean = collect(pairs)
        order = np.argsort([int(i) for i in np.abs(PIXELS[None].astype(int) - clean[:, None]).sum((2, 3, 4)).argmin(1)])
        hit.append((shown != clean).any(axis=-1)[order])
    assert 0.35 < (hit[0] != hit[1]).mean() < 0.5  # 2 * 0.3 * 0.7 where they have nothing to do with each other
    assert 0.35 < (hit[0][0] != hit[0][1]).mean() < 0.5


def test_a_later_epoch_begins_with_the_noise_it_would_have_had():
    pairs = noisy(start_epoch=0)
    collect(pairs)
    for there, here in zip(collect(pairs), collect(noisy(start_epoch=1)), strict=True):
        np.testing.assert_array_equal(there, here)


def test_without_noise_both_are_the_image_and_the_length_is_known():
    shown, clean = collect(noisy(salt=0, pepper=0))
    np.testing.assert_array_equal(shown, clean)
    assert len(noisy(start_epoch=0)) == 3


def test_pixels_of_an_image_have_their_noise_whichever_others_there_are():
    shares, some = {"salt": 0.1, "pepper": 0.2}, [40, 3, 7]
    kept = PIXELS.copy()
    shown = noisy_pixels(ROWS, PIXELS, **shares)
    np.testing.assert_array_equal(noisy_pixels(ROWS.iloc[some], PIXELS[some], **shares), shown[some])
    np.testing.assert_array_equal(PIXELS, kept)
    assert shown.dtype == np.uint8 and not np.array_equal(noisy_pixels(ROWS, PIXELS, seed=1, **shares), shown)
    white = (shown == 255).all(axis=-1)
    assert not np.array_equal(white[0], white[1])
    np.testing.assert_array_equal(noisy_pixels(ROWS, PIXELS, salt=0, pepper=0), PIXELS)


@pytest.mark.parametrize(("salt", "pepper"), [(-0.1, 0), (0.6, 0.5), (float("nan"), 0)])
def test_shares_that_are_none_are_refused(salt, pepper):
    with pytest.raises(ValueError, match="Expected shares from 0 on"):
        noisy(salt=salt, pepper=pepper)
    with pytest.raises(ValueError, match="Expected shares from 0 on"):
        noisy_pixels(ROWS, PIXELS, salt=salt, pepper=pepper)


def test_noise_is_of_batches_whose_number_is_known():
    for batches in (images().repeat(), images().filter(lambda *batch: True)):
        with pytest.raises(ValueError, match="Expected batches whose number is known"):
            with_noise(batches, salt=0, pepper=0)


def test_a_look_at_noise_is_no_epoch_and_a_counter_holds_for_images_and_noise():
    counter, rows = EpochCounter(1), ROWS.iloc[np.arange(300) % IMAGES]
    options = {"spec": ImageSpec(height=SIDE, width=SIDE), "class_names": ["eel"], "training": True, "batch_size": 32}
    options["pixels"] = PIXELS[np.arange(300) % IMAGES]

    def pairs(start_epoch):
        batches = make_dataset(rows, **options, start_epoch=start_epoch)
        return with_noise(batches, salt=0.1, pepper=0.2, start_epoch=start_epoch)

    first, second = collect(pairs(1)), collect(pairs(2))
    for start_epoch in (1, counter):
        training = pairs(start_epoch)
        next(iter(training))
        for expected in (first, second):
            np.testing.assert_array_equal(collect(training), expected)
    assert counter.epoch == 3


def test_noise_is_of_the_pixels_of_its_rows():
    for wrong in (PIXELS[:-1], PIXELS.astype(np.float32), PIXELS.tolist()):
        with pytest.raises(ValueError, match="Expected pixels of the 70 usable rows: an array of uint8"):
            noisy_pixels(ROWS, wrong, salt=0.1, pepper=0.2)
    numbered = ROWS.assign(image_id=range(IMAGES))  # numbers, as `read_csv` makes of such names
    np.testing.assert_array_equal(noisy_pixels(numbered, PIXELS, salt=0.1, pepper=0.2), laid()[0])
