"""List every `raise` that no test reached: `python tests/raises.py coverage.json`; the exit code is 1 if there is one.

Make the report first, of both parts of the tests: `python -m pytest --cov=marinecv`, then
`python -m pytest -m slow --cov=marinecv --cov-append --cov-report=json:coverage.json`.
"""

import ast
import json
import sys
from pathlib import Path


def raises(source: str) -> list[int]:
    """Return the line of every `raise` of a source, a bare one within `except` too."""
    return sorted(node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise))


def unreached(report: dict, folder: Path) -> list[str]:
    """Return `file:line: source` of every `raise` below a folder that a report of `coverage json` has not as executed.

    A file that the report does not name was never imported, so nothing of it was reached.
    """
    executed = {Path(path).resolve(): set(facts["executed_lines"]) for path, facts in report["files"].items()}
    found = []
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        missed = set(raises(source)) - executed.get(path.resolve(), set())
        found += [f"{path}:{line}: {source.splitlines()[line - 1].strip()}" for line in sorted(missed)]
    return found


def main(argv: list[str]) -> int:
    """Print what no test reached and return the exit code."""
    found = unreached(json.loads(Path(argv[0]).read_text(encoding="utf-8")), Path("marinecv"))
    print(*found, f"{len(found)} raise statements were reached by no test", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
