"""Downloads that break, servers that lie, data sets that are fetched: the whole and right file, or a reason."""

import http.client
import random
import shutil
import socket
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import gdown
import pytest
from scenes import draw_attributes

from marinecv.console import silent
from marinecv.data.attributes import read_attributes
from marinecv.data.cache_dir import cache_path
from marinecv.data.catalog import read_catalog
from marinecv.data.download import network
from marinecv.data.download.fetch import fetch, network_reachable
from marinecv.data.download.network import download, download_from_drive, reachable
from marinecv.data.manifests import load_manifest
from marinecv.files.lock import LOCK

BODY = random.Random(0).randbytes(200_000)


@pytest.fixture
def body(server):
    """A server of `BODY`."""
    server.content = BODY
    return server


def got(server, tmp_path):
    """What a download brings; nothing else is left."""
    path = tmp_path / "got" / "a.bin"
    download(server.url, path, silent)
    assert [left.name for left in path.parent.iterdir()] == ["a.bin"]
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_a_connection_cut_at_any_byte_is_resumed_to_equal_bytes(seed, body, tmp_path):
    first, second = body.cuts = [random.Random(seed).randrange(1, len(BODY) // 2) for _ in range(2)]
    assert got(body, tmp_path) == BODY
    assert body.ranges == [None, f"bytes={first}-", f"bytes={first + second}-"]


def test_a_download_broken_for_good_is_resumed_by_the_next_command(body, tmp_path):
    body.cuts = [100, 100, 100]
    with pytest.raises(ConnectionError, match="broke after 300 of 200,000 bytes.* to resume"):
        got(body, tmp_path)
    assert [path.name for path in (tmp_path / "got").iterdir() if path.suffix == ".bin"] == []
    assert got(body, tmp_path) == BODY and body.ranges[-1] == "bytes=300-"


def test_a_connection_that_is_reset_is_tried_again(body, tmp_path, monkeypatch):
    whole, resets = http.client.HTTPResponse.read, iter([True, False])

    def read(answer, amount=None):
        if next(resets, False):
            raise ConnectionResetError("reset by peer")
        return whole(answer, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", read)
    assert got(body, tmp_path) == BODY and len(body.ranges) == 2


@pytest.mark.parametrize("named_by", ["ETag", "Last-Modified"])
def test_a_file_that_changed_between_two_attempts_is_never_mixed_with_the_old_one(named_by, body, tmp_path):
    editions = ['"1"', '"2"'] if named_by == "ETag" else [f"Wed, 0{day} Jul 2026 07:28:00 GMT" for day in (1, 2)]
    body.edition, body.cuts = editions[0], [5000, 0, 0]
    body.headers = {"ETag": None, named_by: editions[0]}
    with pytest.raises(ConnectionError):
        got(body, tmp_path)
    body.content, body.edition, body.headers = BODY[::-1], editions[1], {"ETag": None, named_by: editions[1]}
    assert got(body, tmp_path) == BODY[::-1] and body.ranges[-1] == "bytes=5000-"


@pytest.mark.parametrize("edition", [None, 'W/"weak"'])
def test_a_server_that_does_not_vouch_for_its_bytes_is_asked_for_all_of_them(edition, body, tmp_path):
    body.edition, body.cuts = edition, [5000]
    assert got(body, tmp_path) == BODY and body.ranges == [None, None]


@pytest.mark.parametrize("content", [BODY, b"short"])  # of another length than the part
def test_a_server_without_ranges_or_a_shorter_file_is_begun_anew(content, server, tmp_path):
    server.content, server.knows_range = content, content == b"short"
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "a.bin.part").write_bytes(b"something long")
    (tmp_path / "got" / "a.bin.part.edition").write_text(server.edition)
    assert got(server, tmp_path) == content


@pytest.mark.parametrize("lie", [{"Content-Range": "bytes 4000-199999/200000"}, {"ETag": '"another"'}])
def test_another_piece_than_the_one_asked_for_is_not_appended(lie, body, tmp_path):
    body.cuts = [5000, 0, 0]
    with pytest.raises(ConnectionError):
        got(body, tmp_path)
    body.headers = lie
    assert got(body, tmp_path) == BODY and body.ranges[-2:] == ["bytes=5000-", None]


@pytest.mark.parametrize("length", ["200001", None, "many", "-5", "50000"])
def test_a_length_that_is_not_true_gives_no_file_or_what_came(length, body, tmp_path):
    body.headers = {"Content-Length": length}
    if length != "200001":
        assert got(body, tmp_path) == BODY[: 50_000 if length == "50000" else None]
    else:
        with pytest.raises(ConnectionError, match="could not be downloaded"):
            got(body, tmp_path)
        assert not (tmp_path / "got" / "a.bin").exists()


@pytest.mark.parametrize(("errors", "reason"), [([404], "answers 404 .* --from"), ([416] * 3, "416"), ([503] * 2, "")])
def test_a_refusal_is_not_tried_again_and_a_busy_server_is(errors, reason, body, tmp_path):
    body.errors = errors
    if reason:
        with pytest.raises(ConnectionError, match=reason):
            got(body, tmp_path)
    else:
        assert got(body, tmp_path) == BODY


def test_a_full_disk_is_no_broken_connection(body, tmp_path, monkeypatch):
    monkeypatch.setattr(network, "write_text", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        got(body, tmp_path)
    assert len(body.ranges) == 1


def test_reachable_is_known_in_time_and_asks_the_proxy_where_there_is_one(monkeypatch, server, tmp_path):
    server.errors = [403]
    assert reachable(server.url)
    asked, hang = [], threading.Event()

    def connect(address, *_):
        asked.append(address)
        hang.wait(0.6)
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", connect)
    start = time.monotonic()
    assert not reachable("https://example.org/a.zip", timeout=0.1) and time.monotonic() - start < 0.6
    hang.set()
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setattr("urllib.request._opener", None)
    assert not reachable("https://example.org/a.zip")
    monkeypatch.setenv("no_proxy", "example.org")
    with pytest.raises(ConnectionError, match="example.org does not answer"):
        download("https://example.org/a.zip", tmp_path / "a.zip", silent)
    assert asked == [("example.org", 443), ("proxy.example", 3128), ("example.org", 443)]


def test_network_reachable_asks_the_source_of_the_manifest(tank, monkeypatch):
    asked = []
    monkeypatch.setattr("marinecv.data.download.fetch.reachable", lambda url, timeout: asked.append(url) or True)
    assert network_reachable(load_manifest("aquarium")) and asked == [load_manifest("aquarium").url]
    assert not network_reachable(load_manifest("reef"))


def test_google_drive_is_asked_with_a_time_limit_and_retries(tank, tank_zip, monkeypatch):
    asked = {}

    def drive(id, output, **options):
        asked.update(options, id=id)
        shutil.copy(tank_zip, output)

    monkeypatch.setattr(gdown, "download", drive)
    assert fetch(tank, "gdrive:abc").root.is_dir()
    assert asked["id"] == "abc" and asked["timeout"] and asked["retries"] and asked["resume"]


def test_a_refusal_of_google_drive_and_a_full_disk_are_told_apart(tmp_path, monkeypatch):
    refusal, full = gdown.exceptions.FileURLRetrievalError("too many users"), OSError(28, "No space left on device")
    monkeypatch.setattr(gdown, "download", Mock(side_effect=[refusal, full]))
    with pytest.raises(ConnectionError, match="too many users.*--from FILE"):
        download_from_drive("abc", tmp_path / "a.zip", silent)
    with pytest.raises(OSError, match="No space left") as raised:
        download_from_drive("abc", tmp_path / "a.zip", silent)
    assert raised.value is full


def test_a_fetched_set_lies_in_the_store_complete_and_alone(tank, server):
    lines = []
    manifest = fetch(tank, progress=lines.append)
    assert manifest.root == cache_path("data", "tank") and manifest.layout == "roboflow"
    assert len(read_catalog(manifest)) == 12 and not (manifest.root / "README.md").exists()
    assert sorted(path.name for path in cache_path("data").iterdir()) == [".tank.making", "tank"]
    assert [path.name for path in (cache_path("data") / ".tank.making").iterdir()] == [LOCK]
    assert list(cache_path("downloads").iterdir()) == []
    assert fetch(tank, progress=lines.append) == manifest and len(server.ranges) == 1
    assert "already in" in lines[-1]


def test_other_pictures_or_labels_are_not_taken_for_these(tank, roboflow_folder, tank_zip):
    table = roboflow_folder / "train" / "_annotations.csv"
    text = table.read_text()
    table.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="tank has .* boxes in train. Expected .*'eel': 5"):
        fetch(tank, str(roboflow_folder))
    table.write_text(text)
    victim = sorted(roboflow_folder.rglob("valid/*.jpg"))[0]
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(ValueError, match=f"1 of 12 images .*validation/{victim.name}, which differs"):
        fetch(tank, str(roboflow_folder))
    victim.unlink()
    with pytest.raises(ValueError, match="which is missing"):
        fetch(tank, str(roboflow_folder))
    assert not cache_path("data", "tank").exists() and roboflow_folder.exists()
    assert len(read_catalog(fetch(tank, str(tank_zip)))) == 12


@pytest.mark.parametrize("content", [b"no zip at all", "cut", "climbs"])
def test_a_damaged_or_harmful_archive_is_not_kept(content, tank, server, tank_zip, tmp_path):
    if content == "climbs":
        with zipfile.ZipFile(tank_zip, "a") as zipped:
            zipped.writestr("../evil.txt", "x")
    server.content = content if content == b"no zip at all" else tank_zip.read_bytes()
    server.headers = {"Content-Length": "5000"} if content == "cut" else {}
    with pytest.raises(ValueError, match="was not unpacked"):
        fetch(tank)
    assert list(cache_path("downloads").iterdir()) == [] and not cache_path("data", "tank").exists()


def test_no_license_no_address_and_no_such_source_are_said(tmp_path, roboflow_folder):
    toml = tmp_path / "bare.toml"
    toml.write_text('name = "bare"\nlayout = "roboflow"\n')
    bare = load_manifest(toml)
    with pytest.raises(ValueError, match="states no license.* --accept-unknown-lic"):
        fetch(bare, str(roboflow_folder))
    with pytest.raises(ValueError, match="names no address.* --from FOLDER_OR_ZIP"):
        fetch(bare, accept_unknown_license=True)
    with pytest.raises(ValueError, match="nothing at .*nowhere. Expected gdrive:ID, a URL, or"):
        fetch(bare, str(tmp_path / "nowhere"), accept_unknown_license=True)
    assert fetch(bare, str(roboflow_folder), accept_unknown_license=True).root.is_dir()
    with pytest.raises(ValueError, match=r"from https://example.org in a browser, then `marinecv data fetch bare"):
        fetch(replace(bare, name="bare2", homepage="https://example.org"), accept_unknown_license=True)


def test_where_an_address_does_not_answer_its_mirror_is_asked(tank, server):
    lines, nowhere = [], "http://127.0.0.1:9/tank.zip"
    found = fetch(replace(tank, url=nowhere, mirrors=(nowhere, server.url)), progress=lines.append)
    assert len(read_catalog(found)) == 12 and sum("127.0.0.1 does not answer" in line for line in lines) == 2
    with pytest.raises(ConnectionError, match="does not answer"):
        fetch(replace(tank, name="other", url=nowhere, mirrors=(nowhere,)))


def test_a_count_of_images_without_splits_is_checked(tmp_path, roboflow_folder):
    toml = tmp_path / "some.toml"
    names = 'folder_classes = {"crab" = "crab", "eel" = "eel"}'
    toml.write_text(f'name = "some"\nlayout = "folders"\nlicense = "CC0"\n{names}\n[expected.images]\n"" = 2\n')
    for place in ("crab/a.jpg", "eel/a.jpg", "eel/b.jpg"):
        (tmp_path / "some" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(roboflow_folder / "train" / "crab_train_0.jpg", tmp_path / "some" / place)
    with pytest.raises(ValueError, match="some has 3 images. Expected 2"):
        fetch(load_manifest(toml), str(tmp_path / "some"))
    (tmp_path / "some" / "eel" / "b.jpg").unlink()
    assert len(read_catalog(fetch(load_manifest(toml), str(tmp_path / "some")))) == 2


def test_the_published_archive_of_birds_keeps_the_names_of_its_attributes(tmp_path, server):
    root = draw_attributes(tmp_path / "packed" / "CUB_200_2011")
    (root / "attributes" / "attributes.txt").rename(tmp_path / "packed" / "attributes.txt")
    archive = shutil.make_archive(str(tmp_path / "birds"), "gztar", tmp_path / "packed")
    server.content = Path(archive).read_bytes()
    (tmp_path / "birds.toml").write_text(f'name = "birds"\nlayout = "cub"\nlicense = "CC0"\nurl = "{server.url}"\n')
    manifest = fetch(load_manifest(tmp_path / "birds.toml"))
    assert manifest.root == cache_path("data", "birds") and (manifest.root / "images.txt").is_file()
    assert read_attributes(manifest).shape == (3, 3) and len(read_catalog(manifest)) == 3
