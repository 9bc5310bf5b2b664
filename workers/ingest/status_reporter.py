"""Reports what a stream is doing: to its clients, to the API and to the log."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

from vocab.errors import StoreUnavailable
from workers.contract.fenced import FencedError
from workers.contract.result_log import ResultLog
from workers.contract.stream_status import State

_logger = logging.getLogger(__name__)


class StatusReporter:
    """Writes and logs changes of a stream's state, until it is muted. Used from any thread.

    What cannot be written because Redis is away is kept, and written by the next `flush`; in between only the
    newest change counts. Nothing is written once somebody else has the lease.

    Args:
        log: of the stream.
        fence: fencing token of its lease.
        facts: fields of the status that go with the first report.

    Attributes:
        frame: number of the next frame; goes into the events.
    """

    def __init__(self, log: ResultLog, fence: int, facts: dict[str, Any]) -> None:
        self.frame = 0
        self._log = log
        self._fence = fence
        self._lock = threading.Lock()
        self._muted = False
        # All that was reported, for a Redis that loses it.
        self._known = dict(facts)
        self._unwritten = dict(facts)
        self._event: str | None = None

    def report(self, state: State, reason: str | None = None, **facts: Any) -> None:
        """Reports that the stream is in a state, why, and what else became true with it."""
        with self._lock:
            if not self._muted:
                self._note(state, reason)
                self._change(state, reason, facts)

    def add(self, **facts: Any) -> None:
        """Reports what else is true of the state it is in; no client is told of a change."""
        with self._lock:
            if not self._muted:
                self._known |= facts
                self._unwritten |= facts
                self._write(quiet=True)

    def report_last(self, state: State, reason: str | None = None, **facts: Any) -> None:
        """Reports a last state and mutes: a thread that still works on the stream can report nothing more.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        with self._lock:
            if self._muted:
                return
            self._muted = True
            self._note(state, reason)
            self._change(state, reason, facts)
            if self._event is not None:
                self._write(quiet=False)

    def mute(self) -> None:
        """Reports nothing from now on."""
        with self._lock:
            self._muted = True

    def flush(self) -> None:
        """Writes what could not be written before, if anything.

        Raises:
            StoreUnavailable: Redis still cannot do it.
        """
        with self._lock:
            if self._event is not None:
                self._write(quiet=False)

    def report_all(self, fence: int) -> None:
        """Reports all that is known once more, under a new fence: Redis lost it.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        with self._lock:
            self._fence = fence
            if not self._muted:
                known = self._known
                still = {"retry_at": known["retry_at"]}
                self._change(known["state"], known["reason"], still, everything=True)
                if self._event is not None:
                    self._write(quiet=False)

    def renew(self, fence: int) -> None:
        """Uses a new fence from now on."""
        with self._lock:
            self._fence = fence

    def _note(self, state: State, reason: str | None) -> None:
        stream, why = self._log.stream, "" if reason is None else f": {reason}"
        level = logging.WARNING if state == "failed" else logging.INFO
        _logger.log(level, "%s is %s%s", stream, state, why, extra={"stream": stream})

    def _change(
        self, state: State, reason: str | None, facts: dict[str, Any], everything: bool = False
    ) -> None:
        now = time.time()
        change = {"state": state, "reason": reason, "since": now, "retry_at": None, **facts}
        self._known |= change
        self._unwritten = dict(self._known) if everything else self._unwritten | change
        self._event = json.dumps({"state": state, "reason": reason, "at": now, "frame": self.frame})
        self._write(quiet=True)

    def _write(self, quiet: bool) -> None:
        try:
            self._log.set_status(self._fence, self._unwritten, self._event)
        except StoreUnavailable:
            if not quiet:
                raise
            return
        except FencedError:
            # Kept too: where Redis had lost its data, a new fence is on its way.
            return
        self._unwritten, self._event = {}, None
