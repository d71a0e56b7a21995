"""`export`: files, a table, a section of the page; the rest is written where one is refused; a check of them all."""

import json

import pytest
from pages import assert_self_contained
from test_export import colour_reader, one_wrong, run_with

import marinecv as mcv
from marinecv.export import model as exporting
from marinecv.export.table import read_exports
from pipelines.cli import main


@pytest.fixture(autouse=True)
def engine():
    pytest.importorskip("ai_edge_litert")


@pytest.fixture
def run(finished_run, tmp_path):
    return run_with(colour_reader(), finished_run, tmp_path / "run").folder


def shown(capsys, *words, code=0):
    assert main(["export", *(str(word) for word in words)]) == code
    return capsys.readouterr()


def test_files_a_table_and_a_section_of_the_page(run, capsys):
    contract = json.loads((run / "contract.json").read_text())
    (run / "contract.json").write_text(json.dumps({**contract, "demonstration": True}))
    said = shown(capsys, run, "--format", "litert", "--quantise", "float16", "none", "float16")
    assert said.err == "" and said.out.count("written to") == 2
    assert sorted(path.name for path in (run / "exports").glob("[!.]*")) == ["exports.csv", "litert", "litert-float16"]
    assert "n=3 validation images" in said.out
    for name in ("keras", "litert", "litert-float16"):
        assert f" {name} " in said.out.replace("\n", " ")
    html = (run / "report.html").read_text(encoding="utf-8")
    assert_self_contained(html)
    section = html.partition('<h2 id="exports">')[2].partition("<h2")[0]
    assert '<a href="#exports">' in html and section.count("<tr>") == 4 and ">litert-float16<" in section
    assert "looked at validation: export to litert" in (run / "log.txt").read_text()
    assert json.loads((run / "exports" / "litert" / "contract.json").read_text())["demonstration"] is True

    said = shown(capsys, run, "--check").out
    assert said.split("\n")[:2] == [
        "  litert               passed",
        "  litert-float16       passed",
    ]
    (run / "exports" / "litert" / "labels.txt").write_text("ray\neel\ncrab\n")
    said = shown(capsys, run, "--check", code=1).out
    assert "  litert               labels.txt is not as it was certified" in said
    assert "  litert-float16       passed" in said


def test_the_others_are_written_where_one_is_refused(run, capsys, monkeypatch):
    write = exporting.write_model
    worse = colour_reader(takes=(1, 2, 0))

    def spoilt(model, path, format, quantise, samples):
        write(worse if quantise == "float16" else model, path, format, quantise, samples)

    monkeypatch.setattr(exporting, "write_model", spoilt)
    (run / "report.html").unlink()  # without one none is written
    said = shown(capsys, run, "--format", "litert", "--quantise", "float16", "none", code=1)
    assert said.err.startswith("error: litert-float16 is not written: its validation accuracy is 0.0000 and that of")
    assert said.err.count("\n") == 1
    assert sorted(path.name for path in (run / "exports").glob("[!.]*")) == ["exports.csv", "litert"]
    assert read_exports(mcv.Run(run))["export"].tolist() == ["keras", "litert"]
    assert not (run / "report.html").exists()


def test_where_all_are_refused_nothing_is_left(run, capsys, monkeypatch):
    one_wrong(monkeypatch)
    page = (run / "report.html").read_bytes()
    said = shown(capsys, run, "--format", "savedmodel", "--margin", "0.3", code=1)
    assert "Expected at most 0.3 less" in said.err and said.out == ""
    assert [path.name for path in (run / "exports").iterdir()] == [".lock"]
    assert (run / "report.html").read_bytes() == page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Expected --format, one of litert, savedmodel, onnx, or --check."),
        (["--check", "--format", "onnx", "--margin", "0.1"], "--check settles what --format, --margin would say"),
        (["--check"], "has no exports. Make one with --format litert."),
        (["--format", "savedmodel", "--quantise", "none", "int8-full"], "int8-full goes with litert alone"),
    ],
)
def test_a_wrong_command_is_one_line_and_writes_nothing(run, capsys, words, said):
    error = shown(capsys, run, *words, code=1).err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(run.glob("exports/[!.]*"))


def test_a_margin_is_a_fraction(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["export", str(run), "--format", "litert", "--margin", "2"])
    assert "expected a number from 0 to 1, not 2" in capsys.readouterr().err
