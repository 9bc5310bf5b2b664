"""Which frames run next: every stream that waits gets its turn, and the frames of each stay in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.reading import FrameOutput
from pipeline.results import Energy
from pipeline.stacking import Part
from pipeline.stream import Timing
from pipeline.tokenizers import Tokenizer
from pipeline.tokenizers.stateful import StatefulTokenizer
from workers.contract.messages import FrameBatch, TokenSettings


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """Frames that ran in one pass, with what came of each."""

    frames: Sequence[Frame]
    outputs: Sequence[FrameOutput]
    energies: Sequence[Energy]
    timing: Timing


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """Frames of one stream that are to run.

    Attributes:
        stream: whose turn they take.
        engine: runs them.
        frames: at least one, as the model takes them.
        keys: one per frame; they name it in the energy ledger.
        tokenizer: gives what plans some of them; asked in the device thread, just before a pass.
        settings: what was asked for; results name its tokenizer, also while frames run in full.
        deliver: takes the request once all its frames ran, in the device thread; sees to `future`.
        recall_bytes: what the stream keeps of its frames for the next ones.
        batch: the message that the frames came in; None for a single image.
        future: fails when the frames cannot run. Cancelling it takes the request back while it waits.
        arrived_at: `time.monotonic()`.
        ran: what came of the frames, in order.
    """

    stream: str
    engine: Engine
    frames: Sequence[Frame]
    keys: Sequence[Hashable]
    tokenizer: Callable[[Sequence[Frame]], Tokenizer | StatefulTokenizer]
    settings: TokenSettings
    deliver: Callable[[Request], None]
    recall_bytes: Callable[[], int] = lambda: 0
    batch: FrameBatch | None = None
    future: Future[Any] = field(default_factory=Future)
    arrived_at: float = field(default_factory=time.monotonic)
    ran: list[Ran] = field(default_factory=list)
    _taken: int = 0

    @property
    def waiting(self) -> int:
        """Frames that no pass has taken yet."""
        return len(self.frames) - self._taken

    @property
    def complete(self) -> bool:
        """Whether all frames ran."""
        return sum(len(ran.frames) for ran in self.ran) == len(self.frames)

    def take(self, count: int) -> Slice | None:
        """The next frames; None when nobody waits for them any more."""
        if self._taken == 0 and not self.future.set_running_or_notify_cancel():
            return None
        if self.future.done():
            return None
        start, self._taken = self._taken, self._taken + count
        return Slice(self, start, self._taken)

    def fail(self, error: Exception) -> None:
        """Tells who waits that the frames cannot run."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Slice:
    """The frames `start` to `stop` of a request."""

    request: Request
    start: int
    stop: int
    _part: Part | None = None

    def part(self) -> Part:
        """The frames with what plans them, which is asked once: a tokenizer may remember what it has seen."""
        if self._part is None:
            self._part = self.frames, self.request.tokenizer(self.frames)
        return self._part

    @property
    def frames(self) -> Sequence[Frame]:
        return self.request.frames[self.start : self.stop]

    @property
    def keys(self) -> Sequence[Hashable]:
        return self.request.keys[self.start : self.stop]


class FairQueue:
    """Requests of all streams. Not for several threads at once.

    A pass shares its frames equally among the streams that wait for the same model as the one at the front;
    what a stream does not need goes to the others. Who was served goes to the back.
    """

    def __init__(self) -> None:
        self._streams: dict[str, deque[Request]] = {}

    def __len__(self) -> int:
        """Frames that wait."""
        return sum(request.waiting for request in self._requests())

    def add(self, request: Request) -> None:
        """Takes in a request, behind those of its stream."""
        self._streams.setdefault(request.stream, deque()).append(request)

    def next_pass(self) -> int:
        """Frames that could run together now."""
        return sum(self._ready().values())

    def take(self, limit: int) -> list[Slice]:
        """The frames of the next pass, at most `limit`; none when nobody waits for any."""
        slices: list[Slice] = []
        for stream, count in _shares(self._ready(), limit).items():
            slices += self._take_from(stream, count)
        return slices

    def clear(self) -> list[Request]:
        """Empties the queue; gives what was in it."""
        requests = list(self._requests())
        self._streams.clear()
        return requests

    def oldest_at(self) -> float | None:
        """When the request arrived that waits for longest; None while none waits."""
        return min((request.arrived_at for request in self._requests()), default=None)

    def _requests(self) -> Iterator[Request]:
        return (request for queue in self._streams.values() for request in queue)

    def _ready(self) -> dict[str, int]:
        """Frames per stream, front first, that wait for the model of the first one."""
        ready: dict[str, int] = {}
        engine = None
        for stream, queue in self._streams.items():
            engine = engine or queue[0].engine
            count = 0
            for request in queue:
                if request.engine is not engine:
                    break
                count += request.waiting
            if count:
                ready[stream] = count
        return ready

    def _take_from(self, stream: str, count: int) -> Iterator[Slice]:
        queue = self._streams.pop(stream)
        while count and queue:
            request = queue[0]
            some = min(count, request.waiting)
            taken = request.take(some)
            if taken is None:
                # Its place goes to what follows it.
                queue.popleft()
                if queue and queue[0].engine is not request.engine:
                    break
                continue
            count -= some
            if not request.waiting:
                queue.popleft()
            yield taken
        if queue:
            self._streams[stream] = queue


def _shares(waiting: dict[str, int], limit: int) -> dict[str, int]:
    """How many frames each stream gets of `limit`, as equally as can be, those in front first."""
    shares = dict.fromkeys(waiting, 0)
    hungry = list(waiting)
    while limit and hungry:
        share = max(1, limit // len(hungry))
        for stream in hungry:
            some = min(share, waiting[stream] - shares[stream], limit)
            shares[stream] += some
            limit -= some
        hungry = [stream for stream in hungry if shares[stream] < waiting[stream]]
    return {stream: share for stream, share in shares.items() if share}
