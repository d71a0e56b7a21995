"""Run Ray during a block: on the cluster that RAY_ADDRESS names, or on this machine alone."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from marinecv import console

SHARED_ENVIRONMENT = ("MARINECV_", "KERAS_", "TF_")  # environment variables that every worker gets
RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
CONNECT_TIMEOUT_S = 10


def import_ray() -> ModuleType:
    """Import Ray without its console output and return it."""
    for name, value in RAY_ENVIRONMENT.items():
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
def ray_workers(most: int) -> Iterator[tuple[int, dict[str, int]]]:
    """Join or start Ray for at most `most` workers; yield their number and what each reserves: a GPU, else a CPU.

    An error in a worker is raised here. A worker has all threads of its machine, since the last digits of a result
    depend on the number of threads of TensorFlow, and must be those of a single process.
    """
    ray = import_ray()
    address = os.environ.get("RAY_ADDRESS", "local")
    check_cluster_answers(address)
    resources = {"num_cpus": os.cpu_count(), "include_dashboard": False} if address == "local" else {}
    environment = {name: value for name, value in os.environ.items() if name.startswith(SHARED_ENVIRONMENT)}
    environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))  # else Ray would set it
    try:
        with keep_sigterm_handler(), console.silence():
            logs = {"log_to_driver": False, "logging_level": logging.CRITICAL}
            ray.init(address, runtime_env={"env_vars": environment}, **logs, **resources)
    except (ray.exceptions.RayError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise OSError(f"Ray at {address} cannot be joined: {reason} Expected the same Ray and Python there.") from error
    try:
        resources = ray.cluster_resources()
        kind = "GPU" if resources.get("GPU", 0) >= 1 else "CPU"
        yield max(1, min(most, int(resources.get(kind, 1)))), {f"num_{kind.lower()}s": 1}
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise OSError(f"Ray gave up: {str(error).strip().splitlines()[-1].strip()}") from error
    finally:
        ray.shutdown()


def check_cluster_answers(address: str) -> None:
    """Raise OSError where no cluster answers at a host and port, since Ray itself would wait for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise OSError(f"No Ray cluster answers at RAY_ADDRESS={address} ({error}). Start or unset it.") from error


@contextmanager
def keep_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray would replace for the whole process."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)
