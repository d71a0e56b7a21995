"""docs/quickstart.ipynb. After a change, execute it anew and keep its outputs:

MARINECV_REFRESH_NOTEBOOK=1 python -m pytest -m slow tests/test_notebook.py
"""

import ast
import json
import os
import re
from pathlib import Path

import nbformat
import pytest

import marinecv as mcv

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "quickstart.ipynb"
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
METADATA["language_info"] = {"name": "python"}
MACHINE_PATH = re.compile(r"/(tmp|work|root|home|Users|usr|opt|var|content)\b|[A-Z]:\\\\|site-packages")
MAX_BYTES = 300_000
IMPORTS = ("import keras", "import matplotlib.pyplot as plt", "import marinecv as mcv")


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def tidy(notebook):
    """Keep what a reader wants of an execution: no times, no paths, no chatter of TensorFlow's start."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    for cell in code_cells(notebook):
        kept = []
        for output in cell.outputs:
            if output.get("name") == "stderr":
                continue
            if kept and output.output_type == "stream" == kept[-1].output_type:
                kept[-1].text += output.text
                continue
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            kept.append(output)
        cell.outputs = kept
    return notebook


def test_notebook_uses_public_names_only(notebook):
    used = set()
    for cell in code_cells(notebook):
        source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert ast.unparse(node) in IMPORTS
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mcv":
                used.add(node.attr)
    assert len(used) > 15 and used <= set(mcv.__all__)


def test_notebook_is_small_and_was_executed_from_top_to_bottom_without_a_trace_of_the_machine(notebook):
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < MAX_BYTES and notebook.metadata == METADATA
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(cell.metadata for cell in notebook.cells)
    for output in outputs_of(notebook):
        assert output.output_type != "error" and output.get("name") != "stderr"
        shown = {kind: content for kind, content in output.get("data", {}).items() if not kind.startswith("image/")}
        text = json.dumps([output.get("text", ""), shown])
        assert not MACHINE_PATH.search(text) and "WARNING" not in text, text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_runs(notebook, tmp_path):
    from nbclient import NotebookClient

    kinds = [[output.output_type for output in cell.outputs] for cell in code_cells(notebook)]
    mcv.find_data("reef", log=lambda line: None)  # so that the notebook does not generate them
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", record_timing=False, resources=resources).execute()
    tidy(notebook)
    if os.environ.get("MARINECV_REFRESH_NOTEBOOK"):
        nbformat.write(notebook, NOTEBOOK)
        return
    figures = [output for output in outputs_of(notebook) if "image/png" in output.get("data", {})]
    shown = [[output.output_type for output in cell.outputs] for cell in code_cells(notebook)]
    assert len(figures) == 4 and shown == kinds, "execute it anew: see the head of this file"
