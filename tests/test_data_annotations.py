"""What annotation files state is brought to the files of a folder: names, sizes, turns, and what contradicts."""

import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image, ImageOps

from marinecv.data.annotations import read_json, read_xml, text_of
from marinecv.data.boxes import CORNERS
from marinecv.data.labeled_images import Labeled, box_of, tables_of
from marinecv.data.times import iso_time


def draw(path, size=(64, 48), turn=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size, (40, 90, 160)).save(path, exif=exif)
    return path


def labeled(root, name, *boxes, folder="", **facts):
    return Labeled(name=name, folder=folder, source="a.json:images[0]", boxes=boxes, **facts)


def box(*corners, name="fox", relative=False):
    return box_of(name, corners, "a.json:boxes[0]", relative)


FILES = ("s1/a.jpg", "s1/b.jpg", "s2/b.jpg", "s2/Été 1.JPG", "deep/s3/c.jpg", "s1/d\\e.jpg")


@pytest.mark.parametrize(
    ("name", "folder", "found"),
    [
        ("s1/a.jpg", "", "s1/a.jpg"),
        ("b.jpg", "s2", "s2/b.jpg"),
        ("s1/b.jpg", "s2", "s1/b.jpg"),
        ("../s1/b.jpg", "s2", "s1/b.jpg"),
        (".\\s1\\b.jpg", "", "s1/b.jpg"),
        ("S2/" + unicodedata.normalize("NFD", "été 1.jpg"), "", "s2/Été 1.JPG"),
        ("s1/d\\e.jpg", "", "s1/d\\e.jpg"),
        ("D:\\photos\\s1\\b.jpg", "", "s1/b.jpg"),
        ("/home/me/s2/b.jpg", "", "s2/b.jpg"),
        ("../../elsewhere/c.jpg", "", "deep/s3/c.jpg"),
        ("https://example.org/x/a.jpg", "", "s1/a.jpg"),
        ("a.jpg", "", "s1/a.jpg"),
        ("b.jpg", "", ("b.jpg", "several files end in 'b.jpg'")),
        ("/etc/passwd", "", ("etc/passwd", "absent")),
        ("../../../etc/passwd", "", ("etc/passwd", "absent")),
        ("link/x.jpg", "", ("link/x.jpg", "absent")),
        ("a\0\ud800.jpg", "", ("a\\0\\ud800.jpg", "absent")),
        ("", "", ("no name", "names no file")),
    ],
)
def test_a_name_is_one_file_below_the_root_or_a_row_that_says_why_not(tmp_path, name, folder, found):
    root = tmp_path / "data"
    for file in (*FILES, "other.jpg"):
        draw(root / file)
    draw(tmp_path / "other" / "x.jpg")
    (root / "link").symlink_to(tmp_path / "other")
    records = [labeled(root, "other.jpg"), labeled(root, name, folder=folder, class_names=("fox",))]
    images = tables_of(root, records)[0].set_index("image_id")
    if isinstance(found, tuple):
        assert found[1] in images.loc[found[0], "problem"] and images.loc[found[0], "width"] == 0
        assert set(images.index) == {*FILES, "other.jpg", "link", found[0]}
    else:
        assert images["class_name"][found] == "fox" and images["problem"][found] == ""
        assert set(images.index) == {*FILES, "other.jpg", "link"} and (images["problem"] == "").sum() == 2


