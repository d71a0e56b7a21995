"""docs/colab/not_run_here.ipynb. After a change, execute it anew and keep its outputs:

MARINECV_REFRESH_NOTEBOOK=1 python -m pytest -m slow tests/test_docs_colab.py
"""

import ast
import os
from pathlib import Path

import nbformat
import pytest

from marinecv.files.csv_tables import read_table
from marinecv.recipes.registry import RECIPES

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "colab" / "not_run_here.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def settings_of(notebook):
    assigned = ast.parse(notebook.cells[1].source).body
    return {node.targets[0].id: ast.literal_eval(node.value) for node in assigned}


def test_the_notebook_is_a_demonstration_and_names_every_row_that_was_not_run(notebook):
    settings = settings_of(notebook)
    assert settings["DEMONSTRATION"] is True and settings["REPOSITORY"] == ""
    named = {name for names in settings["RECIPES"].values() for name in names}
    assert named <= set(RECIPES) and all(RECIPES[name].model.is_pretrained for name in named)
    for family in ("aquarium_finetune", "animals", "birds"):
        rows = read_table(ROOT / "results" / f"{family}.csv").query("metric == 'accuracy' and ours == ''")
        assert set(rows["recipe"]) <= named


def test_the_notebook_was_executed_without_a_trace_of_the_machine(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert "0 GPU" in str(outputs) and "shortened run" in str(outputs) and "/tmp" not in str(outputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_runs_and_writes_results_of_each_report(notebook, tmp_path):
    from nbclient import NotebookClient

    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", record_timing=False, resources=resources).execute()
    for family in ("aquarium_finetune", "animals", "birds"):
        assert (read_table(tmp_path / "results" / f"{family}.csv")["ours"] != "").any(), family
    assert (tmp_path / "results.zip").is_file()
    if os.environ.get("MARINECV_REFRESH_NOTEBOOK"):
        notebook.metadata["language_info"] = {"name": "python"}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if "WARNING" not in output.get("text", "")]
        nbformat.write(notebook, NOTEBOOK)
