"""The end of a connection that is called: a replica that listens."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import ServiceError, UsageError
from workers.direct.receiver import Receiver
from workers.direct.wire import meeting_place

_LOG = logging.getLogger("vwt.direct")

Methods = Mapping[str, Callable[..., Awaitable[Any]]]


# How long those who have found it are let in, to be told that it is closed.
_LINGER_S = 1.0
# Ends the name of what does not listen yet.
_UNSEEN = ".new"


class Door:
    """Takes calls at a path, each answered as soon as it is done, whatever becomes of the others.

    Args:
        path: of the socket; in a folder of this user alone.
        methods: that can be called, by name; they run in the event loop that this is made in.
    """

    def __init__(self, path: Path, methods: Methods) -> None:
        self._path = path
        self._methods = methods
        self._open: set[Receiver] = set()
        self._left = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _sweep(path.parent)
        # Nobody sees it before it listens.
        made = path.with_name(path.name + _UNSEEN)
        self._socket.bind(str(made))
        self._socket.listen()
        made.rename(path)
        self._loop = asyncio.get_running_loop()
        self._listening = self._loop.create_task(self._listen())

    async def _listen(self) -> asyncio.AbstractServer:
        return await self._loop.create_unix_server(self._receiver, sock=self._socket)

    def _receiver(self) -> Receiver:
        receiver = Receiver(self._took, self._open.discard)
        self._open.add(receiver)
        if self._left:
            # Let in just before.
            receiver.leave()
        return receiver

    def close(self) -> None:
        """Takes no more calls, from any thread; those under way are not answered."""
        self._path.unlink(missing_ok=True)
        with suppress(RuntimeError):  # the loop has ended, and all connections with it
            self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self._left = True
        # Nobody finds it any more. Of who is let in just now asyncio would forget to tell, were it closed.
        self._loop.call_later(_LINGER_S, self._shut)
        for receiver in list(self._open):
            receiver.leave()

    def _shut(self) -> None:
        if self._listening.done() and not self._listening.cancelled():
            self._listening.result().close()
        else:
            self._listening.cancel()
            self._socket.close()

    def _took(self, receiver: Receiver, message: Any) -> None:
        task = self._loop.create_task(self._call(receiver, *message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, receiver: Receiver, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        value, error = None, None
        try:
            value = await self._methods[method](*arguments)
        except Exception as raised:
            error = raised
        if receiver.ended:
            return
        try:
            receiver.send((number, value, error))
        except Exception:
            what = error or value
            receiver.send((number, None, ServiceError(f"{type(what).__name__}: {what}")))


def _sweep(folder: Path) -> None:
    """Removes what replicas left that were killed: nobody listens there."""
    for path in folder.iterdir():
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)
            try:
                if path.is_socket() and path.suffix != _UNSEEN:
                    caller.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()


def door(replica: str, methods: Methods) -> Door | None:
    """The door of a replica; None where it can have none, and is called by Serve alone."""
    try:
        return Door(meeting_place(replica), methods)
    except (OSError, UsageError) as error:
        _LOG.warning("calls go by Serve alone: %s", error)
        return None
