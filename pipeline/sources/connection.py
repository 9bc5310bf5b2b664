"""One connection to a remote source: a thread that opens and decodes, and can be abandoned at any time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.frame import Decoded
from pipeline.sources.reader import Reader
from pipeline.sources.source import Dropped, SourceInfo

# Enough to bridge a hiccup of the reader; more would only be pictures that are older when they are read.
_HOP_FRAMES = 4
# Behind by more, a live stream over HTTP goes on from where it is instead of rushing to catch up.
_LATE_S = 1.0
# Nor is a picture awaited for longer: its time is one that jumped.
_EARLY_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A picture and when it arrived: `time.monotonic()`, and `time.time()` for people."""

    decoded: Decoded
    arrival_s: float
    captured_at: float


class Connection:
    """Opens a container in a thread of its own and hands its pictures over through a short queue.

    What a live source passed over undecoded is not handed over; it shows that the source is alive. A live
    source's queue drops its oldest picture when full; any other waits for room. Each connection has its own
    queue, so what the thread of an abandoned one still decodes reaches nobody.

    Attributes:
        timed: whether the format has times; known once open.
        beginning: see `Reader.beginning`; known once open.
        error: after the end, what broke the connection; None when the peer ended it.
        missing: after the end, what the container states but did not hold; None when it was whole.
    """

    def __init__(self, open_reader: Callable[[], Reader], paced: bool, dropped: Dropped) -> None:
        """Starts connecting.

        Args:
            open_reader: opens and decodes the first picture; runs in the connection's thread.
            paced: hand live pictures over no faster than their times say (HTTP sends whole segments at once).
            dropped: where late pictures are counted.
        """
        self.timed = True
        self.beginning: tuple[int, int] | None = None
        self.error: Exception | None = None
        self.missing: str | None = None
        self._open_reader = open_reader
        self._paced = paced
        self._dropped = dropped
        self._info: SourceInfo | None = None
        self._queue: deque[Arrived] = deque()
        self._ended = False
        # When the peer last sent something, as far as the reader waits for it.
        self._heard_s = 0.0
        self._abandoned = threading.Event()
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="source-connection", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs, be it abandoned."""
        return self._thread.is_alive()

    def wait_open(self, timeout_s: float) -> SourceInfo | None:
        """Waits for the first picture; None when abandoned meanwhile.

        Raises:
            TimeoutError: there was none within `timeout_s` seconds.
            Exception: why it could not be opened, a SourceError in the main.
        """
        with self._change:
            if not self._change.wait_for(lambda: self._info or self._ended or self._gone, timeout_s):
                raise TimeoutError
            if self._info is None and self.error is not None and not self._gone:
                raise self.error
            return None if self._gone else self._info

    def next(self, timeout_s: float) -> Arrived | None:
        """The next picture; None at the end or when abandoned.

        Raises:
            TimeoutError: there was none within `timeout_s` seconds.
        """
        with self._change:
            self._heard_s = max(self._heard_s, time.monotonic())
            while not (self._queue or self._ended or self._gone):
                left_s = self._heard_s + timeout_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                self._change.wait(left_s)
            if self._gone or not self._queue:
                return None
            arrived = self._queue.popleft()
            self._change.notify_all()
            return arrived

    def abandon(self) -> None:
        """Leaves the thread to itself: it ends when the library lets it go. Never blocks."""
        self._abandoned.set()
        with self._change:
            self._queue.clear()
            self._change.notify_all()

    @property
    def _gone(self) -> bool:
        return self._abandoned.is_set()

    def _run(self) -> None:
        try:
            reader = self._open_reader()
        except Exception as error:
            self._end(error, None)
            return
        try:
            with self._change:
                self._info = reader.info
                self.timed = reader.timed
                self.beginning = reader.beginning()
                self._change.notify_all()
            self._hand_over(reader)
            self._end(reader.error, reader.missing())
        except Exception as error:
            self._end(error, None)
        finally:
            reader.close()

    def _hand_over(self, reader: Reader) -> None:
        live = reader.info.live
        pace = _Pace() if self._paced and live else None
        for decoded in reader.pictures():
            if pace is not None and decoded.times.pts_s is not None:
                self._abandoned.wait(pace.wait_s(decoded.times.pts_s, time.monotonic()))
            with self._change:
                if live and decoded.picture is None:
                    # Whoever waits looks at it when its time is up, and need not be woken.
                    self._heard_s = time.monotonic()
                    if self._gone:
                        return
                    continue
                if live and len(self._queue) >= _HOP_FRAMES:
                    self._queue.popleft()
                    self._dropped.add("late")
                self._change.wait_for(lambda: len(self._queue) < _HOP_FRAMES or self._gone)
                if self._gone:
                    return
                self._queue.append(
                    Arrived(decoded=decoded, arrival_s=time.monotonic(), captured_at=time.time())
                )
                self._change.notify_all()

    def _end(self, error: Exception | None, missing: str | None) -> None:
        with self._change:
            self.error = error
            self.missing = missing
            self._ended = True
            self._change.notify_all()


class _Pace:
    """When a picture is due, by its own time and the arrival of the first."""

    def __init__(self) -> None:
        self._shift_s: float | None = None

    def wait_s(self, pts_s: float, now_s: float) -> float:
        due_s = now_s if self._shift_s is None else pts_s + self._shift_s
        if self._shift_s is None or not -_LATE_S <= due_s - now_s <= _EARLY_S:
            self._shift_s = now_s - pts_s
            return 0.0
        return max(due_s - now_s, 0.0)
