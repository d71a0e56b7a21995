"""What is handed in: LaTeX that compiles whatever classes are called, a workbook, methods, a card, in any language."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import draw_image
from pages import CLASSES, NAMES, make_run

import marinecv as mcv
from marinecv.data.writers import xlsx
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table, write_predictions
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import read_table, write_table
from marinecv.language import language
from marinecv.report import hand_in, model_card
from marinecv.report.hand_in import Table, write_hand_in
from marinecv.report.html import by_split
from marinecv.report.latex import escape_latex, preamble, table_latex
from marinecv.report.methods import run_methods
from marinecv.report.model_card import card_text, write_card
from marinecv.runs import Run
from marinecv.search.folder import Search
from marinecv.search.space import TRAINING

ODD = [
    "a & b",
    "50 %",
    "x_y",
    "#1",
    "$x^2$",
    "{c}",
    "\\emph{d}",
    "~e^",
    "[f]",
    '"g"',
    "<h>|`",
    "n--m",
    "001",
    "=1+1",
    "*st",
]
ODD += ["Ñandú", "鱼", "🐟", "عربي", "two\nlines"]


@pytest.fixture
def run(tmp_path):
    return Run(make_run(tmp_path / "tank-1"))


@pytest.fixture
def odd_run(tmp_path):
    """A run whose classes have every letter that LaTeX, YAML, Markdown or a spreadsheet could take for a command."""
    folder, rng = tmp_path / "odd-1", np.random.default_rng(0)
    folder.mkdir()
    draw_image("crab", seed=0).save(folder / "a.jpg")
    rows = [[f"{s}/{n}", str(folder / "a.jpg"), s, n, "", 64, 48, 1.0, ""] for s in ("validation", "test") for n in ODD]
    columns = ["image_id", "path", "split", "class_name", "group", "width", "height", "dominance", "problem"]
    catalog = pd.DataFrame(rows, columns=columns)
    write_table(folder / "catalog.csv", catalog)
    probabilities = rng.dirichlet(np.ones(len(ODD)), len(catalog))
    table = make_table(catalog["image_id"], catalog["split"], catalog["class_name"], probabilities, ODD)
    write_predictions(table, folder / "predictions.csv")
    write_json(
        folder / "metrics.json", {split: classification_metrics(part) for split, part in by_split(table).items()}
    )
    preprocessing = {"class_names": ODD, "image": {"height": 48, "width": 64}, "demonstration": False, "data": "odd"}
    write_json(folder / "preprocessing.json", preprocessing | {"data_dirs": [str(folder)]})
    write_json(folder / "recipe.json", {"name": "odd", "title": f"Odd: {ODD[0]}", "data": {"name": "odd"}})
    return Run(folder)


def unescaped(text):
    """LaTeX as a reader sees it: the commands that `escape_latex` writes, and no other."""
    commands = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textasciigrave": "`"}
    commands |= {"textquotedbl": '"', "textless": "<", "textgreater": ">", "textbar": "|"}
    for name, letter in commands.items():
        text = text.replace(rf"\{name}{{}}", f"\x00{ord(letter)};")
    text = re.sub(r"\\([&%$#_{}])", lambda match: f"\x00{ord(match[1])};", text)
    text = text.replace("{[}", "[").replace("{]}", "]").replace("{*}", "*").replace("-{}", "-")
    assert not set(text) & set('\\&%$#_{}~^`"<>|'), text
    return re.sub("\x00(\\d+);", lambda match: chr(int(match[1])), text)


def test_every_letter_is_escaped_and_none_is_lost():
    for name in (*ODD, *NAMES):
        assert unescaped(escape_latex(name)) == "".join(letter if letter.isprintable() else " " for letter in name)
    assert escape_latex("1\u202f234\u00a0%") == r"1\,234~\%"


def test_a_table_has_booktabs_a_caption_and_a_label_and_a_long_one_goes_on_over_pages():
    text = table_latex(pd.DataFrame({"class_x": ["a&b"], "n": ["7"]}), "95% of all", "classes")
    for part in (r"\begin{table}[htbp]", r"\toprule", r"\bottomrule", r"\caption{95\% of all}", r"\label{tab:classes}"):
        assert part in text
    assert r"a\&b & 7 \\" in text and r"class\_x" in text and "{lr}" in text
    long = table_latex(pd.DataFrame({"a": ["x"] * 41, "b": ["y"] * 41}), "c", "l")
    assert r"\begin{longtable}{ll}" in long and r"\begin{table}" not in long
    with language("es"):
        long = table_latex(pd.DataFrame({"a": ["x"] * 41, "b": ["y"] * 41}), "c", "l")
    assert "Continúa en la página siguiente" in long and "Continued" not in long
    wide = table_latex(pd.DataFrame([["1"] * 9], columns=list("abcdefghi")), "c", "l")
    assert wide.count(r"\rotatebox{90}") == 8
    assert "U+1F41F" in preamble(["🐟"]) and "DeclareUnicodeCharacter" not in preamble(["abc"])


def test_numbers_have_their_interval_or_say_that_there_is_none():
    rows = pd.DataFrame(
        {"name": ["a", "b", "c"], "v": [0.5, 1.0, np.nan], "v_low": [0.25, None, None], "n": [1, 2000, 3]}
    )
    table = Table("caption", rows.assign(v_high=[0.75, None, None]), {"name": "Name", "v": "V", "n": "N"}, digits=2)
    assert table.texts().to_numpy().tolist() == [
        ["a", "0.50 [0.25, 0.75]", "1"],
        ["b", "1.00 [no interval]", "2,000"],
        ["c", "", "3"],
    ]
    assert [*table.numbers()] == ["Name", "V", "V, 95% low", "V, 95% high", "N"]
    with language("es"):
        assert table.texts()["V"].tolist() == ["0,50 [0,25; 0,75]", "1,00 [sin intervalo]", ""]


def test_the_hand_in_of_a_run_has_what_its_files_say(run):
    page = mcv.write_report(run.folder, formats=["latex", "xlsx"], log=None)
    folder = run.path("hand_in")
    assert page == run.path("report.html")
    tables = {path.stem: path.read_text(encoding="utf-8") for path in (folder / "tables").iterdir()}
    parts = ("validation", "test")
    names = {"metrics", "published", *(f"{kind}_{split}" for kind in ("classes", "confusion") for split in parts)}
    assert set(tables) == names
    accuracy = run.metrics["test"]["accuracy"]
    cell = f"{accuracy['value']:.3f} {{[}}{accuracy['low']:.3f}, {accuracy['high']:.3f}{{]}} & {accuracy['n']}"
    assert f"test & Accuracy & {cell}" in tables["metrics"]
    assert "0.7333" in tables["published"] and "too few seeds" in tables["published"]
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures == {f"{n}.{s}" for n in ("curves", "confusion_validation", "confusion_test") for s in ("pdf", "svg")}
    assert (folder / "figures" / "curves.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "figures" / "curves.svg").read_text(encoding="utf-8").startswith("<svg")
    methods = (folder / "methods.txt").read_text(encoding="utf-8")
    for part in (
        "48 usable images of 3 classes",
        "24 train, 15 validation, 9 test; excluded: 1",
        "224 × 224",
        "2000 resamp",
    ):
        assert part in methods
    assert "Not done: a check for train-test leakage; cross-validation; calibration" in methods and "3.12" in methods
    assert str(run.folder.parent) not in "".join([methods, *tables.values()])


def test_the_command_writes_what_its_flags_name(run, capsys):
    from pipelines.cli import main

    with_model(run)
    assert main(["report", str(run.folder), "--latex", "--card", "--lang", "es"]) == 0
    printed = capsys.readouterr().out.split("\n")
    assert printed[0].startswith(f"{run.path('hand_in')}:") and printed[1].startswith(f"{run.path('card')}:")
    assert printed[2] == str(run.path("report.html")) and not run.path("hand_in", "tables.xlsx").exists()
    assert "Exactitud" in run.path("hand_in", "tables", "metrics.tex").read_text(encoding="utf-8")
    assert "Accuracy" in run.path("card", "README.md").read_text(encoding="utf-8")


def test_methods_say_what_was_chosen(run):
    recipe, training = run.read("recipe.json"), {"optimizer": "adam", "learning_rate": 1e-4, "batch_size": 8, "seed": 3}
    training |= {"epochs": 40, "monitor": "val_loss", "class_weights": True, "head_l2": 0.1}
    training["augmentation"] = {"flip": 0.5, "rotation_deg": 10, "zoom": 0.0}
    model = {"kind": "backbone", "backbone": "/home/someone/mine.keras", "weights": "imagenet"}
    data = {"name": "/home/someone/tank", "split_by": "grouped", "fold": "2/5"}
    write_json(
        run.path("recipe.json"), recipe | {"data": data, "training": training, "model": model, "shortened": "yes"}
    )
    text = " ".join(run_methods(run))
    assert "/home" not in text and "data set tank" in text and "network mine.keras was pretrained" in text
    for part in (
        "fold 2/5 of a cross-validation",
        "horizontal flip (probability 0.5), rotation (up to 10 degrees).",
        "123,456 parameters 900 were trained with Adam (learning rate 0.0001, batch size 8, seed 3)",
        "in 12 of at most 40 epochs",
        "epoch 11 were kept, the best by the loss on validation",
        "Rare classes were weighted",
        "logistic regression (penalty 0.1)",
        "shortened",
    ):
        assert part in text
    assert "cross-validation;" not in text
    data = {"name": "tank", "split_by": "tank-stratified-01234abc"}
    model = {"kind": "backbone", "backbone": "mobilenet", "weights": "imagenet", "alpha": 0.75}
    write_json(run.path("recipe.json"), recipe | {"data": data, "training": training, "model": model})
    write_json(run.path("timing.json"), run.read("timing.json") | {"epochs": 1, "best_epoch": 1})
    text = " ".join(run_methods(run))
    assert "at random within each class" in text and "The network mobilenet 0.75 was pretrained" in text
    assert "to each train image and its mirror image" in text and "at random: " not in text


def test_methods_of_crops_and_of_an_autoencoder(run, monkeypatch):
    write_json(run.path("preprocessing.json"), run.read("preprocessing.json") | {"crops": 0.1})
    write_json(run.path("recipe.json"), run.read("recipe.json") | {"data": {"limit": 5, "label_rule": "dominant"}})
    text = " ".join(run_methods(run))
    assert "cut out with a margin of 0.1 of its sides. At most 5 photographs of each split" in text
    assert "with several" not in text and "of accuracies by Wilson" in text
    assert "The training images were boxes, cut out with a margin of 0.1" in card_text(with_model(run))
    training = {"augmentation": {"flip": 0, "zoom": 0.0}, "head_l2": 1.0}
    write_json(run.path("recipe.json"), run.read("recipe.json") | {"training": training, "shortened": "3 of 9"})
    text = " ".join(run_methods(run))
    assert "Train images were not augmented. The head was solved" in text and "training was shortened" in text
    monkeypatch.setattr(Run, "is_autoencoder", True)
    assert "95% intervals: a bootstrap over images (2000 resamples)." in run_methods(run)


def words_of(figure):
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return {text.get_text() for text in texts if re.search("[A-Za-z]{3}", text.get_text())}


def test_nothing_is_left_untranslated(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(hand_in, "save_vector", lambda figure, path: drawn.append(figure))
    with language("pseudo"):
        folder = write_hand_in(run, ["latex", "xlsx"])
    data = [
        "crab",
        "eel",
        "Three classes in a tank",
        "script.*?class.*?script",
        "textless|textgreater",
        "console.error",
        "htbp",
        "elsewhere",  # a split of the recipe
        "tank",
        "Python",
    ]
    for path in (*(folder / "tables").iterdir(), folder / "methods.txt"):
        text = path.read_text(encoding="utf-8")
        while "⟦" in text:
            text = re.sub(r"⟦[^⟦⟧]*⟧", "", text)
        text = re.sub(r"\\[a-z]+(\[[a-z]+\])?(\{[a-z_:]+\})*", "", text)
        assert not re.findall("[A-Za-z]{3,}", re.sub("|".join(data), "", text)), path
    classes = {"crab", "eel", run.class_names[2]}
    words = set().union(*map(words_of, drawn)) - classes
    assert words and not [word for word in words if not word.startswith("⟦")]


def test_spanish_has_every_sentence_that_a_run_asks_for(run, missing):
    mcv.write_report(run.folder, formats=["latex", "xlsx"], lang="es", log=None)
    assert missing == {"elsewhere"}  # a split of the recipe
    tables, methods = run.path("hand_in", "tables"), run.path("hand_in", "methods.txt").read_text(encoding="utf-8")
    text = (tables / "metrics.tex").read_text(encoding="utf-8")
    assert "prueba & Exactitud & 0,889 {[}0,565; 0,980{]} & 9" in text
    assert "Intervalos de confianza del 95" in methods and "Semillas" not in methods
    assert ">Pérdida<" in run.path("hand_in", "figures", "curves.svg").read_text(encoding="utf-8")
    page = run.path("report.html").read_text(encoding="utf-8")
    assert '<html lang="es">' in page and "Matrices de confusión" in page


def test_a_workbook_has_a_sheet_a_table_and_text_that_is_no_formula(odd_run, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    folder = write_hand_in(odd_run, ["xlsx"])
    book = openpyxl.load_workbook(folder / "tables.xlsx")
    assert book.sheetnames[:3] == ["content", "metrics", "classes_test"] and not (folder / "tables").exists()
    names = [row[0] for row in book["classes_test"].values][1:]
    assert names[ODD.index("001")] == "001" and names[ODD.index("=1+1")] == "'=1+1"
    assert {cell.data_type for sheet in book for row in sheet for cell in row} <= {"s", "n", "inlineStr"}
    assert (
        book["metrics"]["C2"].value == odd_run.metrics["validation"]["accuracy"]["value"] or book["metrics"]["C2"].value
    )
    monkeypatch.setattr(xlsx, "find_spec", lambda name: None)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="needs openpyxl. Install it"):
        write_hand_in(odd_run, ["latex", "xlsx"])
    assert not folder.exists()


@pytest.mark.parametrize("lang", ["en", "es"])
def test_the_document_compiles_whatever_classes_are_called(odd_run, lang):
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    with language(lang):
        folder = write_hand_in(odd_run, ["latex"])
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "hand_in.tex"]
    made = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    assert made.returncode == 0, made.stdout[-800:]
    log = (folder / "hand_in.log").read_text(errors="replace")
    assert "Missing character" not in log and (folder / "hand_in.pdf").is_file()


def test_spanish_has_every_sentence_that_a_trained_run_asks_for(finished_run, tmp_path, missing):
    run = Run(shutil.copytree(finished_run, tmp_path / "tank-1"))
    assert run.path("calibration.json").is_file() and run.path("leakage.csv").is_file()
    mcv.write_report(run.folder, formats="latex", lang="es", log=None)
    assert missing == set() and run.path("hand_in", "tables", "leakage.tex").is_file()


@pytest.fixture
def experiment_folder(tmp_path):
    folder = tmp_path / "grid"
    for number, right in enumerate((0.9, 0.3)):
        make_run(folder / str(number), seed=number, right=right)
    cells = {"four_conv": "0", "a & b": "1"}
    write_json(folder / "experiment.json", {"name": "grid", "title": "A grid", "demonstration": False, "cells": cells})
    return folder


def test_spanish_has_every_sentence_that_an_experiment_asks_for(experiment_folder, missing):
    mcv.write_report(experiment_folder, formats="latex", lang="es", log=None)
    assert missing == {"elsewhere"}


def test_an_experiment_hands_in_the_table_of_its_runs(experiment_folder):
    folder = experiment_folder
    mcv.write_report(folder, formats="latex", log=None)
    text = (folder / "hand_in" / "tables" / "runs.tex").read_text(encoding="utf-8")
    assert r"a \& b" in text and "123,456" in text and text.count("{[}") == 4
    assert "four\\_conv & validation" in (folder / "hand_in" / "tables" / "published.tex").read_text(encoding="utf-8")
    methods = (folder / "hand_in" / "methods.txt").read_text(encoding="utf-8")
    assert "2 trained runs: four_conv, a & b. four_conv was selected" in methods
    assert (folder / "hand_in" / "figures" / "curves.pdf").is_file()
    with pytest.raises(ValueError, match="A model card is of one run"):
        mcv.write_report(folder, formats="card", log=None)
    with pytest.raises(ValueError, match="Expected formats to be"):
        mcv.write_report(folder, formats="word", log=None)


def test_a_search_hands_in_its_best_run(tmp_path):
    Search.create(tmp_path, "optuna", "tpe", 3, 0, TRAINING)
    with pytest.raises(ValueError, match="A search hands in its best run"):
        mcv.write_report(tmp_path, formats="latex", log=None)


def with_model(run):
    run.path("model.keras").write_bytes(b"model")
    return run


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_a_card_is_derived_from_the_files(run):
    with pytest.raises(ValueError, match="is of a finished classifier"):
        write_card(run)
    folder = write_card(with_model(run))
    files = {path.name for path in folder.iterdir()}
    assert files == {"README.md", "model.keras", "preprocessing.json", "class_names.txt", "metrics.json"}
    text = (folder / "README.md").read_text(encoding="utf-8")
    metadata = front_matter(text)
    assert metadata["library_name"] == "keras" and metadata["pipeline_tag"] == "image-classification"
    results = {result["dataset"]["split"]: result["metrics"] for result in metadata["model-index"][0]["results"]}
    assert results["test"][0] == {
        "type": "accuracy",
        "name": "Accuracy",
        "value": run.metrics["test"]["accuracy"]["value"],
    }
    for part in (
        "of only 9 images",
        "crab (3)",
        "Train-test leakage was not checked",
        "License of the data: not stated",
    ):
        assert part in text
    assert "Calibration\n\nIt was not measured." in text and "<script" not in text and "&lt;script&gt;" in text
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert str(run.folder.parent).encode() not in everything and b"data_dirs" not in everything
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == run.metrics


def test_a_card_names_licenses_and_limits(run, monkeypatch):
    recipe = run.read("recipe.json") | {
        "model": {"backbone": "mobilenetv2", "weights": "imagenet"},
        "shortened": "1 of 9",
    }
    write_json(run.path("recipe.json"), recipe)
    preprocessing = run.read("preprocessing.json") | {"data": "aquarium", "demonstration": True, "select_on": "test"}
    preprocessing["image"]["letterbox_px"] = 1024
    write_json(run.path("preprocessing.json"), preprocessing)
    assert "License of the data: not stated" in card_text(with_model(run))  # other classes: not that data set
    known = replace(mcv.load_manifest("aquarium"), class_names=CLASSES, demonstration=True)
    monkeypatch.setattr(model_card, "load_manifest", lambda name: known)
    text = card_text(with_model(run))
    for part in (
        "License of the data: CC BY 4.0",
        "License of the weights: Apache-2.0 (mobilenetv2)",
        "Provided by Roboflow",
        "generated images",
        "shortened: 1 of 9",
        "chosen on test",
        "side = max(1024, *picture.size)",
    ):
        assert part in text
    write_json(run.path("recipe.json"), recipe | {"model": {"backbone": "/home/me/mine.keras", "weights": "imagenet"}})
    assert "License of the weights: not stated (mine.keras)" in card_text(run)
    write_json(run.path("recipe.json"), recipe | {"model": {"kind": "cnn"}})
    assert "License of the weights: none used" in card_text(run)
    write_table(run.path("attribute_scores.csv"), pd.DataFrame({"attributes": ["none"]}))
    assert "photo.jpg" not in card_text(run)  # a model that takes attributes too


def test_a_card_without_test_images_says_so(tmp_path):
    run = with_model(Run(make_run(tmp_path / "tank-1", counts={"train": 9, "validation": 6})))
    assert "There is no test set: the metrics are of validation, by which the training was stopped." in card_text(run)
    write_json(run.path("recipe.json"), {"model": {"kind": "own"}})
    assert "There is no test set: the metrics are of validation.\n" in card_text(run)


def test_the_front_matter_holds_whatever_classes_and_folders_are_called(odd_run):
    text = card_text(with_model(odd_run))
    assert front_matter(text)["model-index"][0]["name"] == "odd-1"
    rows = [line for line in text.split("\n") if line.startswith("| ") and "0." in line]
    assert rows and all(len(re.findall(r"(?<!\\)\|", row)) in (5, 7) for row in rows)


def test_hugging_face_reads_the_card(run):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(card_text(with_model(run)))
    assert card.data.library_name == "keras" and card.data.pipeline_tag == "image-classification"
    results = {(each.dataset_split, each.metric_type): each.metric_value for each in card.data.eval_results}
    assert results["test", "accuracy"] == run.metrics["test"]["accuracy"]["value"]


@pytest.mark.slow
def test_the_card_shows_how_plain_keras_loads_its_model(finished_run, tmp_path):
    run = Run(shutil.copytree(finished_run, tmp_path / "tank-1"))
    mcv.write_report(run.folder, formats="card", log=None)
    text = (run.path("card") / "README.md").read_text(encoding="utf-8")
    code = "".join(re.findall("```python\n(.*?)```", text, re.DOTALL))
    assert "marinecv" not in code
    draw_image("crab", seed=0).save(run.path("card", "photo.jpg"))
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=run.path("card"), capture_output=True, text=True, timeout=300
    )
    assert made.returncode == 0 and made.stdout.split("\n")[-2].split()[0] in run.class_names, made.stderr[-800:]


def converted(path, suffix, folder, *options):
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        pytest.skip("needs LibreOffice")
    command = [
        office,
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        *options,
        "--convert-to",
        suffix,
    ]
    subprocess.run([*command, "--outdir", str(folder), str(path)], check=True, capture_output=True, timeout=300)
    return folder / f"{path.stem}.{suffix.partition(':')[0]}"


@pytest.mark.slow
def test_libreoffice_opens_the_workbook_and_the_csv_of_predict_with_every_letter(odd_run, tmp_path):
    pytest.importorskip("openpyxl")
    from marinecv.data.writers import write_csv

    book = write_hand_in(odd_run, ["xlsx"]) / "tables.xlsx"
    sheets = converted(book, "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,3", tmp_path)
    names = read_table(next(tmp_path.glob("tables*.csv")) if not sheets.is_file() else sheets)["class"].tolist()
    assert names[ODD.index("001")] == "001" and names[ODD.index("鱼")] == "鱼" and "Ñandú" in names
    write_csv(tmp_path / "people.csv", pd.DataFrame({"file": [f"{n}.jpg" for n in range(len(ODD))], "class": ODD}))
    import openpyxl

    as_utf8 = "--infilter=Text - txt - csv (StarCalc):44,34,UTF-8,1"  # without a window none is detected
    sheet = openpyxl.load_workbook(converted(tmp_path / "people.csv", "xlsx", tmp_path, as_utf8)).active
    header, *opened = [row[1] for row in sheet.values]
    assert (sheet["A1"].value, header) == ("file", "class")  # without the byte order mark
    assert opened[ODD.index("Ñandú")] == "Ñandú" and opened[ODD.index("🐟")] == "🐟"
    assert opened[ODD.index("001")] == 1  # a spreadsheet drops the zeros of a CSV, but not those of the workbook
    assert opened[ODD.index("=1+1")] in ("'=1+1", "=1+1") and not any(cell == 2 for cell in opened)
