"""Archives from strangers, and connections that break: what comes is the whole file, or a reason."""

import http.client
import random
import stat
import struct
import zipfile

import gdown
import pytest
from test_data_fetch import serving
from test_data_unpack import pack

from marinecv.data import unpack
from marinecv.data.network import download, download_from_drive
from marinecv.data.unpack import safe_unpack

BODY = random.Random(0).randbytes(200_000)


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch) as server:
        server.content = BODY
        yield server


def silent(_):
    pass


def fetch(server, tmp_path):
    """What a download brings, and what lies about afterwards."""
    path = tmp_path / "got" / "a.bin"
    download(server.url, path, silent)
    assert [left.name for left in path.parent.iterdir()] == ["a.bin"]
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_a_connection_cut_at_any_byte_is_resumed_to_equal_bytes(seed, server, tmp_path):
    server.cuts = [random.Random(seed).randrange(len(BODY) // 2) for _ in range(2)]
    first, second = server.cuts
    assert fetch(server, tmp_path) == BODY
    resumed = [f"bytes={place}-" if place else None for place in (first, first + second)]
    assert server.ranges == [None, *resumed]


def test_a_connection_that_is_reset_is_tried_again(server, tmp_path, monkeypatch):
    whole, resets = http.client.HTTPResponse.read, iter([True, False])

    def read(answer, amount=None):
        if next(resets, False):
            raise ConnectionResetError("reset by peer")
        return whole(answer, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", read)
    assert fetch(server, tmp_path) == BODY
    assert len(server.ranges) == 2


@pytest.mark.parametrize("named_by", ["ETag", "Last-Modified"])
def test_a_file_that_changed_between_two_attempts_is_never_mixed_with_the_old_one(named_by, server, tmp_path):
    editions = ['"1"', '"2"'] if named_by == "ETag" else [f"Wed, 0{day} Jul 2026 07:28:00 GMT" for day in (1, 2)]
    server.edition, server.cuts = editions[0], [5000, 0, 0]
    server.headers = {"ETag": None, named_by: editions[0]}
    with pytest.raises(ConnectionError, match="Run the same command again to resume"):
        fetch(server, tmp_path)
    server.content, server.edition, server.headers = BODY[::-1], editions[1], {"ETag": None, named_by: editions[1]}
    assert fetch(server, tmp_path) == BODY[::-1]
    assert server.ranges[-1] == "bytes=5000-"


@pytest.mark.parametrize("edition", [None, 'W/"weak"'])
def test_a_server_that_does_not_vouch_for_its_bytes_is_asked_for_all_of_them(edition, server, tmp_path):
    server.edition, server.cuts = edition, [5000]
    assert fetch(server, tmp_path) == BODY
    assert server.ranges == [None, None]


@pytest.mark.parametrize("lie", [{"Content-Range": "bytes 4000-199999/200000"}, {"ETag": '"another"'}])
def test_another_piece_than_the_one_asked_for_is_not_appended(lie, server, tmp_path):
    server.cuts = [5000, 0, 0]
    with pytest.raises(ConnectionError):
        fetch(server, tmp_path)
    server.headers = lie
    assert fetch(server, tmp_path) == BODY
    assert server.ranges[-2:] == ["bytes=5000-", None]


def test_a_length_that_is_too_long_gives_no_file(server, tmp_path):
    server.headers = {"Content-Length": str(len(BODY) + 1)}
    with pytest.raises(ConnectionError, match="could not be downloaded"):
        fetch(server, tmp_path)
    assert not (tmp_path / "got" / "a.bin").exists()


@pytest.mark.parametrize("length", [None, "many", "-5"])
def test_a_length_that_is_no_number_is_not_believed(length, server, tmp_path):
    server.headers = {"Content-Length": length}
    assert fetch(server, tmp_path) == BODY


def test_a_length_that_is_too_short_gives_an_archive_that_is_refused(server, tmp_path):
    server.content = pack(tmp_path / "a.zip", {"a.txt": BODY.hex()}).read_bytes()
    server.headers = {"Content-Length": "50000"}
    (tmp_path / "cut.zip").write_bytes(fetch(server, tmp_path))
    with pytest.raises(ValueError, match="cannot be unpacked: .* Expected a whole zip. Download it again"):
        safe_unpack(tmp_path / "cut.zip", tmp_path / "out")


def test_a_server_that_says_out_of_range_unasked_is_given_up_on(server, tmp_path):
    server.errors = [416, 416, 416]
    with pytest.raises(ConnectionError, match="could not be downloaded: HTTP Error 416"):
        fetch(server, tmp_path)


def test_a_disk_that_fills_is_not_taken_for_a_broken_connection(tmp_path, monkeypatch):
    def fill(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gdown, "download", fill)
    with pytest.raises(OSError, match="No space left") as full:
        download_from_drive("abc", tmp_path / "a.zip", silent)
    assert not isinstance(full.value, ConnectionError)


def refused(archive, tmp_path, reason):
    """Unpacking raises, with a reason and how to mend it, and writes nothing."""
    with pytest.raises(ValueError, match=reason) as error:
        safe_unpack(archive, tmp_path / "store" / "out")
    assert str(archive) in str(error.value) and "Expected" in str(error.value)
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/" * 65 + "b", "lies deeper than 64 folders"),
        ("n" * 256, "a name of more than 255 bytes"),
        ("ä" * 128, "a name of more than 255 bytes"),
        ("a\nb.jpg", "a control character"),
        ("\x1b[2Ja.jpg", "a control character"),
        ("./", "^$"),
        (".", "has no name"),
        ("//etc/passwd", "absolute"),
        ("a/../../b", "climbs out"),
        ("a/..\\b", "a Windows path"),
        ("a\\..\\b", "climbs out"),
        ("C:\\b", "a Windows path"),
    ],
)
def test_a_harmful_name_is_refused(name, reason, tmp_path):
    archive = pack(tmp_path / "a.zip", {"fine.txt": "fine", name: ""})
    if reason == "^$":  # a folder "here" is no harm
        safe_unpack(archive, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["fine.txt"]
    else:
        refused(archive, tmp_path, f"was not unpacked: entry .* .*{reason}")


@pytest.mark.parametrize("name", ["con.txt", "aux", "a .txt.", "récif.jpg", "日本.jpg", "a'b\"c.jpg", "=1+1.jpg"])
def test_an_odd_name_is_unpacked_as_it_is(name, tmp_path):
    safe_unpack(pack(tmp_path / "a.zip", {name: "x"}), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("a.jpg", "A.JPG", "is there twice, perhaps in upper and lower case"),
        ("a/b.jpg", "a//./b.jpg", "is there twice"),
        ("é.jpg", "e\u0301.jpg", "is there twice"),
        ("straße.jpg", "STRASSE.jpg", "is there twice"),
        ("a", "A/b.jpg", "lies below a file"),
    ],
)
def test_names_of_which_one_would_overwrite_the_other_are_refused(first, second, reason, tmp_path):
    refused(pack(tmp_path / "a.zip", {first: "1", second: "2"}), tmp_path, f"was not unpacked: entry .* {reason}")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("a.jpg", "1")
        zipped.writestr("a.jpg", "2")
    refused(tmp_path / "a.zip", tmp_path, "is there twice")


def patched(archive, *changes):
    """Change 16- or 32-bit numbers of the last entry in the central directory, at their places there."""
    data = bytearray(archive.read_bytes())
    start = data.rindex(b"PK\x01\x02")
    for place, kind, value in changes:
        struct.pack_into(kind, data, start + place, value)
    archive.write_bytes(data)
    return archive


@pytest.mark.parametrize("offset", [0, 10])
def test_entries_that_share_their_bytes_are_a_bomb_and_refused(offset, tmp_path):
    archive = pack(tmp_path / "a.zip", {"a.txt": "x" * 1000, "b.txt": "x" * 1000})
    refused(patched(archive, (42, "<I", offset)), tmp_path, "entry 'a.txt' shares its bytes with another")


def test_an_entry_that_says_it_is_longer_than_the_archive_is_refused(tmp_path):
    archive = pack(tmp_path / "a.zip", {"a.txt": "x" * 1000})
    refused(patched(archive, (20, "<I", 2**31)), tmp_path, "entry 'a.txt' shares its bytes with another or has none")


def test_an_entry_that_says_it_is_smaller_than_it_is_fills_no_disk(tmp_path):
    archive = pack(tmp_path / "a.zip", {"a.txt": "x" * 10**6})
    refused(patched(archive, (24, "<I", 10)), tmp_path, "cannot be unpacked: .*Expected a whole zip")


def test_an_absurd_size_is_refused(tmp_path):
    archive = pack(tmp_path / "a.zip", {"a.txt": "x" * 1000})
    refused(patched(archive, (24, "<I", 2**32 - 2)), tmp_path, "would become 4,294,967,294. Expected at most 200 times")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        with zipped.open("a.txt", "w", force_zip64=True) as file:
            file.write(b"x" * 1000)
        zipped.filelist[0].file_size = 2**60  # written as zip64
    refused(tmp_path / "b.zip", tmp_path, "would become 1,152,921,504,606,846,976")


def test_more_entries_than_any_data_set_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 10)
    archive = pack(tmp_path / "a.zip", {str(number): "" for number in range(11)})
    refused(archive, tmp_path, "it has 11 entries. Expected at most 10")


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFBLK])
def test_a_device_is_refused(kind, tmp_path):
    refused(pack(tmp_path / "a.zip", {"x": ""}, mode=kind | 0o666), tmp_path, "is a device")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_with_any_byte_changed_is_unpacked_right_or_refused(method, tmp_path):
    content = {f"folder/{number}.txt": random.Random(number).randbytes(20).hex() * 3 for number in range(3)}
    with zipfile.ZipFile(tmp_path / "good.zip", "w", method) as zipped:
        for name, text in content.items():
            zipped.writestr(name, text)
    good, dice = (tmp_path / "good.zip").read_bytes(), random.Random(method)
    refusals = 0
    for attempt in range(150):
        data = bytearray(good[: dice.randrange(len(good))] if attempt % 5 == 0 else good)
        if data:
            data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
        (tmp_path / "bad.zip").write_bytes(data)
        out = tmp_path / "out" / str(attempt)
        try:
            safe_unpack(tmp_path / "bad.zip", out)
        except ValueError as error:
            assert "Expected" in str(error) and not out.exists()
            refusals += 1
        else:
            found = {path.read_text() for path in out.rglob("*") if path.is_file()}
            assert found <= set(content.values())
    assert refusals > 75


def test_something_that_is_no_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        safe_unpack(tmp_path / "nowhere.zip", tmp_path / "out")
