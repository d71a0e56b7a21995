"""Pixels of images: what decodes, how bright, how noisy."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from PIL import Image

from marinecv.audit.pixels import intensity_histogram, intensity_summary, noise_estimate, noise_sigma
from marinecv.audit.tables import problems, sample_of
from marinecv.audit.thumbs import load_thumbs
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.inputs.rgb import open_rgb


def catalog_of(paths):
    rows = [(path.name, str(path), "train", "ray", "", 64, 48, 1.0, "") for path in paths]
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS)


@pytest.fixture
def pictures(tmp_path):
    """Two sound images, one cut short, one that is text."""
    paths = [tmp_path / name for name in ("a.jpg", "b.png", "short.jpg", "text.jpg")]
    draw_image("ray", 0).save(paths[0])
    draw_image("eel", 1).save(paths[1])
    draw_image("eel", 2).save(paths[2])
    paths[2].write_bytes(paths[2].read_bytes()[:-400])
    paths[3].write_text("no image")
    return paths


def test_files_that_fail_are_rows_with_a_reason(pictures):
    thumbs, checked = load_thumbs(catalog_of(pictures))
    table = problems(checked)
    assert list(table) == ["image_id", "split", "problem"]
    assert table["image_id"].tolist() == ["short.jpg", "text.jpg"]
    assert table["problem"].str.startswith("cannot be decoded: ").all()
    assert "truncated" in table["problem"].iloc[0]
    assert thumbs.shape == (2, 128, 128, 3)


def test_a_known_problem_stays_and_its_file_is_not_opened(pictures):
    catalog = catalog_of(pictures).assign(problem=["", "", "no box", "no box"])
    assert problems(load_thumbs(catalog)[1])["problem"].tolist() == ["no box", "no box"]


def test_a_picture_stands_upright(tmp_path):
    image = Image.new("L", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert open_rgb(tmp_path / "turned.jpg").size == (4, 6)
    assert open_rgb(tmp_path / "turned.jpg").mode == "RGB"


def test_a_picture_of_16_bits_is_as_bright_as_the_model_gets_it(tmp_path):
    Image.fromarray(np.full((4, 6), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert open_rgb(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)


def test_a_sample_is_drawn_by_its_seed_and_never_larger_than_the_catalog(pictures):
    catalog = pd.concat([catalog_of(pictures)] * 5, ignore_index=True)
    assert len(sample_of(catalog, 50, seed=0)) == 20
    assert sample_of(catalog, 6, seed=0).equals(sample_of(catalog, 6, seed=0))
    assert not sample_of(catalog, 6, seed=0).equals(sample_of(catalog, 6, seed=1))


def test_the_histogram_weighs_images_alike_and_its_summary_is_theirs(tmp_path):
    Image.new("RGB", (4, 4), (10, 100, 200)).save(tmp_path / "small.png")
    Image.new("RGB", (40, 30), (20, 100, 200)).save(tmp_path / "large.png")
    histogram = intensity_histogram(catalog_of([tmp_path / "small.png", tmp_path / "large.png"]))
    assert list(histogram) == ["level", "red", "green", "blue", "grey"]
    np.testing.assert_allclose(histogram.drop(columns="level").sum(), 1)
    assert histogram.loc[[10, 20], "red"].tolist() == [0.5, 0.5]
    summary = intensity_summary(histogram).set_index("channel")
    assert summary.loc["red"].tolist() == [15, 5, 1, 1]
    assert summary.loc["blue"].tolist() == [200, 0, 0, 0]
    assert summary.loc["green", ["dark_share", "lower_share"]].tolist() == [0, 1]


def test_no_usable_image_has_no_histogram(pictures):
    with pytest.raises(ValueError, match="None of the 4 images can be used.*Expected at least one"):
        intensity_histogram(catalog_of(pictures).assign(problem="broken"))


@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_the_noise_of_a_ramp_with_known_noise_is_found(sigma):
    ramp = np.add.outer(np.arange(200), 0.5 * np.arange(300))
    noisy = ramp + np.random.default_rng(0).normal(0, sigma, ramp.shape)
    assert noise_sigma(noisy) == pytest.approx(sigma, rel=0.03)
    assert noise_sigma(ramp) == pytest.approx(0, abs=1e-3)


def test_an_image_too_small_for_the_estimate_has_none():
    assert np.isnan(noise_sigma(np.zeros((2, 9))))


def test_each_sampled_image_has_its_estimate(pictures):
    table = noise_estimate(catalog_of(pictures[:2]))
    assert list(table) == ["image_id", "split", "class_name", "sigma"]
    assert table["image_id"].tolist() == ["a.jpg", "b.png"]
    jpeg, png = table["sigma"]  # compression removes noise
    assert 1 < jpeg < png < 12
