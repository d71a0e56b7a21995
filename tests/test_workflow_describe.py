"""`data describe` and `mcv.describe`: about ten lines on what is read of a data set, without TensorFlow."""

from conftest import refused, shown
from PIL import Image

import marinecv as mcv


def test_the_lines_say_what_is_read_and_what_not(tmp_path, capsys):
    exif = Image.Exif()
    for number, place in enumerate(
        ("fox/cam1/a", "fox/cam1/b", "owl/cam2/c", "owl/cam2/d", "owl/cam2/20230412_183015")
    ):
        exif[0x8769] = {0x9003: f"{2000 if number == 3 else 2023}:01:01 10:00:00"}
        path = tmp_path / "data" / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30 + number, 20)).save(path, **({"exif": exif} if number in (0, 3) else {}))
    (tmp_path / "data" / "fox" / "cam1" / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "data" / "notes.txt").touch()
    lines = shown(capsys, "data", "describe", tmp_path / "data").splitlines()
    assert lines[0].startswith("data: folders (folders of images named after their class")
    assert lines[1].startswith("images: 6, 5 usable; 1 cannot be read: not an image of a known kind")
    assert lines[1].endswith("(the first: fox/cam1/broken.jpg)")
    assert lines[2:] == [
        "classes: 2: owl 3, fox 2",
        "splits: none",
        "cameras: 2: cam2 3, cam1 2",
        "groups: 2: cam2 3, cam1 2",
        "dates: 2023-01-01 10:00 to 2023-04-12 18:30 (2 by exif, 1 by name, 1 by a wrong clock, 2 without)",
        "boxes: none",
        "sizes: 30x20 to 34x20 pixels, median 32x20",
        "not read: 1 .txt",
    ]
    assert mcv.describe(str(tmp_path / "data")).splitlines() == lines
    assert "it does not exist" in refused(capsys, "data", "describe", "no_such_folder")


def test_boxes_a_catalog_and_a_set_without_a_usable_image_are_described(roboflow_folder, tmp_path):
    said = mcv.describe(roboflow_folder)
    assert f"boxes: {len(mcv.read_boxes(mcv.find_data(data_dir=roboflow_folder))):,} on" in said
    catalog = mcv.read_catalog(mcv.find_data(data_dir=roboflow_folder))
    of_catalog = mcv.describe(catalog[["image_id", "path", "class_name", "width", "height"]])
    assert of_catalog.startswith("catalog: a catalog\nimages: ") and "splits: none" in of_catalog
    none = mcv.describe(catalog.assign(problem="no box"))
    assert f"images: {len(catalog)}, 0 usable; {len(catalog)} no box" in none and "dates: none" in none


def test_columns_name_those_of_a_table(tmp_path, capsys):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg")
    (tmp_path / "t.csv").write_text("Foto,Tier\na.jpg,Luchs\n")
    assert "classes: 1: Luchs 1" in shown(capsys, "data", "describe", tmp_path, "--columns", "file=Foto", "class=Tier")
