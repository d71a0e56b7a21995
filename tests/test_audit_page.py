"""The audit's page and command: everything is there, names are escaped, nothing is overwritten."""

import argparse

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from PIL import Image
from scenes import draw_cub

from marinecv.audit.explore import explore
from marinecv.audit.thumbs import load_thumbs
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.locate import locate
from marinecv.data.manifests import manifest_of_folder
from marinecv.report.audit_figures import boxed_picture, class_colours, count_figure, sample_figure, size_figure
from marinecv.report.audit_page import audit_summary, write_audit_report
from pipelines.commands import audit

TABLES = {
    "class_counts", "size_table", "distinct_sizes", "problems", "intensity_histogram", "intensity_summary",
    "noise_estimate", "label_shares", "class_changes", "label_flips", "box_problems",
}  # fmt: skip


def audited(folder, **changes):
    manifest = locate(None, folder)
    catalog, boxes = load_thumbs(read_catalog(manifest).assign(**changes))[1], read_boxes(manifest)
    return catalog, boxes, explore(catalog, boxes)


def run(*words):
    parser = argparse.ArgumentParser()
    audit.add_arguments(parser)
    return audit.run(parser.parse_args(list(map(str, words))))


def test_the_page_says_what_the_images_are(roboflow_folder, tmp_path):
    catalog, boxes, tables = audited(roboflow_folder)
    page = write_audit_report(tmp_path, "tank", catalog, boxes, tables).read_text(encoding="utf-8")
    assert set(tables) == TABLES == {path.stem for path in tmp_path.glob("*.csv")} - {"findings", "cases"}
    assert "12 images, 3 classes; all can be used." in page
    assert page.count("data:image/jpeg") == 12
    assert page.count("<svg") == 5
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "")
    with Image.open(tmp_path / "figures" / "samples.png") as samples:
        assert len(samples.convert("RGB").getcolors(1 << 24)) > 1000
    assert "Demonstration" not in page


def test_names_are_escaped_and_a_demonstration_says_so(roboflow_folder, tmp_path):
    catalog, boxes, _ = audited(roboflow_folder)
    evil = "<script>alert(1)</script>"
    catalog = catalog.assign(class_name=catalog["class_name"].replace("ray", evil))
    boxes = boxes.assign(class_name=boxes["class_name"].replace("ray", evil))
    tables = explore(catalog, boxes)
    page = write_audit_report(tmp_path, evil, catalog, boxes, tables, demonstration=True).read_text(encoding="utf-8")
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert "Demonstration" in page


def test_a_set_without_one_usable_image_still_has_its_page(roboflow_folder, tmp_path):
    catalog, boxes, tables = audited(roboflow_folder, problem="broken", width=0, height=0)
    page = write_audit_report(tmp_path, "tank", catalog, boxes, tables).read_text(encoding="utf-8")
    assert "12 of 12 images cannot be used" in page
    assert "No image can be shown" in page
    assert "<svg" not in page


def test_a_set_of_class_folders_has_no_box_tables(roboflow_folder, tmp_path):
    catalog, boxes, _ = audited(roboflow_folder)
    tables = explore(catalog, boxes.iloc[:0])
    page = write_audit_report(tmp_path, "tank", catalog, boxes.iloc[:0], tables).read_text(encoding="utf-8")
    assert TABLES - set(tables) == {"label_shares", "class_changes", "label_flips", "box_problems"}
    assert "No image has boxes that could disagree" in page


def test_boxes_that_cannot_disagree_decide_on_no_label(tmp_path):
    manifest = manifest_of_folder(draw_cub(tmp_path / "birds"))
    catalog, boxes = read_catalog(manifest), read_boxes(manifest)
    tables = explore(catalog, boxes)
    assert TABLES - set(tables) == {"label_shares", "class_changes", "label_flips"}
    page = write_audit_report(tmp_path, "birds", catalog, boxes, tables).read_text(encoding="utf-8")
    assert "No image has boxes that could disagree" in page and "(1.00)" not in page


def test_the_summary_says_counts_sizes_and_how_bright_and_noisy_the_images_are(tmp_path):
    for number, (name, side) in enumerate([("eel", 30), ("eel", 10), ("ray", 20), ("eel", 100)]):
        (tmp_path / name).mkdir(exist_ok=True)
        grey = 100 if number < 3 else 200
        Image.new("RGB", (2 * side, side), (grey, grey, grey)).save(tmp_path / name / f"{number}.png")
    catalog, _, tables = audited(tmp_path)
    assert audit_summary(tables, len(catalog)) == (
        "4 images, 2 classes; all can be used. The largest class, eel, has 3 usable images, 75% of all and 3.0 times "
        "as many as the smallest, ray, with 1; the mean is 2.0. Images are 80x40 pixels on average, 50x25 in the "
        "median. The mean grey level is 125; 75% of the pixels are below 128. Median noise is 0.0 grey levels."
    )
    Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(20, 80) * 2).save(tmp_path / "ray" / "deep.png")
    catalog, _, tables = audited(tmp_path)
    assert "8 bits a gray pixel are all scaled by one rule: 4,095 is white. The mean" in audit_summary(tables, 5)
    assert tables["intensity_histogram"]["grey"].iloc[200:].sum() < 0.3  # 3198 of 4095 is 199
    same = audited(tmp_path)[0].head(0)
    assert "Images are" not in audit_summary(explore(same, pd.DataFrame()), 0)


