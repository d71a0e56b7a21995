"""Who suggests the values of the next trial, and by which algorithm."""

import importlib.util

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
    if engine == "optuna" and importlib.util.find_spec(engine) is None:
        raise ValueError("Optuna is not installed. Install it with: pip install 'marinecv[optuna]'")


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
