"""`run.export`, `check_exports`, `write_report` and `list_work` from Python."""

import shutil

import pytest
from test_export import colour_reader, one_wrong, run_with

import marinecv as mcv
from marinecv.workflows.export import check_exports
from marinecv.workflows.folders import list_work
from marinecv.workflows.run import Run


@pytest.fixture
def run(finished_run, tmp_path):
    return Run(run_with(colour_reader(), finished_run, tmp_path / "run").folder)


def test_a_run_is_exported_and_its_exports_are_checked(run, capsys):
    with pytest.raises(ValueError, match='run has no exports. Make one with format="litert".'):
        check_exports(run)
    table = run.export("savedmodel", log=None)
    said = capsys.readouterr()
    assert said.out == said.err == "" and table["export"].tolist() == ["keras", "savedmodel"]
    assert check_exports(run.folder) == {"savedmodel": ""}
    run.path("exports", "savedmodel", "labels.txt").write_text("other\n")
    assert "labels.txt is not as it was certified" in check_exports(run)["savedmodel"]


def test_what_loses_too_much_is_refused_in_words_of_arguments(run, monkeypatch):
    one_wrong(monkeypatch)
    with pytest.raises(
        ValueError, match="Expected at most 0.3 less: allow more with margin=, or take another quantise="
    ):
        run.export("savedmodel", margin=0.3, log=None)
    with pytest.raises(ValueError, match="Quantisation float16 goes with litert alone"):
        run.export("savedmodel", ("none", "float16"), log=None)


def test_the_page_of_a_folder_is_written_again_and_what_was_trained_is_listed(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list_work().empty and list(list_work()) == ["folder", "kind", "state"]
    run = shutil.copytree(finished_run, tmp_path / "runs" / "tank-1")
    (run / "report.html").unlink()
    assert mcv.write_report(str(run)) == run / "report.html" and (run / "report.html").is_file()
    (tmp_path / "runs" / "grid-1").mkdir()
    (tmp_path / "runs" / "grid-1" / "study.json").write_text("{")
    study, listed = list_work().itertuples(index=False)
    assert (study.kind, study.state[:7]) == ("study", "broken:")
    assert (str(listed.folder), listed.kind) == ("runs/tank-1", "run") and listed.state.startswith(
        "validation accuracy"
    )
    (run / "metrics.json").unlink()
    assert list_work()["state"].iloc[1] == 'stopped after 2 epochs; go on with resume("runs/tank-1")'
    with pytest.raises(ValueError, match="There is no folder nowhere"):
        list_work("nowhere")
    with pytest.raises(ValueError, match="is no run"):
        mcv.write_report(tmp_path)
