"""`vwt serve` as a user has it: a process, its Ray, its Redis, and results over HTTP."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from pathlib import Path
from queue import Queue

import httpx

from tests.e2e.command import start

STARTED_S = 240
DRAINED_S = 20


class Service:
    """`vwt serve ...` while it runs, on a free port.

    Args:
        arguments: of the command.
        tree: as for `start`.
    """

    def __init__(self, *arguments: str | Path, tree: Path | None = None) -> None:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = start("serve", *arguments, "--port", "0", tree=tree, **pipes)
        self.said = ""
        self._lines: Queue[str | None] = Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.url = self.hear(r"page (http://\S+)/ ")[1]

    def hear(self, pattern: str) -> re.Match[str]:
        """Waits until a line on standard error matches."""
        while (line := self._lines.get(timeout=STARTED_S)) is not None:
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"it ended without saying {pattern!r}: {self.said}")

    def results(self, stream: str, count: int, after: str = "0") -> list[tuple[str, dict]]:
        """The next results over SSE, each with the id of its event; from the first one kept, or `after`."""
        found: list[tuple[str, dict]] = []
        headers = {"Last-Event-ID": after}
        with httpx.stream(
            "GET", f"{self.url}/v1/streams/{stream}/results", headers=headers, timeout=STARTED_S
        ) as response:
            assert response.status_code == 200
            event: dict[str, str] = {}
            for line in response.iter_lines():
                if not line:
                    if event.get("event") == "prediction":
                        found.append((event["id"], json.loads(event["data"])))
                        if len(found) == count:
                            return found
                    event = {}
                else:
                    key, _, value = line.partition(": ")
                    event[key] = value
        raise AssertionError("the results ended")

    def end(self, number: signal.Signals) -> int:
        """Sends a signal and waits for the end, which must come soon."""
        self.process.send_signal(number)
        code = self.process.wait(DRAINED_S)
        self._listener.join()
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            self._lines.put(line)
        self._lines.put(None)
