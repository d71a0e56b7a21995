"""The distance of an embedding from those of train."""

import numpy as np
import pytest

from marinecv.features.out_of_distribution import COMPONENTS, distances, fit_distance, read_embeddings, write_embeddings


def embeddings_of(class_means, n=60, values=20, seed=0):
    """Return embeddings that scatter about their class mean far more in the first direction than in the others."""
    rng = np.random.default_rng(seed)
    spread = np.full(values, 0.3)
    spread[0] = 5
    names = np.repeat(list(class_means), n)
    means = np.array([np.eye(values)[place] * 6 for place in class_means.values()])
    return np.repeat(means, n, axis=0) + rng.normal(size=(len(names), values)) * spread, names


def test_a_class_that_training_has_never_seen_lies_farther_away():
    fitted = fit_distance(*embeddings_of({"crab": 1, "eel": 2}))
    known, _ = embeddings_of({"crab": 1, "eel": 2}, seed=1)
    unknown, _ = embeddings_of({"ray": 3}, seed=2)
    assert np.quantile(distances(known, fitted), 0.99) < distances(unknown, fitted).min()


def test_where_images_scatter_widely_a_step_counts_less():
    embeddings, names = embeddings_of({"crab": 1, "eel": 2})
    fitted, mean = fit_distance(embeddings, names), embeddings[names == "crab"].mean(axis=0)
    along, across = mean + 3 * np.eye(20)[0], mean + 3 * np.eye(20)[7]
    far = distances(np.stack([mean, along, across]), fitted)
    assert far[0] < 1e-3 < far[1] < far[2] / 5


def test_it_does_not_hang_on_the_scale_of_the_codes_nor_on_the_order_of_images():
    embeddings, names = embeddings_of({"crab": 1, "eel": 2})
    order, expected = np.random.default_rng(0).permutation(120), distances(embeddings, fit_distance(embeddings, names))
    np.testing.assert_allclose(distances(embeddings * 1e3, fit_distance(embeddings * 1e3, names)), expected, rtol=1e-3)
    shuffled = fit_distance(embeddings[order], names[order])
    np.testing.assert_allclose(distances(embeddings, shuffled), expected, rtol=1e-3)


def test_the_same_codes_give_the_same_file(tmp_path):
    embeddings, names = embeddings_of({"crab": 1, "eel": 2}, n=400, values=600)
    for name in ("one", "two"):
        write_embeddings(tmp_path / f"{name}.npz", fit_distance(embeddings, names))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = read_embeddings(tmp_path / "one.npz")
    assert again["whitening"].shape == (600, COMPONENTS) and again["means"].shape == (2, COMPONENTS)
    assert (tmp_path / "one.npz").stat().st_size < 4 * 600 * (COMPONENTS + 2) + 4 * 2 * COMPONENTS + 1000


@pytest.mark.parametrize("embeddings", [np.zeros((4, 6)), np.eye(4, 6), np.eye(2, 900)])
def test_codes_that_are_alike_or_one_a_class_have_a_distance_too(embeddings):
    fitted = fit_distance(embeddings, [str(number) for number in range(len(embeddings))])
    assert np.isfinite(distances(embeddings + 1, fitted)).all()


def write_array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


OBJECTS = dict.fromkeys(("center", "whitening", "means"), np.array([{}], dtype=object))
BROKEN = {
    "absent": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(b"PK\x03\x04 cut"),
    "lone array": write_array,
    "pickles": lambda path: np.savez(path, **OBJECTS),
    "without means": lambda path: np.savez(path, center=np.zeros(3)),
}


@pytest.mark.parametrize("write", BROKEN.values(), ids=BROKEN)
def test_what_is_no_such_file_is_refused(tmp_path, write):
    write(tmp_path / "embeddings.npz")
    with pytest.raises(ValueError, match="embeddings.npz cannot be read"):
        read_embeddings(tmp_path / "embeddings.npz")
