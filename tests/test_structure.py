"""Imports between packages and modules, who prints, and what a command is."""

import ast
import importlib
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import marinecv
from marinecv import choices
from marinecv.explain.heatmaps import METHODS
from marinecv.models.normalize import NORMALIZATIONS
from marinecv.training.distribution import BACKENDS
from marinecv.training.trackers import LOGS

LIBRARY = Path(marinecv.__file__).parent
ROOT = LIBRARY.parent
LIBRARY_FILES = sorted(LIBRARY.rglob("*.py"))
COMMANDS = sorted((ROOT / "pipelines" / "commands").glob("[!_]*.py"))
FILES = [*LIBRARY_FILES, *sorted((ROOT / "pipelines").rglob("*.py"))]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
LAYERS = {  # a package or module imports only those with a smaller or equal number
    **dict.fromkeys(("files", "schema", "choices", "language", "environment", "console", "progress"), 0),
    "data": 1,
    "inputs": 2,
    "models": 3,
    "features": 4,
    "audit": 5,
    **dict.fromkeys(("run_records", "runs", "experiments"), 6),
    "training": 7,
    "recipes": 7.5,
    "evaluation": 8,
    "search": 9,
    "explain": 10,
    "export": 11,
    "report": 12,
    "review": 12.5,
    "workflows": 13,
}
LATE = {
    "marinecv/__init__.py marinecv.schema": "`import marinecv` imports no package",
    "marinecv/console.py tensorflow": "takes seconds",
    "marinecv/data/formats.py PIL": "`data list` need not wait for it",
    "marinecv/data/images.py pillow_heif": "of an extra",
    "marinecv/data/find_data.py marinecv.data.demo.dataset": "pandas, for which `data list` need not wait",
    "marinecv/data/download/network.py gdown": "`data list` need not wait for it",
    "marinecv/data/writers/xlsx.py openpyxl": "of an extra",
    "marinecv/data/writers/xlsx.py openpyxl.utils": "of an extra",
    "marinecv/evaluation/calibration.py scipy.optimize": "predict fits no temperature",
    "marinecv/features/out_of_distribution.py sklearn.covariance": "predict fits no distance",
    "marinecv/features/out_of_distribution.py sklearn.decomposition": "predict fits no distance",
    "marinecv/explain/jax_cam.py jax": "of an extra",
    "marinecv/explain/cam.py lime.lime_image": "of an extra",
    "marinecv/explain/cam.py skimage.segmentation": "of an extra",
    "marinecv/export/engines.py onnxruntime": "of an extra",
    "marinecv/export/metadata.py ai_edge_litert": "of an extra",
    "marinecv/export/metadata.py onnx": "of an extra",
    "marinecv/features/inference_engine.py ai_edge_litert.interpreter": "of an extra",
    "marinecv/models/preset.py keras_hub": "of an extra",
    "marinecv/progress.py tqdm.auto": "`--help` need not wait for it",
    "marinecv/review/session.py marinecv.review.heat": "TensorFlow: the page opens without it",
    "marinecv/runs.py marinecv.models.safe_load": "Keras: `runs`, `compare` and early errors read runs without it",
    "marinecv/search/loop.py marinecv.search.optuna_engine": "of an extra",
    "marinecv/training/distribution.py jax.experimental.multihost_utils": "of an extra",
    "marinecv/training/trackers.py wandb": "of an extra",
    "marinecv/workflows/predict.py marinecv.workflows.predictor": "Keras: wrong files are an error before",
    "marinecv/workflows/ray_workers.py ray.data": "of an extra",
    "pipelines/cli.py marinecv.environment": "only for --version",
    "pipelines/options.py marinecv.data.splits.split_catalog": "pandas: only for --split-by, `--help` does not need it",
    "pipelines/options.py marinecv.models.backbone_table": "pandas: only for --backbone list",
}
"""File and what a function of it imports -> why that is not at its top."""


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def below(node, *, inside=None):
    """Every import below a node but those for type checkers, each with the function that it stands in."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        inside = node
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, inside
    for child in ast.iter_child_nodes(node):
        yield from below(child, inside=inside)


def named(node, package):
    """The modules that an import names, and those its names may be, by their full names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
    module = ".".join(filter(None, (base, node.module)))
    return [module, *(f"{module}.{alias.name}" for alias in node.names)]


