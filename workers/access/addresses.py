"""Which network addresses a service may be made to connect to by somebody who only names a URL."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from pipeline.errors import UsageError
from pipeline.sources.deadline import within

Address = IPv4Address | IPv6Address

SOURCE_REFUSAL = "the source {} may not be read"

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
# Not public, though the library of some Python versions says so: site-local, protocol assignments, the relays
# of 6to4, documentation.
_SPECIAL = [
    ipaddress.ip_network(text) for text in ("fec0::/10", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20")
]


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

    @property
    def any(self) -> bool:
        """Whether every host may be read."""
        return "*" in self._names

    def check(self, host: str, shown: str, refusal: str = SOURCE_REFUSAL) -> None:
        """Looks a host up, and refuses it when any of its addresses must not be read.

        What it finds may have changed when somebody connects: whoever does takes `resolve` instead.

        Args:
            host: name or address, as it stands in the URL.
            shown: what to call the source in an error.
            refusal: what the error begins with, with {} for what is shown.

        Raises:
            UsageError: it is refused, or has no address.
        """
        if not self._named(host):
            self.resolve(host, shown, refusal)

    def resolve(self, host: str, shown: str, refusal: str = SOURCE_REFUSAL) -> list[str]:
        """The addresses of a host, every one of which may be connected to: connect to one of these.

        Args and errors are those of `check`. Blocks for up to 3 s.
        """
        name = _plain(host)
        named = self._named(host)
        if not named and name in _METADATA_NAMES:
            raise _refused(refusal.format(shown), f"{name} is a cloud metadata service", name)
        found = _resolve(host, shown)
        for address in map(_real, found):
            kind = None if named else _kind(address)
            if kind is not None and not any(address in network for network in self._networks):
                entry = _network(address) if kind == "a private address" else str(address)
                raise _refused(refusal.format(shown), f"its address {address} is {kind}", entry)
        return [str(address) for address in found]

    def _named(self, host: str) -> bool:
        return self.any or _plain(host) in self._names


def _plain(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")


def _resolve(host: str, shown: str) -> list[Address]:
    def look_up() -> list[Address]:
        # Also reads the decimal, hexadecimal and shortened forms of an address, as whoever connects will.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0])) for entry in found))

    try:
        return within(_RESOLVE_S, look_up, lambda _: None)
    except TimeoutError:
        raise UsageError(
            f"cannot look up the host of {shown}: no answer within {_RESOLVE_S:.0f} s; check the name server"
        ) from None
    except (OSError, ValueError):
        raise UsageError(f"cannot find the host of {shown}: check its name") from None


def _real(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _kind(address: Address) -> str | None:
    """What is special about an address; None for a public one."""
    kinds = {
        "a cloud metadata address": address in _METADATA_ADDRESSES,
        "a loopback address": address.is_loopback,
        "an unspecified address": address.is_unspecified,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a private address": address.is_private,
        "a reserved address": address.is_reserved
        or not address.is_global
        or any(address in network for network in _SPECIAL),
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def _network(address: Address) -> str:
    return str(
        ipaddress.ip_network((str(address).partition("%")[0], 24 if address.version == 4 else 64), False)
    )


def _refused(refusal: str, why: str, entry: str) -> UsageError:
    return UsageError(f"{refusal}: {why}; if it may, start the service with --allow-host {entry}")
