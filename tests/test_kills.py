"""Real kills of real processes at random instants: a few of the fifty of `benchmarks/kills.py`."""

import os
import re

import pytest

from marinecv.data.demo.dataset import write_demo_images


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs the signals of Unix")
def test_a_killed_command_goes_on_to_the_same_end(shared_tank, tmp_path):
    kills = pytest.importorskip("kills")  # conftest.py adds the folder of benchmarks to the path
    flags = ["--data-dir", shared_tank, "--epochs", 8, "--image-size", 32]
    rows = list(kills.kill_often(tmp_path, kills=8, seed=1, flags=flags))
    assert [row["end"] for row in rows] == ["equal"] * 8 and all(row["exit"] for row in rows)
    assert len({row["phase"] for row in rows}) >= 5 and len({row["signal"] for row in rows}) == 3


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs the signals of Unix")
def test_killed_uses_of_a_run_give_the_same_tables_when_they_go_on(tmp_path):
    """`predict` on fewer files than the 5,000 of the benchmark, so that it ends in less than a minute."""
    kills = pytest.importorskip("kills")
    reef = write_demo_images(tmp_path / "reef")  # of the classes of the report that is reproduced
    rows = list(kills.kill_uses(tmp_path, 1, reef, files=2560, times=1))
    assert [row["end"] for row in rows] == ["equal"] * 5 and {row["exit"] for row in rows} == {-9}
    assert [row["phase"] for row in rows] == [*kills.USES, "predict 2,560 files"]
    peak, smaller_peak = (int(number) for number in re.findall("peak ([0-9]+) MiB.* ([0-9]+)$", rows[-1]["note"])[0])
    assert 0.85 < peak / smaller_peak < 1.15