def package_of(module):
    return module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]


def test_no_module_imports_what_imports_it():
    graph = {}
    for module, path in MODULES.items():
        names = [name for node, _ in below(parsed(path)) for name in named(node, package_of(module))]
        graph[module] = {name for name in names if name in MODULES and not module.startswith(f"{name}.")}
    assert sum(map(len, graph.values())) > 800
    TopologicalSorter(graph).prepare()  # CycleError names a cycle


def wrong_imports(tree, module):
    """What a module of the library must not import: later packages and the command line."""
    wrong = []
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)):
        for name in named(node, module.split(".")[:-1]):
            top, *tail = name.split(".")
            later = top == "marinecv" and tail and LAYERS.get(tail[0], 0) > LAYERS[module.split(".")[1]]
            if later or top in ("pipelines", "run") or name.startswith("marinecv.pipelines"):
                wrong.append(name)
    return wrong


def test_a_package_imports_only_earlier_ones():
    for module, path in MODULES.items():
        if module.startswith("marinecv."):
            assert not wrong_imports(parsed(path), module), module


def test_a_wrong_import_is_found():
    wrong = ["from ..training import recipe", "import marinecv.report.page", "from pipelines import cli"]
    for line in [*wrong, "def late():\n    from marinecv.evaluation import metrics"]:
        assert wrong_imports(ast.parse(line), "marinecv.inputs.pipeline"), line
    right = "import numpy\nfrom marinecv.data.catalog import usable\nfrom . import spec"
    assert not wrong_imports(ast.parse(right), "marinecv.inputs.pipeline")


def test_a_function_imports_only_what_start_up_must_not_wait_for():
    late = [
        f"{path.relative_to(ROOT).as_posix()} {named(node, package_of(module))[0]}"
        for module, path in MODULES.items()
        for node, function in below(parsed(path))
        if function and path not in COMMANDS  # whose `run` imports what `--help` need not wait for
    ]
    assert sorted(late) == sorted(LATE)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_imports_what_is_there(path):
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("marinecv", "pipelines"):
            package = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(package, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_the_library_has_no_command_line_and_prints_only_through_log():
    for path in LIBRARY_FILES:
        assert not re.search(r"\bargparse\b|\bNamespace\b", path.read_text(encoding="utf-8")), path
        nodes = list(ast.walk(parsed(path)))
        calls = {getattr(node.func, "id", "") for node in nodes if isinstance(node, ast.Call)}
        names = {getattr(node, "id", "") for node in nodes}
        assert "print" not in (calls if "workflows" in path.parts else names), path  # workflows have `log=print`


def test_choices_are_those_that_are_known_and_are_written_once():
    assert (tuple(METHODS), tuple(LOGS)) == (choices.HEAT_METHODS, choices.TRACKERS)
    assert (tuple(NORMALIZATIONS), tuple(BACKENDS)) == (choices.NORMALIZATIONS, choices.DISTRIBUTED)
    known = {frozenset(words): name for name, words in vars(choices).items() if isinstance(words, tuple)}
    for path in {*FILES} - {LIBRARY / "choices.py"}:
        for node in ast.walk(parsed(path)):
            words = getattr(node, "elts", []) if isinstance(node, ast.Tuple | ast.List | ast.Set) else []
            name = known.get(frozenset(getattr(word, "value", None) for word in words))
            assert name is None, f"{path}:{node.lineno} repeats {name}"


LONG = {"recipes.py": 125, "data.py": 68}
"""Commands that print tables of their own, with `list` and `show`; and their lines."""


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_is_flags_and_one_call(path):
    tree = parsed(path)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    flags = functions["add_arguments"]
    others = {line for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text.strip()}
    others -= set(range(flags.lineno, flags.end_lineno + 1))
    assert "run" in functions and len(others) <= LONG.get(path.name, 60)
    if path.name not in LONG:
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.While | ast.With | ast.Try | ast.ClassDef)]
