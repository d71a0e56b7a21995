"""Runs and tables that pages are made of, and what every page must fulfill."""

import html
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import asdict
from html.parser import HTMLParser
from importlib.resources import files
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image

from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table, write_predictions
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import write_table
from marinecv.inputs.spec import ImageSpec
from marinecv.report.curve_figures import METRIC_LABELS as CURVE_METRICS
from marinecv.report.html import by_split

NAMES = ("<script>console.error('ran')</script>", "\"><img src=x onerror=console.error('ran')>")
NAMES += ("' onmouseover='console.error(1)", "--><svg onload=console.error('ran')>", "=cmd|' /C calc'!A0", "+1", "-2+3")
NAMES += ("@SUM(A1)", "two\nlines", "a\ttab", "\rreturn", "a,b;c", 'a "quote"', "pipe|d", "`tick`")
NAMES += ("[x](javascript:alert(1))", "{{7*7}}{% raw %}", "%s%n%(x)s", "$\\frac", "$x^2$ &lt;b&gt; ]]>")
NAMES += ("\u202egpj.exe", "long " * 40)
EVIL = "<script>console.error('class')</script>"
CLASSES = ("crab", "eel", EVIL)
COUNTS = {"train": 24, "validation": 15, "test": 9}
SCRIPT = (files("marinecv.report.templates") / "page.js").read_text(encoding="utf-8")
FRACTIONS = (0.1, 0.5, 1.0)
TOO_WIDE = "the interval is wider than four times"


def make_run(folder, seed=0, demonstration=False, right=0.7, classes=CLASSES, counts=COUNTS, used=None):
    """A finished run of 48 images of 48x64, one of them with a script for a name, and one unusable.

    Images are of the first `used` classes, by default of all.
    """
    used = used or len(classes)
    rng = np.random.default_rng(seed)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rows, probabilities = [], []
    for split, count in counts.items():
        for number in range(count):
            name = f"{split}_{number}.jpg" if number else f"{split}_<img src=x onerror=alert(1)>.jpg"
            draw_image(("crab", "eel", "ray")[number % 3], seed=number).save(pictures / name)
            rows.append([f"{split}/{name}", str(pictures / name), split, classes[number % used], "", 64, 48, 1.0, ""])
            likely = number % used if rng.random() < right else rng.integers(len(classes))
            probabilities.append(rng.dirichlet(np.eye(len(classes))[likely] * 2 * len(classes) + 0.5))
    columns = ["image_id", "path", "split", "class_name", "group", "width", "height", "dominance", "problem"]
    good = pd.DataFrame(rows, columns=columns)
    bad = good.iloc[[0]].assign(image_id="train/none.jpg", class_name="", problem="no box")
    write_table(folder / "catalog.csv", pd.concat([good, bad]))
    table = make_table(good["image_id"], good["split"], good["class_name"], np.array(probabilities), classes)
    write_predictions(table, folder / "predictions.csv")
    write_json(folder / "metrics.json", {split: classification_metrics(t) for split, t in by_split(table).items()})
    preprocessing = {"class_names": classes, "image": asdict(ImageSpec()), "demonstration": demonstration}
    write_json(folder / "preprocessing.json", preprocessing | {"data_dirs": [str(pictures)]})
    write_json(folder / "environment.json", {"command": "run.py pretrain --seed 1", "python": "3.12", "cores": 2})
    timing = {"best_epoch": 11, "train_seconds": 61.25, "seconds_per_epoch": 5.1, "latency_ms_per_image": 3.0}
    timing |= {"parameters": 123456, "trainable_parameters": 900, "device": "cpu", "epochs": 12}
    write_json(folder / "timing.json", timing)
    published = {"validation": {"accuracy": "0.7333", "macro_f1": "0.70", "n": 15}, "elsewhere": {"accuracy": "0.5"}}
    recipe = {"name": "tank", "title": "Three classes in a tank", "data": {"name": "tank", "split_by": None}}
    recipe |= {"training": {"learning_rate": 1e-4, "augmentation": None}, "shortened": ""}
    recipe["published"] = published | {"test": {"accuracy": "0.9263", "n": 9}}
    write_json(folder / "recipe.json", recipe)
    epochs = np.arange(1, 13)
    loss = 1.1 * np.exp(-epochs / 6) + rng.normal(0, 0.02, 12)
    history = {"epoch": epochs, "loss": loss, "accuracy": 1 - loss / 1.3, "val_loss": loss + 0.004 * (epochs - 7) ** 2}
    history |= {"val_accuracy": 1 - history["val_loss"] / 1.3, "learning_rate": np.where(epochs < 8, 1e-3, 2e-4)}
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    return folder


