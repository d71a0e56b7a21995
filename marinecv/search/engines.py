"""The engines that suggest the values of the next trial, and their algorithms."""

import importlib.util

ENGINES = {"kerastuner": ("bayesian", "random", "grid"), "optuna": ("tpe", "random")}
"""Engine -> its algorithms, the default first."""
SHARED = "optuna"  # the engine whose search several processes can work on


def check_engine(engine: str, algorithm: str | None = None, workers: str | None = None) -> None:
    """Raise ValueError if there is no such engine or algorithm, it is not installed, or cannot share trials."""
    if engine not in ENGINES:
        raise ValueError(f"There is no engine {engine!r}. Expected one of {', '.join(ENGINES)}.")
    if algorithm not in (None, *ENGINES[engine]):
        raise ValueError(f"{engine} has no algorithm {algorithm!r}. Expected one of {', '.join(ENGINES[engine])}.")
    if engine == "optuna" and importlib.util.find_spec(engine) is None:
        raise ValueError("Optuna is not installed. Install it with: pip install 'marinecv[optuna]'")
    if workers and engine != SHARED:
        raise ValueError(f'{engine} searches in one process. Leave out workers=, or begin one with engine="{SHARED}".')


def settled_engine(engine: str | None, algorithm: str | None, workers: str | None) -> tuple[str, str]:
    """Return engine and algorithm, by default the first; ValueError if they are invalid."""
    engine = engine or (SHARED if workers else next(iter(ENGINES)))
    check_engine(engine, algorithm, workers)
    return engine, algorithm or ENGINES[engine][0]
