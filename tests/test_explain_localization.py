"""Boxes lie in the tensor where the image shows them; heat inside is 1, even heat the box's fraction of the picture."""

import json
from contextlib import nullcontext

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.evaluation.intervals import wilson
from marinecv.explain import localization
from marinecv.explain.geometry import center_blob, cover, hottest_pixel, picture_corners, to_input
from marinecv.explain.heatmaps import NO_HEAT
from marinecv.explain.localization import (
    ALL,
    DIFFERENCE,
    FRACTIONS,
    HITS,
    MEASURES,
    NO_BOX,
    measure_boxes,
    read_localization,
    rectangles_outside,
)
from marinecv.files.csv_tables import read_table, write_table
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.inputs.spec import ImageSpec
from marinecv.runs import Run

SPECS = {  # what is averaged is as exact as the cover of a pixel; what is sampled, only within its steps
    "pad": ImageSpec(height=60, width=60, letterbox_px=320, antialias=True),
    "no letterbox": ImageSpec(height=48, width=48, letterbox_px=None, antialias=True),
    "larger than the letterbox": ImageSpec(height=50, width=50, letterbox_px=100, antialias=True),
    "oblong": ImageSpec(height=40, width=90, letterbox_px=300, antialias=True),
    "stretch": ImageSpec(height=70, width=50, fit="stretch", antialias=True),
    "sampled": ImageSpec(height=60, width=60, letterbox_px=320),
}


def center_of(values):
    """Row and column of the center of mass."""
    return [(grid * values).sum() / values.sum() for grid in np.indices(values.shape)]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("size", [(241, 180), (160, 243)], ids=["landscape", "portrait"])
@pytest.mark.parametrize("box", [(10, 20, 70, 100), (95, 60, 151, 160)])
def test_a_box_lies_in_the_tensor_where_the_decoded_image_shows_it(spec, size, box, tmp_path):
    picture = Image.new("RGB", size)
    picture.paste("white", box)
    picture.save(tmp_path / "box.jpg", quality=98)
    pixels, _ = read_pixels([str(tmp_path / "box.jpg")], spec)
    shown, mask = pixels[0, ..., 0] / 255, cover(to_input(box, *size, spec), spec)
    assert abs(shown - mask).mean() < 0.03
    np.testing.assert_allclose(center_of(mask), center_of(shown), atol=0.1 if spec.antialias else 0.3)
    np.testing.assert_allclose(mask.sum(), shown.sum(), rtol=0.05 if spec.antialias else 0.1)


def test_the_picture_covers_a_stretched_tensor_and_the_middle_of_a_padded_one():
    stretched, padded = ImageSpec(height=10, width=20, fit="stretch"), ImageSpec(height=16, width=16, letterbox_px=128)
    np.testing.assert_allclose(picture_corners(64, 48, stretched), [0, 0, 20, 10])
    np.testing.assert_allclose(picture_corners(64, 32, padded), [4, 6, 12, 10])
    mask = cover([[0, 0, 2.5, 2], [1, 0, 2.5, 2]], ImageSpec(height=3, width=4))
    np.testing.assert_allclose(mask, [[1, 1, 0.5, 0], [1, 1, 0.5, 0], [0, 0, 0, 0]])


def test_the_center_blob_is_symmetric_and_0_on_padding():
    blob = center_blob(64, 32, ImageSpec(height=16, width=16, letterbox_px=64))
    np.testing.assert_allclose(blob, blob[::-1, ::-1])
    assert not blob[:4].any() and not blob[12:].any() and blob[4:12].all()
    one_deviation = blob[7, 11:13].mean() / blob[7, 7:9].mean()  # a quarter of 16 pixels from the middle
    np.testing.assert_allclose(one_deviation, np.exp(-0.5), atol=0.02)


def test_of_several_hottest_pixels_the_one_in_their_middle_counts():
    heat = np.zeros((5, 7))
    heat[:, 4:] = 1
    assert hottest_pixel(heat) == (2, 5)
    heat[1, 1] = 2
    assert hottest_pixel(heat) == (1, 1)


CLASSES = ("crab", "eel", "ray")
SPEC = ImageSpec(height=16, width=16, letterbox_px=64)  # images of 64x32 fill rows 4 to 11
SEA, SAND = (0, 0, 200), (200, 200, 0)


