import gzip
import io
import random
import stat
import tarfile
import zipfile

import pytest

from marinecv.data import archives, unpack
from marinecv.data.unpack import safe_unpack


def pack(path, entries, mode=None, flags=0):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            if mode is not None:
                entry.external_attr = mode << 16
            zipped.writestr(entry, content, zipfile.ZIP_DEFLATED)
            entry.flag_bits |= flags
    return path


def test_a_harmless_zip_is_unpacked_and_nothing_else_is_left(tmp_path):
    archive = pack(tmp_path / "a.zip", {"top/récif 1/a.txt": "A", "top/b.txt": "B", "__MACOSX/._a": "junk"})
    safe_unpack(archive, tmp_path / "new" / "out")
    files = sorted(path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*"))
    assert files == ["out", "out/top", "out/top/b.txt", "out/top/récif 1", "out/top/récif 1/a.txt"]


def test_only_the_wanted_folder_is_unpacked_where_the_archive_has_it(tmp_path):
    archive = pack(tmp_path / "a.zip", {"top/data/a.txt": "A", "top/code.py": "B"})
    safe_unpack(archive, tmp_path / "some", below="top/data")
    safe_unpack(archive, tmp_path / "all", below="elsewhere")
    assert not (tmp_path / "some/top/code.py").exists() and (tmp_path / "some/top/data/a.txt").exists()
    assert (tmp_path / "all/top/code.py").exists()


@pytest.mark.parametrize(
    ("name", "mode", "flags", "reason"),
    [
        ("/etc/passwd", None, 0, "has an absolute or a Windows path"),
        ("C:/windows/a", None, 0, "has an absolute or a Windows path"),
        ("..\\a.txt", None, 0, "climbs out with '..'"),
        ("ok/..\\a.txt", None, 0, "has an absolute or a Windows path"),
        ("ok/../../a.txt", None, 0, "climbs out with '..'"),
        ("link", stat.S_IFLNK | 0o777, 0, "is a link"),
        ("disk", stat.S_IFBLK | 0o600, 0, "is a device"),
        ("pipe", stat.S_IFIFO | 0o600, 0, "is a device"),
        ("secret", None, 1, "is encrypted"),
    ],
)
def test_a_harmful_entry_is_refused_before_anything_is_written(tmp_path, name, mode, flags, reason):
    archive = pack(tmp_path / "a.zip", {"fine.txt": "fine", name: "target"}, mode, flags)
    with pytest.raises(ValueError, match=f"was not unpacked: entry .* {reason}"):
        safe_unpack(archive, tmp_path / "store" / "out")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_zip_with_the_paths_of_windows_is_read(tmp_path):
    archive = pack(tmp_path / "a.zip", {"cat\\1.txt": "one", "dog\\deep\\2.txt": "two"})
    safe_unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/cat/1.txt").read_text() == "one"
    assert (tmp_path / "out/dog/deep/2.txt").read_text() == "two"


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.zip", {"zeros": bytes(10**6)})
    monkeypatch.setattr(unpack, "RATIO_MATTERS_FROM", 1000)
    with pytest.raises(ValueError, match="bytes would become 1,000,000. Expected at most 200 times"):
        safe_unpack(archive, tmp_path / "out")


def test_a_full_disk_is_said_before(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.zip", {"a.txt": "A" * 50})
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(OSError, match="needs 50 bytes unpacked and 10 are free. Make room, or set MARINECV_HOME"):
        safe_unpack(archive, tmp_path / "out")


def test_a_damaged_zip_leaves_nothing(tmp_path):
    archive = pack(tmp_path / "a.zip", {"a.txt": "A" * 5000})
    archive.write_bytes(archive.read_bytes()[:20])
    with pytest.raises(ValueError, match="cannot be unpacked: .* Expected a whole zip. Download it again"):
        safe_unpack(archive, tmp_path / "store" / "out")
    assert list((tmp_path / "store").iterdir()) == []


def pack_tar(path, entries, **facts):
    """A tar, packed where the name says so; the last entry has these facts, such as its type."""
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tarred:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for fact, value in facts.items() if name == list(entries)[-1] else ():
                setattr(entry, fact, value)
            tarred.addfile(entry, io.BytesIO(content.encode()))
    return path


def refused(archive, tmp_path, reason):
    """Unpacking raises and writes nothing."""
    with pytest.raises(ValueError, match=reason):
        safe_unpack(archive, tmp_path / "store" / "out")
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize("name", ["a.tgz", "a.tar", "a.zip"])  # the content counts, not the name
def test_a_harmless_tar_is_unpacked_and_nothing_of_it_but_its_bytes(tmp_path, name):
    archive = pack_tar(tmp_path / name, {"./top/récif 1/a.txt": "A", "top/b.txt": "B"}, mode=0o4777, uid=0)
    safe_unpack(archive, tmp_path / "new" / "out")
    files = sorted(path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*"))
    assert files == ["out", "out/top", "out/top/b.txt", "out/top/récif 1", "out/top/récif 1/a.txt"]
    assert (tmp_path / "new/out/top/b.txt").read_text() == "B"
    assert not (tmp_path / "new/out/top/b.txt").stat().st_mode & 0o7111


def test_only_the_wanted_folder_of_a_tar_is_unpacked(tmp_path):
    archive = pack_tar(tmp_path / "a.tgz", {"./top/data/a.txt": "A", "./top/code.py": "B"})
    safe_unpack(archive, tmp_path / "some", below="top/data")
    assert not (tmp_path / "some/top/code.py").exists() and (tmp_path / "some/top/data/a.txt").exists()


@pytest.mark.parametrize(
    ("name", "facts", "reason"),
    [
        ("/etc/passwd", {}, "has an absolute or a Windows path"),
        ("ok/../../a.txt", {}, "climbs out with '..'"),
        ("a\nb", {}, "has a control character"),
        ("n" * 256, {}, "a name of more than 255 bytes"),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc"}, "is a link"),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "../../a"}, "is a link"),
        ("disk", {"type": tarfile.BLKTYPE}, "is a device"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "is a device"),
        ("FINE.txt", {}, "is there twice, perhaps in upper and lower case"),
        ("fine.txt/b", {}, "lies below a file"),
    ],
)
def test_a_harmful_entry_of_a_tar_is_refused_before_anything_is_written(tmp_path, name, facts, reason):
    archive = pack_tar(tmp_path / "a.tgz", {"fine.txt": "fine", name: ""}, **facts)
    refused(archive, tmp_path, f"was not unpacked: entry .* {reason}")


def test_a_name_of_other_bytes_than_utf8_is_unpacked_as_it_is(tmp_path):
    safe_unpack(pack_tar(tmp_path / "a.tar", {"r\udce9cif.txt": "A"}), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["r\udce9cif.txt"]


def test_a_bomb_in_a_tar_is_refused_as_it_is_read(tmp_path, monkeypatch):
    archive = pack_tar(tmp_path / "a.tgz", {"zeros": "0" * 10**6, "more": "0" * 10**6})
    monkeypatch.setattr(unpack, "RATIO_MATTERS_FROM", 1000)
    refused(archive, tmp_path, "bytes would become 1,000,000. Expected at most 200 times")
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 1)
    refused(pack_tar(tmp_path / "b.tgz", {"a": "", "b": ""}), tmp_path, "it has 2 entries. Expected at most 1")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LONGEST_READ", 2**20)
    archive = pack_tar(tmp_path / "a.tgz", {"n" * 200: "x" * 2**22})  # the content may be longer than that
    safe_unpack(archive, tmp_path / "out")
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {"comment": "x" * 2**21}
    with tarfile.open(tmp_path / "b.tgz", "w:gz", format=tarfile.PAX_FORMAT) as tarred:
        tarred.addfile(entry)
    refused(tmp_path / "b.tgz", tmp_path, "cannot be unpacked: a header of 2,.* bytes. Expected a whole tar")


@pytest.mark.parametrize("suffix", ["tgz", "tar"])
def test_a_tar_with_any_byte_changed_is_unpacked_right_or_refused(tmp_path, suffix):
    content = {f"folder/{number}.txt": random.Random(number).randbytes(20).hex() * 30 for number in range(3)}
    good, dice = pack_tar(tmp_path / f"good.{suffix}", content).read_bytes(), random.Random(1)
    refusals = 0
    for attempt in range(100):
        data = bytearray(good[: dice.randrange(len(good))] if attempt % 5 == 0 else good)
        if data:
            data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
        (tmp_path / "bad").write_bytes(data)
        out = tmp_path / "out" / str(attempt)
        try:
            safe_unpack(tmp_path / "bad", out)
        except ValueError as error:
            assert "Expected" in str(error) and not out.exists()
            refusals += 1
        else:
            found = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
            assert suffix == "tar" or sorted(found) == sorted(text.encode() for text in content.values())
    assert refusals > (75 if suffix == "tgz" else 10)


def test_a_damaged_header_in_the_midst_of_a_tar_is_not_taken_for_its_end(tmp_path):
    data = bytearray(gzip.decompress(pack_tar(tmp_path / "a.tgz", {"a": "A", "b": "B", "c": "C"}).read_bytes()))
    data[1024 + 3] ^= 0xFF  # in the header of b
    (tmp_path / "b.tar").write_bytes(data)
    refused(tmp_path / "b.tar", tmp_path, "cannot be unpacked: a header in its midst is damaged. Expected a whole tar")
