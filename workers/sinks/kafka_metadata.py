"""Asks a Kafka broker where it sends its clients, before their library goes there by itself."""

from __future__ import annotations

import socket
import struct

_METADATA, _VERSION, _NUMBER = 3, 4, 1
_CLIENT = b"vwt-stream"
_LONGEST_ANSWER = 16 * 2**20


def advertised_hosts(address: str, port: int, topic: str, timeout_s: float) -> list[str]:
    """The hosts of the brokers that one of them names, by Kafka's Metadata request, version 4.

    Raises:
        OSError: it does not answer.
        ValueError: it answers what is none.
    """
    name = topic.encode()
    body = struct.pack(">hhih", _METADATA, _VERSION, _NUMBER, len(_CLIENT)) + _CLIENT
    # Without making the topic: that is for the first result to do.
    body += struct.pack(">ih", 1, len(name)) + name + b"\0"
    with socket.create_connection((address, port), timeout_s) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        size = struct.unpack(">i", _exactly(connection, 4))[0]
        if not 12 <= size <= _LONGEST_ANSWER:
            raise ValueError(f"its answer has {size} bytes, as none of Kafka has")
        answer = _exactly(connection, size)
    try:
        return _hosts(answer)
    except (struct.error, UnicodeDecodeError):
        raise ValueError("its answer is none of Kafka") from None


def _hosts(answer: bytes) -> list[str]:
    number, _throttled, count = struct.unpack_from(">iii", answer)
    if number != _NUMBER or not 0 <= count <= len(answer):
        raise ValueError("its answer is none of Kafka")
    hosts, at = [], 12
    for _ in range(count):
        _node, length = struct.unpack_from(">ih", answer, at)
        at += 6
        hosts.append(answer[at : at + length].decode())
        _port, rack = struct.unpack_from(">ih", answer, at + length)
        at += length + 6 + max(rack, 0)
    return hosts


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionResetError("it ended the connection")
        data += part
    return data
