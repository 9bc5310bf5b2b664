"""A forward proxy for FFmpeg's requests over HTTP: redirects, playlists, segments and keys come through it.

FFmpeg is left without TLS, whose way through a proxy it opens to playlists as well (`httpproxy://`). So what
is to be fetched over https is marked by a label before its host, in the address that FFmpeg is given, in
redirects and in playlists, and the proxy makes the TLS connection.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from urllib.parse import urlsplit

from workers.access.dialer import Dialer, DialError, Peer, pour, until_first

_TLS = "vwt-tls."
_HOP = ("connection", "proxy-connection", "keep-alive", "proxy-authorization", "te", "upgrade")
_PLAYLIST = b"#EXTM3U"
_LONGEST_PLAYLIST = 8 * 2**20
_PLACES = re.compile(rb'(^|URI=")(https:)?//', re.MULTILINE)
_Head = list[tuple[str, str]]


def marked(url: str) -> str:
    """The address that FFmpeg is given for one over http or https."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "https":
        return url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, host = authority.rpartition("@")
    return f"http://{login}{at}{_TLS}{host}{rest[len(authority) :]}"


async def relay_http(dialer: Dialer, client: StreamReader, answer: StreamWriter) -> None:
    """Answers one request, and ends the connection with it."""
    try:
        line, fields = await _head(client)
        method, target, _ = line.split(" ", 2)
        url = urlsplit(target)
        peer = _peer(url.scheme, url.hostname, url.port)
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return
    try:
        reader, writer = await dialer.connect(peer)
    except DialError:
        answer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        asked = [(name, value) for name, value in fields if name.lower() not in (*_HOP, "host")]
        host = [("Host", url.netloc.rpartition("@")[2].removeprefix(_TLS))]
        writer.write(_bytes(f"{method} {path} HTTP/1.1", host + asked))
        # Of who asks only that it has gone matters.
        await until_first(
            asyncio.ensure_future(_answer(reader, answer, peer.tls)), asyncio.ensure_future(_gone(client))
        )
    finally:
        writer.close()


def _peer(scheme: str, host: str | None, port: int | None) -> Peer:
    if scheme != "http" or not host:
        raise ValueError("no address over http")
    tls = host.startswith(_TLS)
    return Peer(host.removeprefix(_TLS), port or (443 if tls else 80), tls)


async def _answer(reader: StreamReader, answer: StreamWriter, tls: bool) -> None:
    line, fields = await _head(reader)
    while line.split(" ")[1:2] and line.split(" ")[1].startswith("1"):
        line, fields = await _head(reader)
    fields = [(name, value) for name, value in fields if name.lower() not in _HOP]
    places = {name.lower(): value for name, value in fields}
    fields = [(n, _location(v, tls) if n.lower() == "location" else v) for n, v in fields]
    encoded = places.get("transfer-encoding", "").lower() == "chunked"
    start = b"" if encoded else await _begin(reader, len(_PLAYLIST))
    if encoded:
        fields = [(name, value) for name, value in fields if name.lower() != "transfer-encoding"]
        await _answer_chunks(reader, answer, line, fields, tls)
    elif start == _PLAYLIST:
        body = start + await _rest(reader)
        await _answer_playlist(answer, line, fields, body, tls)
    else:
        answer.write(_bytes(line, fields) + start)
        await pour(reader, answer)


async def _answer_chunks(
    reader: StreamReader, answer: StreamWriter, line: str, fields: _Head, tls: bool
) -> None:
    """Hands on a body that comes in chunks as one that ends with its connection."""
    kept: bytes | None = b""
    while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
        data = await reader.readexactly(size)
        await reader.readline()
        if kept is not None:
            kept += data
            if _PLAYLIST.startswith(kept[: len(_PLAYLIST)]) and len(kept) < _LONGEST_PLAYLIST:
                continue
            data, kept = _bytes(line, fields) + kept, None
        answer.write(data)
        await answer.drain()
    if kept is not None:
        await _answer_playlist(answer, line, fields, kept, tls)


async def _answer_playlist(answer: StreamWriter, line: str, fields: _Head, body: bytes, tls: bool) -> None:
    mark = _TLS.encode()
    body = _PLACES.sub(lambda m: m[1] + (b"http://" + mark if m[2] else b"//" + (mark if tls else b"")), body)
    fields = [(name, value) for name, value in fields if name.lower() != "content-length"]
    answer.write(_bytes(line, [*fields, ("Content-Length", str(len(body)))]) + body)
    await answer.drain()


def _location(value: str, tls: bool) -> str:
    if value.startswith("//"):
        return marked(f"{'https' if tls else 'http'}:{value}")
    return marked(value) if "://" in value else value


async def _head(reader: StreamReader) -> tuple[str, _Head]:
    head = (await reader.readuntil(b"\n\r\n")).decode("latin-1")
    line, *rest = head.replace("\r\n", "\n").strip("\n").split("\n")
    fields = [field.partition(":") for field in rest]
    return line, [(name.strip(), value.strip()) for name, colon, value in fields if colon]


def _bytes(line: str, fields: _Head) -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in fields), "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def _begin(reader: StreamReader, count: int) -> bytes:
    try:
        return await reader.readexactly(count)
    except asyncio.IncompleteReadError as error:
        return error.partial


async def _rest(reader: StreamReader) -> bytes:
    body = b""
    while len(body) < _LONGEST_PLAYLIST and (data := await reader.read(2**16)):
        body += data
    return body


async def _gone(client: StreamReader) -> None:
    while await client.read(2**12):
        pass
