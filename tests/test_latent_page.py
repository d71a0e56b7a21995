"""The page of an inner space shows every name as it is called, and needs nothing else; no label lies on another."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from matplotlib.colors import to_hex
from matplotlib.text import Text
from test_escaping import NAMES, assert_harmless, shown
from test_report_pages import assert_self_contained

from marinecv.evaluation.latent import (
    CLUSTERINGS,
    cluster_table,
    latent_measures,
    nearest_images,
    neighbour_measures,
)
from marinecv.evaluation.probe import linear_probe
from marinecv.report import latent_figures
from marinecv.report.figures import figure_svg
from marinecv.report.latent_figures import latent_figure
from marinecv.report.latent_page import MEASURES, write_latent_report


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


def write(folder, title, rows, codes, points, images, **options):
    nearest = nearest_images(rows, codes)
    measures = [latent_measures(points, codes), neighbour_measures(rows, nearest), linear_probe(rows, codes)]
    measures = pd.concat(filter(len, measures))
    return write_latent_report(
        folder, title, rows, codes.shape[1], points, measures, cluster_table(points), nearest, images, **options
    )


def test_the_page_shows_every_name_and_runs_none(tmp_path):
    rows, codes, points = make_space(NAMES)
    draw_image("crab", 0).save(tmp_path / "a.jpg")
    rows.loc[0, "path"] = str(tmp_path / "a.jpg")
    page = write(tmp_path, NAMES[0], rows, codes, points, list(rows["image_id"][: len(NAMES)]), demonstration=True)
    assert_self_contained(page.read_text(encoding="utf-8"))
    opened = assert_harmless(page, tmp_path)
    assert all(" ".join(name.split()) in shown(opened) for name in NAMES)
    assert "Demonstration on drawn pictures" in opened and "data:image/jpeg" in opened and "file not found" in opened


def test_the_page_says_what_it_is_and_what_it_is_not(tmp_path):
    rows, codes, points = make_space(("crab", "eel"), each=20, clusters=3)
    text = shown(write(tmp_path, "space", rows, codes, points, []).read_text(encoding="utf-8"))
    for said in (
        "40 images (40 of train) of 2 classes, each as the code of 4 numbers",
        "How far apart two groups lie, how large they are and where on the map they are means nothing",
        "clusters of the picture",
        "parts the images into 3 clusters",
        "perplexity 13 (usually 30; lowered for so few images)",
        "searched among the images of train",
        *(words for pair in MEASURES.values() for words in pair),
    ):
        assert said in text
    assert "The nearest is of" not in text and "nan" not in text
    assert "linear classifier" not in text.lower() and "Noise" not in text
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "by_class.png",
        "by_code.png",
        "by_points.png",
        "plain.png",
    ]


def test_with_train_and_another_split_the_page_tells_what_a_linear_classifier_reads(tmp_path):
    rows, codes, points = make_space(("crab", "eel"), each=20)
    split = np.repeat(["train", "validation", "test"], [20, 12, 8])
    rows, points = rows.assign(split=split), points.assign(split=split)
    text = shown(write(tmp_path, "space", rows, codes, points, []).read_text(encoding="utf-8"))
    section = text.split("A linear classifier on the code")[1].split("Nearest neighbours")[0]
    assert "what a head could make of them" in section and "nan" not in text
    assert [section.count(f"{name} ") for name in ("validation", "test")] == [1, 1]


def test_of_noisy_images_the_page_says_so_first(tmp_path):
    rows, codes, points = make_space(("crab", "eel"))
    text = shown(write(tmp_path, "space", rows, codes, points, [], salt=0.1, pepper=0.05).read_text(encoding="utf-8"))
    said = "Noise was laid on every image first: 10% of its pixels white and 5% black"
    assert text.index(said) < text.index("The map, before anyone says what is what")


def test_without_train_and_with_one_class_the_page_says_so(tmp_path):
    rows, codes, points = make_space(("crab",), each=120, clusters=30, split="test")
    page = write(tmp_path, "space", rows, codes, points, ["3 crab"]).read_text(encoding="utf-8")
    text = shown(page)
    assert "Images of train are not among these" in text and "of 1 class, each" in text and "perplexity 30." in text
    assert text.count("The nearest is of the same class") == 1 and "another class" not in text
    assert page.count("drawing wide") == 2  # many clusters keep their size


@pytest.mark.parametrize("classes", [3, 20, 60])
def test_no_label_lies_on_another_and_near_groups_differ_in_colour(classes):
    _, _, points = make_space([f"Species number {number}" for number in range(classes)], each=12)
    figure = latent_figure(points, "class_name")
    figure.draw_without_rendering()
    [axis] = figure.axes
    labels = [text for text in axis.findobj(Text) if "Species" in text.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert len(labels) == classes
    assert not [1 for i, box in enumerate(boxes) for other in boxes[:i] if box.overlaps(other)]
    assert all(axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 for box in boxes)
    colours = [to_hex(label.get_bbox_patch().get_edgecolor()) for label in labels]
    looks = {(colour, label.get_text()[0]) for colour, label in zip(colours, labels, strict=True)}
    assert len(looks) == classes and len(set(colours)) == min(classes, 8)


def test_without_groups_all_points_are_of_one_colour_and_nothing_is_named():
    _, _, points = make_space(("crab", "eel"))
    [axis] = latent_figure(points).axes
    assert len(axis.lines) == 1 and not axis.texts and len(axis.lines[0].get_xdata()) == 6


def test_very_many_points_are_drawn_as_pixels(monkeypatch):
    _, _, points = make_space(("crab", "eel"), each=40)
    assert "<image" not in figure_svg(latent_figure(points, "class_name"))
    monkeypatch.setattr(latent_figures, "HEAVY", 10)
    assert "<image" in figure_svg(latent_figure(points, "class_name"))


def test_a_map_says_what_it_lacks_and_draws_points_without_a_class():
    points = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 0.5], "class_name": ["crab", None, "eel"]})
    assert sorted(text.get_text()[2:] for text in latent_figure(points, "class_name").axes[0].texts) == [
        "",
        "crab",
        "eel",
    ]
    for few in (points.head(1), points.assign(x=1.0)):
        latent_figure(few, "class_name")
    with pytest.raises(
        ValueError, match="points lacks the column 'clas_name'. Expected x, y, clas_name; found x, y, class"
    ):
        latent_figure(points, "clas_name")
    for none in (points.head(0), points.assign(x=np.nan)):
        with pytest.raises(ValueError, match="Expected finite numbers in x and y of points, one row at least"):
            latent_figure(none)
    with pytest.raises(ValueError, match="points lacks the column 'x'"):
        latent_figure(points[["x", "y"]].to_numpy())
