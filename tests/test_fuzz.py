"""Readers are fed broken and hostile files: they read them rightly or refuse them with our message."""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import pytest
from fuzz import targets
from fuzz.targets import SEEDS, TARGETS, Finding, make_place
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

RUN = Path(__file__).parent / "fuzz" / "run.py"
quick = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    phases=[Phase.generate],  # a finding is small enough, and shrinking it is slow
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
WORDS = ["", " ", "nan", "1e999", "..", "../..", "/", "C:\\x", "\0", "a\nb", "\ud800", "ü", "=1+1", "1"]
VALUES = [0, -1, 0.5, 1e308, 10**400, 2**63, float("nan"), float("inf"), True, None]
VALUES += [[], {}, ["a", "a"], ["crab"], [1], {"a": 1}, [[]] * 3, *WORDS]
CELLS = [word for word in WORDS if word != "\ud800"] + ["crab", "-3", "99999999999", "0.5", '"', "'"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return make_place(tmp_path_factory.mktemp("fuzz") / "place")


def broken_json(draw, seed: bytes) -> bytes:
    """One to three entries, anywhere, are gone or something else."""
    data = json.loads(seed)
    for _ in range(draw(st.integers(1, 3))):
        holder = data
        while holder:
            key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
            if not isinstance(holder[key], dict | list) or not holder[key] or draw(st.booleans()):
                holder[key] = deepcopy(draw(st.sampled_from(VALUES)))  # which the next change may change
                if not draw(st.integers(0, 3)):
                    del holder[key]
                break
            holder = holder[key]
    return json.dumps(data).encode()


def broken_text(draw, seed: bytes) -> bytes:
    """Lines change places, stand twice or are gone; cells and characters are something else."""
    lines = seed.decode(errors="replace").split("\n")
    for _ in range(draw(st.integers(1, 3))):
        line, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        what, cells = draw(st.sampled_from(["swap", "double", "drop", "cell", "column"])), lines[line].split(",")
        if what == "swap":
            lines[line], lines[other] = lines[other], lines[line]
        elif what in ("double", "drop"):
            lines[line : line + 1] = [lines[line]] * (2 if what == "double" or len(lines) == 1 else 0)
        else:
            at = draw(st.integers(0, len(cells) - 1))
            kept = cells[at] if draw(st.booleans()) else ""
            cells[at : at + 1] = [kept + draw(st.sampled_from(CELLS))] if what == "cell" else []
            lines[line] = ",".join(cells)
    return "\n".join(lines).encode()


def broken_bytes(draw, seed: bytes) -> bytes:
    """Cut short, or some bytes are others."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        cut = None if not draw(st.integers(0, 2)) else at + draw(st.integers(0, 2))
        data[at:cut] = draw(st.binary(max_size=4)) if cut else b""
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_broken_file_is_read_rightly_or_refused(name, place):
    seeds = SEEDS[name](place)
    for seed in seeds:  # valid ones
        TARGETS[name](seed, place)

    @quick
    @given(st.data())
    def feed(data):
        seed = data.draw(st.sampled_from(seeds))
        ways = [broken_bytes, broken_json if seed[:1] in b"{[" else broken_text]
        TARGETS[name](data.draw(st.sampled_from(ways))(data.draw, seed), place)

    feed()


HEAD = b"image_id,split,true_class,predicted_class,p_a,p_b\n"
FOUND = [  # what once was read as a wrong value, or refused with another exception
    ("yolo_label", b"\xf6 0.5 0.5 0.2 0.2\n"),
    ("labels_csv", b"file,class\nc.jpg,crab\n"),
    ("data_yaml", b"names: ['\xaa', 'b']"),
    ("data_yaml", b"names: ['fish #1', 'fish #2']"),
    ("manifest", b'name = "\x9c"'),
    ("manifest", b'name = 1\nlayout = "roboflow"'),
    ("manifest", b'name = "t"\nlayout = "yolo"\n[expected]\nfish = 3'),
    ("hash_listing", b"\x80"),
    ("hash_listing", b"0"),
    ("recipe_json", b"[]"),
    ("recipe_json", b'{"model": [], "training": [], "data": [], "image": []}'),
    ("recipe_json", b'{"training": {"epochs": NaN}}'),
    ("contract_json", b'{"class_names": [["a"], ["b"]]}'),
    ("metrics_json", b'{"validation": {"accuracy": {"value": 0.5}}}'),
    ("timing_json", b'{"epochs": Infinity}'),
    ("catalog_csv", b"image_id,path\na,b,c\n"),
    ("history_csv", b"epoch,loss\n1,0.5\n1,0.4\n"),
    ("predictions_csv", HEAD + b"x,test,c,a,1,0\n"),  # a class that is unknown, then one that is less likely
    ("predictions_csv", HEAD + b"x,test,a,a,0.1,0.9\n"),
    ("predictions_csv", HEAD.replace(b"p_b", b"p_a") + b"x,test,a,a,1,0\n"),
    ("study_json", b'{"title": "S", "demonstration": false, "cells": ["a"]}'),
    ("study_json", b'{"title": "S", "demonstration": false, "cells": {"a": "../.."}}'),
    ("table_csv", b"name,best\na,True\nb,True\n"),
    ("list_of_runs", b"\xd6"),
    ("checkpoint_npz", b"PK\x03\x04"),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_stays_mended(name, data, place):
    TARGETS[name](data, place)


def test_another_message_is_a_finding(place, monkeypatch):
    monkeypatch.setattr(targets, "read_header", lambda path: (0, 0, ""))
    with pytest.raises(Finding, match="0x0 and ''"):
        TARGETS["image_header"](b"", place)
    monkeypatch.setattr(targets, "read_catalog", lambda manifest: b"\xff".decode())
    with pytest.raises(Finding, match="UnicodeDecodeError"):
        TARGETS["labels_csv"](b"", place)


@pytest.mark.slow
def test_targets_under_a_coverage_guided_fuzzer(tmp_path):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris, which has wheels for Linux only: pip install -e '.[fuzz]'")
    surroundings = {**os.environ, "TMPDIR": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def fed(name):
        command = [sys.executable, str(RUN), name, "--seconds", "2", "--findings", str(tmp_path / "findings")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=surroundings)

    with ThreadPoolExecutor(2) as pool:
        for name, answer in zip(TARGETS, pool.map(fed, TARGETS), strict=True):
            assert answer.returncode == 0, f"{name}:\n{answer.stdout}\n{answer.stderr[-3000:]}"
