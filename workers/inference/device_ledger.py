"""The ledger of a device as a Ray actor that outlives the replicas it serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.energy import Meter, open_nvml, open_rapl
from pipeline.results import Energy
from workers.inference.metering import DeviceLedger, Figures, MeteredSpan

# Opens the meter of a GPU by its UUID (None for the CPU), given what names our processes on it.
OpenDevice = Callable[[str | None, Callable[[], set[int]]], Meter]

_NAMESPACE = "vwt"
_TIMEOUT_S = 10.0


class DeviceLedgerActor:
    """Reads the counter of one device and splits it among the batches of all replicas on it.

    Args:
        open_device: opens its meter.
        uuid: of the GPU; None for the CPU.
    """

    def __init__(self, open_device: OpenDevice, uuid: str | None) -> None:
        self._pids: set[int] = set()
        self._ledger = DeviceLedger(open_device(uuid, self._ours))
        self._ledger.ledger.start()

    def exchange(self, replica: str, pid: int, spans: Sequence[MeteredSpan]) -> list[tuple[Hashable, Energy]]:
        """See `DeviceLedger.exchange`."""
        self._pids.add(pid)
        return self._ledger.exchange(replica, spans)

    def pid(self) -> int:
        """Of the actor's process."""
        return os.getpid()

    def _ours(self) -> set[int]:
        self._pids = {pid for pid in list(self._pids) if psutil.pid_exists(pid)}
        return self._pids


class ReplicasAreOurs:
    """NVML as the meter sees it, where the processes of our replicas stand for the one that reads it.

    The meter says when others compute on the card; the replicas it counts for are no others.

    Args:
        nvml: the binding.
        ours: gives the process ids of the replicas.
    """

    def __init__(self, nvml: Any, ours: Callable[[], set[int]]) -> None:
        self._nvml = nvml
        self._ours = ours

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nvml, name)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]:  # noqa: N802
        """Our own process, and those of the card that are not ours."""
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        ours = self._ours()
        others = [process for process in running if process.pid not in ours]
        if len(others) == len(running):
            # In a container the ids can be the host's: then ours are there under other names.
            others = others[len(ours) :]
        return [SimpleNamespace(pid=os.getpid()), *others]


def open_device(uuid: str | None, ours: Callable[[], set[int]]) -> Meter:
    """The meter of a device; see `OpenDevice`."""
    if uuid is None:
        return open_rapl()
    return open_nvml("cuda", nvml=ReplicasAreOurs(pynvml, ours), uuid_of=lambda _: uuid)


def shared_exchange(
    uuid: str | None, node: str, replica: str, open_device: OpenDevice = open_device
) -> Callable[[Sequence[MeteredSpan]], Figures]:
    """What takes a replica's spans to the ledger of its device and brings figures back.

    The actor is made by whichever replica is first, and again when it was lost.

    Args:
        uuid: of the GPU; None for the CPU.
        node: id of the Ray node.
        replica: names the caller.
        open_device: opens the meter, in the actor.
    """
    maker = ray.remote(num_cpus=0)(DeviceLedgerActor).options(
        name=f"vwt-energy-{node}-{uuid or 'cpu'}",
        namespace=_NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )

    actor: Any = None

    def exchange(spans: Sequence[MeteredSpan]) -> Figures:
        nonlocal actor
        actor = actor or maker.remote(open_device, uuid)
        try:
            figures: Figures = ray.get(actor.exchange.remote(replica, os.getpid(), spans), timeout=_TIMEOUT_S)
        except Exception:
            actor = None
            raise
        return figures

    return exchange
