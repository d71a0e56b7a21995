"""The examples of docs/formats.md: each is written beside small images, read, and compared."""

import re
from pathlib import Path

import pytest
from PIL import Image

from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.readers import layout_names

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"
BLOCK = re.compile(r"```(\w+) ([^\n]+)\n(.*?)```", re.DOTALL)
SECTIONS = re.findall(r"\n## ([^\n]+)\n(.*?)(?=\n## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SECTIONS = {name: text for name, text in SECTIONS if "read as" in text}
OTHERS = {"cub", "shards"}  # a published data set's, and what this package packs


def rows_of(text):
    cells = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return [tuple("" if cell == "-" else cell for cell in row) for row in cells]


@pytest.mark.parametrize("name", SECTIONS)
def test_an_example_of_the_page_is_read_as_it_says(name, tmp_path):
    expected = []
    for _, path, text in BLOCK.findall(SECTIONS[name]):
        if path == "read as":
            expected = rows_of(text)
        else:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
    for image, *_ in expected:
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(tmp_path / image)
    catalog = read_catalog(manifest_of_folder(tmp_path))
    columns = ["image_id", "class_name", "split", "camera", "taken_at"]
    assert sorted(catalog[columns].itertuples(index=False, name=None)) == sorted(expected) and expected


def test_the_page_has_every_layout(tmp_path):
    assert len(SECTIONS) == len({*layout_names()} - OTHERS) + 1  # camera traps have a section of their own
