"""A Ray of this process of tests, small enough to run several beside each other."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ray
from ray import serve


class SmallRay(NamedTuple):
    """Its folder, with logs, and the port of 127.0.0.1 where Prometheus reads it, new twice a second."""

    folder: Path
    metrics_port: int


@contextmanager
def small_ray() -> Iterator[SmallRay]:
    """Lends the Ray of this process, started where it does not run yet; ends whatever Serve ran on it."""
    yield _started()
    serve.shutdown()


_running: SmallRay | None = None


def _started() -> SmallRay:
    """Starts it once; it ends with the process.

    Ray's library ends a whole process, without a word, where a thread still uses it while `ray.shutdown` is
    under way, and Serve's handles have threads.
    """
    global _running
    if _running is not None:
        return _running
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Serve kills a proxy that takes longer to start; by default that is 5 s, which a machine under load may
    # not keep either.
    os.environ["RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"] = "60"
    # Ray's sockets lie below it, and their paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix="vwt-ray-", dir="/tmp"))
    atexit.register(_end, folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    settings = {"num_cpus": 4, "object_store_memory": 200 * 2**20, "_metrics_export_port": port}
    settings |= {"include_dashboard": False, "log_to_driver": False, "_temp_dir": str(folder)}
    settings |= {"_system_config": {"metrics_report_interval_ms": 500}}
    try:
        ray.init("local", **settings)
    except Exception as error:
        # Ray gives its raylet 30 seconds, which a machine under load may not keep.
        if "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        ray.init("local", **settings)
    _running = SmallRay(folder, port)
    return _running


def _end(folder: Path) -> None:
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
