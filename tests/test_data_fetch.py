import contextlib
import hashlib
import http.server
import re
import shutil
import socket
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gdown
import pytest
from scenes import draw_attributes

from marinecv import progress
from marinecv.data import network
from marinecv.data.attributes import read_attributes
from marinecv.data.catalog import read_catalog
from marinecv.data.download import fetch, network_reachable
from marinecv.data.manifests import load_manifest
from marinecv.data.network import download, reachable
from marinecv.data.store import store_path
from marinecv.hold import LOCK


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at any path; knows Range; breaks off or answers an error where a test asks for it.

    Attributes:
        cuts: after how many bytes each of the next answers breaks off.
        errors: what the next answers are instead.
        edition: what it calls the content; None where it does not say.
        headers: that an answer has in place of true ones.
        gate: where there is one, the second half of an answer waits for it.
        ranges: what was asked for, request by request.
    """

    content, knows_range, edition, gate = b"", True, '"first"', None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts, self.errors, self.ranges, self.headers = [], [], [], {}
        self.url = f"http://127.0.0.1:{self.server_port}/tank.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        same = self.headers.get("If-Range") == server.edition
        start = int(re.match(r"bytes=(\d+)-", wanted).group(1)) if wanted and same and server.knows_range else 0
        if start >= len(server.content) > 0:
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        headers = {"ETag": server.edition, "Content-Length": str(len(body))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
        for name, value in (headers | server.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        body = body[: server.cuts.pop(0)] if server.cuts else body
        self.wfile.write(body[: len(body) // 2])
        if server.gate:
            server.gate.wait(60)
        with contextlib.suppress(ConnectionError):  # who asked may have been killed
            self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch) as server:
        yield server


@pytest.fixture
def archive(roboflow_folder, tmp_path):
    """The tank, as GitHub packs it: in a folder of the commit, beside other things."""
    packed = tmp_path / "packed" / "repo-1234"
    shutil.copytree(roboflow_folder, packed / "data" / "tank")
    (packed / "README.md").write_text("not data")
    return shutil.make_archive(str(tmp_path / "tank"), "zip", tmp_path / "packed")


@pytest.fixture
def tank(tmp_path, roboflow_folder, server):
    return tank_manifest(tmp_path, roboflow_folder, server)


def tank_manifest(tmp_path, roboflow_folder, server):
    """The manifest of the tank, with hashes in YOLO's paths and counts; served by `server`."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.parent.name}/images/{path.name}"
        for path in sorted(roboflow_folder.rglob("*.jpg"))
    ]
    (tmp_path / "tank.sha256").write_text("\n".join(lines) + "\n")
    (tmp_path / "tank.toml").write_text(
        f'name = "tank"\nlayout = "yolo"\nlicence = "CC0"\nurl = "{server.url}"\nhashes = "tank.sha256"\n'
        'archive_subdir = "repo-1234/data/tank"\n'
        "[expected.images]\ntrain = 6\nvalidation = 3\ntest = 3\n"
        "[expected.boxes]\ntrain = {crab = 2, eel = 5, ray = 2}\n"
    )
    return load_manifest(tmp_path / "tank.toml")


def silent(_):
    pass


def test_a_fetched_set_lies_in_the_store_complete_and_alone(tank, server, archive):
    server.content = Path(archive).read_bytes()
    told = []
    manifest = fetch(tank, progress=told.append)
    assert manifest.root == store_path("data", "tank") and manifest.layout == "roboflow"
    assert len(read_catalog(manifest)) == 12 and not (manifest.root / "README.md").exists()
    assert sorted(path.name for path in store_path("data").iterdir()) == [".tank.making", "tank"]
    assert [path.name for path in (store_path("data") / ".tank.making").iterdir()] == [LOCK]
    assert list(store_path("downloads").iterdir()) == []
    assert fetch(tank, progress=told.append) == manifest and len(server.ranges) == 1
    assert "already in" in told[-1]


def test_a_broken_download_is_resumed_where_it_broke(server, tmp_path):
    server.content, server.cuts = bytes(range(256)) * 40, [1000, 500]
    download(server.url, tmp_path / "a.bin", silent)
    assert (tmp_path / "a.bin").read_bytes() == server.content
    assert server.ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_a_download_broken_for_good_is_resumed_by_the_next_command(server, tmp_path):
    server.content, server.cuts = b"x" * 5000, [100, 100, 100]
    with pytest.raises(ConnectionError, match="broke after 300 of 5,000 bytes.*Run the same command again to resume"):
        download(server.url, tmp_path / "a.bin", silent)
    assert not (tmp_path / "a.bin").exists() and (tmp_path / "a.bin.part").stat().st_size == 300
    download(server.url, tmp_path / "a.bin", silent)
    assert server.ranges[-1] == "bytes=300-" and (tmp_path / "a.bin").read_bytes() == server.content


