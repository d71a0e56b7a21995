"""What the documentation names must be there."""

import ast
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_test_that_the_page_on_reliability_names_exists():
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"))
    assert len(named) > 100
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_row_on_reliability_names_what_shows_it():
    lines = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| fault |")]
    assert rows and all("`test_" in row or "`benchmarks/" in row for row in rows)


def test_the_page_on_the_reports_is_what_its_functions_write(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    reports = importlib.import_module("reports")
    assert (ROOT / "docs" / "reports.md").read_text(encoding="utf-8") == reports.page()


def test_every_function_that_the_page_on_the_reports_names_is_tested():
    text = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    verdicts = re.findall(r"\*Verdict:[^*]+\*\s+\(([^)]+)\)", text)
    named = {name for names in verdicts for name in re.findall(r"`(\w+)`", names)}
    kinds = ("claims", "intervals", "published")
    tests = "".join((ROOT / "tests" / f"test_evaluation_{kind}.py").read_text(encoding="utf-8") for kind in kinds)
    assert len(named) > 15
    assert all(re.search(rf"\b{name}\(", tests) for name in named)
