"""A Ray of our own, small enough to run several beside each other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import serve


@contextmanager
def small_ray(**options: Any) -> Iterator[Path]:
    """Runs Ray, and ends it with whatever Serve runs on it; gives its folder.

    Args:
        options: more for `ray.init`.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Serve kills a proxy that takes longer to start; by default that is 5 s, which a machine under load may
    # not keep either.
    os.environ["RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"] = "60"
    # Ray's sockets lie below it, and their paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix="vwt-ray-", dir="/tmp"))
    settings = {"num_cpus": 4, "object_store_memory": 200 * 2**20, **options}
    settings |= {"include_dashboard": False, "log_to_driver": False, "_temp_dir": str(folder)}
    try:
        try:
            ray.init("local", **settings)
        except Exception as error:
            # Ray gives its raylet 30 seconds, which a machine under load may not keep.
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            ray.init("local", **settings)
        yield folder
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
