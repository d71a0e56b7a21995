"""The feature extractor runs on LiteRT where that is worth it, and gives the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from marinecv.features import inference_engine
from marinecv.features.inference_engine import MIN_VIEWS_FOR_LITERT, images_a_batch, run_extractor
from marinecv.features.split_point import split_model
from marinecv.models.backbones import backbone_classifier

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), np.uint8)


@pytest.fixture
def extractor():
    keras.utils.set_random_seed(0)
    return split_model(backbone_classifier((32, 32, 3), 2, backbone="mobilenet", alpha=0.25, weights=None))[0]


@pytest.fixture
def litert(monkeypatch):
    """The calls that converted a feature extractor."""
    pytest.importorskip("ai_edge_litert")
    calls, whole = [], inference_engine._in_litert
    monkeypatch.setattr(inference_engine, "_in_litert", lambda *args: calls.append(args) or whole(*args))
    return calls


def assert_same(see, extractor, count):
    [found] = see(tf.constant(IMAGES[:count]))
    expected = extractor(IMAGES[:count].astype(np.float32)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(("views", "conversions"), [(MIN_VIEWS_FOR_LITERT, 1), (MIN_VIEWS_FOR_LITERT - 1, 0)])
def test_many_views_run_on_litert_in_whole_and_in_shorter_batches(views, conversions, extractor, litert):
    see = run_extractor(extractor, views)
    assert len(litert) == conversions
    for count in (8, 1, 11):
        assert_same(see, extractor, count)


def test_large_images_are_computed_a_few_at_a_time(extractor, monkeypatch):
    monkeypatch.setattr(inference_engine, "MAX_PIXELS", 4 * 32 * 32 + 1)
    assert images_a_batch((None, 32, 32, 3)) == 4 and images_a_batch((None, 640, 640, 3)) == 1
    several = keras.Model(extractor.input, [extractor.output, extractor.layers[5].output])
    found, expected = run_extractor(several, 11)(tf.constant(IMAGES)), several(IMAGES.astype(np.float32))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_without_litert_tensorflow_does_it(extractor, monkeypatch):
    monkeypatch.setattr(inference_engine.importlib.util, "find_spec", lambda name: None)
    assert_same(run_extractor(extractor, MIN_VIEWS_FOR_LITERT), extractor, 4)


@pytest.mark.parametrize("wrong", [np.nan, 1e9], ids=["no number", "another number"])
def test_an_engine_that_gives_something_else_is_not_used(wrong, extractor, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    other = np.full((2, *extractor.output_shape[1:]), wrong)
    monkeypatch.setattr(inference_engine, "_in_litert", lambda *args: lambda images: [other])
    assert_same(run_extractor(extractor, MIN_VIEWS_FOR_LITERT), extractor, 4)


def test_a_frontier_of_several_tensors_stays_with_tensorflow(extractor, litert):
    several = keras.Model(extractor.input, [extractor.output, extractor.layers[5].output])
    first, second = run_extractor(several, MIN_VIEWS_FOR_LITERT)(tf.constant(IMAGES[:4]))
    assert not litert and first.shape[1:] == extractor.output.shape[1:] and len(second) == 4
