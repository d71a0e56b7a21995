"""Readers are fed broken and hostile files: they read them rightly or refuse them in our words."""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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
ODD_NUMBERS = st.sampled_from([0, -1, 0.5, 1e308, 10**400, 2**63, float("nan"), float("inf"), True])
ODD_WORDS = st.sampled_from(
    ["", " ", "nan", "1e999", "..", "../..", "/", "C:\\x", "\0", "a\nb", "\ud800", "ü", "=1+1", "1"]
)
ODD_VALUES = ODD_NUMBERS | ODD_WORDS | st.sampled_from([None, [], {}, ["a", "a"], ["crab"], [1], {"a": 1}, [[]] * 3])
ODD_CELLS = ODD_WORDS.filter(lambda word: word != "\ud800") | st.sampled_from(
    ["crab", "-3", "99999999999", "0.5", '"', "'"]
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return make_place(tmp_path_factory.mktemp("fuzz") / "place")


def broken_json(draw, seed: bytes) -> bytes:
    """One to three entries, anywhere, are gone or something else."""
    data = json.loads(seed)
    for _ in range(draw(st.integers(1, 3))):
        holder = data
        while holder and isinstance(holder, dict):
            key = draw(st.sampled_from(sorted(holder)))
            if not isinstance(holder[key], dict) or not holder[key] or draw(st.booleans()):
                break
            holder = holder[key]
        if not holder:
            break
        if draw(st.integers(0, 3)):
            holder[key] = draw(ODD_VALUES)
        else:
            del holder[key]
    return json.dumps(data).encode()


def broken_text(draw, seed: bytes) -> bytes:
    """Lines change places, stand twice or are gone; cells and characters are something else."""
    lines = seed.decode(errors="replace").split("\n")
    for _ in range(draw(st.integers(1, 3))):
        line = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(["swap", "double", "drop", "cell", "column", "insert"]))
        if what == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[line], lines[other] = lines[other], lines[line]
        elif what == "double":
            lines.insert(line, lines[line])
        elif what == "drop" and len(lines) > 1:
            del lines[line]
        elif what == "insert":
            at = draw(st.integers(0, len(lines[line])))
            lines[line] = lines[line][:at] + draw(ODD_CELLS) + lines[line][at:]
        else:
            cells = lines[line].split(",")
            at = draw(st.integers(0, len(cells) - 1))
            cells[at : at + 1] = [draw(ODD_CELLS)] if what == "cell" else []
            lines[line] = ",".join(cells)
    return "\n".join(lines).encode()