def test_a_server_without_ranges_is_begun_anew(server, tmp_path):
    server.content, server.knows_range = b"new content", False
    (tmp_path / "a.bin.part").write_bytes(b"old")
    (tmp_path / "a.bin.part.edition").write_text(server.edition)
    download(server.url, tmp_path / "a.bin", silent)
    assert (tmp_path / "a.bin").read_bytes() == b"new content"


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    server.content = b"short"
    (tmp_path / "a.bin.part").write_bytes(b"something long")
    (tmp_path / "a.bin.part.edition").write_text(server.edition)
    download(server.url, tmp_path / "a.bin", silent)
    assert (tmp_path / "a.bin").read_bytes() == b"short"


def test_a_refusal_is_not_tried_again_and_a_busy_server_is(server, tmp_path):
    server.errors = [404]
    with pytest.raises(ConnectionError, match="answers 404 .* --from FILE"):
        download(server.url, tmp_path / "a.bin", silent)
    server.content, server.errors = b"here", [503, 503]
    download(server.url, tmp_path / "a.bin", silent)
    assert (tmp_path / "a.bin").read_bytes() == b"here"


def test_progress_of_a_slow_download_is_told(server, tmp_path, monkeypatch):
    server.content, told = b"x" * 3 * 2**20, []
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=iter(range(0, 1000, 10)).__next__))
    network._continue(server.url, tmp_path / "a.part", told.append)
    assert re.fullmatch(r"  downloading: \d of 3 MB(, about \d+ s left)?", told[0])


def test_a_host_that_does_not_answer_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "reachable", lambda url: False)
    with pytest.raises(ConnectionError, match="nowhere.invalid does not answer"):
        download("https://nowhere.invalid/a.zip", tmp_path / "a.zip", silent)


def test_reachable_is_known_in_time_even_where_names_are_not(monkeypatch, server):
    assert reachable(server.url)

    def hang(*_, **__):
        threading.Event().wait(0.6)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "create_connection", hang)
    start = time.monotonic()
    assert not reachable(server.url, timeout=0.2) and time.monotonic() - start < 0.55


def test_reachable_asks_the_proxy_where_there_is_one(monkeypatch, server):
    asked = []

    def connect(address, timeout):
        asked.append(address)
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert not reachable("https://example.org/a.zip")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert not reachable("https://example.org/a.zip")
    monkeypatch.setenv("no_proxy", "example.org")
    assert not reachable("https://example.org/a.zip")
    assert asked == [("example.org", 443), ("proxy.example", 3128), ("example.org", 443)]


def test_network_reachable_asks_the_source_of_the_manifest(tank, server, monkeypatch):
    assert network_reachable(tank)
    asked = []
    monkeypatch.setattr("marinecv.data.download.reachable", lambda url, timeout: asked.append(url) or True)
    assert network_reachable(load_manifest("aquarium")) and asked == [load_manifest("aquarium").url]
    assert not network_reachable(load_manifest("reef"))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_copy_at_hand_is_checked_too(tank, roboflow_folder, archive, kind):
    manifest = fetch(tank, str(roboflow_folder if kind == "folder" else archive), progress=silent)
    assert len(read_catalog(manifest)) == 12 and roboflow_folder.exists()


def test_google_drive_is_asked_with_a_time_limit_and_retries(tank, archive, monkeypatch):
    asked = {}

    def drive(id, output, **options):
        asked.update(options, id=id)
        shutil.copy(archive, output)

    monkeypatch.setattr(gdown, "download", drive)
    assert fetch(tank, "gdrive:abc", progress=silent).root.is_dir()
    assert asked["id"] == "abc" and asked["timeout"] and asked["retries"] and asked["resume"]


def test_a_refusal_of_google_drive_says_what_to_do(tank, monkeypatch):
    def refuse(**_):
        raise gdown.exceptions.FileURLRetrievalError("too many users")

    monkeypatch.setattr(gdown, "download", refuse)
    with pytest.raises(ConnectionError, match="did not hand over abc: too many users.*--from FILE"):
        fetch(tank, "gdrive:abc", progress=silent)


