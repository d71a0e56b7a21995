"""`--select-on`: the best row of a study is chosen on validation; on test only when asked, loudly, and on record."""

import json
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
    monkeypatch.setattr(train, "finish_study", lambda study, *args, **how: 0)


def pretrain(tank, folder, *words):
    return main(["pretrain", "--data-dir", str(tank), "--epochs", "1", "--output-dir", str(folder), *words])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_selecting_on_test_alone_is_said_loudly_and_kept_in_study_and_contracts(
    split, shared_tank, tmp_path, unfinished, capsys
):
    assert pretrain(shared_tank, tmp_path / "s", "--grid", "--select-on", split) == 0
    assert ("WARNING: the best row will be chosen on test" in capsys.readouterr().out) == (split == "test")
    study = Study(tmp_path / "s")
    assert study.select_on == split
    contracts = [Run(study.cell_folder(cell)).read("contract.json") for cell in study.cells]
    assert [contract.get("select_on", "validation") for contract in contracts] == [split] * 3


@pytest.mark.parametrize(
    ("words", "said"), [((), "makes one run"), (("--grid", "--folds", "2"), "--select-on test needs test images")]
)
def test_selecting_on_test_without_a_choice_or_without_test_is_refused(shared_tank, tmp_path, capsys, words, said):
    assert pretrain(shared_tank, tmp_path / "s", "--select-on", "test", *words) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "s").exists()
    assert main(["pretrain", "--resume", str(tmp_path), "--select-on", "test"]) == 1
    assert "--resume settles what --select-on would say" in capsys.readouterr().err


def test_figures_of_all_folds_over_few_groups_say_so_on_the_console_and_the_page(finished_run, tmp_path, capsys):
    run = Run(shutil.copytree(finished_run, tmp_path / "a"))
    recipe = run.read("recipe.json")
    recipe["data"]["fold"] = "1/2"
    write_json(run.path("recipe.json"), recipe)
    write_table(run.path("catalog.csv"), run.catalog.assign(group="tank"))
    train_runs.finish_study(Study.create(tmp_path, "s", "S", ["a"]), print)
    said = "no interval"
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