@pytest.fixture
def tank():
    """Crabs (red) on sand and eels (green) in the sea, each in the left half; one eel without a box."""
    ids = ["crab0", "eel0", "crab1", "eel1"]
    columns = dict(image_id=ids, class_name=["crab", "eel"] * 2, width=64, height=32, problem="")
    pixels = np.zeros((4, 16, 16, 3), np.uint8)
    pixels[0::2, 4:12], pixels[1::2, 4:12] = SAND, SEA
    pixels[0::2, 4:12, :8], pixels[1::2, 4:12, :8] = (255, 0, 0), (0, 255, 0)
    rows = [[f"{ids[i]}", CLASSES[i % 2], 0, 0, 32, 32, f"a.csv:{i}", ""] for i in range(3)]
    rows += [["crab0", "ray", 32, 0, 48, 32, "a.csv:5", ""], ["eel1", "eel", 9, 9, 9, 9, "a.csv:6", "no area"]]
    return pixels, pd.DataFrame(columns), pd.DataFrame(rows, columns=BOX_COLUMNS)


def decides_by(column):
    """Crab where there is more red than green and blue, at one column of the image; a convolution that is not used."""
    pixels = keras.Input((16, 16, 3))
    x = layers.Conv2D(2, 1, name="conv")(layers.Cropping2D(((7, 8), (column, 15 - column)))(pixels / 255))
    model = keras.Model(pixels, layers.Softmax()(layers.Dense(3, name="dense")(layers.Flatten()(x))))
    model.get_layer("conv").set_weights([np.array([[[[1, 0], [0, 1], [0, 1]]]]), np.zeros(2)])
    model.get_layer("dense").set_weights([np.array([[5, 0, 0], [0, 5, 0]]), np.array([0.0, 0, -9])])
    return model


def measured_with(tank, monkeypatch, heat, column=2, neutral=(128, 128, 255)):
    monkeypatch.setattr(localization, "heatmaps", lambda model, images, *_: heat[: len(images)])
    monkeypatch.setattr(localization, "BATCH", 4)
    pixels, catalog, boxes = tank
    return measure_boxes(decides_by(column), pixels, catalog, boxes, SPEC, CLASSES, np.array(neutral))


def test_heat_inside_is_1_even_heat_the_area_and_heat_outside_0(tank, monkeypatch):
    heat = np.zeros((4, 16, 16), np.float32)
    heat[0, 5:9, 1:6] = 1  # in the box
    heat[1, 4:12] = 1  # all over the picture
    heat[2, :4] = 1  # on padding
    measured = measured_with(tank, monkeypatch, heat)
    assert list(measured["image_id"]) == ["crab0", "eel0", "crab1", "eel1"]
    np.testing.assert_allclose(measured["heat"][:3], [1, 0.5, 0])
    np.testing.assert_allclose(measured["area"][:3], 0.5)
    np.testing.assert_allclose(measured["center_heat"][:3], 0.5)
    assert list(measured["pointing"][:3]) == [1, 1, 0]
    assert list(measured["problem"]) == ["", "", "", NO_BOX] and measured.loc[3, list(MEASURES)].isna().all()


def test_without_a_class_or_heat_an_image_keeps_its_row_and_the_metrics_that_need_none(tank, monkeypatch):
    pixels, catalog, boxes = tank
    measured = measured_with(tank, monkeypatch, np.zeros((4, 16, 16), np.float32))
    assert (measured["problem"][:3] == NO_HEAT).all() and measured[["heat", "pointing"]].isna().all(axis=None)
    assert measured.loc[:2, ["area", "center_heat", "accuracy"]].notna().all(axis=None)
    catalog.loc[1, "class_name"] = ""
    measured = measured_with((pixels, catalog, boxes), monkeypatch, np.ones((4, 16, 16), np.float32))
    assert list(measured["problem"]) == ["", NO_BOX, "", NO_BOX]


def test_a_model_of_backgrounds_needs_no_animal_and_one_of_animals_no_background(tank, monkeypatch):
    heat = np.ones((4, 16, 16), np.float32)
    of_animals, of_backgrounds = (measured_with(tank, monkeypatch, heat, column).iloc[:3] for column in (2, 14))
    assert of_animals["accuracy"].all() and of_backgrounds["accuracy"].all()
    assert of_animals["animal_only"].all() and of_backgrounds["background_only"].all()
    # What is hidden is bluish, which both take for an eel.
    assert list(of_animals["background_only"]) == list(of_backgrounds["animal_only"]) == [0, 1, 0]


