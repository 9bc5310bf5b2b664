"""A relay for FFmpeg's connections over RTSP: it leads to checked addresses, also after a redirect."""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from urllib.parse import urlsplit

from workers.access.dialer import LONGEST_HEAD, Dialer, DialError, Peer, pour, until_first

_PORTS = {"rtsp": 554, "rtsps": 322}
_INTERLEAVED = 0x24
_LONGEST_MESSAGE = 2**20


class RtspRelay:
    """Takes FFmpeg's connections and makes those to the server, which it sees in the clear: TLS is made here.

    The server decides two more addresses. Where a redirect leads is where the next connection goes. Pictures
    over UDP come, and are asked for, at the address that was connected to, whatever `source` says.

    Args:
        dialer: makes the connections.
        url: of the source.

    Raises:
        ValueError: it is none of RTSP.
    """

    def __init__(self, dialer: Dialer, url: str) -> None:
        self._dialer = dialer
        self._peer = _peer(url)
        self._port = 0

    def local(self, url: str, port: int) -> str:
        """The address that FFmpeg is given, when connections are taken at a port here."""
        self._port = port
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        rest = url.partition("://")[2][len(parts.netloc) :]
        return f"rtsp://{login}{at}127.0.0.1:{port}{rest}"

    async def serve(self, client: StreamReader, answer: StreamWriter) -> None:
        """Relays one connection until either side ends it."""
        try:
            reader, writer = await self._dialer.connect(self._peer)
        except DialError:
            return
        try:
            await until_first(
                asyncio.ensure_future(pour(client, writer)),
                asyncio.ensure_future(self._answer(reader, answer, writer.get_extra_info("peername")[0])),
            )
        finally:
            writer.close()

    async def _answer(self, reader: StreamReader, answer: StreamWriter, address: str) -> None:
        waiting = bytearray()
        while data := await reader.read(2**16):
            waiting += data
            whole, taken = self._whole(waiting, address)
            del waiting[:taken]
            answer.write(whole)
            await answer.drain()

    def _whole(self, data: bytearray, address: str) -> tuple[bytes, int]:
        """What of the data is whole, as FFmpeg may have it, and how many bytes that took."""
        parts: list[bytes] = []
        start = at = 0
        while at < len(data):
            if data[at] == _INTERLEAVED:
                size = 4 + int.from_bytes(data[at + 2 : at + 4], "big") if at + 4 <= len(data) else 4
                if at + size > len(data):
                    break
                at += size
                continue
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                if len(data) - at > LONGEST_HEAD:
                    raise self._dialer.give_up(f"{self._peer} sends what is no RTSP: check its address")
                break
            head = data[at:end].decode("latin-1")
            length = re.search(r"(?im)^content-length:\s*(\d+)", head)
            size = int(length[1]) if length else 0
            if size > _LONGEST_MESSAGE:
                raise self._dialer.give_up(f"{self._peer} sends a message of {size} bytes: check its address")
            if end + 4 + size > len(data):
                break
            parts += [bytes(data[start:at]), self._edited(head, address)]
            start, at = end, end + 4 + size
        parts.append(bytes(data[start:at]))
        return b"".join(parts), at

    def _edited(self, head: str, address: str) -> bytes:
        lines = []
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            match name.strip().lower():
                case "location":
                    line = f"{name}: {self._redirected(value.strip())}"
                case "transport" if "interleaved" not in value:
                    kept = [
                        part for part in value.strip().split(";") if not part.lower().startswith("source=")
                    ]
                    line = f"{name}: {';'.join([*kept, f'source={address}'])}"
            lines.append(line)
        return "\r\n".join(lines).encode("latin-1")

    def _redirected(self, location: str) -> str:
        try:
            self._peer = _peer(location)
        except ValueError:
            raise self._dialer.give_up(
                f"{self._peer} leads to what is no RTSP: give the address itself"
            ) from None
        return self.local(location, self._port)


def _peer(url: str) -> Peer:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("no address of RTSP")
    return Peer(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "rtsps")
