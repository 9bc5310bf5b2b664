"""What one JPEG over HTTP costs around the model, beside LitServe on the same machine.

    python -m benchmarks.single_images [--litserve PYTHON] [--other CHECKOUT]

One picture of sample:bikes (640x272) is posted again and again over connections that stay open: by one client
and by eight to the null model, by eight to the bundled one. Both make a model's input of it with the same
`Preprocessor`. The servers take turns, slice by slice, on the same machine; CPU is that of all processes of a
server, the client's not counted, and the figures are medians over slices. At most twice LitServe's CPU per
image, and more images per second than it with the model at eight clients.

LitServe is no dependency of ours: name the Python that has it. With --other, another checkout of this project
takes turns as well.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.common import write_results
from pipeline.defaults import DEFAULT_MODEL
from pipeline.sources.spec import parse_source
from tests.survival.service import quiet_port, until

HERE = Path(__file__).parents[1]
_SERVE = [sys.executable, "-c", "from workers.cli import main; main()", "serve"]
_BOUNDARY = "image-of-a-benchmark"
READY_S = 300


@dataclass(frozen=True, slots=True)
class Server:
    """A running server of single images.

    Attributes:
        name: in the table.
        process: its first process.
        port: where it listens.
        path: that takes the picture.
        form: whether it wants a form around it.
    """

    name: str
    process: psutil.Process
    port: int
    path: str
    form: bool = False

    def post(self, connection: http.client.HTTPConnection, picture: bytes) -> bytes:
        """Sends one picture; the answer."""
        kind = "image/jpeg"
        if self.form:
            head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
            picture = (
                f"{head}Content-Type: {kind}\r\n\r\n".encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()
            )
            kind = f"multipart/form-data; boundary={_BOUNDARY}"
        connection.request("POST", self.path, picture, {"Content-Type": kind})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answers {answer.status}: {body[:300]!r}")
        return body

    def cpu_s(self) -> float:
        """CPU seconds of all its processes so far."""
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))


def picture() -> bytes:
    """A picture of sample:bikes as JPEG."""
    with av.open(parse_source("sample:bikes").location) as container:
        frame = next(container.decode(video=0))
    return cv2.imencode(".jpg", frame.to_ndarray(format="bgr24"))[1].tobytes()


def measure(server: Server, image: bytes, clients: int, seconds: float) -> tuple[float, float]:
    """Images per second, and CPU milliseconds per image."""
    counts = [0] * clients
    until_s = time.monotonic() + seconds

    def work(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        while time.monotonic() < until_s:
            server.post(connection, image)
            counts[client] += 1
        connection.close()

    before, started = server.cpu_s(), time.monotonic()
    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - started), (server.cpu_s() - before) / sum(counts) * 1e3


@contextmanager
def running(
    name: str, command: list[str], checkout: Path, server: tuple[str, bool], port: int
) -> Iterator[Server]:
    """A server from its start until the block ends."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, cwd=checkout, stdout=log, stderr=log)
        try:
            path, form = server
            running = Server(name, psutil.Process(process.pid), port, path, form)
            until(lambda: _answers(running), READY_S, f"{name} does not answer")
            yield running
        finally:
            process.terminate()
            process.wait(60)


def _answers(server: Server) -> bool:
    if server.process.status() == psutil.STATUS_ZOMBIE:
        raise RuntimeError(f"{server.name} has ended")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        server.post(connection, picture())
    except (OSError, RuntimeError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def compare(model: str, client_counts: list[int], options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Figures of all servers with a model, by server and number of clients."""
    image = picture()
    with ExitStack() as stack:
        servers = []
        for checkout in (HERE, *([options.other.resolve()] if options.other else [])):
            port, folder = quiet_port(), stack.enter_context(tempfile.TemporaryDirectory())
            command = [*_SERVE, "--port", str(port), "--data-folder", folder, "--model", model]
            path = f"/v1/frames?model={model}"
            servers.append(
                stack.enter_context(
                    running(f"ours ({checkout.name})", command, checkout, (path, False), port)
                )
            )
        if options.litserve:
            port = quiet_port()
            command = [options.litserve, "-m", "benchmarks.litserve_app", str(port), model]
            servers.append(stack.enter_context(running("LitServe", command, HERE, ("/predict", True), port)))
        for server in servers:
            measure(server, image, max(client_counts), options.seconds)
        found = {}
        for clients in client_counts:
            taken: dict[str, list[tuple[float, float]]] = {server.name: [] for server in servers}
            for _ in range(options.rounds):
                for server in servers:
                    taken[server.name].append(measure(server, image, clients, options.seconds))
            for name, values in taken.items():
                rate, cpu_ms = (statistics.median(column) for column in zip(*values, strict=True))
                found[f"{model}, {clients} clients, {name}"] = {
                    "images_per_s": round(rate, 1),
                    "cpu_ms_per_image": round(cpu_ms, 2),
                }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--litserve", metavar="PYTHON", help="a Python that has LitServe and what we need")
    parser.add_argument("--other", type=Path, help="another checkout to take turns with; writes no file")
    parser.add_argument("--rounds", type=int, default=5, help="slices per server (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a slice (default %(default)s)")
    parser.add_argument("--null-only", action="store_true", help="only the null model; writes no file")
    options = parser.parse_args()
    if not options.litserve:
        Console().print("LitServe is left out: name the Python that has it with --litserve")
    figures = compare("null", [1, 8], options)
    if not options.null_only:
        figures |= compare(DEFAULT_MODEL, [8], options)
    table = Table("model, clients, server", "images/s", "CPU, ms per image")
    for name, one in figures.items():
        table.add_row(name, f"{one['images_per_s']:.1f}", f"{one['cpu_ms_per_image']:.2f}")
    Console(width=110).print(table)
    if options.other is None and not options.null_only:
        write_results("single_images", figures)


if __name__ == "__main__":
    main()
