"""The way of a network source: FFmpeg connects to the loopback only, and from there to checked addresses."""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pipeline.errors import SourceError
from pipeline.sources import SourceSpec
from pipeline.sources.deadline import within
from workers.access.addresses import AllowedHosts
from workers.access.dialer import LONGEST_HEAD, Dialer, DialError
from workers.access.http_relay import marked, relay_http
from workers.access.rtsp_relay import RtspRelay

_START_S = 5.0


class CheckedRoute:
    """Relays the connections of one source, in a thread of its own; see `pipeline.sources.source.Route`.

    An address is checked where the connection is made: a name that leads elsewhere by then, a redirect and
    what a playlist names reach nothing that the source itself could not.

    Args:
        hosts: may be connected to.
        on_refusal: told in one line of each connection that may not be made; called from the thread.
    """

    def __init__(self, hosts: AllowedHosts, on_refusal: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._on_refusal = on_refusal
        self._dialer: Dialer | None = None
        self._server: asyncio.Server | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="vwt-route", daemon=True)
        self._thread.start()

    def way(self, spec: SourceSpec) -> tuple[str, dict[str, str]]:
        """See `Route`; ends the connections of the way before."""
        with self._lock:
            if self._closed:
                raise SourceError(f"{spec.display} was closed")
            coming = asyncio.run_coroutine_threadsafe(self._open(spec), self._loop)
        return within(_START_S, coming.result, lambda _: None)

    @property
    def failure(self) -> str | None:
        """See `Route`."""
        return None if self._dialer is None else self._dialer.failure

    def close(self) -> None:
        """Ends every connection; never waits."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._loop.stop)

    async def _open(self, spec: SourceSpec) -> tuple[str, dict[str, str]]:
        self._leave()
        dialer = self._dialer = Dialer(self._hosts, spec.host or "", spec.display, self._on_refusal)
        if spec.kind == "rtsp":
            relay = RtspRelay(dialer, spec.location)
            return relay.local(spec.location, await self._listen(relay.serve)), {}
        # FFmpeg would leave the proxy out for the hosts of this; nobody else reads the small letters alone.
        passed = os.environ.pop("no_proxy", None)
        if passed is not None:
            os.environ.setdefault("NO_PROXY", passed)
        port = await self._listen(lambda client, answer: relay_http(dialer, client, answer))
        return marked(spec.location), {
            "http_proxy": f"http://127.0.0.1:{port}",
            "protocol_whitelist": "http,tcp,crypto",
        }

    async def _listen(self, serve: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> int:
        async def handle(client: StreamReader, answer: StreamWriter) -> None:
            # What either side does to the other is for FFmpeg to find out.
            with suppress(OSError, EOFError, ValueError, DialError, asyncio.LimitOverrunError):
                await serve(client, answer)
                await answer.drain()
            answer.close()

        self._server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=LONGEST_HEAD)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _leave(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}:
            task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._leave()
        left = asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True)
        self._loop.run_until_complete(left)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