def broken_bytes(draw, seed: bytes) -> bytes:
    """Cut short, or some bytes are others."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        if draw(st.integers(0, 2)):
            data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=4))
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_a_valid_file_is_read(name, place):
    for seed in SEEDS[name](place):
        TARGETS[name](seed, place)


@pytest.mark.parametrize("name", TARGETS)
def test_a_broken_file_is_read_rightly_or_refused(name, place):
    seeds = SEEDS[name](place)

    @quick
    @given(st.data())
    def feed(data):
        seed = data.draw(st.sampled_from(seeds))
        ways = [broken_bytes, broken_json if seed.startswith(b"{") else broken_text]
        TARGETS[name](data.draw(st.sampled_from(ways))(data.draw, seed), place)

    feed()


FOUND = {  # what was found, and where; the readers of that day answered with another exception, or with a wrong figure
    "labels in another encoding": ("yolo_label", b"\xf6 0.5 0.5 0.2 0.2\n"),
    "no image to split": ("labels_csv", b"file,class\nc.jpg,crab\n"),
    "names of classes in another encoding": ("data_yaml", b"names: ['\xaa', 'b']"),
    "names of classes with a number sign": ("data_yaml", b"names: ['fish #1', 'fish #2']"),
    "a manifest in another encoding": ("manifest", b'name = "\x9c"'),
    "a manifest of a number": ("manifest", b'name = 1\nlayout = "roboflow"'),
    "a manifest that counts what there is not": ("manifest", b'name = "t"\nlayout = "yolo"\n[expected]\nfish = 3'),
    "hashes in another encoding": ("hash_listing", b"\x80"),
    "a hash without a file": ("hash_listing", b"0"),
    "a recipe that is a list": ("recipe_json", b"[]"),
    "a recipe whose parts are lists": ("recipe_json", b'{"model": [], "training": [], "data": [], "image": []}'),
    "a recipe of other epochs": ("recipe_json", b'{"training": {"epochs": NaN}}'),
    "a contract without an entry": ("contract_json", b"{}"),
    "class names that are a number": ("contract_json", b'{"class_names": 5}'),
    "class names that are a word": ("contract_json", b'{"class_names": "eel"}'),
    "class names that are lists": ("contract_json", b'{"class_names": [["a"], ["b"]]}'),
    "no class": ("contract_json", b'{"class_names": []}'),
    "a height in words": ("contract_json", b'{"image": {"height": "tall"}}'),
    "a spec with another entry": ("contract_json", b'{"image": {"depth": 3}}'),
    "figures without validation": ("metrics_json", b"{}"),
    "figures that are a number": ("metrics_json", b'{"validation": 1}'),
    "an accuracy without bounds": ("metrics_json", b'{"validation": {"accuracy": {"value": 0.5}}}'),
    "an accuracy above one": (
        "metrics_json",
        b'{"validation": {"accuracy": {"value": 7, "low": 0, "high": 9, "n": 1}}}',
    ),
    "no costs": ("timing_json", b"{}"),
    "a cost in words": ("timing_json", b'{"epochs": "nine"}'),
    "a cost without end": ("timing_json", b'{"epochs": Infinity}'),
    "a catalog without columns": ("catalog_csv", b"image\n1\n"),
    "a catalog with a longer row": ("catalog_csv", b"image_id,path\na,b,c\n"),
    "a catalog with a shorter row": ("catalog_csv", b"image_id,path\na\n"),
    "a history without epochs": ("history_csv", b"loss\n0.5\n"),
    "a history in words": ("history_csv", b"epoch,loss\n1,low\n"),
    "a history with an epoch twice": ("history_csv", b"epoch,loss\n1,0.5\n1,0.4\n"),
    "predictions of an unknown class": (
        "predictions_csv",
        b"image_id,split,true_class,predicted_class,p_a,p_b\nx,test,c,a,1,0\n",
    ),
    "a prediction of the less likely class": (
        "predictions_csv",
        b"image_id,split,true_class,predicted_class,p_a,p_b\nx,test,a,a,0.1,0.9\n",
    ),
    "a column of a class twice": (
        "predictions_csv",
        b"image_id,split,true_class,predicted_class,p_a,p_a\nx,test,a,a,1,0\n",
    ),
    "a study without cells": ("study_json", b'{"title": "S", "demonstration": false}'),
    "a study that is a number": ("study_json", b"1"),
    "a study whose cells are a list": ("study_json", b'{"title": "S", "demonstration": false, "cells": ["a"]}'),
    "a cell above the study": ("study_json", b'{"title": "S", "demonstration": false, "cells": {"a": "../.."}}'),
    "a table without names": ("table_csv", b"accuracy\n0.5\n"),
    "a table in words": ("table_csv", b"name,best,accuracy\na,True,high\n"),
    "a table with two best rows": ("table_csv", b"name,best\na,True\nb,True\n"),
    "broken files among the runs": ("list_of_runs", b"\xd6"),
    "empty files among the runs": ("list_of_runs", b""),
    "a checkpoint cut short": ("checkpoint_npz", b"PK\x03\x04"),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_stays_mended(case, place):
    name, data = FOUND[case]
    TARGETS[name](data, place)


def test_other_peoples_words_are_a_finding(place, monkeypatch):
    monkeypatch.setattr(targets, "read_header", lambda path: (0, 0, ""))
    with pytest.raises(Finding, match="0x0 and ''"):
        TARGETS["image_header"](b"", place)
    monkeypatch.setattr(targets, "read_catalog", lambda manifest: b"\xff".decode())
    with pytest.raises(Finding, match="UnicodeDecodeError is no refusal in our words"):
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
