"""The page of a search, from trials that were never trained."""

import re
from math import log10

import numpy as np
import pandas as pd
import pytest
from pages import assert_self_contained, untranslated

from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.files.atomic import write_json
from marinecv.language import language
from marinecv.recipes.aquarium import BEST
from marinecv.report.search_page import search_summary, write_search_report
from marinecv.runs import Run
from marinecv.search.folder import Search, Trial
from marinecv.search.importance import importance
from marinecv.search.space import TRAINING


@pytest.fixture
def search(tmp_path):
    return make_search(tmp_path)


def make_search(folder, **changes):
    preprocessing = {**BEST.preprocessing(["crab", "eel"]), **changes}
    Run.create(folder / "base", BEST.to_dict(), preprocessing, pd.DataFrame(columns=CATALOG_COLUMNS))
    return Search.create(folder, "optuna", "tpe", 40, 0, TRAINING)


def keep(search, count, value, seed=0):
    """Trials with values by chance, each with the value that a function of them gives."""
    rng = np.random.default_rng(seed)
    for number in range(1, count + 1):
        values = {"batch_size": int(rng.choice([16, 32, 64])), "optimizer": str(rng.choice(["adam", "sgd"]))}
        if values["optimizer"] == "sgd":
            values["momentum"] = float(rng.uniform(0.8, 0.99))
        values["learning_rate"] = float(10 ** rng.uniform(-5, -3))
        put(search, number, values, status="done", value=value(values), loss=1.0, best_epoch=2, epochs=3, seconds=61.2)


def put(search, number, values=None, **facts):
    search.trial_folder(number).mkdir(parents=True)
    values = values or {"batch_size": 16, "optimizer": "adam", "learning_rate": 1e-4}
    search.write_trial(Trial(number=number, values=values, **facts))


def page(search):
    return write_search_report(search.folder).read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_text_of_a_search_page_can_be_translated(search, missing):
    for count in (0, 12):
        keep(search, count, by_rate)
        if count:
            reason = "the values of trial 2, not trained again"
            put(search, 13, status="pruned", reason=reason, epochs=0, seconds=0)
        with language("pseudo"):
            left = untranslated(page(search), {BEST.title, "adam", "sgd", "tpe", "optuna"})
        assert not left
        with language("es"):
            html = page(search)
    assert not missing and "terminados: 12" in html and "Los valores" not in html


def by_rate(values):
    return 0.5 + log10(values["learning_rate"]) / 20


def test_the_page_marks_the_best_and_holds_every_figure(search):
    keep(search, 12, by_rate)
    html = page(search)
    assert "12 of at most 40 trials by tpe (optuna): 12 done." in html
    assert f"Best is trial {search.best.number} with validation accuracy {search.best.value:.3f}" in html
    assert re.findall(r'<tr class="best">\s*<td class="number"[^>]*>(\d+)', html) == [str(search.best.number)]
    assert html.count("<svg") == 2 and "With 12 trials the importance is uncertain" in html
    bars = re.findall('class="bar" style="--value:(.*?);', html)
    assert [float(value) for value in bars] == importance(search)["importance"].tolist()
    names = {path.name for path in (search.folder / "figures").iterdir()}
    assert names == {"trials.png", "slices.png"}
    assert_self_contained(html)


def test_failed_and_pruned_trials_are_rows_with_their_reasons(search):
    keep(search, 9, by_rate)
    put(search, 10, status="failed", reason="ValueError: it <diverged>")
    put(search, 11, status="pruned", value=0.1, loss=2.0, best_epoch=1, epochs=5, reason="below the median")
    put(search, 12, status="pruned", reason="the values of trial 9, not trained again")
    put(search, 13)
    html = page(search)
    assert "9 done, 2 pruned, 1 failed" in html and "ValueError: it &lt;diverged&gt;" in html
    assert "below the median" in html and "running" in html


@pytest.mark.parametrize("status", [None, "failed", "running"])
def test_a_search_without_a_trial_that_is_done_has_a_page(search, status):
    if status:
        put(search, 1, status=status)
    html = page(search)
    assert "no best trial yet" in html and "<svg" not in html
    assert "No importance with 0 finished trials: it needs 8" in html


def test_the_winner_s_own_score_is_said_and_its_page_named(search):
    put(search, 1, status="done", value=0.5, loss=1.0, best_epoch=1, epochs=1)
    winner = search.run_of(search.folder / "best", BEST)
    figure = {"value": 0.48, "low": 0.4, "high": 0.6, "n": 127}
    write_json(winner.path("metrics.json"), {"validation": {"n": 127, "accuracy": figure, "log_loss": figure}})
    winner.path("report.html").touch()
    assert "Retrained, it has 0.480 (95% CI 0.400 to 0.600, n=127)." in search_summary(search)
    assert '<a href="best/report.html">' in (html := page(search)) and html.count("<svg") == 2


def test_a_demonstration_is_marked(tmp_path):
    drawn = make_search(tmp_path, demonstration=True)
    put(drawn, 1, status="done", value=0.5, loss=1.0, best_epoch=1, epochs=1)
    html = page(drawn)
    assert "Demonstration on generated images" in html and html.count("demonstration: generated images</text>") == 2


@pytest.mark.parametrize("name", ["learning_rate", "batch_size", "momentum", "optimizer"])
def test_what_alone_decides_is_the_most_important(search, name):
    known = {"optimizer": {"adam": 0.0, "sgd": 1.0}}.get(name, {})
    keep(search, 30, lambda values: 0.1 + 0.01 * known.get(values.get(name), values.get(name) or 0.9))
    table = importance(search)
    assert table["name"].iloc[0] == name and table["importance"].iloc[0] > 0.8
    assert table["importance"].sum() == pytest.approx(1) and (table["importance"] >= 0).all()


def test_pruned_and_failed_trials_say_nothing_of_importance(search):
    keep(search, 12, by_rate)
    before = importance(search)
    put(search, 13, status="pruned", value=0.9, loss=1.0, best_epoch=1, epochs=1)
    put(search, 14, status="failed", reason="it diverged")
    pd.testing.assert_frame_equal(importance(search), before)


@pytest.mark.parametrize(("count", "value"), [(7, by_rate), (10, lambda values: 0.5)])
def test_few_trials_or_no_difference_give_no_importance(search, count, value):
    keep(search, count, value)
    assert importance(search) is None and "No importance" in page(search)