def make_table_of_curve(lines, shares=FRACTIONS, n=100):
    """A curve table in which the recipes rise in their order, each 0.05 above the one before."""
    rows = [
        (line, share, 2944 * share, metric, 0.5 + 0.05 * number + 0.2 * np.log10(share))
        for (number, line), share, metric in product(enumerate(lines), shares, CURVE_METRICS)
    ]
    table = pd.DataFrame(rows, columns=["recipe", "label_fraction", "images", "metric", "value"])
    value, width = table["value"], np.where(table["metric"] == "batched_macro_f1", np.nan, 0.08)
    bounds = {"low": value - width, "high": value + width, "lowest": value - 0.02, "highest": value + 0.03}
    return table.assign(**bounds, seeds=3, n=n)


def make_needed(classes, refused=(), all_said=""):
    """The sample-size estimate of all classes, then of each class; those of `refused` have no number."""
    rows = []
    for place, name in enumerate(["", *classes]):
        said = all_said if not name else TOO_WIDE if name in refused else ""
        row = {"class_name": name, "images": 147.3 if name else 2944.0, "judged": 5 if name else 100, "error": 0.46}
        row |= {"fitted": 0.45, "exponent": 0.5, "exponent_low": 0.3, "exponent_high": 0.7, "goal": 0.225}
        promised = {"required_images": 11776.4, "low": 8000.0, "high": 20000.0, "additional_images": 8833.0}
        row |= dict.fromkeys(promised, np.nan) if said else promised
        rows.append(row | {"gain": 0.001 / place if place else np.nan, "note": said})
    return pd.DataFrame(rows)


def installed_browser():
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("needs a browser: neither chromium nor chrome is installed")
    return browser


@contextmanager
def started_browser():
    """A browser of Playwright that shows pages and clicks."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=installed_browser(), args=["--no-sandbox"])
        yield browser
        browser.close()


def open_in_browser(page, tmp_path):
    """The page's elements after its script has run, and the complaints of the browser."""
    browser = installed_browser()
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    flags += "--disable-sync --no-first-run --enable-logging=stderr --v=0 --dump-dom"
    command = [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return answer.stdout, [line for line in answer.stderr.splitlines() if "CONSOLE" in line]


def assert_self_contained(html, links=()):
    """Nothing is loaded, and the only script is ours; `links` are the other files that it may lead to."""
    loads = re.findall(r"""(?:src|href)=["']([^"']*)|url\(["']?([^"')]*)""", html)
    loads = [attribute or address for attribute, address in loads]
    assert loads
    assert not [load for load in loads if not load.startswith(("#", "data:")) and load not in links]
    assert html.count("<script") == 1 and f"<script>{SCRIPT.rstrip()}" in html


def assert_harmless(page, tmp_path):
    """The page as written loads nothing, and a browser runs only its script and has nothing to complain of."""
    written = page.read_text(encoding="utf-8")
    assert_self_contained(written)
    assert "<img src=x" not in written and "<svg onload" not in written
    opened, complaints = open_in_browser(page, tmp_path)
    assert not complaints
    tags = [re.sub('"[^"]*"', "", tag) for tag in re.findall(r"<[a-z][^>]*>", opened)]
    assert [tag for tag in tags if tag.startswith("<script")] == ["<script>"]
    assert not [tag for tag in tags if re.search(r"\son\w+\s*=", tag)]
    return opened


def shown(page):
    """What a reader sees of a page, space as HTML has it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


class Texts(HTMLParser):
    """What a reader of a page sees or hears but for code, commands and the values of settings; a text a text node."""

    SKIPPED = {"style", "script", "code", "pre", "defs", "metadata"}

    def __init__(self, page):
        super().__init__()
        self.texts, self.skipped, self.in_settings = [], None, False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        names = ("title", "aria-label", "alt", "data-filter", "data-some", "data-interval")
        self.texts += [attributes[name] for name in names if attributes.get(name)]
        self.in_settings = "settings" in attributes.get("class", "") if tag == "table" else self.in_settings
        if not self.skipped and (tag in self.SKIPPED or (tag == "td" and self.in_settings)):
            self.skipped = tag

    def handle_endtag(self, tag):
        self.skipped = None if tag == self.skipped else self.skipped

    def handle_data(self, data):
        if not self.skipped:
            self.texts.append(data)


def untranslated(page, data):
    """What of the texts of a page in the pseudo language was not translated, without `data` and numbers."""
    left = set()
    page = re.sub("⟦[^⟦⟧]*⟧", lambda sentence: re.sub("</?code>", "", sentence[0]), page)
    names = "|".join(re.escape(name) for name in sorted(data, key=len, reverse=True))
    for text in Texts(re.sub("(?s)<code>.*?</code>", "", page)).texts:
        text = re.sub("⟦[^⟦⟧]*⟧", " ", text)
        text = re.sub(f"(?<![^\\W_])({names})(?![^\\W_])", "", text) if names else text
        left.add(re.sub(r"\bn\b=?|\b[0-9a-f]{8}\b|\bF1\b|\d[-e\d.−x]*|\bpx\b|\bMB\b|{\w+}", "", text).strip())
    return {text for text in left if re.search(r"[^\W\d_]", text)}
