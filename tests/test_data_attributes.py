"""Attributes of birds: read from the published format, averaged by class, and permuted as a control."""

import numpy as np
import pandas as pd
import pytest
from scenes import ATTRIBUTE_NAMES as NAMES
from scenes import ATTRIBUTES_PRESENT as PRESENT
from scenes import attribute_answers as answers
from scenes import draw_attributes

from marinecv.data.attributes import class_mean_attributes, read_attributes, shuffled_attributes
from marinecv.data.catalog import read_catalog
from marinecv.data.find_data import find_data
from marinecv.data.manifests import Manifest, manifest_of_folder

IMAGES = [f"images/{name}" for name in ("001.Zebra_Finch/a.jpg", "001.Zebra_Finch/b c.jpg", "002.Auk/a.jpg")]


@pytest.fixture
def birds(tmp_path):
    return manifest_of_folder(draw_attributes(tmp_path / "birds"))


@pytest.mark.parametrize("certainty", [1, 2, 3, 4])
def test_each_image_has_a_row_of_the_answers_of_a_certainty(birds, certainty):
    table = read_attributes(birds, min_certainty=certainty)
    assert table.columns.tolist() == NAMES and table.index.name == "image_id"
    assert table.index.tolist() == IMAGES and set(IMAGES) == set(read_catalog(birds)["image_id"])
    certain = np.array([[4, 1, 2], [3, 3, 3], [1, 4, 4]])
    assert table.to_numpy().tolist() == (PRESENT[:3] * (certainty <= certain)).tolist()
    assert set(table.dtypes) == {np.dtype("uint8")}


def test_lines_with_columns_too_many_and_in_any_order_read_the_same(tmp_path, birds):
    lines = answers()
    lines[4] = lines[4].rsplit(" ", 1)[0] + " 0 2.5"
    lines[7] = lines[7].rsplit(" ", 1)[0] + "  0 0 3.25"
    odd = manifest_of_folder(draw_attributes(tmp_path / "odd", lines[::-1]))
    assert read_attributes(odd).equals(read_attributes(birds))


def test_each_class_that_is_read_has_a_row_by_its_name(birds):
    table = read_attributes(birds, "class")
    assert table.index.tolist() == ["Zebra Finch", "Auk", "Owl"] and table.index.name == "class_name"
    assert table.to_numpy().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert read_attributes(birds, "class", min_percent=5).loc["Zebra Finch"].tolist() == [1, 0, 1]
    auks = Manifest(name="auks", layout="cub", root=birds.root, folder_classes={"002.Auk": "auk"})
    assert read_attributes(auks, "class").to_numpy().tolist() == [[0, 1, 1]]
    assert read_attributes(auks).index.tolist() == IMAGES[2:]


@pytest.mark.parametrize("place", ["attributes", ".", ".."])
def test_names_are_found_where_archives_have_them(birds, place):
    path = (birds.root / "attributes" / "attributes.txt").rename(birds.root / place / "attributes.txt")
    assert read_attributes(birds).columns.tolist() == NAMES
    path.unlink()
    with pytest.raises(ValueError, match=r"There is no .*attributes.txt"):
        read_attributes(birds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "bird"}, "kind='bird'"),
        ({"min_certainty": 5}, "min_certainty is 5. Expected 1 .* to 4"),
        ({"min_percent": 101}, "min_percent is 101. Expected 0 to 100"),
    ],
)
def test_a_wrong_word_or_bound_and_another_layout_are_refused(birds, options, message):
    with pytest.raises(ValueError, match=message):
        read_attributes(birds, **options)
    with pytest.raises(ValueError, match='has the layout "folders". Expected "cub"'):
        read_attributes(Manifest(name="animals", layout="folders", root=birds.root))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "has 0 answers for image 5, attribute 3"),
        (lambda lines: [*lines, lines[0]], "has 2 answers for image 1, attribute 1"),
        (lambda lines: [*lines, "6 1 1 4 1.0"], 'begins "6 1 1 4"'),
        (lambda lines: [*lines, "1 9 1 4 1.0"], 'begins "1 9 1 4"'),
        (lambda lines: [*lines[1:], "1 1 2 4 1.0"], '1 of 15 answers .* "1 1 2 4"'),
        (lambda lines: [*lines[1:], "1 1 1 7 1.0"], '1 of 15 answers .* "1 1 1 7"'),
        (lambda lines: [*lines[1:], "1 1 yes 4 1.0"], "cannot be read: "),
        (lambda lines: [*lines[1:], "1 1"], "cannot be read: "),
        (lambda lines: [], "has 0 answers"),
    ],
)
def test_answers_that_do_not_fit_the_tables_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_attributes(manifest_of_folder(draw_attributes(tmp_path, change(answers()))))


@pytest.mark.parametrize(
    "percent", ["1 2 3\n4 5 6\n", "1 2\n3 4\n5 6\n", "1 2 3\n4 5 600\n7 8 9\n", "1 2 3\n4 5\n7 8 9\n"]
)
def test_percentages_that_do_not_fit_the_tables_are_refused(tmp_path, percent):
    with pytest.raises(ValueError, match="Expected 3 lines, .* of 3 percentages"):
        read_attributes(manifest_of_folder(draw_attributes(tmp_path, percent=percent)), "class")


def test_the_class_mean_is_that_of_train_alone():
    attributes = pd.DataFrame({"x": [1, 0, 0, 1, 1], "y": [0, 0, 1, 1, 0]}, index=list("abcde"))
    catalog = pd.DataFrame({"image_id": list("abcde"), "class_name": ["eel", "eel", "eel", "ray", ""]})
    catalog = catalog.assign(split=["train", "train", "validation", "train", "train"], problem=[*[""] * 4, "no box"])
    means = class_mean_attributes(attributes, catalog)
    assert means.index.tolist() == list("abcd") and set(means.dtypes) == {np.dtype("float32")}
    assert means.to_numpy().tolist() == [[0.5, 0], [0.5, 0], [0.5, 0], [1, 1]]
    with pytest.raises(ValueError, match="1 of 4 images have no attributes, the first: a"):
        class_mean_attributes(attributes[1:], catalog)
    without_ray = catalog.assign(split=catalog["split"].where(catalog["class_name"] != "ray", "test"))
    with pytest.raises(ValueError, match="1 classes have no train image, the first: ray"):
        class_mean_attributes(attributes, without_ray)


def test_shuffled_attributes_are_those_of_other_images_by_the_seed():
    attributes = pd.DataFrame({"x": range(50), "y": range(50)}, index=[f"{number}.jpg" for number in range(50)])
    shuffled = shuffled_attributes(attributes, seed=3)
    assert shuffled.index.equals(attributes.index) and (shuffled["x"] == shuffled["y"]).all()
    assert sorted(shuffled["x"]) == list(range(50)) and (shuffled["x"] != attributes["x"]).mean() > 0.9
    assert shuffled.equals(shuffled_attributes(attributes, seed=3))
    assert not shuffled.equals(shuffled_attributes(attributes, seed=4))


@pytest.mark.data
def test_the_classes_of_twenty_species_have_what_was_measured(real_data):
    table = read_attributes(find_data("cub_x20", real_data / "cub_x20"), "class")
    assert table.shape == (20, 312) and table.columns[-1] == "has_wing_pattern::multi-colored"
    assert table.loc["Cardinal", ["has_primary_color::red", "has_primary_color::blue"]].tolist() == [1, 0]
    assert table.sum(axis=1).min() >= 9 and table.sum(axis=1).max() <= 27
