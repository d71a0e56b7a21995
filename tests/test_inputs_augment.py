"""Augmentation and noise are pure functions: of random numbers, or of seed, epoch and image."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from marinecv.features.cache import AugmentedViews
from marinecv.inputs.augment import (
    DRAWS,
    IDENTITY_DRAWS,
    MORE_DRAWS,
    VARIANT_DRAWS,
    augment,
    epoch_draws,
    mix,
    noisy_pixels,
    variant_draws,
    with_noise,
)
from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import DeviceShard, make_dataset, shuffled_batches
from marinecv.inputs.spec import Augmentation, ImageSpec

NAMES = ("flip", "vertical_flip", "rotation", "zoom", "crop", "crop_row", "crop_column")
SATURATED = keras.layers.RandomSaturation((0.6, 0.6), value_range=(0, 1))  # 0.6 / 0.4 times the saturation
OBLONG = np.random.default_rng(0).integers(0, 256, (3, 12, 20, 3), dtype=np.uint8)
ALL = Augmentation(flip=0.5, vertical_flip=0.5, rotation_deg=30, zoom=0.3, crop=0.3)
SIMPLE = Augmentation(flip=1.0, rotation_deg=15, zoom=0.2, variants="simple")
QUADRUPLE = Augmentation(flip=1.0, rotation_deg=15, zoom=0.2, variants="quadruple")
VARIANTS = pytest.mark.parametrize("augmentation", [SIMPLE, QUADRUPLE], ids=["simple", "quadruple"])
DRAWN = np.random.default_rng(0).uniform(0.01, 0.99, (90, len(IDENTITY_DRAWS))).astype(np.float32)


def draws(count=3, **fixed):
    """Return numbers of which none moves an image, but for those that are fixed."""
    row = dict(zip(NAMES, IDENTITY_DRAWS, strict=True)) | {"flip": 0.99, "vertical_flip": 0.99} | fixed
    return np.tile(np.float32([*row.values()]), (count, 1))


def moved(pixels, numbers, **bounds):
    return augment(tf.constant(pixels), tf.constant(numbers), Augmentation(**{"flip": 0} | bounds)).numpy()


def test_a_flip_is_the_exact_mirror_of_what_draws_below_its_probability():
    for flip in (0, 1):
        for vertical_flip in (0, 1):
            images = moved(OBLONG, draws(), flip=flip, vertical_flip=vertical_flip)
            assert images.dtype == np.float32
            np.testing.assert_array_equal(images, OBLONG[:, :: 1 - 2 * vertical_flip, :: 1 - 2 * flip])
    numbers, expected = draws(), OBLONG.copy()
    numbers[1, 0], expected[1] = 0.49, OBLONG[1, :, ::-1]
    np.testing.assert_array_equal(moved(OBLONG, numbers, flip=0.5), expected)


@pytest.mark.parametrize(("number", "turns"), [(1.0, 1), (0.0, -1)])
def test_a_rotation_of_90_degrees_is_a_quarter_turn(number, turns):
    square = OBLONG[:, :, :12]
    turned = moved(square, draws(rotation=number), rotation_deg=90)
    np.testing.assert_allclose(turned, np.rot90(square, turns, axes=(1, 2)), atol=0.1)


def test_a_crop_of_half_enlarges_one_quarter():
    pixels = np.zeros((1, 16, 16, 3), np.float32)
    pixels[:, :8, 8:] = 200
    inside = moved(pixels, draws(1, crop=1.0, crop_row=0.0, crop_column=1.0), crop=0.5)[0, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, 200, atol=0.1)
    assert moved(pixels, draws(1, crop=1.0, crop_row=1.0, crop_column=0.0), crop=0.5)[0, 1:, :-1].max() == 0


def test_zooming_out_shows_black_around():
    white = np.full((1, 20, 20, 3), 255, np.float32)
    out = moved(white, draws(1, zoom=1.0), zoom=0.5)[0]
    assert out[0].max() == out[:, 0].max() == 0 and out[10, 10].min() == 255
    assert moved(white, draws(1, zoom=0.0), zoom=0.5).min() == 255


@pytest.mark.parametrize(("draw", "side"), [(0.0, 32), (0.25, 36), (0.5, 40), (1.0, 48)])
def test_a_variant_is_as_much_larger_as_its_zoom_says_as_in_torchvision(draw, side):
    """`RandomAffine(scale=(0.8, 1.2))` draws the size of what an image shows, and not how much of it is seen."""
    white = np.zeros((1, 100, 100, 3), np.float32)
    white[:, 30:70, 30:70] = 255
    numbers = variant_draws(tf.constant(draws(1, zoom=draw)), tf.constant([3], tf.int64), QUADRUPLE)
    row = augment(tf.constant(white), numbers, QUADRUPLE).numpy()[0, 50, :, 0]
    assert row.sum() / 255 == pytest.approx(side, abs=0.1)
    if draw == 1:  # elsewhere as Keras' RandomZoom, where 1 + zoom is how much is seen
        assert moved(white, draws(1, zoom=draw), zoom=0.2)[0, 50, :, 0].sum() / 255 == pytest.approx(40 / 1.2, abs=0.1)


def test_the_same_numbers_give_the_same_image_whatever_the_batch_and_inside_tf_data():
    images, numbers = OBLONG, DRAWN[:3]
    whole = augment(images, numbers, ALL)
    alone = [augment(images[n : n + 1], numbers[n : n + 1], ALL)[0] for n in range(3)]
    np.testing.assert_array_equal(whole, alone)
    batches = tf.data.Dataset.from_tensor_slices((images, numbers)).batch(3).map(lambda x, y: augment(x, y, ALL))
    np.testing.assert_allclose(whole, next(batches.as_numpy_iterator()), atol=1e-3)
    assert np.abs(whole - images).mean() > 1


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"rotation_deg": 361}, "rotation_deg is 361"),
        ({"zoom": 1}, "zoom is 1"),
        ({"crop": "a"}, "crop is 'a'"),
        ({"variants": "double"}, "variants to be one of"),
        ({"variants": "simple"}, "bounds above 0 of these"),
        ({"variants": "simple", "rotation_deg": 9, "zoom": 0.1, "crop": 0.1}, "bounds above 0 of these"),
        *[
            ({"variants": "simple", "rotation_deg": 9, "zoom": 0.1, name: 0.1}, f"of no other.*{name}=0.1")
            for name in ("brightness", "contrast", "saturation", "erasing", "mixup", "cutmix")
        ],
    ],
)
def test_bounds_that_cannot_be_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**bounds)


def moved_by(copy, augmentation):
    """Return the operations that move each of 90 images, for a number of the copy."""
    numbers = variant_draws(tf.constant(DRAWN), tf.fill((90,), tf.constant(copy, tf.int64)), augmentation)
    return [tuple(np.flatnonzero(row != np.float32(IDENTITY_DRAWS))) for row in numbers.numpy()]


def test_an_original_stays_and_each_variant_is_moved_by_exactly_one_operation():
    for augmentation in (SIMPLE, QUADRUPLE):
        assert {*moved_by(0, augmentation)} == {()}
    assert [{*moved_by(copy, QUADRUPLE)} for copy in (1, 2, 3)] == [{(operation,)} for operation in VARIANT_DRAWS]
    simple = moved_by(1, SIMPLE)
    counts = [simple.count((operation,)) for operation in VARIANT_DRAWS]
    assert sum(counts) == 90 and min(counts) > 15
    numbers = variant_draws(tf.constant(DRAWN[:3]), tf.ones(3, tf.int64), QUADRUPLE)  # a flip that is chosen happens
    np.testing.assert_allclose(augment(OBLONG, numbers, QUADRUPLE), OBLONG[:, :, ::-1], atol=1e-3)


@VARIANTS
def test_an_epoch_has_every_image_and_its_variants_and_validation_stays_clean(augmentation):
    spec = ImageSpec(height=12, width=20, fit="stretch")
    rows = pd.DataFrame({"image_id": ["0", "1", "2"], "path": "", "class_name": list("aab")})

    options = {"pixels": OBLONG, "batch_size": 2, "augmentation": augmentation}

    def images(**training):
        batches = make_dataset(rows, spec, ("a", "b"), **options, **training)
        shown = np.concatenate([images for images, _ in batches])
        assert len(batches) == -(-len(shown) // 2)
        return shown

    shown = images(training=True)
    assert len(shown) == 3 * augmentation.copies
    assert all(any(np.allclose(image, original, atol=1e-3) for image in shown) for original in OBLONG)
    np.testing.assert_array_equal(images(), OBLONG)


@VARIANTS
@pytest.mark.parametrize("balanced", [False, True], ids=["each once", "balanced"])
def test_the_cache_holds_the_views_of_the_first_epochs(augmentation, balanced):
    labels, views = np.array([0, 0, 0, 1]), AugmentedViews(augmentation, drawn=2, seed=5)
    counter = EpochCounter()
    batches = shuffled_batches(labels, augmentation, counter, batch_size=3, balanced=balanced, seed=5)
    assert views.count == 1 + 2 * (augmentation.copies - 1)
    cached = np.stack([views.draws(view, 4) for view in range(views.count)])
    for number in range(2):
        counter.on_epoch_begin(number)
        for epoch, indices, copies, numbers in batches:
            shown = views.shown(epoch, copies, numbers).numpy()
            assert (shown == 0).tolist() == (copies == 0).numpy().tolist()
            if not balanced:  # an image drawn twice moves differently
                np.testing.assert_array_equal(cached[shown, indices], numbers)


MORE = (
    "brightness",
    "contrast",
    "saturation",
    "erase",
    "area",
    "aspect",
    "row",
    "column",
    "how",
    "cut_row",
    "cut_column",
)
MORE = (*MORE, "own_weight")
EVERYTHING = Augmentation(brightness=0.3, contrast=0.3, saturation=0.3, erasing=0.5, mixup=0.2, cutmix=1.0)


def more_draws(count=3, **fixed):
    """Return numbers that move no image, and of color, erasing and mixing those that are fixed; others are 0.5."""
    more = dict.fromkeys(MORE, 0.5) | fixed
    return np.concatenate([draws(count), np.tile(np.float32([*more.values()]), (count, 1))], axis=1)


@pytest.mark.parametrize(
    ("bounds", "fixed", "expected"),
    [
        ({"brightness": 0.2}, {"brightness": 1.0}, lambda x: np.minimum(x + 51, 255)),
        ({"brightness": 0.2}, {"brightness": 0.25}, lambda x: np.maximum(x - 25.5, 0)),
        ({"contrast": 0.5}, {"contrast": 0.0}, lambda x: (x + x.mean((1, 2), keepdims=True)) / 2),
        ({"saturation": 0.5}, {"saturation": 1.0}, lambda x: 255 * SATURATED(x / 255)),
        (vars(EVERYTHING) | {"flip": 0}, {"erase": 0.5}, lambda x: x),
    ],
)  # fmt: skip
def test_color_changes_by_the_drawn_factor(bounds, fixed, expected):
    images = OBLONG.astype(np.float32)
    np.testing.assert_allclose(moved(OBLONG, more_draws(**fixed), **bounds), expected(images), atol=0.01)


def test_erasing_paints_the_drawn_rectangle_of_the_images_that_draw_it():
    numbers = more_draws(3, erase=0.29, area=0.23 / 0.31, aspect=0.5, row=0.5, column=0.0)  # a quarter of the area
    numbers[1, DRAWS + 3] = 0.31
    expected = OBLONG.copy()
    expected[[0, 2], 3:9, :10] = 0
    np.testing.assert_array_equal(moved(OBLONG, numbers, erasing=0.3), expected)
    tall = moved(np.maximum(OBLONG, 1), more_draws(1, erase=0, area=1.0, aspect=0.0, row=0.99, column=0.99), erasing=1)[
        0
    ]
    assert (tall[:, 14:] == 0).all() and (tall[:, :14] > 0).all()  # as high as the image, sqrt(0.33 * 0.3) as wide


def test_mixup_is_the_weighted_mean_of_two_images_and_cutmix_pastes_a_rectangle_of_known_area():
    images = OBLONG.astype(np.float32)
    mixed, weights = mix(images, more_draws(own_weight=0.75), Augmentation(mixup=1))
    np.testing.assert_allclose(mixed, 0.75 * images + 0.25 * images[[2, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(weights, [[0.25]] * 3, rtol=1e-6)
    numbers = more_draws(own_weight=0.75, cut_row=0.99, cut_column=0.5)
    expected = images.copy()
    expected[:, 6:, 5:15] = images[[2, 0, 1], 6:, 5:15]
    mixed, weights = mix(images, numbers, Augmentation(cutmix=1))
    np.testing.assert_array_equal(mixed, expected)
    np.testing.assert_array_equal(weights, [[0.25]] * 3)
    numbers[:, -4] = [0.49, 0.51, 0.49]  # both: each image draws one
    both = mix(images, numbers, Augmentation(mixup=1, cutmix=1))[0]
    np.testing.assert_array_equal(both[::2], expected[::2])
    np.testing.assert_allclose(both[1], 0.75 * images[1] + 0.25 * images[0], rtol=1e-6)


@pytest.mark.parametrize("alpha", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_labels_and_attributes_are_mixed_as_the_pixels_are(alpha):
    rows = pd.DataFrame({"image_id": [f"{i}" for i in range(9)], "path": "", "class_name": list("aabbabaab")})
    is_b = (rows["class_name"] == "b").to_numpy(np.float32)
    pixels = np.broadcast_to((200 * is_b).astype(np.uint8)[:, None, None, None], (9, 12, 20, 3))
    options = {"pixels": pixels, "batch_size": 4, "augmentation": Augmentation(flip=0.5, **alpha), "seed": 5}
    options |= {"attributes": is_b[:, None], "training": True}

    def epoch(start_epoch):
        data = make_dataset(rows, ImageSpec(height=12, width=20), ("a", "b"), start_epoch=start_epoch, **options)
        parts = [(images, attributes, labels) for (images, attributes), labels in data]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    images, attributes, labels = epoch(0)
    np.testing.assert_allclose(images.mean((1, 2, 3)) / 200, labels[:, 1], atol=1e-4)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(attributes[:, 0], labels[:, 1], rtol=1e-6)
    assert ((labels > 0.01) & (labels < 0.99)).any()
    np.testing.assert_array_equal(images, epoch(0)[0])
    assert not np.array_equal(epoch(1)[2], labels)


def test_other_settings_leave_the_numbers_of_an_image_and_each_epoch_has_its_own():
    before = epoch_draws(8, 5, 3)
    numbers = epoch_draws(8, 5, 3, EVERYTHING)
    assert before.shape == (8, DRAWS) and numbers.shape == (8, DRAWS + MORE_DRAWS) == (8, DRAWS + len(MORE))
    np.testing.assert_array_equal(numbers[:, :DRAWS], before)
    np.testing.assert_array_equal(numbers, epoch_draws(8, 5, tf.constant(3, tf.int64), EVERYTHING))
    assert not np.isclose(numbers, epoch_draws(8, 5, 4, EVERYTHING)).any()
    assert not np.isclose(numbers, epoch_draws(8, 6, 3, EVERYTHING)).any()


@pytest.mark.parametrize(("alpha", "variance"), [(0.2, 1 / 5.6), (1.0, 1 / 12), (8.0, 1 / 68), (1e-3, 1 / 4.008)])
def test_own_weights_follow_a_beta_distribution(alpha, variance):
    weights = epoch_draws(4000, 0, 0, Augmentation(mixup=alpha)).numpy()[:, -1]
    assert weights.mean() == pytest.approx(0.5, abs=0.03) and weights.var() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("how", [{"class_weight": {0: 2.0}}, {"shard": DeviceShard(devices=2)}])
@pytest.mark.parametrize("alpha", ["mixup", "cutmix"])
def test_mixing_is_refused_where_its_weights_would_be_wrong(how, alpha):
    with pytest.raises(ValueError, match="mixup and cutmix mix two images of a batch. Expected .*or mixup=0"):
        make_dataset(
            ROWS,
            ImageSpec(height=SIDE, width=SIDE),
            ("eel",),
            pixels=PIXELS,
            training=True,
            augmentation=Augmentation(**{alpha: 1}),
            **how,
        )


IMAGES, SIDE = 70, 20
PIXELS = np.random.default_rng(0).integers(1, 255, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
ROWS = pd.DataFrame({"image_id": [f"{i}" for i in range(IMAGES)], "path": "", "class_name": "eel"})
FRACTIONS = {"salt": 0.1, "pepper": 0.2}


def noisy(start_epoch=None, seed=0):
    spec = ImageSpec(height=SIDE, width=SIDE)
    drawn = {} if start_epoch is None else {"training": True, "start_epoch": start_epoch}
    batches = make_dataset(ROWS, spec, ("eel",), pixels=PIXELS, batch_size=8, **drawn)
    return with_noise(batches, **FRACTIONS, seed=seed, start_epoch=start_epoch)


def collect(pairs):
    noisy, clean = zip(*pairs, strict=True)
    return np.concatenate(noisy), np.concatenate(clean)


@pytest.mark.parametrize(
    "pairs",
    [lambda: collect(noisy()), lambda: (noisy_pixels(ROWS, PIXELS, **FRACTIONS), PIXELS)],
)
def test_noise_makes_fractions_white_and_black_in_all_channels_and_leaves_the_rest(pairs):
    shown, clean = pairs()
    np.testing.assert_array_equal(clean, PIXELS)
    white, black = (shown == 255).all(axis=-1), (shown == 0).all(axis=-1)
    for fraction, found in ((0.1, white.mean()), (0.2, black.mean())):
        assert abs(found - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / white.size)
    np.testing.assert_array_equal(shown[~(white | black)], clean[~(white | black)])


def test_noise_of_validation_stays_and_that_of_training_is_new_each_epoch_which_a_counter_follows():
    pairs = noisy()
    np.testing.assert_array_equal(collect(pairs)[0], collect(pairs)[0])
    assert not np.array_equal(collect(noisy(seed=1))[0], collect(pairs)[0])
    epochs, hit = [collect(noisy(epoch)) for epoch in (1, 2)], []
    for start_epoch in (1, EpochCounter(1)):
        pairs = noisy(start_epoch)
        next(iter(pairs))  # a look is no epoch
        for expected in epochs:
            for mine, theirs in zip(collect(pairs), expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)
    assert start_epoch.epoch == 3 and len(pairs) == 9
    for shown, clean in epochs:
        order = np.argsort(np.abs(PIXELS[None].astype(int) - clean[:, None]).sum((2, 3, 4)).argmin(1))
        hit.append((shown != clean).any(axis=-1)[order])
    assert 0.35 < (hit[0] != hit[1]).mean() < 0.5  # 2 * 0.3 * 0.7 where epochs are independent
    assert 0.35 < (hit[0][0] != hit[0][1]).mean() < 0.5  # and images


def test_the_noise_of_an_image_does_not_depend_on_the_others():
    some, before = [40, 3, 7], PIXELS.copy()
    shown = noisy_pixels(ROWS, PIXELS, **FRACTIONS)
    np.testing.assert_array_equal(noisy_pixels(ROWS.iloc[some], PIXELS[some], **FRACTIONS), shown[some])
    np.testing.assert_array_equal(PIXELS, before)
    assert shown.dtype == np.uint8 and not np.array_equal(noisy_pixels(ROWS, PIXELS, seed=1, **FRACTIONS), shown)
    assert not np.array_equal((shown[0] == 255).all(axis=-1), (shown[1] == 255).all(axis=-1))
