"""Archives of unknown sources: their files come out, below one folder, or nothing and a reason."""

import gzip
import io
import random
import stat
import struct
import tarfile
import zipfile

import pytest

from marinecv.data.download import archives
from marinecv.data.download.archives import safe_unpack


def pack_zip(path, entries, mode=None, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as zipped:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            if mode is not None:
                entry.external_attr = mode << 16
            zipped.writestr(entry, content, method)
    return path


def pack_tar(path, entries, **facts):
    """A tar file, compressed where the name says so; the last entry has these facts, such as its type."""
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tarred:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for fact, value in facts.items() if name == list(entries)[-1] else ():
                setattr(entry, fact, value)
            tarred.addfile(entry, io.BytesIO(content.encode()))
    return path


PACKERS = {"zip": pack_zip, "tar": pack_tar, "tgz": pack_tar}
each_kind = pytest.mark.parametrize("kind", PACKERS)


def refused(archive, tmp_path, reason):
    """Unpacking raises ValueError with file and remedy, and leaves nothing."""
    with pytest.raises(ValueError, match=f"{archive.name} was not unpacked: .*{reason}.*Expected a whole zip or tar"):
        safe_unpack(archive, tmp_path / "store" / "out")
    assert list((tmp_path / "store").iterdir()) == []


def unpacked(archive, folder, **options):
    safe_unpack(archive, folder, **options)
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@each_kind
@pytest.mark.parametrize("suffix", ["as it is", "zip"])  # the content counts, not the name
def test_the_files_of_an_archive_come_out(kind, suffix, tmp_path):
    entries = {"top/récif 1/a.txt": "A", "./top/b.txt": "B", "top/=1+1 'b\".jpg": "C"}
    archive = PACKERS[kind](tmp_path / f"a.{kind}", entries | {"__MACOSX/._a": "junk"})
    archive = archive.rename(tmp_path / f"b.{kind if suffix == 'as it is' else suffix}")
    expected = {name.removeprefix("./"): text for name, text in entries.items()}
    assert unpacked(archive, tmp_path / "new" / "out") == expected
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


@each_kind
def test_only_the_wanted_folder_is_unpacked_where_the_archive_has_it(kind, tmp_path):
    archive = PACKERS[kind](tmp_path / f"a.{kind}", {"./top/data/a.txt": "A", "top/code.py": "B"})
    assert list(unpacked(archive, tmp_path / "some", below="top/data")) == ["top/data/a.txt"]
    assert len(unpacked(archive, tmp_path / "all", below="elsewhere")) == 2


@each_kind
@pytest.mark.parametrize("name", ["../a.txt", "ok/../../a.txt", "ok/..\\a.txt", "..\\a.txt", "a\nb", "\x1b[2Ja.jpg"])
def test_a_harmful_name_is_refused(kind, name, tmp_path):
    refused(PACKERS[kind](tmp_path / f"a.{kind}", {"fine.txt": "fine", name: ""}), tmp_path, "or a control character")


@each_kind
@pytest.mark.parametrize("name", ["/a.txt", "//etc/a.txt", "C:/a.txt", "a/" * 65 + "b"])
def test_an_absolute_or_deep_path_lands_below_the_folder(kind, name, tmp_path):
    found = unpacked(PACKERS[kind](tmp_path / f"a.{kind}", {"fine.txt": "fine", name: "x"}), tmp_path / "new" / "out")
    assert sorted(found.values()) == ["fine", "x"] and [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


MODES = stat.S_IFLNK, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO
TYPES = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.BLKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE


@pytest.mark.parametrize(("mode", "type_of_tar"), [*zip(MODES, TYPES, strict=True)])
def test_a_link_or_device_is_refused(mode, type_of_tar, tmp_path):
    refused(pack_zip(tmp_path / "a.zip", {"x": "/etc"}, mode=mode | 0o666), tmp_path, "is a link or device")
    facts = {"type": type_of_tar, "linkname": "fine.txt"}
    refused(pack_tar(tmp_path / "a.tgz", {"fine.txt": "fine", "x": ""}, **facts), tmp_path, "is a link or device")


@each_kind
@pytest.mark.parametrize(
    ("first", "second"),
    [("a.jpg", "A.JPG"), ("a/b.jpg", "a//./b.jpg"), ("/b.jpg", "b.jpg"), ("é.jpg", "e\u0301.jpg"), ("a", "A/b.jpg")],
)
def test_names_of_which_one_would_overwrite_the_other_are_refused(kind, first, second, tmp_path):
    archive = PACKERS[kind](tmp_path / f"a.{kind}", {first: "1", second: "2"})
    refused(archive, tmp_path, "is there twice, .* below a file")


def test_a_zip_with_the_paths_of_windows_is_read(tmp_path):
    archive = pack_zip(tmp_path / "a.zip", {"cat\\1.txt": "one", "dog\\deep\\2.txt": "two"})
    assert unpacked(archive, tmp_path / "out") == {"cat/1.txt": "one", "dog/deep/2.txt": "two"}
    with pytest.raises(FileNotFoundError):
        safe_unpack(tmp_path / "nowhere.zip", tmp_path / "elsewhere")


def test_a_tar_brings_no_mode_and_its_name_may_be_other_bytes_than_utf8(tmp_path):
    safe_unpack(pack_tar(tmp_path / "a.tar", {"r\udce9cif.txt": "A"}, mode=0o4777), tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "r\udce9cif.txt" and not file.stat().st_mode & 0o7022


def test_a_full_disk_is_said_before(tmp_path, monkeypatch):
    archive = pack_zip(tmp_path / "a.zip", {"a.txt": "A" * 50})
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(OSError, match="50 bytes unpacked are needed and 10 are free; make room or set MARINECV_HOME"):
        safe_unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@each_kind
def test_a_bomb_is_refused_as_it_is_read(kind, tmp_path, monkeypatch):
    archive = PACKERS[kind](tmp_path / f"a.{kind}", {"zeros": "0" * 10**6, "more": "0" * 10**6})
    monkeypatch.setattr(archives, "RATIO_MATTERS_FROM", 1000)
    monkeypatch.setattr(archives, "MAX_RATIO", 200 if kind != "tar" else 0.1)
    refused(archive, tmp_path, "would become 1,000,000 bytes in 1 entries")
    monkeypatch.setattr(archives, "MAX_ENTRIES", 1)
    refused(PACKERS[kind](tmp_path / f"b.{kind}", {"a": "", "b": ""}), tmp_path, "0 bytes in 2 entries")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MAX_HEADER_BYTES", 2**20)
    safe_unpack(pack_tar(tmp_path / "a.tgz", {"n" * 200: "x" * 2**22}), tmp_path / "out")  # the content may be longer
    refused(pack_tar(tmp_path / "b.tgz", {"a": ""}, pax_headers={"comment": "x" * 2**21}), tmp_path, "a header of 2,")


LIES = [  # of the last entry in the central directory: place, kind of number, value
    (8, "<H", 1, "encrypted"),
    (42, "<I", 0, ""),  # where it lies: both entries share their bytes
    (24, "<I", 10, ""),  # it says it is smaller than it is
    (24, "<I", 2**32 - 2, "would become"),
]


@pytest.mark.parametrize(("place", "kind", "value", "reason"), LIES)
def test_a_zip_that_lies_about_an_entry_is_refused(place, kind, value, reason, tmp_path):
    archive = pack_zip(tmp_path / "a.zip", {"b.txt": "y" * 1000, "a.txt": "x" * 10**5})
    data = bytearray(archive.read_bytes())
    struct.pack_into(kind, data, data.rindex(b"PK\x01\x02") + place, value)
    archive.write_bytes(data)
    refused(archive, tmp_path, reason)


def test_a_damaged_header_in_the_midst_of_a_tar_is_not_taken_for_its_end(tmp_path):
    data = bytearray(gzip.decompress(pack_tar(tmp_path / "a.tgz", {"a": "A", "b": "B", "c": "C"}).read_bytes()))
    data[1024 + 3] ^= 0xFF  # in the header of b
    (tmp_path / "b.tar").write_bytes(data)
    refused(tmp_path / "b.tar", tmp_path, "a header in its midst is damaged")


@pytest.mark.parametrize("kind", [*PACKERS, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_with_any_byte_changed_is_unpacked_right_or_refused(kind, tmp_path):
    content = {f"folder/{number}.txt": random.Random(number).randbytes(20).hex() * 9 for number in range(3)}
    pack, options = (PACKERS[kind], {}) if kind in PACKERS else (pack_zip, {"method": kind})
    good, dice = pack(tmp_path / f"good.{kind}", content, **options).read_bytes(), random.Random(1)
    refusals = 0
    for attempt in range(100):
        data = bytearray(good[: dice.randrange(1, len(good))] if attempt % 5 == 0 else good)
        data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
        (tmp_path / "bad").write_bytes(data)
        out = tmp_path / "out" / str(attempt)
        try:
            safe_unpack(tmp_path / "bad", out)
        except (ValueError, OSError) as error:
            assert str(tmp_path) in str(error) and not out.exists()
            refusals += 1
        else:
            found = {path.read_bytes() for path in out.rglob("*") if path.is_file()}
            assert kind == "tar" or found <= {text.encode() for text in content.values()}
    assert refusals > (10 if kind == "tar" else 50)
