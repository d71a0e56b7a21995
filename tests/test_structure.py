"""How the modules hang together: who imports what and where, who prints, and what a command is."""

import ast
import re
from pathlib import Path

import pytest

import marinecv

LIBRARY = Path(marinecv.__file__).parent
ROOT = LIBRARY.parent
LIBRARY_FILES = sorted(LIBRARY.rglob("*.py"))
COMMANDS = sorted((ROOT / "pipelines" / "commands").glob("[!_]*.py"))
FILES = [*LIBRARY_FILES, *sorted((ROOT / "pipelines").rglob("*.py"))]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
LATE = {
    "marinecv/__init__.py marinecv.schema": "`import marinecv` imports no package",
    "marinecv/console.py tensorflow": "takes seconds",
    "marinecv/data/locate.py marinecv.data.demo.dataset": "pandas, for which `data list` need not wait",
    "marinecv/data/network.py gdown": "`data list` need not wait for it",
    "marinecv/explain/jax_cam.py jax": "of an extra",
    "marinecv/explain/superpixels.py lime.lime_image": "of an extra",
    "marinecv/explain/superpixels.py skimage.segmentation": "of an extra",
    "marinecv/export/engines.py onnxruntime": "of an extra",
    "marinecv/features/engine.py ai_edge_litert.interpreter": "of an extra",
    "marinecv/progress.py tqdm.auto": "`--help` need not wait for it",
    "marinecv/runs.py marinecv.models.load": "Keras: `runs`, `compare` and early errors read runs without it",
    "marinecv/search/loop.py marinecv.search.optuna_engine": "of an extra",
    "marinecv/training/distribution.py jax.experimental.multihost_utils": "of an extra",
    "marinecv/training/trackers.py wandb": "of an extra",
    "marinecv/workflows/predict.py marinecv.workflows.predictor": "Keras: what is wrong with files is said before",
    "marinecv/workflows/ray_workers.py ray.data": "of an extra",
    "pipelines/cli.py marinecv.environment": "only --version asks for it",
    "pipelines/options.py marinecv.data.splits": "pandas: only --split-by asks for it, `--help` does not",
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


def cycles(graph):
    """Groups of nodes that reach each other, by Tarjan's algorithm."""
    order, low, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
            low[node] = min(low[node], low[other]) if other in stack else low[node]
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.extend([sorted(group)] if len(group) > 1 or node in graph[node] else [])

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_no_module_imports_what_imports_it():
    graph = {}
    for module, path in MODULES.items():
        names = [name for node, _ in below(parsed(path)) for name in named(node, package_of(module))]
        graph[module] = {name for name in names if name in MODULES and not module.startswith(f"{name}.")}
    assert not cycles(graph)
    assert sum(map(len, graph.values())) > 1000


def test_a_cycle_is_seen():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e"}}) == [["a", "b", "c"], ["e"]]


def test_the_library_knows_no_command_line():
    known = re.compile(r"\bargparse\b|\bNamespace\b")
    assert not [path for path in LIBRARY_FILES if known.search(path.read_text(encoding="utf-8"))]


def test_a_function_imports_only_what_start_up_must_not_wait_for():
    late = []
    for module, path in MODULES.items():
        if path in COMMANDS:  # whose `run` imports what `--help` need not wait for
            continue
        for node, function in below(parsed(path)):
            if function:
                late.append(f"{path.relative_to(ROOT).as_posix()} {named(node, package_of(module))[0]}")
    assert sorted(late) == sorted(LATE) and len(late) <= 20


def test_the_library_prints_nothing_by_itself():
    talking = [LIBRARY / "console.py", LIBRARY / "progress.py"]
    for path in LIBRARY_FILES:
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        printed = [node.lineno for node in calls if getattr(node.func, "id", "") == "print"]
        assert not printed or path in talking, f"{path}:{printed}"


def test_what_makes_a_row_usable_stands_in_one_file():
    of_problem = re.compile(r"""\[["']problem["']\]\s*[!=]=\s*["']["']|\.problem\s*[!=]=\s*["']["']""")
    script = LIBRARY / "recipes" / "keras_script.py"  # writes a script without marinecv
    found = {path for path in FILES if path != script and of_problem.search(path.read_text(encoding="utf-8"))}
    assert found == {LIBRARY / "data" / "user_tables.py"}


LONG = {"recipes.py": 125, "data.py": 62}
"""Commands that print tables of their own, with `list` and `show`; and their lines."""


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_is_flags_and_one_call(path):
    tree = parsed(path)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert {"add_arguments", "run"} <= {function.name for function in functions}
    [flags] = [node for node in functions if node.name == "add_arguments"]
    others = {line for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text.strip()}
    others -= set(range(flags.lineno, flags.end_lineno + 1))
    assert len(others) <= LONG.get(path.name, 60)
    if path.name not in LONG:
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.While | ast.With | ast.Try | ast.ClassDef)]
        used = {alias.name for node, inside in below(tree) if inside for alias in node.names}
        used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.value == "mcv"}
        assert len(used) <= 8
