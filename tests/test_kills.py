"""Real kills of real processes at random instants: a few of the fifty of `benchmarks/kills.py`."""

import os

import pytest


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs the signals of Unix")
def test_a_killed_command_goes_on_to_the_same_end(shared_tank, tmp_path):
    kills = pytest.importorskip("kills")  # conftest.py adds the folder of benchmarks to the path
    flags = ["--data-dir", shared_tank, "--epochs", 8, "--image-size", 32]
    rows = list(kills.kill_often(tmp_path, kills=8, seed=1, flags=flags))
    assert [row["end"] for row in rows] == ["equal"] * 8 and all(row["exit"] for row in rows)
    assert len({row["phase"] for row in rows}) >= 5 and len({row["signal"] for row in rows}) == 3
