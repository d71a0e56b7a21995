"""The pixels kept on disk: damaged, half-written, without room, or wanted by two processes at once."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import COLORS, draw_image
from scenes import table_of_files

from marinecv.data.cache_dir import cache_path
from marinecv.files.memmap import make_array
from marinecv.inputs import pixel_cache as room
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.inputs.spec import ImageSpec

SMALL = ImageSpec(height=20, width=30, letterbox_px=64)
LARGE = ImageSpec(height=800, width=900, letterbox_px=64)  # 2,160,000 bytes an image
CHILD = """
import os, sys, time
from contextlib import nullcontext
from marinecv.inputs import pixel_cache as room
from scenes import table_of_files
from marinecv.inputs.spec import ImageSpec
def wait(done):
    print("decoded", flush=True)
    {act}
room.progress_bar = lambda *_, **__: nullcontext(wait)
spec = ImageSpec(height=20, width=30, letterbox_px=64)
pixels, catalog = room.load_pixels(table_of_files(sys.argv[1:]), spec, memory_budget_bytes=0)
print(int(pixels.sum()), (catalog["problem"] == "").all())
"""


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        draw_image(list(COLORS)[number % 3], seed=number).save(path)
    return paths


def in_memory(files):
    return load_pixels(table_of_files(files), SMALL)[0]


def load_mapped(files, spec=SMALL):
    pixels, catalog = load_pixels(table_of_files(files), spec, memory_budget_bytes=0)
    assert (catalog["problem"] == "").all()
    return pixels


def kept() -> Path:
    (place,) = cache_path("pixels").glob("*.npy")
    return place


def other_array(place, dtype, shape):
    with open(place, "wb") as file:
        np.save(file, np.zeros(shape, dtype))


DAMAGES = {
    "gone": lambda place: place.unlink(),
    "empty": lambda place: os.truncate(place, 0),
    "header cut": lambda place: os.truncate(place, 40),
    "last byte gone": lambda place: os.truncate(place, place.stat().st_size - 1),
    "one byte more": lambda place: place.write_bytes(place.read_bytes() + b"\0"),
    "no array": lambda place: place.write_bytes(b"I am no array" * 1000),
    "other type": lambda place: other_array(place, np.float32, (4, 20, 30, 3)),
    "other shape": lambda place: other_array(place, np.uint8, (3, 20, 30, 3)),
    "objects": lambda place: place.write_bytes(place.read_bytes().replace(b"'|u1'", b"'|O8'")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pixels_are_made_anew(files, damage):
    first = load_mapped(files).copy()
    np.testing.assert_array_equal(first, in_memory(files))
    DAMAGES[damage](kept())
    np.testing.assert_array_equal(load_mapped(files), first)
    assert sorted(path.name for path in cache_path("pixels").iterdir()) == sorted([".lock", kept().name])


def test_a_full_disk_is_an_error_that_says_what_is_needed_and_leaves_nothing(files):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, before[1]))  # no file of this process may be larger
    try:
        with pytest.raises(ValueError, match=r"8,640,000 bytes are needed and [\d,]+ are free.*MARINECV_HOME"):
            load_mapped(files, LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in cache_path("pixels").iterdir()] == [".lock"]
    assert len(load_mapped(files, LARGE)) == 4


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot take room")
def test_room_is_taken_for_real_before_the_first_pixel(files, monkeypatch):
    def fill(pixels, paths, spec, log):
        (part,) = (path for path in cache_path("pixels").iterdir() if path.name.endswith(".npy"))
        assert part.stat().st_blocks * 512 >= pixels.nbytes
        return {}

    monkeypatch.setattr(room, "_decode_into", fill)
    load_mapped(files, LARGE)


def test_where_room_cannot_be_taken_what_is_free_is_asked(tmp_path, files, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    too_many = shutil.disk_usage(tmp_path).free // 3 + 10**9
    with pytest.raises(OSError, match="are free: No space left on device"):
        make_array(tmp_path / "part", (too_many, 1, 1, 3), np.uint8)
    assert (tmp_path / "part").stat().st_size < 1000
    np.testing.assert_array_equal(load_mapped(files), in_memory(files))


def start(files, act: str) -> subprocess.Popen:
    """Start another process that loads the same pixels."""
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", CHILD.format(act=act), *map(str, files)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="nothing is killed that way there")
def test_a_process_killed_while_it_fills_leaves_nothing_that_counts_or_stays(files):
    child = start(files, "os.kill(os.getpid(), 9)")
    output, errors = child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL and output == "decoded\n", errors
    assert not list(cache_path("pixels").glob("[!.]*.npy")) and list(cache_path("pixels").glob(f".{child.pid}.*"))
    np.testing.assert_array_equal(load_mapped(files), in_memory(files))
    assert not list(cache_path("pixels").glob(f".{child.pid}.*"))


@pytest.mark.slow
def test_two_processes_that_want_the_same_pixels_decode_them_once_and_both_have_them(files):
    children = [start(files, "time.sleep(1)") for _ in range(2)]
    results = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0], results
    assert [output.splitlines()[-1] for output, _ in results] == [f"{int(in_memory(files).sum())} True"] * 2
    assert sum("decoded" in output for output, _ in results) == 1


@pytest.mark.slow
def test_two_trainings_at_once_on_one_cold_cache_are_equal(shared_tank, tmp_path):
    kills = pytest.importorskip("kills")  # its child process keeps pixels on disk
    words = ["pretrain", "--data-dir", shared_tank, "--epochs", 2, "--image-size", 32, "--output-dir"]
    environment = os.environ | {"MARINECV_HOME": str(tmp_path / "cold"), "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, kills.__file__, "--child", *map(str, words)]
    both = [subprocess.Popen([*command, str(tmp_path / name)], env=environment, text=True) for name in "ab"]
    assert [each.wait() for each in both] == [0, 0]
    tables = [(tmp_path / name / "predictions.csv").read_bytes() for name in "ab"]
    assert tables[0] == tables[1] and len(list((tmp_path / "cold" / "pixels").glob("*.npy"))) == 1
    assert not [path for path in (tmp_path / "cold").rglob(".*") if path.is_file() and path.name != ".lock"]
