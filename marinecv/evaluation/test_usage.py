"""How often the test images of a split were evaluated. Each evaluation makes selection on test easier."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from marinecv.language import tr
from marinecv.runs import Run

# A line of log.txt that `Run.note` wrote, unless it is about images from elsewhere.
_EVALUATION = re.compile(r"^\S+ \S+  test evaluation(?!: evaluate on )", re.MULTILINE)
_MARKER_FILES = ("recipe.json", "experiment.json", "search.json")


def count_test_evaluations(run: Run) -> dict:
    """Count the test evaluations of a run's split, by the run and by all runs of its output folder.

    An evaluation is a line "test evaluation" in a `log.txt`. The output folder holds the run, or the outermost
    experiment or search that it belongs to; its runs with the same `split_sha256` count, without a hash only this one.
    Returns `evaluations`, `runs` (with an evaluation), `split_sha256` and a `sentence`.
    """
    split = _split(run)
    others = (other for other in _runs_beside(run.folder) if split and _split(other) == split)
    same = {each.folder.resolve(): each.path("log.txt") for each in (run, *others)}
    logs = [log.read_text(encoding="utf-8", errors="replace") for log in same.values() if log.is_file()]
    counts = [count for log in logs if (count := len(_EVALUATION.findall(log)))]
    images = tr("The test images of this split (hash {hash})", hash=split[:8]) if split else tr("The test images")
    sentence = tr("{images} were not evaluated yet.", images=images)
    if counts:
        evaluations, runs = sum(counts), len(counts)
        times = tr("once") if evaluations == 1 else tr("{n} times", n=evaluations)
        runs = tr("1 run") if runs == 1 else tr("{n} runs", n=runs)
        sentence = (
            "{images} were evaluated {times}, by {runs} in this folder; each evaluation makes it easier to select on "
            "test, and the test score less certain."
        )
        sentence = tr(sentence, images=images, times=times, runs=runs)
    return {"evaluations": sum(counts), "runs": len(counts), "split_sha256": split, "sentence": sentence}


def evaluated_elsewhere(run: Run) -> bool:
    """Return whether a run was evaluated on images of another source."""
    log = run.path("log.txt")
    return log.is_file() and ": evaluate on " in log.read_text(encoding="utf-8", errors="replace")


def _split(run: Run) -> str:
    with suppress(ValueError):  # a run beside it may be broken or unfinished
        return run.preprocessing.split_sha256
    return ""


def _runs_beside(folder: Path) -> Iterator[Run]:
    """Yield the runs of the output folder: its subfolders, and theirs where they are runs, experiments or searches."""
    folder = folder.resolve()
    outermost = [above for above in (folder, *folder.parents[:2]) if _is_marked(above)][-1]
    for beside in filter(_is_marked, outermost.parent.iterdir()):
        yield from (Run(child) for child in (beside, *beside.iterdir()) if os.path.isfile(child / "recipe.json"))


def _is_marked(folder: Path) -> bool:
    return any(os.path.isfile(folder / mark) for mark in _MARKER_FILES)  # False too for what must not be read
