"""Close codes are paired without a look at every pair."""

import numpy as np
import pytest

from marinecv.audit import pairing
from marinecv.audit.pairing import close_hashes, nearest


def brute_force(hashes, radius):
    apart = (hashes[:, None] ^ hashes[None]).sum(axis=2)
    return [(i, j) for i, j in zip(*np.nonzero(apart <= radius), strict=True) if i < j]


def test_of_few_hashes_every_close_pair_is_found_once_and_sorted():
    rng = np.random.default_rng(0)
    hashes = rng.random((40, 63)) < 0.5
    hashes[20:30] = hashes[:10] ^ (rng.random((10, 63)) < 0.03)
    assert list(map(tuple, close_hashes(hashes, 8))) == brute_force(hashes, 8)


def test_a_tenth_of_the_bits_apart_is_found_among_many_nearly_always():
    rng = np.random.default_rng(1)
    hashes = rng.random((20_000, 63)) < 0.5
    for number in range(200):
        hashes[10_000 + number] = hashes[number]
        hashes[10_000 + number, rng.choice(63, 6, replace=False)] ^= True
    found = set(map(tuple, close_hashes(hashes, 8)))
    assert sum((number, 10_000 + number) in found for number in range(200)) >= 194
    assert all((hashes[i] ^ hashes[j]).sum() <= 8 for i, j in found)


def test_a_crowd_of_equal_hashes_gives_each_some_others_and_not_every_pair(monkeypatch):
    monkeypatch.setattr(pairing, "TABLES", 4)
    found = close_hashes(np.zeros((400, 63), bool), 0)
    assert set(found.ravel()) == set(range(400))
    assert len(found) <= 400 * 4 * pairing.WINDOW < 400 * 399 / 2


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_or_no_codes_are_no_fault(n):
    assert len(close_hashes(np.zeros((n, 63), bool), 3)) == n // 2
    assert len(nearest(np.ones((n, 4), np.float32), 5)) == n // 2


def test_the_nearest_of_each_are_those_of_a_look_at_all():
    codes = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    likeness = unit @ unit.T - 2 * np.eye(60)
    expected = {tuple(sorted((i, int(j)))) for i in range(60) for j in np.argsort(-likeness[i])[:3]}
    found = nearest(codes, 3)
    assert list(map(tuple, found)) == sorted(expected)
    assert np.array_equal(nearest(5 * codes, 3), found)  # by cosine, so that length says nothing


def test_of_more_codes_than_are_looked_at_each_by_each_the_close_ones_are_found(monkeypatch):
    monkeypatch.setattr(pairing, "EXACT", 100)
    rng = np.random.default_rng(2)
    codes = rng.normal(size=(600, 32)).astype(np.float32)
    codes[300:350] = codes[:50] + 0.1 * rng.normal(size=(50, 32))
    found = nearest(codes, 1)
    assert {(number, 300 + number) for number in range(50)} <= set(map(tuple, found))
    assert len(found) <= 600 and (found[:, 0] < found[:, 1]).all()
