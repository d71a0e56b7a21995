"""Real kills of real processes at random instants: a few of what `benchmarks/kills.py` does fifty times."""

import importlib.util
import os
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs the signals of Unix")
def test_a_killed_command_goes_on_to_the_same_end(shared_tank, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("kills", BENCHMARKS / "kills.py")
    kills = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kills)
    flags = ["--data-dir", shared_tank, "--epochs", 8, "--image-size", 32]
    rows = list(kills.kill_often(tmp_path, kills=8, seed=1, flags=flags))
    assert [row["end"] for row in rows] == ["equal"] * 8 and all(row["exit"] for row in rows)
    assert len({row["phase"] for row in rows}) >= 5 and len({row["signal"] for row in rows}) == 3
