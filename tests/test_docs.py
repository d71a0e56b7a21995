"""What the documentation names must be there."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import marinecv as mcv
from marinecv.export.readme import readme
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.run_records import Preprocessing
from pipelines.cli import Parser
from pipelines.commands.recipes import RECIPES, RESULTS, read_accuracies, recipe_lines

ROOT = Path(__file__).resolve().parents[1]


def read(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_row_of_the_page_on_reliability_names_a_test_that_exists():
    text = read("reliability.md")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| fault: ")]
    assert rows and all("`test_" in row or "`benchmarks/" in row for row in rows)
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", text)
    assert len(named) > 100
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_the_page_on_the_reports_is_what_its_functions_write(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    reports = importlib.import_module("reports")
    assert read("reports.md") == reports.page()
    assert read("results.md").partition(reports.HEADING)[2].startswith(f"{reports.without_result()}\n\n")


def test_the_page_on_statistics_has_every_quantity_that_was_simulated(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    coverage = importlib.import_module("interval_coverage")
    table = pd.read_csv(coverage.RESULTS)
    assert set(table["quantity"]) == set(coverage.SIMULATIONS)
    text = read("statistics.md")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for quantity, cell in coverage.page_cells(table).items():
        assert [row.endswith(f" | {cell} |") for row in rows if row.startswith(f"| {quantity}")] == [True], quantity
    notes = text[text.index("## What the simulations say") :]
    wrong = (table["measure"] == coverage.HELD) & (table["measured"] < 0.93) | (table["high"] < 0.95)
    assert all(f"{row.measured:.3f}" in notes for row in table[wrong & (table["nominal"] == 0.95)].itertuples())


def test_the_page_on_estimates_has_the_rows_that_were_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    simulation = importlib.import_module("estimate")
    table = pd.read_csv(simulation.RESULTS)
    is_real = table["design"].str.contains("real images")
    assert set(table["design"][~is_real]) == set(simulation.DESIGNS) and (table["simulations"][~is_real] == 1000).all()
    assert is_real.any() and set(simulation.ON_PAGE) <= set(simulation.DESIGNS)
    rows = simulation.page_rows(table[is_real | table["design"].isin(simulation.ON_PAGE)])
    assert [line for line in read("estimate.md").splitlines() if line in rows] == rows


def test_the_tables_of_results_say_what_the_command_recipes_says():
    said, measured = {}, read_accuracies(RESULTS)
    pattern = r" +(validation|test) .*ours (\S+) \(n=\d+, seeds (\S+) to ([\d.]+)\) ?([a-z ]*)"
    for name, recipe in RECIPES.items():
        for line in "\n".join(recipe_lines(recipe, measured)).splitlines():
            if found := re.match(pattern, line):
                split, ours, low, high, verdict = found.groups()
                said.setdefault((name, split), (f"{ours} ({low} to {high})" if low != high else ours, verdict or "-"))
    rows_checked, header, columns = set(), [], []
    for line in read("results.md").splitlines():
        cells = [cell.strip(" \N{DAGGER}").replace("*", "") for cell in line.strip("|").split("|")]
        if cells[0] == "recipe":
            header = cells
            columns = [i for i, cell in enumerate(cells) if cell.startswith(("ours", "validation (range"))]
        splits = ("validation", "test")
        for split, i in zip(splits, columns if (cells[0], "validation") in said else (), strict=False):
            expected, verdict = said.get((cells[0], split), ("-", "-"))
            of_one_seed = re.search(r"95%|n=", cells[i])  # where the interval over its images follows
            assert (cells[i].split()[0] if of_one_seed else cells[i]) == expected, (cells[0], split)
            assert header[i + 1 : i + 2] != ["verdict"] or cells[i + 1] == verdict, (cells[0], split)
            rows_checked.add(cells[0])
    assert len(rows_checked) > 10


def test_the_page_on_tasks_names_the_files_that_a_run_leaves(finished_run):
    text = read("howto.md")
    listed = text[text.index("## What a run leaves") :].split("\n\n")[1].split()
    left = {path.name for path in finished_run.iterdir() if path.is_file() and path.name != ".lock"}
    assert left - {name for name in listed if "/" not in name} == set()


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_to_files_that_are_there(page):
    for link in LINK.findall(without_code(PAGES[page])):
        assert (ROOT / page).parent.joinpath(link).exists(), link


def test_every_page_is_in_the_navigation_of_the_site():
    config = yaml.safe_load((ROOT / ".ci" / "mkdocs.yml").read_text(encoding="utf-8"))
    in_nav = re.findall(r"[\w/]+\.md", str(config["nav"]))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert {page for page in pages if not page.startswith("ci/")} == {*in_nav}
    assert len(in_nav) == len({*in_nav})


def test_the_reference_has_every_public_name_once():
    names = re.findall(r"^::: (marinecv\.[\w.]+)$", read("reference.md"), re.MULTILINE)
    assert sorted(name.rpartition(".")[2] for name in names) == mcv.__all__
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute) is getattr(mcv, attribute)


def test_commands_on_the_pages_have_the_flags_that_stand_there():
    commands = 0
    for page, text in PAGES.items():
        lines = "\n".join(re.findall(r"```(?!python|json)\w*\n(.*?)```", text, re.DOTALL)).splitlines()
        lines += re.findall(r"(?<!`)`(marinecv [a-z][^`\n]*)`", text)
        for line in lines:
            words = line.strip().removeprefix("!").partition(" #")[0].split(" > ")[0].split()
            if words[:1] == ["marinecv"] or words[:2] == ["python", "run.py"]:
                words = words[1 if words[0] == "marinecv" else 2 :]
                assert {word for word in words if word.startswith("--")} <= flags_of(words[0]), (page, line)
                commands += 1
    assert commands > 60


def flags_of(command):
    parser = Parser()
    importlib.import_module(f"pipelines.commands.{command.replace('-', '_')}").add_arguments(parser)
    return {*parser.flags()}


def test_the_pages_name_public_names_alone_and_import_the_others():
    for page, text in PAGES.items():
        assert set(re.findall(r"\bmcv\.(\w+)", text)) <= set(mcv.__all__), page


@pytest.mark.parametrize(
    "block", [block for text in PAGES.values() for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
)
def test_python_on_the_pages_calls_what_is_there_with_arguments_that_it_takes(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("marinecv"):
            assert all(hasattr(importlib.import_module(node.module), name.name) for name in node.names)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("mcv."):
            parameters = inspect.signature(getattr(mcv, node.func.attr)).parameters
            assert {word.arg for word in node.keywords} <= {*parameters} or "settings" in parameters, ast.unparse(node)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """40 images of all sizes, some larger than a letterbox of 1024 px, rotated or gray, most with odd sides."""
    folder, rng, paths = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for number in range(40):
        long = 1400 if number % 13 == 0 else rng.integers(30, 500)
        height, width = rng.permutation([long, long * 2 // 3 + number % 3])
        blocks = Image.fromarray(rng.integers(0, 256, (rng.integers(2, 60), rng.integers(2, 60), 3), dtype=np.uint8))
        picture = blocks.resize((int(width), int(height)), Image.Resampling.NEAREST)
        exif = Image.Exif()
        exif[0x0112] = 1 + number % 8
        format = {"exif": exif} if number % 4 == 1 else {"quality": 70} if number % 4 else {"progressive": True}
        paths.append(folder / (f"{number}.png" if number % 10 == 9 else f"{number}.jpg"))
        (picture.convert("L") if number % 6 == 5 else picture).save(paths[-1], **format)
    return paths


def load_of_the_readme(spec):
    """The function of the README of an export, which has Pillow and NumPy alone, and no more than a dozen lines."""
    about = Preprocessing(class_names=("crab", "eel"), image=spec, demonstration=False)
    text = readme("onnx", "onnx", about, {"accuracy": {"value": 1.0, "n": 3}, "resize": False, "tolerance": 0.02}, {})
    code = re.search(r"```python\n(import numpy as np\nfrom PIL .*?)```", text, re.DOTALL)[1]
    assert set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE)) == {"numpy", "PIL"}
    assert len(code.partition("def load")[2].strip().splitlines()) <= 16
    names = {}
    exec(code, names)
    return names["load"]


@pytest.mark.parametrize(
    "geometry",
    [{"letterbox_px": None}, {"letterbox_px": 1024}, {"letterbox_px": None, "antialias": True}]
    + [{"letterbox_px": 1024, "antialias": True}, {"fit": "stretch", "letterbox_px": None}],
)
def test_who_follows_the_readme_of_an_export_with_pillow_alone_gets_the_same_answers(finished_run, photos, geometry):
    spec, model = mcv.ImageSpec(height=32, width=32, **geometry), mcv.Run(finished_run).load_model()
    ours, problems = read_pixels([str(path) for path in photos], spec)
    theirs = np.concatenate([load_of_the_readme(spec)(path) for path in photos])
    assert len(photos) == 40 and not problems and theirs.dtype == np.float32 and abs(theirs - ours).max() <= 1
    one, other = (model.predict(pixels.astype(np.float32), verbose=0) for pixels in (ours, theirs))
    assert (one.argmax(axis=1) == other.argmax(axis=1)).all() and abs(one - other).max() < 0.005
