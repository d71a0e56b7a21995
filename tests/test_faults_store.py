"""A store that processes share, that is killed in the middle of things, and whose disk fills."""

import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import room_for

from marinecv.data import manifests, materialize
from marinecv.data.cache_dir import building, cache_home, cache_path
from marinecv.data.catalog import read_catalog
from marinecv.data.demo import dataset as reef
from marinecv.data.download import fetch as fetching
from marinecv.data.download.fetch import fetch
from marinecv.data.manifests import load_manifest, manifest_of_folder
from marinecv.files.lock import LOCK

FETCH = """
import sys
from marinecv.data.download import fetch as fetching
from marinecv.data.manifests import load_manifest
{before}
fetching.fetch(load_manifest(sys.argv[1]), progress=lambda text: print(text, flush=True))
"""
COMMAND = """
import sys
from pipelines.cli import main
if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
sys.exit(main(["data", "fetch", sys.argv[1]]))
"""
ROOT = Path(__file__).parents[1]


def start(code, *words, until=""):
    """Start Python, and wait for a line that contains `until`."""
    command = [sys.executable, "-u", "-c", code, *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if until and not any(until in line for line in process.stdout):
        raise AssertionError(process.communicate())
    return process


def kill(process):
    process.kill()
    process.communicate()


def assert_whole(manifest):
    """The data set is in the store, and nothing else is but an empty folder with a lock."""
    assert len(read_catalog(fetch(manifest))) == 12
    files = [path.relative_to(cache_home()) for path in cache_home().rglob("*") if path.is_file()]
    assert {path.parts[:2] for path in files} == {("data", "tank"), ("data", ".tank.making")}
    assert [path.name for path in (cache_path("data") / ".tank.making").iterdir()] == [LOCK]


def test_two_processes_that_fetch_one_set_download_it_once(tank, server):
    server.gate = threading.Event()
    first = start(FETCH.format(before=""), tank.toml, until="Downloading")
    second = start(FETCH.format(before=""), tank.toml, until="Another process is making")
    server.gate.set()
    for process in (first, second):
        said, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert f"tank is in {cache_path('data', 'tank')}" in said
    assert len(server.ranges) == 1
    assert_whole(tank)


def test_killed_while_downloading_it_goes_on_from_there(tank, server):
    server.gate = threading.Event()
    before = "from marinecv.data.download import network; network._CHUNK = 1000"
    process = start(FETCH.format(before=before), tank.toml, until="Downloading")
    parts, had = cache_path("downloads", "tank"), 0
    while had < 1000:
        time.sleep(0.01)
        had = sum(path.stat().st_size for path in parts.glob("*.part"))
    kill(process)
    server.gate.set()
    (part,) = parts.glob("*.part")
    had = part.stat().st_size
    assert 1000 <= had < len(server.content)
    fetch(tank)
    assert server.ranges == [None, f"bytes={had}-"]
    assert_whole(tank)


@pytest.mark.parametrize("place", ["verify", "safe_unpack"])
def test_killed_while_unpacking_or_checking_it_downloads_nothing_again_and_leaves_nothing(place, tank, server):
    before = f"""
import time
real = fetching.{place}
def stop(*args, **names):
    real(*args, **names)
    print("here", flush=True)
    time.sleep(60)
fetching.{place} = stop
"""
    kill(start(FETCH.format(before=before), tank.toml, until="here"))
    assert not cache_path("data", "tank").exists()
    assert len(list((cache_path("data") / ".tank.making").rglob("*.jpg"))) == 12
    fetch(tank)
    assert len(server.ranges) == 1
    assert_whole(tank)


def test_a_set_that_is_there_needs_no_lock_so_that_a_store_may_be_read_only(tank, tmp_path, monkeypatch):
    fetch(tank)
    archive = shutil.make_archive(str(tmp_path / "mine"), "zip", cache_path("data", "tank"))
    unpacked = manifest_of_folder(archive).root
    for module in (fetching, manifests):
        monkeypatch.setattr(module, "building", Mock(side_effect=PermissionError("read-only")))
    assert fetch(tank).root == cache_path("data", "tank")
    assert manifest_of_folder(archive).root == unpacked


def test_a_zip_that_two_open_at_once_is_unpacked_once(roboflow_folder, tmp_path, monkeypatch, capsys):
    archive = shutil.make_archive(str(tmp_path / "mine"), "zip", roboflow_folder)
    unpacked, roots, real = [], [], manifests.safe_unpack
    other = threading.Thread(target=lambda: roots.append(manifest_of_folder(archive, log=print).root))

    def slow_unpack(*args):
        unpacked.append(args)
        other.start()
        while "Another process is making" not in capsys.readouterr().out:
            time.sleep(0.01)
        real(*args)

    monkeypatch.setattr(manifests, "safe_unpack", slow_unpack)
    roots.append(manifest_of_folder(archive).root)
    other.join()
    assert roots[0] == roots[1] and len(unpacked) == 1


def test_what_a_killed_process_left_is_gone_before_the_next_begins(tmp_path):
    left = tmp_path / ".place.making" / "content" / "deep"
    left.mkdir(parents=True)
    (left / "a.jpg").touch()
    (tmp_path / ".place.making" / "b.jpg").touch()
    (tmp_path / ".place.making" / "link").symlink_to(tmp_path)
    with building(tmp_path / "place") as workplace:
        assert [path.name for path in workplace.iterdir()] == [LOCK]
        (workplace / "new").mkdir()
    assert [path.name for path in workplace.iterdir()] == [LOCK] and tmp_path.is_dir()


def test_killed_while_the_reef_is_drawn_it_is_drawn_anew(tmp_path, monkeypatch):
    counts = {"train": {"fish": 2}, "valid": {"fish": 1}, "test": {"fish": 1}}
    code = f"""
import sys, time
from contextlib import nullcontext
from marinecv.data.demo import dataset as reef
reef.COUNTS = {counts}
wait = lambda done: done == 3 and (print("here", flush=True), time.sleep(60))
reef.progress_bar = lambda *_, **__: nullcontext(wait)
reef.write_demo_images(sys.argv[1])
"""
    kill(start(code, tmp_path / "reef", until="here"))
    assert not (tmp_path / "reef").exists()
    monkeypatch.setattr(reef, "COUNTS", counts)
    assert len(list(reef.write_demo_images(tmp_path / "reef").rglob("*.jpg"))) == 4
    assert [path.name for path in (tmp_path / ".reef.making").iterdir()] == [LOCK]


def test_an_interrupted_materialize_leaves_an_empty_place_and_can_be_repeated(roboflow_folder, tmp_path, monkeypatch):
    catalog = read_catalog(manifest_of_folder(roboflow_folder))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(materialize, "link_or_copy", Mock(side_effect=[None] * 4 + [KeyboardInterrupt]))
        materialize.materialize(catalog, tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()
    assert len(list(materialize.materialize(catalog, tmp_path / "pairs").rglob("*.jpg"))) == 12


def test_two_who_materialize_at_once_do_not_mix(roboflow_folder, tmp_path, monkeypatch):
    catalog, real = read_catalog(manifest_of_folder(roboflow_folder)), materialize.link_or_copy

    def be_slower(*args, **options):
        (tmp_path / "pairs").mkdir(exist_ok=True)
        (tmp_path / "pairs" / "other.jpg").touch()
        real(*args, **options)

    monkeypatch.setattr(materialize, "link_or_copy", be_slower)
    with pytest.raises(ValueError, match="is not empty"):
        materialize.materialize(catalog, tmp_path / "pairs")
    assert [path.name for path in (tmp_path / "pairs").iterdir()] == ["other.jpg"]


def test_class_names_that_no_folder_can_have_get_one_that_can(roboflow_folder, tmp_path):
    catalog = read_catalog(manifest_of_folder(roboflow_folder)).iloc[:3]
    catalog = catalog.assign(split="train", class_name=["ä" * 300, "a\0b\nc", "con|1"])
    folder = materialize.materialize(catalog, tmp_path / "pairs")
    assert {path.name for path in (folder / "train").iterdir()} == {"ä" * 100, "a_b_c", "con_1"}


@pytest.mark.parametrize("name", ["../out", "/out", "a/b", "a\\b", "C:x", "..", "", ".tank.making", "a\0"])
def test_a_name_that_leads_out_of_the_store_is_refused(name):
    with pytest.raises(ValueError, match="is no name for the cache"):
        cache_path("data", name)


def test_a_link_to_a_folder_that_is_gone_is_said_before_anything_is_fetched(tank, server, tmp_path):
    cache_path("data").mkdir(parents=True)
    cache_path("data", "tank").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="is a link to a folder that is gone. Remove the link"):
        fetch(tank)
    assert server.ranges == []


@pytest.mark.skipif(os.name == "nt", reason="needs the limits of Unix")
def test_a_disk_that_fills_while_downloading_is_said_and_the_next_command_goes_on(tank, server):
    process = start(COMMAND, tank.toml, 5000)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "File too large" in said and "Make room, or write elsewhere" in said
    assert "MARINECV_HOME" in said and "Traceback" not in said
    assert not cache_path("data", "tank").exists() and len(server.ranges) == 1
    fetch(tank)
    assert server.ranges[1:] == ["bytes=5000-"]
    assert_whole(tank)


def test_a_disk_that_fills_while_unpacking_keeps_the_archive_and_nothing_else(tank, server, tmp_path):
    with zipfile.ZipFile(tmp_path / "tank.zip", "a", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("repo-1234/data/tank/notes.txt", "x" * 10**6)
    server.content = (tmp_path / "tank.zip").read_bytes()
    with room_for(500_000), pytest.raises(OSError, match="File too large") as full:
        fetch(tank)
    assert "is kept" in full.value.__notes__[0]
    assert [path.suffix for path in cache_path("downloads", "tank").iterdir()] == [".zip"]
    assert [path.name for path in (cache_path("data") / ".tank.making").iterdir()] == [LOCK]
    fetch(tank)
    assert len(server.ranges) == 1
    assert_whole(tank)


def test_a_disk_that_fills_while_copying_names_the_file_and_leaves_nothing(roboflow_folder, tmp_path):
    (roboflow_folder / "notes.txt").write_text("x" * 10**5)
    (tmp_path / "bare.toml").write_text('name = "tank"\nlayout = "roboflow"\nlicense = "CC0"\n')
    bare = load_manifest(tmp_path / "bare.toml")
    with room_for(50_000), pytest.raises(OSError, match=r"1 files .*File too large: .*notes.txt"):
        fetch(bare, str(roboflow_folder))
    assert [path.name for path in cache_path("data").iterdir()] == [".tank.making"]
    fetch(bare, str(roboflow_folder))
    assert_whole(bare)


@pytest.mark.parametrize("text", [None, "abc  train/a.jpg\n", "\xff\n"])
def test_a_broken_list_of_hashes_is_said(text, tank, roboflow_folder):
    listing = tank.toml.with_name("tank.sha256")
    listing.unlink() if text is None else listing.write_bytes(text.encode("latin-1"))
    expected = "There is no .*tank.sha256" if text is None else "Line 1 of .*tank.sha256 .*Expected .* SHA-256"
    with pytest.raises(ValueError, match=expected):
        fetch(tank, str(roboflow_folder))
