"""Ray and Serve, started here or joined."""

from __future__ import annotations

import atexit
import io
import logging
import math
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import ServiceError
from pipeline.sources.deadline import within
from workers.private import private_folder
from workers.serve.metrics_port import forwarded
from workers.serve.processes import RayProcesses
from workers.serve.signals import Signals, Stop
from workers.settings.schema import ServiceSettings
from workers.telemetry.logs import serve_logging

APP = "vwt"
_REACH_S = 3.0
_DRAIN_S = 15.0
_LEAVE_S = 10.0
_OBJECTS_BYTES = 2**30


@contextmanager
def running_ray(settings: ServiceSettings, signals: Signals) -> Iterator[tuple[Path | None, RayProcesses]]:
    """Starts Ray here, on the loopback alone, or joins the cluster that the settings name.

    Args:
        settings: of the service.
        signals: of this process; Ray takes some of them, and they are taken back.

    Yields:
        The folder of Ray's logs, None on another machine's cluster; and what Ray runs here.

    Raises:
        ServiceError: the cluster cannot be reached, or Ray does not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What replicas write goes to files only.
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    # Every 100 ms by default, in every process: a sixth of the CPU that a camera takes beside its model.
    os.environ.setdefault("RAY_SERVE_METRICS_EXPORT_INTERVAL_MS", "10000")
    # How often Serve's controller looks at its replicas: by default every 100 ms, a third of an idle service.
    os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.3")
    # By default Ray lets other work go before its own, and learning would not step back behind inference.
    os.environ.setdefault("RAY_worker_niceness", "0")
    if settings.ray_address is not None:
        _check_reachable(settings.ray_address)
    else:
        # Where Ray is for one machine only, as by default on others than Linux, it listens on the loopback
        # alone. Its name says less; it is read when Ray is imported.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    processes = RayProcesses()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if settings.ray_address is None:
        # "local": RAY_ADDRESS of some other work must not be joined.
        options |= {"address": "local", "include_dashboard": False, "num_cpus": _cpus(settings)}
        # Ray lets everybody into its folders, with logs and sockets: so they are in one of ours.
        options |= {"_temp_dir": str(private_folder("vwt-ray") / "t")}
        options |= {"object_store_memory": _OBJECTS_BYTES}
    else:
        options |= {"address": settings.ray_address}
    with ExitStack() as stack:
        stack.callback(_leave, processes)
        try:
            context = _connected(settings, options)
            signals.listen()
        except (Stop, SystemExit):  # the second is Ray's own answer to SIGTERM
            # Half connected it cannot even leave: it waits for long, or crashes when the interpreter ends.
            stack.pop_all()
            processes.end()
            atexit.register(os._exit, 0)
            raise Stop from None
        # What it says of its processes, we say in one line.
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        if settings.ray_address is not None:
            yield None, processes
            return
        info: dict[str, Any] = getattr(context, "address_info", {})
        processes.find()
        if settings.ray_metrics_port is not None:
            stack.enter_context(forwarded(settings.ray_metrics_port, info["metrics_export_port"]))
        yield Path(info["session_dir"], "logs"), processes


def _connected(settings: ServiceSettings, options: dict[str, Any]) -> Any:
    import ray

    try:
        return ray.init(namespace=APP, **options)
    except Exception as error:
        where = "start Ray here" if settings.ray_address is None else f"join Ray at {settings.ray_address}"
        raise ServiceError(f"cannot {where}: {error}") from error


def _leave(processes: RayProcesses) -> None:
    """Leaves Ray, which waits for ever for processes of its own that are no more."""
    import ray

    if processes.dead is None:
        with suppress(TimeoutError):
            within(_LEAVE_S, ray.shutdown, lambda _: None)
    else:
        # It would wait as well when the interpreter ends, or crash there.
        atexit.register(os._exit, ServiceError.exit_code)
    processes.end()


@contextmanager
def running_app(settings: ServiceSettings, logs: Path | None, processes: RayProcesses) -> Iterator[None]:
    """Runs the application until the block ends, then drains it.

    Raises:
        ServiceError: it does not come up.
    """
    from ray import serve

    from workers.app import application

    local = settings.ray_address is None
    try:
        try:
            serve.start(
                # Here the gateways listen themselves: a proxy would double what a request costs.
                proxy_location="Disabled" if local else "EveryNode",
                http_options={"host": settings.host, "port": settings.port, "request_timeout_s": None},
                logging_config=serve_logging(settings.log_format),
            )
            serve.run(application(settings, listens=local), name=APP, route_prefix="/")
        except (RuntimeError, TimeoutError) as error:
            last = [line for line in str(error).splitlines() if line.strip()][-1:]
            see = "" if logs is None else f"; see {logs / 'serve'}"
            raise ServiceError(f"the service does not start: {''.join(last)}{see}") from error
        yield
    finally:
        # Others may have applications on a cluster that was joined.
        leave = serve.shutdown if local else partial(serve.delete, APP)
        # Ray prints that a controller that was told to end has ended. What has not left in time ends with it.
        if processes.dead is None:
            with redirect_stdout(io.StringIO()), suppress(TimeoutError):
                within(_DRAIN_S, leave, lambda _: None)


def gpus() -> float:
    """How many GPUs the cluster has."""
    import ray

    return float(ray.cluster_resources().get("GPU", 0.0))


def most_gpus(settings: ServiceSettings) -> float | None:
    """How many it has or may add; None for a cluster that was joined and does not say what it may add."""
    if settings.ray_address is None:
        return gpus()
    if settings.ray_address.startswith("ray://"):
        return None
    from ray._private.state import state

    # Not every autoscaler tells.
    most = state.get_max_resources_from_cluster_config()
    return None if most is None else max(gpus(), float(most.get("GPU", 0)))


def _cpus(settings: ServiceSettings) -> int:
    """What Ray is told this machine has: never less than one replica of each needs, or none would start."""
    least = (
        settings.gateway.replicas * settings.gateway.num_cpus
        + settings.keeper.replicas * settings.keeper.num_cpus
        + settings.ingest.scaling.min_replicas * settings.ingest.num_cpus
        + settings.inference.scaling.min_replicas * settings.inference.num_cpus
    )
    return max(os.cpu_count() or 1, math.ceil(least))


def _check_reachable(address: str) -> None:
    """Ray itself takes a minute or more to find out."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except OSError as error:
        why = error.strerror or f"no answer within {_REACH_S:.0f} s"
        raise ServiceError(f"cannot join Ray at {address}: {why}; is it running? (--ray-address)") from error
