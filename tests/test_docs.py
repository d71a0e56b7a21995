"""What the documentation names must be there."""

import ast
import importlib
import re
from pathlib import Path

from pipelines.command_line import main

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


def test_the_tables_of_results_say_what_the_command_recipes_says(capsys):
    assert main(["recipes"]) == 0
    said, name = {}, ""
    for line in capsys.readouterr().out.splitlines():
        if not line.startswith(" "):
            name = line.split()[0]
        elif found := re.match(r" +(validation|test) .*ours (\S+) \(n=\d+, seeds (\S+) to ([\d.]+)\)", line):
            split, ours, low, high = found.groups()
            said.setdefault((name, split), f"{ours} ({low} to {high})" if low != high else ours)
    checked, columns = set(), []
    for line in (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("*", "") for cell in line.strip("|").split("|")]
        if cells[0] == "recipe":
            columns = [i for i, cell in enumerate(cells) if cell.startswith(("ours", "validation (range"))]
        splits = ("validation", "test")
        for split, i in zip(splits, columns if (cells[0], "validation") in said else (), strict=False):
            expected = said.get((cells[0], split), "-")
            if re.search(r"95%|n=", cells[i]):  # of one seed the interval over its images stands there
                assert cells[i].split()[0] == expected, (cells[0], split)
            else:
                assert cells[i] == expected, (cells[0], split)
            checked.add(cells[0])
    assert len(checked) > 10


def test_the_readme_names_the_files_that_a_run_leaves(finished_run):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = text[text.index("## What a run leaves") :].split("\n\n")[1].split()
    left = {path.name for path in finished_run.iterdir() if path.is_file() and path.name != ".lock"}
    assert left - {name for name in listed if "/" not in name} == set()
