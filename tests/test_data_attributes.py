"""What people saw on birds: read from the published format, and made useless on purpose."""

import numpy as np
import pandas as pd
import pytest
from test_data_cub import draw_cub

from marinecv.data.attributes import class_mean_attributes, read_attributes, shuffled_attributes
from marinecv.data.catalog import read_catalog
from marinecv.data.locate import locate
from marinecv.data.manifests import Manifest, manifest_of_folder

NAMES = ["has_bill_shape::hooked", "has_wing_color::blue", "has_size::small_(5_-_9_in)"]
PRESENT = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1]])  # image, attribute
CERTAIN = np.array([[4, 1, 2], [3, 3, 3], [1, 4, 4], [1, 1, 1], [2, 3, 4]])
FINCH_A, FINCH_B, AUK = (
    f"images/{name}" for name in ("001.Zebra_Finch/a.jpg", "001.Zebra_Finch/b c.jpg", "002.Auk/a.jpg")
)


def answers():
    """The lines of the image file: image, attribute, present, certainty and seconds."""
    return [
        f"{image + 1} {attribute + 1} {PRESENT[image, attribute]} {CERTAIN[image, attribute]} {1.5 + attribute}"
        for image, attribute in np.ndindex(PRESENT.shape)
    ]


def draw_attributes(root, lines=None, percent="70.5 0 10\n50 100.0 51\n0 0 0\n"):
    folder = draw_cub(root) / "attributes"
    folder.mkdir()
    (folder / "attributes.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(NAMES, start=1)))
    (folder / "image_attribute_labels.txt").write_text("\n".join(answers() if lines is None else lines) + "\n")
    (folder / "class_attribute_labels_continuous.txt").write_text(percent)
    return manifest_of_folder(root)


@pytest.fixture
def birds(tmp_path):
    return draw_attributes(tmp_path / "birds")


def test_each_image_at_hand_has_a_row_by_its_id_and_each_attribute_a_column(birds):
    table = read_attributes(birds)
    assert table.columns.tolist() == NAMES and table.index.name == "image_id"
    assert table.index.tolist() == [FINCH_A, FINCH_B, AUK] and set(table.index) == set(read_catalog(birds)["image_id"])
    assert table.to_numpy().tolist() == PRESENT[:3].tolist() and set(table.dtypes) == {np.dtype("uint8")}


@pytest.mark.parametrize("certainty", [1, 2, 3, 4])
def test_an_answer_below_the_certainty_does_not_count(birds, certainty):
    table = read_attributes(birds, min_certainty=certainty)
    assert table.to_numpy().tolist() == (PRESENT * (certainty <= CERTAIN))[:3].tolist()


def test_lines_with_columns_too_many_and_in_any_order_read_the_same(tmp_path, birds):
    lines = answers()
    lines[4] = lines[4].rsplit(" ", 1)[0] + " 0 2.5"
    lines[7] = lines[7].rsplit(" ", 1)[0] + "  0 0 3.25"
    assert read_attributes(draw_attributes(tmp_path / "odd", lines[::-1])).equals(read_attributes(birds))


def test_each_class_that_is_read_has_a_row_by_its_name(birds):
    table = read_attributes(birds, "class")
    assert table.index.tolist() == ["Zebra Finch", "Auk", "Owl"] and table.index.name == "class_name"
    assert table.to_numpy().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert read_attributes(birds, "class", min_percent=5).loc["Zebra Finch"].tolist() == [1, 0, 1]
    auks = Manifest(name="auks", layout="cub", root=birds.root, folder_classes={"002.Auk": "auk"})
    assert read_attributes(auks, "class").to_numpy().tolist() == [[0, 1, 1]]
    assert read_attributes(auks).index.tolist() == [AUK]


@pytest.mark.parametrize("place", ["attributes", ".", ".."])
def test_names_are_found_where_archives_have_them(birds, place):
    names = birds.root / "attributes" / "attributes.txt"
    names.rename(birds.root / place / "attributes.txt")
    assert read_attributes(birds).columns.tolist() == NAMES


def test_no_names_are_said(birds):
    (birds.root / "attributes" / "attributes.txt").unlink()
    with pytest.raises(ValueError, match="There is no attributes.txt in .*nor beside it. Expected it"):
        read_attributes(birds)


@pytest.mark.parametrize("kind", ["image", "class"])
def test_no_such_file_is_said(birds, kind):
    for path in (birds.root / "attributes").glob("*labels*"):
        path.unlink()
    with pytest.raises(ValueError, match="There is no .*attribute_labels.*comes with the published archive"):
        read_attributes(birds, kind)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "bird"}, r"Expected kind to be one of \('image', 'class'\). Received: kind='bird'"),
        ({"min_certainty": 5}, "min_certainty is 5. Expected 1 .* to 4"),
        ({"min_percent": 101}, "min_percent is 101. Expected 0 to 100"),
    ],
)
def test_a_wrong_word_or_bound_is_said(birds, options, message):
    with pytest.raises(ValueError, match=message):
        read_attributes(birds, **options)


