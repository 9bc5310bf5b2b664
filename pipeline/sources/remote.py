"""A source across a network or a cable: it may hang, break off and come back."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

from pipeline.errors import SourceError
from pipeline.frame import Decoded
from pipeline.redact import redact
from pipeline.sources.backoff import Backoff
from pipeline.sources.connection import Arrived, Connection
from pipeline.sources.container import explain
from pipeline.sources.hardware import hardware_decoder
from pipeline.sources.reader import Reader, open_reader
from pipeline.sources.source import Notice, OnNotice, Source, SourceOptions, State
from pipeline.sources.spec import SourceSpec
from pipeline.sources.timeline import LiveTimeline

# With this many abandoned connections still stuck in the library, a new one would only leak one more.
_MAX_HUNG = 3


class RemoteSource(Source):
    """A network stream or camera, decoded in a thread that is abandoned when it hangs.

    A live source is opened again for ever after it was lost (if its options say so). A clip over HTTP has an
    end and no late frames: its reader slows it down. What states neither length nor duration, such as
    MPEG-TS, is taken for live, until it begins anew with the picture and stamp it began with before: then it
    is a clip that was read to its end.
    """

    def __init__(self, spec: SourceSpec, options: SourceOptions, on_notice: OnNotice) -> None:
        """Connects and waits for the first picture.

        Raises:
            SourceError: there was none within `options.open_timeout_s`.
        """
        super().__init__()
        self._spec = spec
        self._options = options
        self._on_notice = on_notice
        self._closed = threading.Event()
        self._closing = threading.Lock()
        self._timeline = LiveTimeline()
        self._backoff = Backoff(
            initial_s=options.backoff_initial_s, cap_s=options.backoff_cap_s, seed=options.backoff_seed
        )
        self._hwaccel = hardware_decoder(options, on_notice)
        self._hung: list[Connection] = []
        self._connection = self._connect()
        try:
            self._wait_open()
        except BaseException:
            self._stop("failed")
            raise

    def frames(self) -> Iterator[Decoded]:
        """Yields pictures as they arrive; see `Source.frames`."""
        self.state = "running"
        try:
            while True:
                cause = yield from self._until_lost()
                if self._closed.is_set() or not self._goes_on(cause):
                    break
        except Exception:
            self._stop("failed")
            raise
        finally:
            self._stop("ended")

    def close(self) -> None:
        """Ends `frames` at once and leaves the connection to end by itself."""
        self._stop("ended")

    def _until_lost(self) -> Generator[Decoded, None, str | None]:
        """Yields pictures; returns what broke the connection, None when the peer ended it."""
        connection, stall_s = self._connection, self._options.stall_timeout_s
        while True:
            try:
                arrived = connection.next(stall_s)
            except TimeoutError:
                return f"no picture for {stall_s:g} s"
            if arrived is None:
                return None if connection.error is None else explain(self._spec, connection.error)
            yield self._place(arrived) if self.info.live else arrived.decoded

    def _place(self, arrived: Arrived) -> Decoded:
        """Puts a live picture on the source's own time line."""
        times = arrived.decoded.times
        # A format without times (Motion JPEG) has only its arrival.
        pts_s = times.pts_s if self._connection.timed else arrived.arrival_s
        pts_s = self._timeline.place(pts_s, arrived.arrival_s)
        return replace(arrived.decoded, times=replace(times, pts_s=pts_s, captured_at=arrived.captured_at))

    def _goes_on(self, cause: str | None) -> bool:
        """Whether more pictures follow after a connection ended; reconnects where that may be.

        Raises:
            SourceError: the source broke off and may not be opened again.
        """
        display = self.info.display
        if self.info.live and self._options.reconnect:
            # What the library makes of a peer that closes without having given a length.
            closed = cause is None or getattr(self._connection.error, "errno", None) == errno.EIO
            began = self._connection.beginning if closed and self._spec.kind == "http" else None
            return self._reconnect(f"{display} was lost: {cause or 'the peer ended the stream'}", began)
        if cause is not None:
            raise SourceError(f"{display} was lost: {cause}")
        if not self.info.live and self._connection.missing:
            self._dropped.add("gap")
            message = f"{display} ends before its end: {self._connection.missing}"
            self._on_notice(Notice("truncated", message))
        return False

    def _reconnect(self, cause: str, began: tuple[int, int] | None) -> bool:
        """Tries until there is a picture again; False when closed or when there is no more to come.

        Args:
            cause: why it is necessary.
            began: how what the peer ended had begun, see `Reader.beginning`.
        """
        self.state = "reconnecting"
        if began is None:
            self._dropped.add("gap")
        lost_s = time.monotonic()
        while True:
            self._connection.abandon()
            self._hung = [c for c in {*self._hung, self._connection} if c.alive]
            wait_s = self._backoff.next_s()
            self._on_notice(Notice("reconnecting", redact(f"{cause}; trying again in {wait_s:.1f} s")))
            if self._closed.wait(wait_s):
                return False
            if len([c for c in self._hung if c.alive]) >= _MAX_HUNG:
                cause = f"{self._spec.display}: {_MAX_HUNG} earlier connections still hang"
                continue
            self._connection = self._connect()
            try:
                if not self._wait_open():
                    return False
            except SourceError as error:
                cause = str(error)
                continue
            break
        display = self._spec.display
        over = None if self.info.live else "the broadcast is over"
        if began is not None and began == self._connection.beginning:
            over = "it would begin anew, so it is a clip, and this was its end"
        if over is not None:
            self._on_notice(Notice("ended", f"{display}: {over}"))
            return False
        if began is not None:
            self._dropped.add("gap")
        self.state = "running"
        self._backoff.reset()
        self._timeline.reconnected()
        away_s = time.monotonic() - lost_s
        self._on_notice(Notice("reconnected", f"{display} is back after {away_s:.1f} s"))
        return True

    def _connect(self) -> Connection:
        def opened() -> Reader:
            return open_reader(
                self._spec, self._options, self._hwaccel, self._on_notice, self._dropped, self.decoding
            )

        connection = Connection(opened, paced=self._spec.kind == "http", dropped=self._dropped)
        with self._closing:
            if self._closed.is_set():
                connection.abandon()
            self._connection = connection
        return connection

    def _wait_open(self) -> bool:
        """Waits for the first picture of the connection; False when closed meanwhile.

        Raises:
            SourceError: it cannot be opened, or there was none in time.
        """
        timeout_s = self._options.open_timeout_s
        try:
            info = self._connection.wait_open(timeout_s)
        except TimeoutError as error:
            raise SourceError(
                f"{self._spec.display} gave no picture within {timeout_s:g} s: "
                "check address, network and server, or allow more time to open"
            ) from error
        if info is None:
            return False
        self.info = info
        if info.decoder == "cpu":
            self._hwaccel = None
        return True

    def _stop(self, state: State) -> None:
        with self._closing:
            if self.state not in ("ended", "failed"):
                self.state = state
            self._closed.set()
            self._connection.abandon()