def test_a_file_that_two_names_end_like_is_of_neither_and_what_was_found_by_its_end_is_said(tmp_path):
    draw(tmp_path / "cam1/1.jpg"), draw(tmp_path / "x/9.jpg")
    records = [labeled(tmp_path, f"{site}/cam1/1.jpg", class_names=(site,)) for site in "AB"]
    images, _ = tables_of(tmp_path, [*records, labeled(tmp_path, "/home/x/9.jpg")])
    problems = images.set_index("image_id")["problem"]
    assert "could be it, and 1 other name" in problems["A/cam1/1.jpg"] and problems["x/9.jpg"] == ""
    assert problems["cam1/1.jpg"] == "no annotation names it"
    assert "1 of 3 named images were found by the end of their path alone" in images.attrs["decisions"][0]
    with pytest.raises(ValueError, match=r"None of the 1 files that .*a.json names is there; the first is 'y.jpg'"):
        tables_of(tmp_path, [labeled(tmp_path, "y.jpg")])


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        ({"class_names": ("fox",)}, {"class_names": (" fox",)}, ""),
        ({"class_names": ("fox",)}, {"class_names": ("cat",)}, "names several classes: cat, fox"),
        ({"split": "train"}, {"split": "test"}, "names several splits: test, train"),
        ({"class_names": ("empty",)}, {"boxes": (box(1, 2, 3, 4),)}, "is stated to be empty, and has boxes"),
        ({"problem": "is marked as corrupt"}, {"class_names": ("fox",)}, "is marked as corrupt"),
    ],
)
def test_records_of_one_image_are_joined(tmp_path, first, second, problem):
    draw(tmp_path / "a.jpg")
    records = [Labeled(name="a.jpg", source="x.json:1", **facts) for facts in (first, second)]
    images, boxes = tables_of(tmp_path, [*records, labeled(tmp_path, "a.jpg", box(1, 2, 3, 4), camera="c1")])
    assert images["problem"].tolist() == [problem] and images["camera"].tolist() == ["c1"] and len(boxes) == 1


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_boxes_of_before_the_turn_of_exif_are_turned_with_their_image(tmp_path, turn):
    """The box of a white rectangle is where the rectangle is displayed."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[20:44, 40:60] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    images, boxes = tables_of(tmp_path, [labeled(tmp_path, "a.png", box(40, 20, 60, 44), size=(64, 48))])
    with Image.open(tmp_path / "a.png") as image:
        white = ImageOps.exif_transpose(image).getbbox()
    assert boxes[CORNERS].to_numpy().tolist() == [[*white]] and images["problem"].tolist() == [""]
    assert "before the EXIF rotation" in images.attrs["decisions"][0]


@pytest.mark.parametrize(
    ("corners", "size", "shown", "expected", "problem", "said"),
    [
        ((1, 2, 30, 40), (64, 48), (64, 48), [1, 2, 30, 40], "", ""),
        ((1, 2, 30, 40), (64, 48), (32, 24), [0.5, 1, 15, 20], "", "1 images have another size"),
        ((1, 2, 60, 40), (48, 64), (64, 48), [1, 2, 60, 40], "", "drawn on the images as displayed"),
        ((2, 4, 120, 80), (96, 128), (64, 48), [1, 2, 60, 40], "", "drawn on the images as displayed"),
        ((1, 2, 30, 40), (48, 64), (64, 48), [1, 2, 30, 40], "fit both readings", ""),
        ((1, 2, 30, 60), (48, 64), (64, 48), None, "fit both readings", ""),  # before a turn that no EXIF states
        ((1, 2, 30, 40), (100, 48), (64, 48), [1, 2, 30, 40], "100x48, the file is 64x48 as shown", ""),
        ((0.25, 0.5, 0.5, 1), (48, 64), (64, 48), [16, 24, 32, 48], "", "taken as drawn on the images as displayed"),
        ((0.25, 0.5, 0.5, 1), None, (64, 48), [16, 24, 32, 48], "", ""),
    ],
)
def test_the_stated_size_explains_that_of_the_file_or_is_a_problem(
    tmp_path, corners, size, shown, expected, problem, said
):
    draw(tmp_path / "a.jpg", shown)
    drawn = box(*corners, relative=max(corners) <= 1)
    images, boxes = tables_of(tmp_path, [labeled(tmp_path, "a.jpg", drawn, size=size)])
    assert problem in images["problem"][0] and bool(problem) == bool(images["problem"][0])
    assert (boxes["problem"][0] == "its image has another size") == bool(problem)
    assert expected is None or boxes[CORNERS].to_numpy().tolist() == [expected]
    assert [said in sentence for sentence in images.attrs["decisions"]] == [True] * bool(said)


@pytest.mark.parametrize(
    ("corners", "relative"),
    [((1, 2, 3), False), (("x", 2, 3, 4), False), ((1, 2, float("nan"), 4), False), ((1, 2, 3, 10**400), False)]
    + [((10, 20, 30, 40), True), (None, False), ((True, 1, 2, 3), False)],
)
def test_four_numbers_that_are_no_box_are_a_bad_row(corners, relative):
    assert box_of("fox", corners, "a:1", relative).problem.startswith("bad row")
    assert box_of(None, (1, 2, 3, 4), "a:1").problem.endswith("expected the name of a class")


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_json, b"[1]", r"begins with '\[1\]'. Expected an object"),
        (read_json, b'{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        (read_json, b"[" * 100_000, "nested too deeply"),
        (read_json, b'{"a": 1', "is no JSON that can be read"),
        (read_json, '{"a": "é"}'.encode("latin-1"), "is not UTF-8"),
        (read_json, b"PK\x03\x04...", "is not UTF-8: it is a zip file, which is to be unzipped"),
        (read_json, b'{"a": ' + b"9" * 5000 + b"}", "is no JSON"),
        (read_xml, b"<a><b></a>", "is no XML that can be read: mismatched tag"),
        (read_xml, b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "it has a DOCTYPE"),
        (read_xml, b"<a>" * 101, "nested deeper than 100"),
        (read_xml, b'<?xml version="1.0" encoding="klingon"?><a/>', "is no XML that can be read"),
    ],
)
def test_a_file_that_is_not_read_is_an_error_that_names_it(tmp_path, read, content, message):
    (tmp_path / "table").write_bytes(content)
    with pytest.raises(ValueError, match=f"table .*{message}"):
        read(tmp_path / "table")


def test_a_byte_order_mark_and_nan_are_read(tmp_path):
    (tmp_path / "table").write_bytes(b'\xef\xbb\xbf{"a": NaN}')
    assert text_of(read_json(tmp_path / "table")["a"]) == "" and text_of(3.0) == "3"
    (tmp_path / "table").write_bytes(b'\xef\xbb\xbf<a b="1">x</a>')
    assert read_xml(tmp_path / "table").get("b") == "1"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-02-03 21:14:09", "2024-02-03T21:14:09"),
        ("2024:02:03 21:14:09", "2024-02-03T21:14:09"),
        ("2024-02-03T21:14:09.5+0200", "2024-02-03T21:14:09+02:00"),
        ("2024-02-03T21:14:09Z", "2024-02-03T21:14:09+00:00"),
        *(
            (text, "")
            for text in ("", "2024-02-03", "03/02/2024 21:14:09", "0000:00:00 00:00:00", "2024-13-01 00:00:00")
        ),
    ],
)
def test_a_time_is_read_only_where_its_order_is_clear(tmp_path, text, time):
    assert iso_time(text) == time
    draw(tmp_path / "a.jpg")
    images, _ = tables_of(tmp_path, [labeled(tmp_path, "a.jpg", taken_at=text)])
    assert images["taken_at"].tolist() == [time] and len(images.attrs["decisions"]) == bool(text and not time)


LETTERS = some.text(some.sampled_from("abÀé 海.-_"), min_size=1, max_size=5).map(lambda text: f"x{text}x")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=some.sets(some.lists(LETTERS, min_size=1, max_size=3).map("/".join), min_size=1, max_size=4), data=some.data()
)
def test_what_is_written_is_read(tmp_path_factory, names, data):
    """Whatever the names, each record goes to its own file, with its class, its boxes and its size."""
    root, sides = tmp_path_factory.mktemp("tree"), some.integers(2, 40)
    sizes = {f"{name}.png": data.draw(some.tuples(sides, sides)) for name in names}
    records, expected = [], {}
    for name, (width, height) in sizes.items():
        draw(root / name, (width, height))
        left, top = data.draw(some.integers(0, width - 1)), data.draw(some.integers(0, height - 1))
        form = data.draw(some.sampled_from([str, lambda text: text.replace("/", "\\"), lambda text: f"./{text}"]))
        drawn = box(left, top, width, height, name=name.partition("/")[0])
        records.append(labeled(root, form(name), drawn, size=(width, height)))
        expected[name] = [left, top, width, height]
    images, boxes = tables_of(root, records)
    assert images.set_index("image_id")["problem"].to_dict() == dict.fromkeys(sizes, "")
    assert {row[0]: list(row[1:]) for row in boxes[["image_id", *CORNERS]].itertuples(index=False)} == expected
