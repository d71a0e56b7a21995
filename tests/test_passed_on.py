"""What is made to be passed on (pages, exports, files of --format) holds no coordinates and no path of this machine."""

import base64
import importlib.util
import io
import re
import sys
import zipfile

import pytest
from conftest import draw_tank
from PIL import Image

from pipelines.cli import main

PLACE = b"Eagles' Nest"  # in the GPS data and the description of every image
DATA_URL = re.compile(rb"data:[\w/+;=-]*base64,([\w+/=]+)")


@pytest.fixture
def tank(tmp_path):
    """A tank in a folder whose name is to be kept private, of images that know their place."""
    root = draw_tank(tmp_path / "Secret Ridge" / "tank")
    exif = Image.Exif()
    exif[0x010E] = PLACE.decode()
    exif[0x8825] = {1: "N", 2: (46.0, 12.0, 15.84), 3: "E", 4: (7.0, 6.0, 5.0), 27: PLACE}
    for path in root.rglob("*.jpg"):
        with Image.open(path) as image:
            image.save(path, quality=95, exif=exif)
        assert PLACE in path.read_bytes()
    return root


def contents(path):
    """The bytes of a file, of the pictures in a page, and of the parts of a workbook."""
    data = path.read_bytes()
    yield data
    if path.suffix == ".html":
        yield from (base64.b64decode(match) for match in DATA_URL.findall(data))
    if path.suffix == ".xlsx":
        parts = zipfile.ZipFile(io.BytesIO(data))
        yield from map(parts.read, parts.namelist())


@pytest.mark.slow
def test_no_place_and_no_absolute_path_is_passed_on(tank, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    formats = ["csv", "megadetector", *["xlsx"] * bool(importlib.util.find_spec("openpyxl"))]
    commands = [
        ["pretrain", "--data-dir", tank, "--epochs", 1, "--image-size", 32, "--output-dir", tmp_path / "run"],
        ["evaluate", tmp_path / "run", "--split", "test", "--data-dir", tank, "--output-dir", tmp_path / "evaluation"],
        ["explain", tmp_path / "run", "--data-dir", tank],
        ["audit", "--data-dir", tank, "--output-dir", tmp_path / "audit"],
        ["export", tmp_path / "run", "--format", "savedmodel"],
        ["predict", tmp_path / "run", tank, "--format", *formats, "--event-gap", "1h", "--output", tmp_path / "p.csv"],
    ]
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["run.py", *map(str, command)])
        assert main([str(word) for word in command]) == 0, command
    pages = [*tmp_path.rglob("*.html")]
    passed_on = [*pages, *(tmp_path / "run" / "exports").rglob("*"), *tmp_path.glob("p_*"), tmp_path / "events.csv"]
    passed_on = [path for path in passed_on if path.is_file()]
    assert len(pages) >= 3 and len(passed_on) > 8 + len(formats)
    found = {
        f"{path.relative_to(tmp_path)}: {word.decode()}"
        for path in passed_on
        for content in contents(path)
        for word in (PLACE, b"15.84", b"Secret Ridge", str(tmp_path).encode())
        if word in content
    }
    assert not found
