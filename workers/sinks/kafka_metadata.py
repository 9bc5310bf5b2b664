"""Asks a Kafka broker where it sends its clients, so that a sink that leads elsewhere is refused at once."""

from __future__ import annotations

import socket
import struct

from workers.sinks.kafka_relay import read_brokers

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
        if struct.unpack_from(">i", answer)[0] != _NUMBER:
            raise ValueError("its answer is none of Kafka")
        # Behind the number is for how long it holds clients back.
        return [host for _, host, _, _ in read_brokers(answer, 8, racks=True)[0]]
    except (struct.error, UnicodeDecodeError):
        raise ValueError("its answer is none of Kafka") from None


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionResetError("it ended the connection")
        data += part
    return data
