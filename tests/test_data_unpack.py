import stat
import zipfile

import pytest

from marinecv.data import unpack
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
        ("..\\a.txt", None, 0, "has an absolute or a Windows path"),
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
