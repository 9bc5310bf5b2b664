"""What frames cost: by a ledger of this process, or by one that all replicas of a device share."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.energy import Ledger, Meter
from pipeline.results import Energy
from workers.inference.failures import first_line

# Figures that became known later, by the key of their frame.
Figures = Iterable[tuple[Hashable, Energy]]
LATER = "the counter is read beside inference: the figure follows"

# How often the shared ledger is asked for figures that are still to come.
_ASK_EVERY_S = 0.1
# A replica's spans come through a call, so the ledger waits longer for them than for its own process.
_LATENESS_S = 1.0
_MOST_UNREAD = 65536
_FORGOTTEN_S = 60.0


@dataclass(frozen=True, slots=True)
class MeteredSpan:
    """A batch for the ledger; see `Ledger.record`."""

    start_s: float
    end_s: float
    weights: Sequence[float]
    keys: Sequence[Hashable]


class Metering(Protocol):
    """What the device thread tells of every batch.

    Attributes:
        later: whether figures come later, through a callback.
    """

    later: bool

    def record(
        self, start_s: float, end_s: float, weights: Sequence[float], keys: Sequence[Hashable]
    ) -> Sequence[Energy]:
        """What is known by now of the energy of a batch's frames; never waits."""
        ...

    def close(self) -> None:
        """Ends its thread and gives the meter back."""
        ...


class OwnMetering:
    """A ledger in this process, for a meter that counts this process only or nothing at all.

    Args:
        meter: one that is up to date, whose figures are final at once, or none.
    """

    later = False

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._ledger = Ledger(meter)
        self._ledger.start()

    def record(
        self, start_s: float, end_s: float, weights: Sequence[float], keys: Sequence[Hashable]
    ) -> Sequence[Energy]:
        """See `Metering`."""
        return self._ledger.record(start_s, end_s, weights, keys)

    def close(self) -> None:
        """See `Metering`."""
        self._ledger.stop()
        self._meter.close()


class SharedMetering:
    """Sends the spans of this process to the ledger that its device's replicas share.

    Args:
        method: of the meter, as results name it.
        exchange: takes spans to the ledger and brings figures back; may take long, or raise.
        tell: takes the figures, in this object's thread.
    """

    later = True

    def __init__(
        self,
        method: str,
        exchange: Callable[[Sequence[MeteredSpan]], Figures],
        tell: Callable[[Figures], None],
    ) -> None:
        self._method = method
        self._exchange = exchange
        self._tell = tell
        self._spans: deque[MeteredSpan] = deque(maxlen=4096)
        self._awaited: dict[Hashable, None] = {}
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="vwt-metering", daemon=True)
        self._thread.start()

    def record(
        self, start_s: float, end_s: float, weights: Sequence[float], keys: Sequence[Hashable]
    ) -> Sequence[Energy]:
        """See `Metering`."""
        self._spans.append(MeteredSpan(start_s, end_s, tuple(weights), tuple(keys)))
        self._wake.set()
        return [Energy(method=self._method, reason=LATER)] * len(keys)

    def close(self) -> None:
        """See `Metering`; the last spans are still sent."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        # The ledger is there, and knows this process, before the first batch is.
        self._step()
        while not self._closing:
            self._wake.wait(_ASK_EVERY_S if self._awaited else None)
            self._wake.clear()
            self._step()

    def _step(self) -> None:
        spans = [self._spans.popleft() for _ in range(len(self._spans))]
        self._awaited.update((key, None) for span in spans for key in span.keys)
        try:
            figures = list(self._exchange(spans))
        except Exception as error:
            # What the ledger knew went with it: null with the reason, never a guess.
            reason = f"the ledger of the device was lost ({first_line(error)})"
            figures = [(key, Energy(method=self._method, reason=reason)) for key in self._awaited]
        for key, _ in figures:
            self._awaited.pop(key, None)
        if figures:
            self._tell(figures)


class DeviceLedger:
    """The ledger of one device of one node; replicas on it take turns in `exchange`.

    Args:
        meter: of the device; one whose figures come later, as those of all counters do.
        clock: monotonic seconds, the same in every process of the node.
    """

    def __init__(self, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self.ledger = Ledger(meter, clock, lateness_s=_LATENESS_S, max_unread=_MOST_UNREAD)
        self._clock = clock
        self._unread: dict[str, deque[tuple[Hashable, Energy]]] = {}
        self._heard_at: dict[str, float] = {}

    def exchange(self, replica: str, spans: Sequence[MeteredSpan]) -> list[tuple[Hashable, Energy]]:
        """Takes the spans of a replica; gives its figures that became known since its last call."""
        self._heard_at[replica] = self._clock()
        own = self._unread.setdefault(replica, deque(maxlen=_MOST_UNREAD))
        for span in spans:
            try:
                names = [(replica, key) for key in span.keys]
                self.ledger.record(span.start_s, span.end_s, span.weights, names)
            except ValueError as error:
                unknown = Energy(method=self.ledger.meter.method, reason=str(error))
                own.extend((key, unknown) for key in span.keys)
        for name, energy in self.ledger.settled():
            assert isinstance(name, tuple)
            if name[0] in self._unread:
                self._unread[name[0]].append((name[1], energy))
        known = list(own)
        own.clear()
        self._forget()
        return known

    def _forget(self) -> None:
        oldest = self._clock() - _FORGOTTEN_S
        for replica in [name for name, at in self._heard_at.items() if at < oldest]:
            del self._heard_at[replica], self._unread[replica]
