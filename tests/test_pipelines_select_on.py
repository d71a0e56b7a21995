"""`--select-on`: the best row of a study is chosen on validation; on test only when asked, loudly, and on record."""

import json
import re
import shutil

import pytest

from marinecv.atomic import write_json
from marinecv.runs import Run
from marinecv.studies import Study
from marinecv.tables import write_table
from marinecv.workflows import train, train_runs
from pipelines.cli import main


@pytest.fixture
def unfinished(monkeypatch):
    """The command ends when its runs and its study are made, before the training."""
    monkeypatch.setattr(train_runs, "finish", lambda run, *args, **how: None)
    monkeypatch.setattr(train, "finish_study", lambda study, *args, **how: 0)


def pretrain(tank, folder, *words):
    return main(["pretrain", "--data-dir", str(tank), "--epochs", "1", "--output-dir", str(folder), *words])


def test_selecting_on_test_is_said_loudly_and_kept_in_study_and_contracts(shared_tank, tmp_path, unfinished, capsys):
    assert pretrain(shared_tank, tmp_path / "s", "--grid", "--select-on", "test") == 0
    assert "WARNING: the best row will be chosen on test" in capsys.readouterr().out
    study = Study(tmp_path / "s")
    assert json.loads((study.folder / "study.json").read_text())["select_on"] == "test"
    contracts = [Run(study.cell_folder(cell)).read("contract.json") for cell in study.cells]
    assert [contract["select_on"] for contract in contracts] == ["test"] * 3


@pytest.mark.parametrize("words", [(), ("--select-on", "validation")])
def test_otherwise_nothing_is_said_and_validation_decides(shared_tank, tmp_path, unfinished, capsys, words):
    assert pretrain(shared_tank, tmp_path / "s", "--grid", *words) == 0
    assert "WARNING" not in capsys.readouterr().out
    study = Study(tmp_path / "s")
    assert study.select_on == "validation"
    assert all("select_on" not in Run(study.cell_folder(cell)).read("contract.json") for cell in study.cells)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--select-on test chooses between runs, and this is one. Leave it out"),
        (("--grid", "--folds", "2"), "needs test images, and there are none here .*Leave it out"),
    ],
)
def test_selecting_on_test_without_a_choice_or_without_test_is_refused(shared_tank, tmp_path, capsys, words, said):
    assert pretrain(shared_tank, tmp_path / "s", "--select-on", "test", *words) == 1
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "s").exists()


def test_to_resume_settles_what_is_selected_on(tmp_path, capsys):
    assert main(["pretrain", "--resume", str(tmp_path), "--select-on", "test"]) == 1
    assert "--resume settles what --select-on would say" in capsys.readouterr().err


def test_figures_of_all_folds_over_few_groups_say_so_on_the_console_and_the_page(finished_run, tmp_path, capsys):
    run = Run(shutil.copytree(finished_run, tmp_path / "a"))
    recipe = run.read("recipe.json")
    recipe["data"]["fold"] = "1/2"
    write_json(run.path("recipe.json"), recipe)
    write_table(run.path("catalog.csv"), run.catalog.assign(group="tank"))
    train_runs.finish_study(Study.create(tmp_path, "s", "S", ["a"]), print)
    said = "from 1 group of related images: no interval"
    assert said in capsys.readouterr().out and said in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_best_on_test_is_named_with_its_warning(finished_run, tmp_path, capsys):
    for cell in ("a", "b"):
        shutil.copytree(finished_run, tmp_path / cell)
    metrics = json.loads((tmp_path / "b" / "metrics.json").read_text())
    metrics["test"]["accuracy"] |= {"value": 1.0, "high": 1.0}
    (tmp_path / "b" / "metrics.json").write_text(json.dumps(metrics))
    train_runs.finish_study(Study.create(tmp_path, "s", "S", ["a", "b"], select_on="test"), print)
    said = capsys.readouterr().out
    assert "best on test: b (1.000, n=3)" in said and "best on validation" not in said
    assert "WARNING: chosen on test" in said
    assert "b is best on test" in (tmp_path / "report.html").read_text(encoding="utf-8")
