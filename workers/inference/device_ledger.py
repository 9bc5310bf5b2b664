"""The ledger of a device as a Ray actor that outlives the replicas it serves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence
from types import SimpleNamespace
from typing import Any

import pynvml
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.energy import Meter, open_nvml, open_rapl
from pipeline.results import Energy
from workers.inference.metering import DeviceLedger, Figures, MeteredSpan

_NAMESPACE = "vwt"
_TIMEOUT_S = 10.0
_FORGOTTEN_S = 60.0


class DeviceLedgerActor:
    """Reads the counter of one device and splits it among the batches of all replicas on it.

    Args:
        uuid: of the GPU; None for the CPU.
    """

    def __init__(self, uuid: str | None) -> None:
        self._pids: dict[int, float] = {}
        meter: Meter
        if uuid is None:
            meter = open_rapl()
        else:
            meter = open_nvml("cuda", nvml=ReplicasAreOurs(pynvml, self._ours), uuid_of=lambda _: uuid)
        self._ledger = DeviceLedger(meter)
        self._ledger.ledger.start()

    def exchange(self, replica: str, pid: int, spans: Sequence[MeteredSpan]) -> list[tuple[Hashable, Energy]]:
        """See `DeviceLedger.exchange`."""
        self._pids[pid] = time.monotonic()
        return self._ledger.exchange(replica, spans)

    def _ours(self) -> set[int]:
        oldest = time.monotonic() - _FORGOTTEN_S
        return {pid for pid, at in list(self._pids.items()) if at > oldest}


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


def shared_exchange(uuid: str | None, node: str, replica: str) -> Callable[[Sequence[MeteredSpan]], Figures]:
    """What takes a replica's spans to the ledger of its device and brings figures back.

    The actor is made by whichever replica is first, and again when it was lost.

    Args:
        uuid: of the GPU; None for the CPU.
        node: id of the Ray node.
        replica: names the caller.
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
        actor = actor or maker.remote(uuid)
        try:
            figures: Figures = ray.get(actor.exchange.remote(replica, os.getpid(), spans), timeout=_TIMEOUT_S)
        except Exception:
            actor = None
            raise
        return figures

    return exchange
