"""Where the service listens, checked before anything is started."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import UsageError

# Where a service is looked for unless one is named.
DEFAULT_URL = "http://127.0.0.1:8000"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; a name other than localhost may be anybody's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def free_port(host: str, port: int) -> int:
    """Checks that a port can be listened on.

    Returns:
        The port; one that is free where it was 0.

    Raises:
        UsageError: it is taken, not allowed, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            return int(listener.getsockname()[1])
    except OSError as error:
        raise _taken(host, port, error) from error


@contextmanager
def held_port(host: str, port: int) -> Iterator[int]:
    """Keeps a port for the gateways, which listen there half a minute later and share it among them.

    Without that another program may take it meanwhile; another service even listens beside this one, and the
    system deals out connections to both.

    Yields:
        The port, see `free_port`.

    Raises:
        UsageError: see `free_port`.
    """
    port = free_port(host, port)
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as holder:
        if hasattr(socket, "SO_REUSEPORT"):
            # Bound, but never listening: it gets no connection, and only those of our user that share, too,
            # can be bound beside it.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                holder.bind(address)
            except OSError as error:
                raise _taken(host, port, error) from error
        yield port


def _taken(host: str, port: int, error: OSError) -> UsageError:
    why = (error.strerror or str(error)).lower()
    return UsageError(f"cannot listen on {host} port {port}: {why}; give another --host or --port")


def base_url(host: str, port: int) -> str:
    """What a person on this machine opens."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
