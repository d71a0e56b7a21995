"""Copies that exactly one operation has moved: more images an epoch, not more pixels."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from marinecv.features.bank import Views
from marinecv.inputs.augment import DRAWS, OPERATIONS, STILL, augment, variant_draws
from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import drawn_batches, make_dataset
from marinecv.inputs.spec import Augmentation, ImageSpec

SIMPLE = Augmentation(flip=1.0, rotation_deg=15, zoom=0.2, variants="simple")
QUADRUPLE = Augmentation(flip=1.0, rotation_deg=15, zoom=0.2, variants="quadruple")
DRAWN = np.random.default_rng(0).uniform(0.01, 0.99, (90, DRAWS)).astype(np.float32)


def moved_by(draws):
    """Which numbers of each row move anything."""
    return [tuple(np.flatnonzero(row != np.float32(STILL))) for row in np.asarray(draws)]


@pytest.mark.parametrize("augmentation", [SIMPLE, QUADRUPLE], ids=["simple", "quadruple"])
def test_an_original_stays_as_it_is(augmentation):
    draws = variant_draws(tf.constant(DRAWN), tf.zeros(90, tf.int64), augmentation)
    assert set(moved_by(draws)) == {()}
    images = np.random.default_rng(1).uniform(0, 255, (90, 6, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(augment(images, draws, augmentation), images, atol=1e-3)


def test_a_simple_variant_is_moved_by_exactly_one_operation_and_each_has_its_share():
    moved = moved_by(variant_draws(tf.constant(DRAWN), tf.ones(90, tf.int64), SIMPLE))
    assert {len(places) for places in moved} == {1}
    counts = {place: moved.count((place,)) for place in OPERATIONS}
    assert sum(counts.values()) == 90 and min(counts.values()) > 15


def test_of_the_quadruple_variants_each_operation_makes_one():
    for copy, place in enumerate(OPERATIONS, start=1):
        draws = variant_draws(tf.constant(DRAWN), tf.fill((90,), tf.constant(copy, tf.int64)), QUADRUPLE)
        assert set(moved_by(draws)) == {(place,)}


def test_a_flip_that_is_chosen_happens():
    images = np.random.default_rng(1).uniform(0, 255, (90, 6, 9, 3)).astype(np.float32)
    draws = variant_draws(tf.constant(DRAWN), tf.ones(90, tf.int64), QUADRUPLE)
    np.testing.assert_allclose(augment(images, draws, QUADRUPLE), images[:, :, ::-1], atol=1e-3)


@pytest.mark.parametrize(("augmentation", "copies"), [(SIMPLE, 2), (QUADRUPLE, 4)], ids=["simple", "quadruple"])
def test_an_epoch_has_every_image_and_its_variants_and_validation_stays_clean(augmentation, copies):
    spec = ImageSpec(height=6, width=9, fit="stretch")
    pixels = np.random.default_rng(2).integers(0, 256, (5, *spec.shape), dtype=np.uint8)
    ids = [f"{number}.jpg" for number in range(5)]
    catalog = pd.DataFrame({"image_id": ids, "path": ids, "class_name": list("aabbb"), "problem": ""})

    def images(**options):
        data = make_dataset(
            catalog, spec, ("a", "b"), pixels=pixels, batch_size=3, augmentation=augmentation, **options
        )
        return np.concatenate([batch for batch, _ in data]), sum(len(batch) for batch, _ in data), len(data)

    shown, count, batches = images(training=True)
    assert count == 5 * copies and batches == -(-count // 3)
    as_they_are = [
        number for number in range(5) if any(np.allclose(image, pixels[number], atol=1e-3) for image in shown)
    ]
    assert as_they_are == list(range(5))
    np.testing.assert_array_equal(images()[0], pixels)


@pytest.mark.parametrize("augmentation", [SIMPLE, QUADRUPLE], ids=["simple", "quadruple"])
@pytest.mark.parametrize("balanced", [False, True], ids=["each once", "balanced"])
def test_a_bank_holds_what_the_first_epochs_show(augmentation, balanced):
    labels, views = np.array([0, 0, 0, 1]), Views(augmentation, drawn=2, seed=5)
    counter = EpochCounter()
    data = drawn_batches(labels, augmentation, counter, batch_size=3, balanced=balanced, seed=5)
    assert views.count == 1 + 2 * (augmentation.copies - 1)
    kept = np.stack([views.draws(view, 4) for view in range(views.count)])
    for number in range(2):
        counter.on_epoch_begin(number)
        for epoch, indices, copies, draws in data:
            shown = views.shown(epoch, copies, draws).numpy()
            assert (shown == 0).tolist() == (copies == 0).numpy().tolist()
            if not balanced:  # an image drawn twice moves differently, so that no view of a bank is that of an epoch
                np.testing.assert_array_equal(kept[shown, indices], draws)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variants": "double"}, "Expected variants to be one of"),
        ({"variants": "simple"}, "Expected bounds above 0 of these and of no other"),
        ({"variants": "simple", "rotation_deg": 9, "zoom": 0.1, "crop": 0.1}, "Expected bounds above 0 of these"),
    ],
)
def test_variants_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)
