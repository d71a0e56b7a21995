"""`mcv.audit`, its page and its command: everything is there, nothing is overwritten, and `--strict` judges."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from PIL import Image
from scenes import draw_cub

import marinecv as mcv
from marinecv.audit.tables import describe_data_set
from marinecv.audit.thumbnails import load_thumbs
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.find_data import find_data
from marinecv.data.manifests import manifest_of_folder
from marinecv.files.csv_tables import read_table
from marinecv.report.audit_figures import class_colors, count_figure, draw_boxes, sample_figure
from marinecv.report.audit_page import audit_summary, write_audit_report
from pipelines.cli import main

LABEL_TABLES = {"class_dominance", "class_changes", "label_flips"}
TABLES = LABEL_TABLES | {
    "class_counts", "size_table", "distinct_sizes", "problems", "intensity_histogram", "intensity_summary",
    "noise_estimate", "box_problems",
}  # fmt: skip


def audited(folder, **changes):
    manifest = find_data(None, folder)
    catalog, boxes = load_thumbs(read_catalog(manifest).assign(**changes))[1], read_boxes(manifest)
    return catalog, boxes, describe_data_set(catalog, boxes)


def run(data, folder, *words):
    return main(["audit", "--data-dir", str(data), "--output-dir", str(folder), *map(str, words)])


def test_the_page_shows_what_the_images_are(roboflow_folder, tmp_path):
    catalog, boxes, tables = audited(roboflow_folder)
    page = write_audit_report(tmp_path, "tank", catalog, boxes, tables).read_text(encoding="utf-8")
    assert set(tables) == TABLES == {path.stem for path in tmp_path.glob("*.csv")} - {"findings", "cases"}
    assert "12 images, 3 classes; all can be used." in page and "Demonstration" not in page
    assert page.count("data:image/jpeg") == 12 and page.count("<svg") == 5
    with Image.open(tmp_path / "figures" / "samples.png") as samples:
        assert len(samples.convert("RGB").getcolors(1 << 24)) > 1000
    assert "Every class has 4 usable images." in audit_summary(tables, len(catalog))


def test_a_set_without_usable_images_or_without_boxes_that_disagree_still_has_its_page(roboflow_folder, tmp_path):
    catalog, boxes, tables = audited(roboflow_folder, problem="broken", width=0, height=0)
    page = write_audit_report(tmp_path, "tank", catalog, boxes, tables).read_text(encoding="utf-8")
    assert "12 of 12 images cannot be used" in page and "No image can be shown" in page and "<svg" not in page
    catalog, boxes, _ = audited(roboflow_folder)
    tables = describe_data_set(catalog, boxes.iloc[:0])
    page = write_audit_report(tmp_path, "tank", catalog, boxes.iloc[:0], tables).read_text(encoding="utf-8")
    assert TABLES - set(tables) == LABEL_TABLES | {"box_problems"} and "boxes that could disagree" in page
    manifest = manifest_of_folder(draw_cub(tmp_path / "birds"))
    assert TABLES - set(describe_data_set(read_catalog(manifest), read_boxes(manifest))) == LABEL_TABLES


def test_the_summary_has_counts_sizes_and_how_bright_and_noisy_the_images_are(tmp_path):
    for number, (name, side) in enumerate([("eel", 30), ("eel", 10), ("ray", 20), ("eel", 100)]):
        (tmp_path / name).mkdir(exist_ok=True)
        gray = 100 if number < 3 else 200
        Image.new("RGB", (2 * side, side), (gray, gray, gray)).save(tmp_path / name / f"{number}.png")
    catalog, _, tables = audited(tmp_path)
    summary = audit_summary(tables, len(catalog))
    for part in ("4 images, 2 classes", "eel, has 3", "75%", "3.0 times", "ray, with 1", "80x40", "50x25", "is 125;"):
        assert part in summary
    Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(20, 80) * 2).save(tmp_path / "ray" / "deep.png")
    _, _, tables = audited(tmp_path)
    assert "4,095 is white" in audit_summary(tables, 5)
    assert tables["intensity_histogram"]["gray"].iloc[200:].sum() < 0.3  # 3198 of 4095 is 199
    assert "Images are" not in audit_summary(describe_data_set(catalog.head(0), pd.DataFrame()), 0)
    one = describe_data_set(catalog.assign(class_name="eel"), pd.DataFrame())
    assert "largest" not in audit_summary(one, len(catalog))


def test_bars_of_many_classes_have_no_names():
    counts = pd.DataFrame({"class_name": [f"bird {number}" for number in range(200)], "train": 3, "total": 3})
    many, few = count_figure(counts), count_figure(counts.head(5))
    assert many.get_size_inches()[1] == 6 and not many.axes[0].get_yticklabels()
    assert [label.get_text() for label in few.axes[0].get_yticklabels()] == [f"bird {number}" for number in range(5)]


def test_a_boxed_picture_shows_its_boxes_in_the_color_of_their_class(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "black.png")
    rows = [("eel", 4, 6, 60, 20), ("ray", 40, 30, 50, 40)]
    boxes = pd.DataFrame(rows, columns=["class_name", "xmin", "ymin", "xmax", "ymax"])
    picture = draw_boxes(tmp_path / "black.png", boxes, {"eel": "#ff0000", "ray": "#00ff00"}, side=128)
    pixels = [picture.getpixel(xy) for xy in ((4, 12), (40, 35), (62, 46))]
    assert picture.size == (64, 48) and pixels == [(255, 0, 0), (0, 255, 0), (0, 0, 0)]
    assert draw_boxes(tmp_path / "black.png", boxes.iloc[:0], {}, side=32).size == (32, 24)
    colors = class_colors([str(number) for number in range(9)])
    assert colors["8"] == colors["0"]
    figure = sample_figure([Image.new("RGB", (8, 6))] * 5, list("abcde"))
    assert [len(axis.images) for axis in figure.axes] == [1] * 5 + [0] * 3


@pytest.mark.slow
def test_python_and_the_command_find_the_same_and_strict_ends_with_1(roboflow_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (roboflow_folder / "train" / "crab_train_0.jpg").write_bytes(b"not an image")
    audit = mcv.audit(roboflow_folder, log=None)
    assert not (tmp_path / "runs").exists()
    broken = audit.findings.set_index("finding").loc["files that cannot be read"]
    assert broken["serious"] and audit.findings["serious"].is_monotonic_decreasing
    assert broken["line"].startswith("files that cannot be read: 1 of 12 images.") and broken["line"] in repr(audit)
    assert audit.findings["serious"].dtype == bool and set(audit.cases["finding"]) <= set(audit.findings["finding"])
    assert len(audit.catalog) == 12 and len(audit.boxes) == 17 and audit.leak["n"] > 0
    assert audit.summary.startswith("12 images, 3 classes; 1 cannot be used.") and "12 files" in audit.reviewed
    page = audit.report()
    assert page.parent.name == "audit-tank-1" and audit.report().parent.name == "audit-tank-2"
    assert read_table(page.parent / "findings.csv")["what"].tolist() == audit.findings["what"].tolist()
    assert capsys.readouterr() == ("", "")
    assert run(roboflow_folder, tmp_path / "shell") == 0
    assert (tmp_path / "shell" / "report.html").read_text() == page.read_text()
    shown = capsys.readouterr().out
    assert audit.summary in shown and broken["line"] in shown and "serious:\n  " in shown
    assert "worth a look:\n  classes with few train images: 3 of 3 classes." in shown
    assert shown.rstrip().endswith("report.html")
    assert run(roboflow_folder, tmp_path / "again", "--limit", 3, "--strict") == 1
    assert "10 images, 3 classes; 1 cannot be used." in capsys.readouterr().out
    assert run(roboflow_folder, tmp_path / "es", "--lang", "es") == 0
    assert "archivos que no se pueden leer: 1 de 12 imágenes. Descargue" in capsys.readouterr().out
    assert "<h1>Auditoría de tank</h1>" in (tmp_path / "es" / "report.html").read_text(encoding="utf-8")
    run(roboflow_folder, tmp_path / "few", "--limit", 2)
    assert "--limit 2 keeps the 2 largest of 3 classes\n" in capsys.readouterr().out


def test_a_set_without_readable_files_and_one_image_alone_are_audited(roboflow_folder, tmp_path, capsys):
    for image in roboflow_folder.rglob("*.jpg"):
        image.write_bytes(b"not an image")
    assert run(roboflow_folder, tmp_path / "out", "--strict") == 1
    assert "files that cannot be read: 12 of 12 images" in capsys.readouterr().out
    assert "no picture" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    (tmp_path / "alone" / "ray").mkdir(parents=True)
    draw_image("ray", 0).save(tmp_path / "alone" / "ray" / "a.jpg")
    assert run(tmp_path / "alone", tmp_path / "one", "--strict") == 0


def test_a_catalog_is_audited_without_boxes_into_the_folder_that_is_named(roboflow_folder, tmp_path):
    catalog, lines = mcv.read_catalog(mcv.find_data(data_dir=roboflow_folder)), []
    audit = mcv.audit(catalog, folder=tmp_path / "page", limit=2, log=lines.append)
    assert (tmp_path / "page").is_dir() and "limit=2 keeps the 2 largest of 3 classes" in lines
    assert len(audit.catalog) == 6 and audit.boxes.empty and "label_flips" not in audit.tables
    assert audit.report() == tmp_path / "page" / "report.html" and audit.report().is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folder": True}, "not empty"),
        ({"frame_order": "numbers"}, 'frame_order to be one of .*Did you mean "number"?'),
        ({"limit": 0}, "limit"),
        ({"data": "nowhere"}, "There is no|is no folder"),
        ({"data": pd.DataFrame({"path": ["a.jpg"]})}, "lacks the column"),
    ],
)
def test_wrong_arguments_are_refused(roboflow_folder, arguments, message):
    arguments = {name: roboflow_folder if value is True else value for name, value in arguments.items()}
    with pytest.raises(ValueError, match=message):
        mcv.audit(**{"data": roboflow_folder, "log": None} | arguments)
