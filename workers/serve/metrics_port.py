"""Ray's metrics at a port of every address of this machine, though Ray itself is on the loopback only."""

from __future__ import annotations

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.errors import ServiceError
from workers.access.dialer import pour, until_first


@contextmanager
def forwarded(port: int, to: int) -> Iterator[None]:
    """Hands connections at a port of every address on to a port of the loopback, until the block ends.

    Raises:
        ServiceError: the port is taken.
    """
    loop = asyncio.new_event_loop()
    try:
        server = loop.run_until_complete(asyncio.start_server(lambda *ends: _hand_on(to, *ends), None, port))
    except OSError as error:
        loop.close()
        raise ServiceError(
            f"cannot listen at port {port} for metrics ({error.strerror}): choose another ray_metrics_port"
        ) from error
    thread = threading.Thread(target=_run, args=(loop,), name="vwt-metrics-port", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()


async def _hand_on(to: int, client: StreamReader, answer: StreamWriter) -> None:
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", to)
        asked = asyncio.ensure_future(pour(client, writer))
        await until_first(asked, asyncio.ensure_future(pour(reader, answer)))
        writer.close()
    answer.close()