def test_other_pictures_are_not_taken_for_these(tank, server, roboflow_folder, archive):
    victim = sorted(roboflow_folder.rglob("valid/*.jpg"))[0]
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(ValueError, match=f"1 of 12 images .* the first is validation/{victim.name}, which differs"):
        fetch(tank, str(roboflow_folder), progress=silent)
    victim.unlink()
    with pytest.raises(ValueError, match="which is missing"):
        fetch(tank, str(roboflow_folder), progress=silent)
    assert not store_path("data", "tank").exists()


def test_other_labels_are_not_taken_for_these(tank, roboflow_folder):
    table = roboflow_folder / "train" / "_annotations.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="tank has .* boxes in train. Expected .*'eel': 5.* Fetch it again"):
        fetch(tank, str(roboflow_folder), progress=silent)


def test_a_damaged_archive_is_not_kept(tank, server, tmp_path):
    server.content = b"no zip at all"
    with pytest.raises(ValueError, match="cannot be unpacked"):
        fetch(tank, progress=silent)
    assert list(store_path("downloads").iterdir()) == [] and not store_path("data", "tank").exists()


def test_no_licence_no_address_and_no_such_source_are_said(tmp_path, roboflow_folder):
    toml = tmp_path / "bare.toml"
    toml.write_text('name = "bare"\nlayout = "roboflow"\n')
    bare = load_manifest(toml)
    with pytest.raises(ValueError, match="states no licence.* --accept-unknown-licence"):
        fetch(bare, str(roboflow_folder), progress=silent)
    with pytest.raises(ValueError, match="names no address.* --from FOLDER_OR_ZIP"):
        fetch(bare, accept_unknown_licence=True, progress=silent)
    with pytest.raises(ValueError, match="nothing at .*nowhere. Expected gdrive:ID, a URL, or"):
        fetch(bare, str(tmp_path / "nowhere"), accept_unknown_licence=True, progress=silent)
    assert fetch(bare, str(roboflow_folder), accept_unknown_licence=True, progress=silent).root.is_dir()


def test_a_set_that_needs_a_person_says_what_to_download_and_how_to_go_on():
    expected = (
        r"names no address.* Download them from https://\S+animals10 in a browser, then `marinecv data fetch "
        "animals10_5 --from FOLDER_OR_ZIP`, or use --data animals10_5 --data-dir"
    )
    with pytest.raises(ValueError, match=expected):
        fetch(load_manifest("animals10_5"), accept_unknown_licence=True, progress=silent)


def test_a_count_of_images_without_splits_is_checked(tmp_path, roboflow_folder):
    names = ", ".join(f'"{split}" = "{split}"' for split in ("crab", "eel"))
    (tmp_path / "some.toml").write_text(
        f'name = "some"\nlayout = "folders"\nlicence = "CC0"\nfolder_classes = {{{names}}}\n[expected.images]\n"" = 2\n'
    )
    for place in ("crab", "eel", "ray"):
        (tmp_path / "some" / place).mkdir(parents=True)
        shutil.copy(roboflow_folder / "train" / "crab_train_0.jpg", tmp_path / "some" / place)
    assert len(read_catalog(fetch(load_manifest(tmp_path / "some.toml"), str(tmp_path / "some"), progress=silent))) == 2
    shutil.rmtree(store_path("data", "some"))
    shutil.copy(roboflow_folder / "train" / "crab_train_0.jpg", tmp_path / "some" / "eel" / "b.jpg")
    with pytest.raises(ValueError, match="some has 3 images. Expected 2. Fetch it again"):
        fetch(load_manifest(tmp_path / "some.toml"), str(tmp_path / "some"), progress=silent)


def test_the_published_archive_of_birds_keeps_the_names_of_its_attributes(tmp_path, server):
    root = draw_attributes(tmp_path / "packed" / "CUB_200_2011")
    (root / "attributes" / "attributes.txt").rename(tmp_path / "packed" / "attributes.txt")
    archive = shutil.make_archive(str(tmp_path / "birds"), "gztar", tmp_path / "packed")
    server.content = Path(archive).read_bytes()
    (tmp_path / "birds.toml").write_text(f'name = "birds"\nlayout = "cub"\nlicence = "CC0"\nurl = "{server.url}"\n')
    manifest = fetch(load_manifest(tmp_path / "birds.toml"), progress=silent)
    assert manifest.root == store_path("data", "birds") and (manifest.root / "images.txt").is_file()
    assert read_attributes(manifest).shape == (3, 3) and len(read_catalog(manifest)) == 3


def test_an_archive_that_climbs_out_is_refused(tank, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as zipped:
        zipped.writestr("../evil.txt", "x")
    with pytest.raises(ValueError, match="climbs out"):
        fetch(tank, str(tmp_path / "evil.zip"), progress=silent)
