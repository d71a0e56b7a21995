"""Ray for the time of a block: the cluster that RAY_ADDRESS names, or this machine alone."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from marinecv import console

TRAVELLING = ("MARINECV_", "KERAS_", "TF_")  # what begins so in the environment is the same for every worker
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
ANSWER_S = 10


@dataclass(frozen=True)
class Workers:
    """How many there are, and what each of them reserves of a machine, in Ray's words."""

    count: int
    each: dict[str, int]


def import_ray() -> ModuleType:
    """Import Ray, without its remarks, and return it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # this process leaves GPUs to the workers
    try:
        import ray.data
    except ImportError as error:
        raise ValueError("Ray is not installed. Install it with: pip install 'marinecv[ray]'") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.raise_original_map_exception = True
    return ray


@contextmanager
def ray_workers(most: int) -> Iterator[Workers]:
    """Join or start Ray for `most` workers, and leave or end it; what one raises is raised as if it were done here.

    A worker has a GPU where there are any, else a CPU. Its threads are not limited to that: the last digits of a
    result depend on how many threads TensorFlow has, and they are to be those of one process alone.
    """
    ray = import_ray()
    address = os.environ.get("RAY_ADDRESS", "local")
    check_answer(address)
    resources = {"num_cpus": os.cpu_count()} if address == "local" else {}
    environment = {name: value for name, value in os.environ.items() if name.startswith(TRAVELLING)}
    environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))  # else Ray would set it
    try:
        with own_sigterm(), console.silence():
            ray.init(
                address,
                include_dashboard=False if resources else None,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                runtime_env={"env_vars": environment},
                **resources,
            )
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise OSError(
            f"Ray at {address} cannot be joined: {str(error).splitlines()[0]} Expected the same Ray and Python there, "
            "and its token where it asks for one."
        ) from error
    try:
        there = ray.cluster_resources()
        kind = "GPU" if there.get("GPU", 0) >= 1 else "CPU"
        yield Workers(count=max(1, min(most, int(there.get(kind, 1)))), each={f"num_{kind.lower()}s": 1})
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise OSError(f"Ray gave up: {str(error).strip().splitlines()[-1].strip()}") from error
    finally:
        ray.shutdown()


def check_answer(address: str) -> None:
    """Knock at a cluster whose host and port are known, for Ray itself would wait for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise OSError(
            f"RAY_ADDRESS is {address}, and no Ray cluster answers there ({error}). Start one there with ray start "
            "--head, or unset RAY_ADDRESS to use this machine alone."
        ) from error


@contextmanager
def own_sigterm() -> Iterator[None]:
    """Take back what is done on SIGTERM, which Ray would settle for the whole process."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)
