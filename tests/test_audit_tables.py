"""Counts, sizes, label dominance, intensity, noise and quality of images, on catalogs small enough to count by hand."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from PIL import Image
from scenes import catalog_of_files, draw_scene
from scipy.ndimage import gaussian_filter

from marinecv.audit import tables as tables_module
from marinecv.audit.image_findings import measure_quality
from marinecv.audit.tables import class_changes, class_counts, class_dominance, describe_data_set, labels_by_rule
from marinecv.audit.thumbnails import load_thumbs
from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.catalog import CATALOG_COLUMNS, read_boxes, read_catalog
from marinecv.data.find_data import find_data

CATALOG = pd.DataFrame(
    [
        ("a", "a.jpg", "train", "eel", "", 64, 48, 1.0, ""),
        ("b", "b.jpg", "train", "ray", "", 64, 48, 0.5, ""),
        ("c", "c.jpg", "train", "ray", "", 48, 64, 0.7, ""),
        ("d", "d.jpg", "test", "ray", "", 64, 48, 0.9, ""),
        ("e", "e.jpg", "extra", "eel", "", 100, 30, 0.59, ""),
        ("f", "f.jpg", "test", "", "", 64, 48, float("nan"), "no box"),
        ("g", "g.jpg", "test", "", "", 0, 0, float("nan"), "cannot be read"),
    ],
    columns=CATALOG_COLUMNS,
)


def test_classes_are_counted_by_split_with_a_total():
    counts = class_counts(CATALOG)
    assert list(counts) == ["class_name", "train", "test", "extra", "total", "fraction"]
    rows = [["ray", 2, 1, 0, 3, 0.6], ["eel", 1, 0, 1, 2, 0.4], ["total", 3, 1, 1, 5, 1.0]]
    assert counts.to_numpy().tolist() == rows
    counts = class_counts(CATALOG.assign(problem="broken"))
    assert counts[["class_name", "total"]].to_numpy().tolist() == [["total", 0]]


def test_known_sizes_are_summarized_by_split_and_counted():
    table = tables_module.size_table(CATALOG).set_index(["split", "side"])
    assert table.loc[("train", "width")].tolist() == [3, 176 / 3, 64, 48, 64]
    assert table.loc[("test", "height")].tolist() == [2, 48, 48, 48, 48]
    assert table.loc[("all", "width"), ["n", "max"]].tolist() == [6, 100]
    assert tables_module.distinct_sizes(CATALOG).to_numpy().tolist() == [[64, 48, 4], [48, 64, 1], [100, 30, 1]]


def test_label_dominance_counts_the_unsure():
    table = class_dominance(CATALOG).set_index("class_name")
    assert table["n"].to_dict() == {"eel": 2, "ray": 3, "all": 5}
    assert table["unsure"].to_dict() == {"eel": 1, "ray": 1, "all": 2}
    assert table.loc["ray", ["mean", "median", "min"]].tolist() == pytest.approx([0.7, 0.7, 0.5])


def test_labels_that_another_rule_changes_are_counted_by_rule_and_split():
    boxes = pd.DataFrame(
        [
            ("a", "eel", 0, 0, 20, 20, "x:1", ""),
            ("b", "ray", 0, 0, 10, 10, "x:2", ""),  # 2 rays of 10x10: score 400, area 200
            ("b", "ray", 20, 0, 30, 10, "x:3", ""),
            ("b", "eel", 0, 20, 30, 30, "x:4", ""),  # score and area 300
            ("d", "ray", 0, 0, 30, 30, "x:5", ""),
            ("d", "eel", 40, 0, 42, 2, "x:6", ""),
            ("d", "eel", 40, 4, 42, 6, "x:7", ""),
            ("z", "ray", 0, 0, 9, 9, "x:8", ""),  # of no image in the catalog
        ],
        columns=BOX_COLUMNS,
    )
    labels = labels_by_rule(boxes, CATALOG)
    flips = tables_module.label_flips(labels)
    rows = [["b", "ray", "eel", "ray", "ray"], ["d", "ray", "ray", "eel", "ray"]]
    assert flips[["image_id", "dominant", "area", "count", "union"]].to_numpy().tolist() == rows
    assert flips["dominance"].is_monotonic_increasing
    table = class_changes(labels, CATALOG).set_index("rule")
    assert table["n"].tolist() == [3, 3, 3] and table.loc["union", "total"] == 0
    assert table.loc["area", ["train", "test", "extra", "total"]].tolist() == [1, 0, 0, 1]
    assert table.loc["count", ["train", "test", "extra", "total"]].tolist() == [0, 1, 0, 1]


@pytest.mark.data
def test_labels_of_the_aquarium_that_change(real_data):
    manifest = find_data("aquarium", real_data / "aquarium")
    catalog = read_catalog(manifest)
    table = class_changes(labels_by_rule(read_boxes(manifest), catalog), catalog).set_index("rule")
    assert table.loc["area", ["train", "validation", "test", "total"]].tolist() == [38, 8, 2, 48]
    assert table.loc["count", ["train", "validation", "test", "total"]].tolist() == [37, 7, 7, 51]
    assert class_dominance(catalog).iloc[-1][["n", "unsure"]].tolist() == [637, 34]


def test_files_that_fail_are_rows_with_a_reason_and_each_sampled_image_has_its_noise(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a.jpg", "b.png", "short.jpg", "text.jpg")]
    for number, path in enumerate(paths[:3]):
        draw_image(("ray", "eel", "eel")[number], number).save(path)
    paths[2].write_bytes(paths[2].read_bytes()[:-400])
    paths[3].write_text("no image")
    catalog = catalog_of_files(paths)
    thumbs, with_sizes = load_thumbs(catalog)
    tables = describe_data_set(with_sizes, pd.DataFrame())
    assert thumbs.shape == (2, 128, 128, 3) and tables["problems"]["image_id"].tolist() == ["short.jpg", "text.jpg"]
    assert tables["problems"]["problem"].str.startswith("cannot be decoded: ").all()
    noise = tables["noise_estimate"]
    assert list(noise) == ["image_id", "split", "class_name", "sigma"]
    assert noise["image_id"].tolist() == ["a.jpg", "b.png"] and 1 < noise["sigma"][0] < noise["sigma"][1] < 12
    known = load_thumbs(catalog.assign(problem=["", "", "no box", "no box"]))[1]
    assert known["problem"].tolist() == ["", "", "no box", "no box"]
    monkeypatch.setattr(tables_module, "SAMPLED_IMAGES", 6)
    many = pd.concat([catalog.head(2)] * 10, ignore_index=True).assign(image_id=[str(n) for n in range(20)])
    first, again, other = (describe_data_set(many, pd.DataFrame(), seed)["noise_estimate"] for seed in (0, 0, 1))
    assert len(first) == 6 and first.equals(again) and not first.equals(other)


def test_the_histogram_weighs_images_alike_and_its_summary_is_theirs(tmp_path):
    Image.new("RGB", (4, 4), (10, 100, 200)).save(tmp_path / "small.png")
    Image.new("RGB", (40, 30), (20, 100, 200)).save(tmp_path / "large.png")
    histogram = tables_module.intensity_histogram(pd.Series([tmp_path / "small.png", tmp_path / "large.png"]))
    assert list(histogram) == ["level", "red", "green", "blue", "gray"]
    np.testing.assert_allclose(histogram.drop(columns="level").sum(), 1)
    assert histogram.loc[[10, 20], "red"].tolist() == [0.5, 0.5]
    summary = tables_module.intensity_summary(histogram).set_index("channel")
    assert summary.loc["red"].tolist() == [15, 5, 1, 1] and summary.loc["blue"].tolist() == [200, 0, 0, 0]
    assert summary.loc["green", ["dark_fraction", "lower_fraction"]].tolist() == [0, 1]


@pytest.mark.parametrize("sigma", [0.0, 2.0, 10.0])
def test_the_noise_of_a_ramp_with_known_noise_is_found(sigma):
    ramp = np.add.outer(np.arange(200), 0.5 * np.arange(300)) + np.random.default_rng(0).normal(0, sigma, (200, 300))
    assert tables_module.noise_sigma(ramp) == pytest.approx(sigma, rel=0.03, abs=1e-3)
    assert np.isnan(tables_module.noise_sigma(ramp[:2]))


SCENES = np.stack([np.asarray(draw_scene(n, n).resize((128, 128), Image.Resampling.BOX)) for n in range(30)])


def measured(thumbs, sizes=None):
    sizes = sizes or [(800, 600)] * len(thumbs)
    rows = [(f"{n}.jpg", "train", "ray", *size) for n, size in enumerate(sizes)]
    return measure_quality(pd.DataFrame(rows, columns=["image_id", "split", "class_name", "width", "height"]), thumbs)


def test_quality_is_measured_on_the_gray_picture():
    table = measured(np.stack([np.full((128, 128, 3), 200, np.uint8), *SCENES[:2]]))
    assert list(table)[5:] == ["brightness", "contrast", "sharpness", "flags"]
    assert table.loc[0, ["brightness", "contrast", "sharpness"]].tolist() == pytest.approx([200, 0, 0], abs=1e-3)
    plain, pale = measured(SCENES)["sharpness"], measured((60 + SCENES * 0.5).astype(np.uint8))["sharpness"]
    assert np.abs(pale / plain - 1).max() < 0.1
    assert measured(SCENES[:0]).empty


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        (lambda pixels: pixels * 0.08, "dark"),
        (lambda pixels: pixels * 0.02, "dark, low contrast"),
        (lambda pixels: 255 - (255 - pixels) * 0.1, "bright"),
        (lambda pixels: 110 + pixels * 0.03, "low contrast"),
        (lambda pixels: gaussian_filter(pixels, (4, 4, 0)), "blurred"),
    ],
)
def test_a_picture_unlike_the_rest_is_flagged(change, flags):
    thumbs = SCENES.copy()
    thumbs[0] = np.asarray(change(thumbs[0].astype(float))).clip(0, 255).astype(np.uint8)
    assert measured(thumbs)["flags"].tolist()[1:] == [""] * 29
    assert flags in measured(thumbs)["flags"][0]


@pytest.mark.parametrize(
    ("size", "flags"), [((60, 50), "small"), ((1500, 400), "long"), ((300, 1000), "long"), ((4000, 3000), "large")]
)
def test_an_odd_size_is_flagged(size, flags):
    assert measured(SCENES, [size] + [(800, 600)] * 29)["flags"].tolist() == [flags] + [""] * 29


def test_in_a_set_of_dark_soft_or_small_pictures_none_is_odd():
    soft = np.stack([gaussian_filter(scene.astype(float), (3, 3, 0)).astype(np.uint8) for scene in SCENES])
    for thumbs, size in ((SCENES, (32, 32)), ((SCENES * 0.15).astype(np.uint8), (800, 600)), (soft, (800, 600))):
        assert (measured(thumbs, [size] * 30)["flags"] == "").all()
