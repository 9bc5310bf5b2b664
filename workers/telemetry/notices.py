"""What `vwt serve` says, as JSON lines beside those of its replicas."""

from __future__ import annotations

import logging

from rich.console import Console

from pipeline.redact import redact
from workers.notices import Notices
from workers.telemetry.logs import JsonLines


class JsonNotices(Notices):
    """Writes each message as one JSON line, as replicas write their logs, and shows nothing else.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, quiet: bool) -> None:
        super().__init__(Console(stderr=True, quiet=quiet, force_interactive=False), quiet)
        self._lines = JsonLines()

    def say(self, text: str) -> None:
        """See `Notices`."""
        record = logging.LogRecord("vwt.serve", logging.INFO, __file__, 0, redact(text), None, None)
        self.console.out(self._lines.format(record), highlight=False)
