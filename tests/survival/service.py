"""A real `vwt serve` with a client that counts what it gets."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.e2e.command import start

READY_S = 120
PATIENCE_S = 90


class Api:
    """A client of a service at a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def ready(self) -> bool:
        """Whether it can be used."""
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def add(self, source: str | Path, **settings: Any) -> str:
        """Adds a stream; its id."""
        answer = self.http.post("/v1/streams", json={"source": str(source), **settings})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def status(self, stream: str) -> dict[str, Any]:
        """The stream's status."""
        answer = self.http.get(f"/v1/streams/{stream}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["status"])

    def until_state(
        self, stream: str, state: str, within_s: float = PATIENCE_S, every_s: float = 0.05
    ) -> dict[str, Any]:
        """Waits until the stream is in a state; its status."""
        until(
            lambda: self.status(stream)["state"] == state,
            within_s,
            lambda: f"{stream} is not {state}: {self.status(stream)}",
            every_s,
        )
        return self.status(stream)

    def tail(self, stream: str, after: str = "0") -> Tail:
        """A client that reads the stream's events."""
        return Tail(f"http://127.0.0.1:{self.port}/v1/streams/{stream}/results", after)


class Service(Api):
    """`vwt serve` on a free port; logs to `folder`.

    Args:
        folder: for logs and data.
        config: settings by name, nested as in the file.
        options: more of the command line; without --redis it gets a data folder of its own.
    """

    def __init__(self, folder: Path, config: dict[str, Any], *options: str) -> None:
        super().__init__(quiet_port())
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "config.json"
        self._config.write_text(json.dumps(config))
        own = () if "--redis" in options else ("--data-folder", str(folder / "data"))
        self._options = (*own, *options)
        self.start()

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        with (self.folder / "serve.log").open("a") as log:
            self._process = start(
                "serve",
                *("--port", str(self.port), "--config", str(self._config)),
                *("--allow-host", "127.0.0.1", "--allow-folder", "/"),
                *self._options,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self.ready, READY_S, f"the service is not ready, see {self.folder}/serve.log")

    def ready(self) -> bool:
        """Whether it can be used."""
        assert self._process.poll() is None, (self.folder / "serve.log").read_text()[-3000:]
        return super().ready()

    def kill_worker(self, stream: str, role: str) -> int:
        """Ends the worker of that role ("ingest", "inference") at once, as a power cut would; its pid."""
        until(lambda: self.status(stream)[role] is not None, PATIENCE_S, f"{stream} names no {role}")
        pid = int(self.status(stream)[role]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def process(self) -> psutil.Process:
        """The process of the command."""
        return psutil.Process(self._process.pid)

    def stop(self) -> int:
        """Ends it as a service manager would; its exit code, also when it has ended already."""
        if self._process.returncode is not None:
            return self._process.returncode
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self.http.close()

    def kill(self) -> None:
        """Ends the command at once."""
        self._process.kill()
        self._process.wait()


class Tail:
    """Reads events in a thread and resumes by itself, as any client should.

    Attributes:
        frames: numbers of the predictions in the order they came.
        times: `time.monotonic()` of each.
        results: the predictions.
        states, told: names of the states that were told, and all that was told with them.
        gaps: what was said to be lost.
        breaks: how often the connection broke.
        lost: frames dropped as the results tell, by reason.
    """

    def __init__(self, url: str, after: str) -> None:
        self.frames: list[int] = []
        self.times: list[float] = []
        self.results: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        self.breaks = 0
        self.lost: dict[str, int] = {}
        self._url = url
        self._last = after
        self._stopping = False
        self._response: httpx.Response | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def until_frames(self, count: int, within_s: float = PATIENCE_S) -> None:
        """Waits until so many predictions came."""
        until(lambda: len(self.frames) >= count, within_s, lambda: f"{len(self.frames)} frames of {count}")

    def more(self, count: int, within_s: float = PATIENCE_S) -> None:
        """Waits for so many more predictions."""
        self.until_frames(len(self.frames) + count, within_s)

    def longest_pause_s(self, since: float) -> float:
        """The longest time between two predictions since then."""
        times = [since, *(at for at in self.times if at >= since)]
        return max((b - a for a, b in pairwise(times)), default=float("inf"))

    def check_once_each(self, first: int = 0) -> None:
        """Every frame came once and in order."""
        assert self.frames == list(range(first, first + len(self.frames))), _odd(self.frames, first)

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping = True
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stopping:
            try:
                headers = {"Last-Event-ID": self._last}
                timeout = httpx.Timeout(10, read=20)
                with httpx.stream("GET", self._url, headers=headers, timeout=timeout) as response:
                    if response.status_code == 200:
                        self._read(response)
                    elif response.status_code == 404:
                        self.states.append("gone")
                        return
            except httpx.HTTPError:
                pass
            self.breaks += 1
            time.sleep(0.2)

    def _read(self, response: httpx.Response) -> None:
        event, data = "", ""
        for line in response.iter_lines():
            if self._stopping:
                return
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data += value
            elif name == "id":
                self._last = value
            elif not line and data:
                self._take(event, json.loads(data))
                event, data = "", ""

    def _take(self, event: str, data: dict[str, Any]) -> None:
        if event == "prediction":
            self.results.append(data)
            self.times.append(time.monotonic())
            self.frames.append(int(data["frame"]))
            for reason, count in data["dropped"].items():
                self.lost[reason] = self.lost.get(reason, 0) + count
        elif event == "state":
            self.states.append(str(data["state"]))
            self.told.append(data)
        elif event == "gap":
            self.gaps.append(data)


def until(
    condition: Callable[[], object],
    within_s: float,
    otherwise: str | Callable[[], str] = "it did not come",
    every_s: float = 0.05,
) -> None:
    """Waits for what nothing announces."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(every_s)


def quiet_port() -> int:
    """A free port below those that the system gives out by itself, which Ray takes dozens of as it starts."""
    for port in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port from 20000 to 30000")


def _odd(frames: list[int], first: int) -> str:
    for at, frame in enumerate(frames):
        if frame != first + at:
            return f"frame {frame} came where {first + at} was due: {frames[max(at - 3, 0) : at + 4]}"
    return "in order"
