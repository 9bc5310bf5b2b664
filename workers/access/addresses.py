"""Which network addresses a service may be made to connect to by somebody who only names a URL."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from pipeline.errors import UsageError
from pipeline.sources.deadline import within

Address = IPv4Address | IPv6Address

_RESOLVE_S = 3.0
_METADATA_NAMES = {
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
}
# 168.63.129.16 (Azure) is a public address, 100.100.100.200 (Alibaba) and 192.0.0.192 (Oracle) are special.
_METADATA_ADDRESSES = {
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192")
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AllowedHosts:
    """The hosts that may be read though their address is not public.

    Args:
        entries: host names, addresses, networks as 192.168.1.0/24, or "*" for any.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._networks = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self._names.add(_plain(entry))

    def check(self, host: str, shown: str) -> None:
        """Looks a host up, and refuses it when any of its addresses must not be read.

        Args:
            host: name or address, as it stands in the URL.
            shown: what to call the source in an error.

        Raises:
            UsageError: it is refused, or has no address.
        """
        name = _plain(host)
        if "*" in self._names or name in self._names:
            return
        if name in _METADATA_NAMES:
            raise _refused(shown, f"{name} is a cloud metadata service", name)
        for address in _resolve(host, shown):
            kind = _kind(address)
            if kind is not None and not any(
                part in net for part in _parts(address) for net in self._networks
            ):
                shown_as = str(address) if host == str(address) else f"{host} is {address}, and that"
                raise _refused(shown, f"{shown_as} is {kind}", _suggestion(address, kind))


def _plain(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")


def _resolve(host: str, shown: str) -> list[Address]:
    def look_up() -> list[Address]:
        # Also reads the decimal, hexadecimal and shortened forms of an address, as whoever connects will.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(entry[4][0])) for entry in found]

    try:
        return within(_RESOLVE_S, look_up, lambda _: None)
    except TimeoutError:
        raise UsageError(
            f"cannot look up the host of {shown}: no answer within {_RESOLVE_S:.0f} s; check the name server"
        ) from None
    except (OSError, ValueError):
        raise UsageError(f"cannot find the host of {shown}: check its name") from None


def _parts(address: Address) -> list[Address]:
    """The address, and the IPv4 address that an IPv6 one leads to."""
    if isinstance(address, IPv4Address):
        return [address]
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return [address] if inner is None else [inner, address]


def _kind(address: Address) -> str | None:
    """What is special about an address; None for a public one."""
    # Of a mapped address only the inner one says anything: the outer is always reserved.
    for part in _parts(address)[:1]:
        if part in _METADATA_ADDRESSES:
            return "a cloud metadata address"
        for kind, holds in (
            ("a loopback address", part.is_loopback),
            ("an unspecified address", part.is_unspecified),
            ("a link-local address", part.is_link_local),
            ("a multicast address", part.is_multicast),
            ("a private address", part.is_private),
            ("a reserved address", part.is_reserved or not part.is_global),
        ):
            if holds:
                return kind
    return None


def _suggestion(address: Address, kind: str) -> str:
    inner = _parts(address)[0]
    if kind != "a private address":
        return str(inner)
    return str(ipaddress.ip_network((inner, 24 if inner.version == 4 else 64), strict=False))


def _refused(shown: str, why: str, entry: str) -> UsageError:
    return UsageError(
        f"the source {shown} may not be read: {why}; if it may, start the service with --allow-host {entry}"
    )
