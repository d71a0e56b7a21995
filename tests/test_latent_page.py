"""The page of an embedding space: every name, its measures, and what it does not show."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from matplotlib.colors import to_hex
from pages import NAMES, assert_harmless, assert_self_contained, shown

from marinecv.evaluation.latent import CLUSTERINGS, cluster_table, latent_measures, nearest_images, neighbor_measures
from marinecv.evaluation.linear_probe import linear_probe
from marinecv.report.latent_page import MEASURES, latent_figure, write_latent_report


@pytest.fixture(autouse=True)
def few_halves(monkeypatch):
    monkeypatch.setattr("marinecv.evaluation.latent.HALVES", 5)


def make_space(names, each=3, clusters=4, split="train"):
    """Rows, codes and points where they are made of nothing but chance."""
    rng = np.random.default_rng(0)
    n = each * len(names)
    rows = pd.DataFrame({"image_id": [f"{number} {name}" for number in range(each) for name in names]})
    rows = rows.assign(split=split, class_name=np.tile(list(names), each), path="gone.jpg")
    points = rows.assign(x=rng.normal(size=n), y=rng.normal(size=n))
    return rows, rng.random((n, 4)), points.assign(**dict.fromkeys(CLUSTERINGS.values(), rng.permutation(n) % clusters))


def write(folder, title, rows, embeddings, points, images, **options):
    nearest, clusters = nearest_images(rows, embeddings), cluster_table(points)
    measures = [latent_measures(points, embeddings), neighbor_measures(rows, nearest), linear_probe(rows, embeddings)]
    tables = (rows, embeddings.shape[1], points, pd.concat(filter(len, measures)), clusters, nearest)
    return write_latent_report(folder, title, *tables, images, **options)


def test_the_page_shows_every_name_and_runs_none(tmp_path):
    rows, embeddings, points = make_space(NAMES)
    draw_image("crab", 0).save(tmp_path / "a.jpg")
    rows.loc[0, "path"] = str(tmp_path / "a.jpg")
    page = write(tmp_path, NAMES[0], rows, embeddings, points, list(rows["image_id"][: len(NAMES)]), demonstration=True)
    assert_self_contained(page.read_text(encoding="utf-8"))
    opened = assert_harmless(page, tmp_path)
    assert all(" ".join(name.split()) in shown(opened) for name in NAMES)
    assert "Demonstration on generated images" in opened and "data:image/jpeg" in opened and "file not found" in opened


def test_the_page_shows_its_measures_and_how_to_read_it(tmp_path):
    rows, embeddings, points = make_space(("crab", "eel"), each=20, clusters=3)
    text = shown(write(tmp_path, "space", rows, embeddings, points, []).read_text(encoding="utf-8"))
    for said in (
        "40 images (40 of train) of 2 classes, each as an embedding of 4 values",
        "Only neighborhoods are meaningful",
        "finds 3 clusters",
        "perplexity 13 (default 30; lowered for 40 images)",
        "searched among train images",
        *(words for pair in MEASURES.values() for words in pair),
    ):
        assert said in text
    assert "Nearest neighbor of" not in text and "nan" not in text
    assert "Linear probe" not in text and "noise" not in text
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"by_class.png", "by_code.png", "by_points.png", "plain.png"}


def test_with_train_and_another_split_there_is_a_linear_probe(tmp_path):
    rows, embeddings, points = make_space(("crab", "eel"), each=20)
    split = np.repeat(["train", "validation", "test"], [20, 12, 8])
    rows, points = rows.assign(split=split), points.assign(split=split)
    text = shown(write(tmp_path, "space", rows, embeddings, points, []).read_text(encoding="utf-8"))
    section = text.split("Linear probe")[2].split("Nearest neighbors")[0]
    assert "nan" not in text and section.count(" test ") == 1


def test_noise_is_mentioned_first(tmp_path):
    rows, embeddings, points = make_space(("crab", "eel"))
    page = write(tmp_path, "space", rows, embeddings, points, [], salt=0.1, pepper=0.05)
    text = shown(page.read_text(encoding="utf-8"))
    assert text.index("10% of its pixels white and 5% black") < text.index("t-SNE map without labels")


def test_a_page_without_train_and_with_one_class(tmp_path):
    rows, embeddings, points = make_space(("crab",), each=120, clusters=30, split="test")
    page = write(tmp_path, "space", rows, embeddings, points, ["3 crab"]).read_text(encoding="utf-8")
    text = shown(page)
    assert "There are no train images" in text and "of 1 class, each" in text and "perplexity 30." in text
    assert text.count("Nearest neighbor of the same class") == 1 and "another class" not in text
    assert page.count("drawing wide") == 2  # many clusters keep their size


@pytest.mark.parametrize("classes", [3, 20, 60])
def test_each_class_has_its_color_and_marker_in_the_legend(classes):
    names = [f"Species number {number:02}" for number in range(classes)]
    _, _, points = make_space(names, each=12)
    figure = latent_figure(points, "class_name")
    [axis], [legend] = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    assert len({(to_hex(line.get_color()), line.get_marker()) for line in axis.lines}) == classes


def test_without_groups_all_points_have_one_color_and_no_legend():
    _, _, points = make_space(("crab", "eel"))
    figure = latent_figure(points)
    assert len(figure.axes[0].lines) == 1 and not figure.legends and len(figure.axes[0].lines[0].get_xdata()) == 6
    for few in (points.head(1), points.assign(x=1.0)):
        latent_figure(few, "class_name")
