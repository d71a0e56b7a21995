"""How often the test images of a split were looked at: each look makes choosing by them easier."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from marinecv.runs import Run

# A line of log.txt; a look at other images than the run's own is none at its test split.
_LOOK = re.compile(r"^\S+ \S+  looked at test(?!: evaluate on )", re.MULTILINE)
_MARKS = ("recipe.json", "study.json", "search.json")


def looks_at_test(run: Run) -> dict:
    """Count the looks at the test images of a run's split, by it and by all runs of its output folder.

    A look is a line "looked at test" in a `log.txt`. The output folder is where the run lies, or the outermost study or
    search that it belongs to; every run there whose split has the same hash counts, of a contract without hash this one
    alone. Returns `looks`, `runs` (how many looked), `split_sha256` and a `sentence`.
    """
    split = _split(run)
    beside = _runs_beside(run.folder) if split else ()
    same = {place.folder.resolve(): place for place in (run, *beside) if _split(place) == split}
    looks = [found for found in map(_looks_of, same.values()) if found]
    found = {"looks": sum(looks), "runs": len(looks), "split_sha256": split}
    return {**found, "sentence": _sentence(**found)}


def _split(run: Run) -> str:
    try:
        return run.contract.split_sha256
    except ValueError:  # of a neighbour that is broken or not made yet nothing is known
        return ""


def _looks_of(run: Run) -> int:
    log = run.path("log.txt")
    return len(_LOOK.findall(log.read_text(encoding="utf-8", errors="replace"))) if log.is_file() else 0


def _runs_beside(folder: Path) -> Iterator[Run]:
    """The runs of the output folder that a run lies in: its direct children, and theirs where they are marked."""
    folder = folder.resolve()
    outermost = [place for place in (folder, *folder.parents[:2]) if _is_marked(place)][-1]
    for place in filter(_is_marked, outermost.parent.iterdir()):
        for child in (place, *place.iterdir()):
            if os.path.isfile(child / "recipe.json"):
                yield Run(child)


def _is_marked(folder: Path) -> bool:
    return any(os.path.isfile(folder / mark) for mark in _MARKS)  # what must not be read is none of ours


def _sentence(looks: int, runs: int, split_sha256: str) -> str:
    which = f" of this split (hash {split_sha256[:8]})" if split_sha256 else ""
    if not looks:
        return f"The test images{which} were not looked at yet."
    times = "once" if looks == 1 else f"{looks} times"
    who = f"{runs} runs" if runs > 1 else "1 run"
    return (
        f"The test images{which} were looked at {times}, by {who} in this folder; each look makes choosing by them "
        "easier and their figure less certain."
    )
