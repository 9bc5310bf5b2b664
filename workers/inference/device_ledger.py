"""The ledger of a device as a Ray actor that outlives the replicas it serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.energy import METERS, Meter, MeterOptions
from pipeline.results import Energy
from workers.inference.metering import DeviceLedger, Figures, MeteredSpan

if TYPE_CHECKING:
    from workers.telemetry.hardware import HardwareMetrics

# Opens the meter of a device by its `method` and `device_id`, given what names our processes on it.
OpenDevice = Callable[[str, str | None, Callable[[], set[int]]], Meter]

_NAMESPACE = "vwt"
_TIMEOUT_S = 10.0


class DeviceLedgerActor:
    """Reads the counter of one device and splits it among the batches of all replicas on it.

    Args:
        open_device: opens its meter.
        method, device_id: of the meter.
        node: id of the Ray node that the device is in.
        endpoint: of a collector that gets what the device takes; None for none.
    """

    def __init__(
        self,
        open_device: OpenDevice,
        method: str,
        device_id: str | None,
        node: str,
        endpoint: str | None = None,
    ) -> None:
        self._pids: set[int] = set()
        self._ledger = DeviceLedger(open_device(method, device_id, self._ours))
        self._ledger.ledger.start()
        self._told: HardwareMetrics | None = None
        if endpoint is not None and self._ledger.ledger.meter.hardware is not None:
            from workers.telemetry.hardware import HardwareMetrics

            self._told = HardwareMetrics(endpoint, node, self._ledger.ledger)

    def exchange(self, replica: str, pid: int, spans: Sequence[MeteredSpan]) -> list[tuple[Hashable, Energy]]:
        """See `DeviceLedger.exchange`."""
        self._pids.add(pid)
        return self._ledger.exchange(replica, spans)

    def pid(self) -> int:
        """Of the actor's process."""
        return os.getpid()

    def close(self) -> None:
        """Tells the last and stops reading."""
        if self._told is not None:
            self._told.close()
        self._ledger.ledger.stop()
        self._ledger.ledger.meter.close()

    def _ours(self) -> set[int]:
        self._pids = {pid for pid in list(self._pids) if psutil.pid_exists(pid)}
        return self._pids | replicas_here()


def replicas_here(app: str = _NAMESPACE) -> set[int]:
    """Ids of the processes here that compute or decode for an application, by Ray's names for them.

    Those that decode on a GPU never tell the ledger of themselves, as those that compute do.
    """
    names = tuple(f"ray::SERVE_REPLICA::{app}#{deployment}#" for deployment in ("Ingest", "Inference"))
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        cmdline = process.info["cmdline"]
        if cmdline and cmdline[0].startswith(names):
            found.add(process.pid)
    return found


def open_device(method: str, device_id: str | None, ours: Callable[[], set[int]]) -> Meter:
    """The meter of a device; see `OpenDevice`."""
    kind = METERS[method]
    return kind.open(MeterOptions(kind.device, device_id, ours=ours))


def shared_exchange(
    method: str,
    device_id: str | None,
    node: str,
    replica: str,
    open_device: OpenDevice = open_device,
    endpoint: str | None = None,
) -> Callable[[Sequence[MeteredSpan]], Figures]:
    """What takes a replica's spans to the ledger of its device and brings figures back.

    The actor is made by whichever replica is first, and again when it was lost.

    Args:
        method, device_id: of its meter.
        node: id of the Ray node.
        replica: names the caller.
        open_device: opens the meter, in the actor.
        endpoint: see `DeviceLedgerActor`.
    """
    maker = ray.remote(num_cpus=0)(DeviceLedgerActor).options(
        name=f"vwt-energy-{node}-{device_id or method}",
        namespace=_NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )

    actor: Any = None

    def exchange(spans: Sequence[MeteredSpan]) -> Figures:
        nonlocal actor
        actor = actor or maker.remote(open_device, method, device_id, node, endpoint)
        try:
            figures: Figures = ray.get(actor.exchange.remote(replica, os.getpid(), spans), timeout=_TIMEOUT_S)
        except Exception:
            actor = None
            raise
        return figures

    return exchange
