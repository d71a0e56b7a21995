"""Who suggests the values of the next trial, and by which algorithm."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marinecv.search.folder import Search
    from marinecv.search.kerastuner_engine import KerasTunerEngine
    from marinecv.search.optuna_engine import OptunaEngine

ENGINES = {"kerastuner": ("bayesian", "random", "grid"), "optuna": ("tpe", "random")}
"""Engine -> its algorithms, the default first."""
SHARED = "optuna"  # the engine whose search several processes can work on


def check_engine(engine: str, algorithm: str | None = None) -> None:
    """Raise ValueError where there is no such engine, it has no such algorithm, or it is not installed."""
    if engine not in ENGINES:
        raise ValueError(f"There is no engine {engine!r}. Expected one of {', '.join(ENGINES)}.")
    if algorithm not in (None, *ENGINES[engine]):
        others = [other for other, algorithms in ENGINES.items() if algorithm in algorithms]
        tip = f" {others[0]} has it." if others else ""
        raise ValueError(f"{engine} has no algorithm {algorithm!r}.{tip} Expected one of {', '.join(ENGINES[engine])}.")
    if engine == "optuna":
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise ValueError("Optuna is not installed. Install it with: pip install 'marinecv[optuna]'") from error


def check_workers(engine: str, workers: str | None) -> None:
    """Raise ValueError where several processes are to share the trials of an engine that works in one alone."""
    if workers and engine != SHARED:
        raise ValueError(
            f"{engine} searches in one process alone, so workers cannot share its trials. Expected a search of "
            f'{SHARED}: begin one with engine="{SHARED}", or leave out workers=.'
        )


def settled_engine(engine: str | None, algorithm: str | None, workers: str | None) -> tuple[str, str]:
    """Return engine and algorithm, the default ones where none are named; ValueError where they cannot be."""
    engine = engine or (SHARED if workers else next(iter(ENGINES)))
    check_engine(engine, algorithm)
    check_workers(engine, workers)
    return engine, algorithm or ENGINES[engine][0]


@contextmanager
def open_engine(search: "Search") -> "Iterator[KerasTunerEngine | OptunaEngine]":
    """Open the engine of a search; it knows no trial yet.

    It has `learn(trials)`, which tells it of all trials that it does not know yet; `ask(number)`, the values of the
    next one, or None where there are no others; `watch(trial)`, what each epoch's value is reported to, and which says
    whether to end there; and `shared`, whether several processes may work on the search.
    """
    if search.engine == "optuna":
        from marinecv.search.optuna_engine import OptunaEngine

        with closing(OptunaEngine(search)) as engine:
            yield engine
        return
    from marinecv.search.kerastuner_engine import KerasTunerEngine

    with TemporaryDirectory() as scratch:
        yield KerasTunerEngine(search, Path(scratch))