def test_classes_of_one_size_are_not_compared(roboflow_folder):
    catalog, boxes, tables = audited(roboflow_folder)
    assert "Every class has 4 usable images." in audit_summary(tables, len(catalog))


def test_bars_of_many_classes_have_no_names_and_the_figure_keeps_its_height():
    counts = pd.DataFrame({"class_name": [f"bird {number}" for number in range(200)], "train": 3, "total": 3})
    many = count_figure(counts)
    assert many.get_size_inches()[1] == 6 and not many.axes[0].get_yticklabels()
    assert many.axes[0].get_ylabel() == "200 classes, the largest on top"
    few = count_figure(counts.head(5))
    assert [label.get_text() for label in few.axes[0].get_yticklabels()] == [f"bird {number}" for number in range(5)]


def test_sizes_whose_names_would_lie_over_each_other_are_named_once():
    sizes = pd.DataFrame({"width": [500, 500, 333], "height": [333, 334, 500], "count": [9, 8, 7]})
    assert [text.get_text() for text in size_figure(sizes).axes[0].texts] == ["500x333: 9", "333x500: 7"]


def test_the_summary_of_one_class_compares_nothing(roboflow_folder):
    catalog, _, _ = audited(roboflow_folder, class_name="eel")
    assert "largest" not in audit_summary(explore(catalog, pd.DataFrame()), len(catalog))


def test_a_boxed_picture_shows_its_boxes_in_the_colour_of_their_class(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "black.png")
    boxes = pd.DataFrame(
        {"class_name": ["eel", "ray"], "xmin": [4, 40], "ymin": [6, 30], "xmax": [60, 50], "ymax": [20, 40]}
    )
    picture = boxed_picture(tmp_path / "black.png", boxes, {"eel": "#ff0000", "ray": "#00ff00"}, side=128)
    assert picture.size == (64, 48)
    assert picture.getpixel((4, 12)) == (255, 0, 0)
    assert picture.getpixel((40, 35)) == (0, 255, 0)
    assert picture.getpixel((62, 46)) == (0, 0, 0)
    assert boxed_picture(tmp_path / "black.png", boxes.iloc[:0], {}, side=32).size == (32, 24)


def test_colours_repeat_where_classes_are_many():
    colours = class_colours([str(number) for number in range(9)])
    assert colours["8"] == colours["0"]


def test_the_grid_draws_each_picture():
    figure = sample_figure([Image.new("RGB", (8, 6))] * 5, list("abcde"))
    assert [len(axis.images) for axis in figure.axes] == [1] * 5 + [0] * 3


def test_the_command_prints_a_summary_and_the_page(roboflow_folder, tmp_path, capsys):
    (roboflow_folder / "train" / "crab_train_0.jpg").write_bytes(b"not an image")
    assert run("--data-dir", roboflow_folder, "--output-dir", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "12 images, 3 classes; 1 cannot be used." in said
    assert said.rstrip().endswith("report.html")
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_limit_keeps_the_rows_with_a_problem(roboflow_folder, tmp_path, capsys):
    (roboflow_folder / "train" / "crab_train_0.jpg").write_bytes(b"not an image")
    run("--data-dir", roboflow_folder, "--output-dir", tmp_path / "out", "--limit", 3)
    said = capsys.readouterr().out
    assert "10 images, 3 classes; 1 cannot be used." in said and "--limit" not in said
    run("--data-dir", roboflow_folder, "--output-dir", tmp_path / "few", "--limit", 2)
    assert "--limit 2 keeps the 2 largest of 3 classes\n" in capsys.readouterr().out


def test_strict_ends_with_1_where_a_finding_is_serious_and_else_with_0(roboflow_folder, tmp_path, capsys):
    (roboflow_folder / "train" / "crab_train_0.jpg").write_bytes(b"not an image")
    assert run("--data-dir", roboflow_folder, "--output-dir", tmp_path / "out") == 0
    assert run("--data-dir", roboflow_folder, "--output-dir", tmp_path / "again", "--strict") == 1
    said = capsys.readouterr().out
    assert (
        "serious:\n" in said and "  files that cannot be read: 1 of 12 images. Fetch or save these files again" in said
    )
    assert "worth a look:\n  classes with few train images: 3 of 3 classes." in said


def test_a_set_of_which_no_file_can_be_read_has_its_page_too(roboflow_folder, tmp_path, capsys):
    for image in roboflow_folder.rglob("*.jpg"):
        image.write_bytes(b"not an image")
    assert run("--data-dir", roboflow_folder, "--output-dir", tmp_path / "out", "--strict") == 1
    assert "files that cannot be read: 12 of 12 images" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "no picture" in page and "What a memory of thumbnails can name" not in page


def test_one_image_alone_is_audited(tmp_path):
    (tmp_path / "tank" / "ray").mkdir(parents=True)
    draw_image("ray", 0).save(tmp_path / "tank" / "ray" / "a.jpg")
    assert run("--data-dir", tmp_path / "tank", "--output-dir", tmp_path / "out", "--strict") == 0


def test_an_output_folder_that_holds_something_is_refused(roboflow_folder, tmp_path):
    with pytest.raises(ValueError, match="exists and is not empty"):
        run("--data-dir", roboflow_folder, "--output-dir", roboflow_folder)