def test_animals_are_hidden_by_the_boxes_of_every_class_and_padding_stays_black(tank, monkeypatch):
    seen = []
    model = decides_by(2)
    monkeypatch.setattr(localization, "heatmaps", lambda model, images, *_: np.ones(images.shape[:3], np.float32))
    monkeypatch.setattr(model, "predict", lambda images, **_: seen.append(images) or np.eye(3)[[0, 1, 0, 1]])
    pixels, catalog, boxes = tank
    measure_boxes(model, pixels, catalog, boxes, SPEC, CLASSES, np.array([1, 2, 3]))
    whole, animals, background, _ = (np.array(images[0]) for images in seen)
    np.testing.assert_array_equal(whole, pixels[0])
    np.testing.assert_array_equal(background[4:12, :12], np.broadcast_to([1, 2, 3], (8, 12, 3)))
    np.testing.assert_array_equal(animals[4:12, :12], pixels[0, 4:12, :12])
    np.testing.assert_array_equal(background[4:12, 12:], pixels[0, 4:12, 12:])
    np.testing.assert_array_equal(animals[4:12, 12:], np.broadcast_to([1, 2, 3], (8, 4, 3)))
    for padding in (slice(4), slice(12, None)):
        assert not animals[padding].any() and not background[padding].any()


@pytest.mark.parametrize(
    ("boxes", "has_room"),
    [
        ([[3, 5, 9, 12]], True),
        ([[0, 0, 20, 10]], True),
        ([[0, 0, 20, 11]], False),
        ([[2, 2, 9, 9], [5, 5, 14, 9.7]], True),
    ],
)
def test_as_many_pixels_are_hidden_outside_in_rectangles_where_there_is_room(boxes, has_room):
    spec, boxes = ImageSpec(height=24, width=24), np.array(boxes, float)
    picture, animals = np.zeros((24, 24), bool), cover(boxes, spec) >= 0.5
    picture[:20, :20] = True
    hidden = [rectangles_outside(animals, picture, boxes, seed) for seed in range(20)]
    assert {int(each.sum()) for each in hidden} == {int(animals.sum()) * has_room}
    assert not any((each & (animals | ~picture)).any() for each in hidden)
    np.testing.assert_array_equal(hidden[3], rectangles_outside(animals, picture, boxes, 3))
    if 2 * animals.sum() < picture.sum():  # few rectangles at changing places: most pixels lie beside each other
        assert len({each.tobytes() for each in hidden}) > 5
        assert np.mean([(each[1:] & each[:-1]).sum() / each.sum() for each in hidden]) > 0.6


