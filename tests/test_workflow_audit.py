"""`mcv.audit` from Python: one call to the findings, one to the page, of a folder or a catalog."""

import pandas as pd
import pytest

import marinecv as mcv
from marinecv.tables import read_table
from pipelines.cli import main


def test_a_folder_is_audited_in_one_call_and_its_page_written_in_another(
    roboflow_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (roboflow_folder / "train" / "crab_train_0.jpg").write_bytes(b"not an image")
    audit = mcv.audit(roboflow_folder, log=None)
    assert not (tmp_path / "runs").exists()
    broken = audit.findings.set_index("finding").loc["files that cannot be read"]
    assert broken["serious"] and audit.findings["serious"].is_monotonic_decreasing
    assert broken["line"].startswith("files that cannot be read: 1 of 12 images.") and broken["line"] in repr(audit)
    assert audit.findings["serious"].dtype == bool and set(audit.cases["finding"]) <= set(audit.findings["finding"])
    assert len(audit.catalog) == 12 and len(audit.boxes) == 17 and audit.leak["n"] > 0
    assert audit.summary.startswith("12 images, 3 classes; 1 cannot be used.") and "each decoded" in audit.looked_at
    page = audit.report()
    assert page.parent.name == "audit-tank-1" and audit.report().parent.name == "audit-tank-2"
    assert read_table(page.parent / "findings.csv")["what"].tolist() == audit.findings["what"].tolist()
    said = capsys.readouterr()
    assert said.out == said.err == ""
    assert main(["audit", "--data-dir", str(roboflow_folder), "--output-dir", str(tmp_path / "shell")]) == 0
    assert (tmp_path / "shell" / "report.html").read_text() == page.read_text()
    shown = capsys.readouterr().out
    assert all(line in shown for line in audit.findings["line"]) and audit.summary in shown


def test_a_catalog_is_audited_without_boxes_into_the_folder_that_is_named(roboflow_folder, tmp_path):
    catalog = mcv.read_catalog(mcv.locate(data_dir=roboflow_folder))
    lines = []
    audit = mcv.audit(catalog, folder=tmp_path / "page", limit=2, log=lines.append)
    assert (tmp_path / "page").is_dir() and "limit=2 keeps the 2 largest of 3 classes" in lines
    assert len(audit.catalog) == 6 and audit.boxes.empty and "label_flips" not in audit.tables
    assert audit.report() == tmp_path / "page" / "report.html" and audit.report().is_file()


def test_what_it_refuses(roboflow_folder, tmp_path):
    with pytest.raises(ValueError, match="exists and is not empty"):
        mcv.audit(roboflow_folder, folder=roboflow_folder, log=None)
    with pytest.raises(ValueError, match='Expected frames to be one of .*Did you mean "number"?'):
        mcv.audit(roboflow_folder, frames="numbers", log=None)
    with pytest.raises(ValueError, match="limit"):
        mcv.audit(roboflow_folder, limit=0, log=None)
    with pytest.raises(ValueError, match="There is no|is no folder"):
        mcv.audit(tmp_path / "nowhere", log=None)
    with pytest.raises(ValueError, match="The catalog lacks the column"):
        mcv.audit(pd.DataFrame({"path": ["a.jpg"]}), log=None)