def test_another_layout_has_no_attributes(roboflow_folder):
    with pytest.raises(ValueError, match='has the layout "roboflow". Expected "cub"'):
        read_attributes(manifest_of_folder(roboflow_folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "lacks 1 answers and gives 0 more than once; the first is of image 5, attribute 3"),
        (lambda lines: [*lines, lines[0]], "lacks 0 answers and gives 1 more than once; the first is of image 1, attr"),
        (
            lambda lines: [*lines, "6 1 1 4 1.0"],
            "names 1 unknown numbers, the first 6. Expected an image of images.txt",
        ),
        (lambda lines: [*lines, "1 9 1 4 1.0"], "the first 9. Expected an attribute of attributes.txt"),
        (lambda lines: [*lines[1:], "1 1 2 4 1.0"], '1 of 15 answers .* cannot be; the first begins "1 1 2 4"'),
        (lambda lines: [*lines[1:], "1 1 1 7 1.0"], '1 of 15 answers .* cannot be; the first begins "1 1 1 7"'),
        (lambda lines: [*lines[1:], "1 1 yes 4 1.0"], "cannot be read: .*Expected numbers with blanks between"),
        (lambda lines: [*lines[1:], "1 1"], "cannot be read"),
        (lambda lines: [], "lacks 15 answers"),
    ],
)
def test_answers_that_do_not_fit_the_tables_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_attributes(draw_attributes(tmp_path, change(answers())))


@pytest.mark.parametrize(
    "percent", ["1 2 3\n4 5 6\n", "1 2\n3 4\n5 6\n", "1 2 3\n4 5 600\n7 8 9\n", "1 2 3\n4 5\n7 8 9\n"]
)
def test_classes_that_do_not_fit_the_tables_are_refused(tmp_path, percent):
    with pytest.raises(
        ValueError, match="lines of . numbers .*Expected 3 lines, a class of classes.txt each, of 3 perc"
    ):
        read_attributes(draw_attributes(tmp_path, percent=percent), "class")


def catalog_of(*rows):
    return pd.DataFrame(rows, columns=["image_id", "class_name", "split", "problem"])


def test_the_class_mean_is_that_of_train_alone():
    attributes = pd.DataFrame({"x": [1, 0, 0, 1, 1], "y": [0, 0, 1, 1, 0]}, index=list("abcde"))
    rows = [
        ("a", "eel", "train", ""),
        ("b", "eel", "train", ""),
        ("c", "eel", "validation", ""),
        ("d", "ray", "train", ""),
    ]
    means = class_mean_attributes(attributes, catalog_of(*rows, ("e", "", "train", "no box")))
    assert means.index.tolist() == list("abcd") and set(means.dtypes) == {np.dtype("float32")}
    assert means.to_numpy().tolist() == [[0.5, 0], [0.5, 0], [0.5, 0], [1, 1]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("z", "eel", "train", ""), "1 of 2 images have no attributes, the first: z. Expected a row for each"),
        (("b", "ray", "validation", ""), "1 classes have no train image, the first: ray"),
    ],
)
def test_a_mean_of_nothing_is_refused(row, message):
    attributes = pd.DataFrame({"x": [1, 0]}, index=list("ab"))
    with pytest.raises(ValueError, match=message):
        class_mean_attributes(attributes, catalog_of(("a", "eel", "train", ""), row))


def test_shuffled_attributes_are_those_of_other_images_by_the_seed():
    attributes = pd.DataFrame({"x": range(50), "y": range(50)}, index=[f"{number}.jpg" for number in range(50)])
    shuffled = shuffled_attributes(attributes, seed=3)
    assert shuffled.index.equals(attributes.index) and (shuffled["x"] == shuffled["y"]).all()
    assert sorted(shuffled["x"]) == list(range(50)) and (shuffled["x"] != attributes["x"]).mean() > 0.9
    assert shuffled.equals(shuffled_attributes(attributes, seed=3))
    assert not shuffled.equals(shuffled_attributes(attributes, seed=4))


@pytest.mark.data
def test_the_classes_of_twenty_species_have_what_was_measured(real_data):
    table = read_attributes(locate("cub_x20", real_data / "cub_x20"), "class")
    assert table.shape == (20, 312) and table.columns[-1] == "has_wing_pattern::multi-colored"
    assert (
        table.loc["Cardinal", "has_primary_color::red"] == 1 and table.loc["Cardinal", "has_primary_color::blue"] == 0
    )
    assert table.sum(axis=1).min() >= 9 and table.sum(axis=1).max() <= 27