def test_hiding_the_animals_is_compared_with_hiding_as_much_elsewhere(tank, monkeypatch):
    pixels, catalog, boxes = tank
    boxes = boxes[boxes["class_name"] != "ray"].assign(xmax=[30, 30, 64, 9])  # no room beside the second crab
    of_animals = measured_with((pixels, catalog, boxes), monkeypatch, np.ones((4, 16, 16), np.float32))
    assert of_animals["background_only"].tolist()[:3] == [0, 1, 0]
    np.testing.assert_array_equal(of_animals["outside_masked"], [1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(of_animals[DIFFERENCE], [1, 0, np.nan, np.nan])
    figures = localization.average_localization(of_animals, CLASSES).set_index(["class_name", "measure"])
    row = figures.loc[(ALL, DIFFERENCE)]
    assert (row["value"], row["n"]) == (0.5, 2) and row["low"] <= 0 and row["high"] >= 1
    assert figures.loc[(ALL, "accuracy"), "n"] == 3


def test_the_real_heat_of_a_model_that_sees_the_box_lies_in_the_box(tank, monkeypatch):
    pixels, catalog, boxes = tank
    seen = keras.Input((16, 16, 3))
    x = layers.Conv2D(2, 1, activation="relu", name="conv")(seen * (np.arange(16) < 8).reshape(1, 1, 16, 1) / 255)
    model = keras.Model(seen, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    model.set_weights([np.eye(3)[:, :2][None, None], np.zeros(2), np.eye(2, 3) * 9, np.zeros(3)])
    steps = []
    monkeypatch.setattr(localization, "progress_bar", lambda *_, **__: nullcontext(steps.append))
    measured = measure_boxes(model, pixels, catalog, boxes, SPEC, CLASSES, np.zeros(3))
    np.testing.assert_allclose(measured["heat"][:3], 1)
    assert measured[["pointing", "accuracy"]].iloc[:3].all(axis=None) and steps == [4]


def test_the_neutral_color_is_that_of_the_pictures_without_their_padding(tank):
    pixels, catalog, _ = tank
    pixels[:2, 4:12], pixels[2:, 4:12] = (10, 20, 30), (30, 21, 0)
    catalog.loc[3, "problem"] = "broken"
    np.testing.assert_array_equal(localization.mean_color(pixels[:3], catalog, SPEC), [17, 20, 20])


def some_measured():
    values = {measure: [0.2, 0.4, 0.9] if measure in FRACTIONS else [1.0, 0.0, 1.0] for measure in MEASURES}
    return pd.DataFrame({"image_id": ["a", "b", "c"], "class_name": ["crab", "crab", "eel"], **values})


OF_EVEN_HEAT = (0.5, 0.1, "evenly spread heat 0.500 (difference -0.1")


@pytest.mark.parametrize(
    ("area", "center", "part"), [OF_EVEN_HEAT, (0.1, 0.5, "center of the picture 0.500"), (0.1, 0.1, "")]
)
def test_heat_that_is_no_better_than_chance_gets_a_sentence(area, center, part):
    heat = np.random.default_rng(0).normal(0.4, 0.1, 30)
    measured = pd.DataFrame({"image_id": range(30), "heat": heat, "area": area, "center_heat": center})
    for groups in (None, {number: number % 2 for number in range(30)}):
        sentence = localization.chance_sentence(measured, groups)
        assert part in sentence and bool(part) == bool(sentence)
        assert not part or ("95% CI" in sentence) == (groups is None) == ("2 groups" not in sentence)
    assert localization.chance_sentence(measured.assign(heat=np.nan)) == ""


def test_metrics_have_their_n_and_intervals_and_an_absent_class_keeps_its_rows():
    measured = some_measured()
    measured.loc[2, "heat"] = np.nan
    figures = localization.average_localization(measured, CLASSES).set_index(["class_name", "measure"])
    assert len(figures) == 4 * len(MEASURES) and figures.index[0] == (ALL, MEASURES[0])
    assert figures.loc[(ALL, "heat"), "n"] == 2 and figures.loc[(ALL, "heat"), "value"] == pytest.approx(0.3)
    assert tuple(figures.loc[(ALL, "pointing"), ["low", "high"]]) == wilson(2, 3)
    crab = figures.loc[("crab", "area")]
    assert crab["value"] == pytest.approx(0.3) and 0.2 <= crab["low"] < 0.3 < crab["high"] <= 0.4 and crab["n"] == 2
    ray = figures.loc["ray"]
    assert (ray["n"] == 0).all() and ray[["value", "low", "high"]].isna().all(axis=None)
    of_two_cameras = localization.average_localization(some_measured(), CLASSES, groups={"a": 1, "b": 1, "c": 2}).head(
        len(MEASURES)
    )
    assert of_two_cameras["value"][0] == pytest.approx(0.5) and of_two_cameras[["low", "high"]].isna().all(axis=None)
    assert {*HITS, *FRACTIONS, DIFFERENCE} == set(MEASURES)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({}))
    return Run(tmp_path)


def test_a_run_saves_the_metrics_of_each_split_once(run):
    assert read_localization(run) is None
    figures = localization.average_localization(some_measured(), CLASSES)
    localization.save_localization(run, "validation", "conv", "#102030", figures)
    localization.save_localization(run, "test", "conv", "#102030", figures.assign(low=np.nan, high=np.nan))
    saved = localization.save_localization(run, "validation", "other", "#102030", figures.assign(value=0.5))
    again = read_localization(run)
    pd.testing.assert_frame_equal(again, saved, check_dtype=False, atol=1e-8)
    assert list(again["split"].unique()) == ["test", "validation"] and len(again) == 2 * len(figures)
    validation = again[again["split"] == "validation"]
    assert (validation["layer"] == "other").all() and (validation["value"] == 0.5).all()
    assert again["n"].dtype.kind == "i"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="layer"), "lacks the column 'layer'"),
        (lambda table: table.assign(low="x"), "has 'x' for 'low'"),
        (lambda table: table.assign(high="1.5"), "Row 1 of .* from 0 to 1"),
        (lambda table: table.assign(measure="luck"), "no metric"),
    ],
)
def test_a_broken_file_of_metrics_is_refused(run, change, message):
    localization.save_localization(
        run, "test", "conv", "#102030", localization.average_localization(some_measured(), CLASSES)
    )
    write_table(run.path("heat_in_box.csv"), change(read_table(run.path("heat_in_box.csv"))))
    with pytest.raises(ValueError, match=f"{message}.*Delete it"):
        read_localization(run)


def test_boxes_of_other_images_and_unknown_classes_are_refused(tank):
    pixels, catalog, boxes = tank
    with pytest.raises(ValueError, match="boxes of the images. Received: those of 'other.jpg'"):
        measure_boxes(decides_by(2), pixels, catalog, boxes.assign(image_id="other.jpg"), SPEC, CLASSES, np.zeros(3))
    with pytest.raises(ValueError, match="not among class_names"):
        measure_boxes(decides_by(2), pixels, catalog.assign(class_name="squid"), boxes, SPEC, CLASSES, np.zeros(3))
