"""What Kafka's library and a broker, which may be hostile, can say through the relay."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from workers.access.addresses import AllowedHosts
from workers.sinks.kafka_relay import KafkaRelay, read_brokers

_FOUR = struct.pack(">i", 4)


class Talk:
    """The library at one end of a relay and a broker at the other, both played by the test."""

    def __init__(self, relay: KafkaRelay, listener: socket.socket) -> None:
        host, _, port = relay.address.partition(":")
        self.library = socket.create_connection((host, int(port)), 5)
        self._listener = listener
        self.broker: socket.socket | None = None

    def ask(self, kind: int, version: int, number: int = 7) -> None:
        self.library.sendall(_framed(struct.pack(">hhi", kind, version, number) + b"\xff\xff"))
        if self.broker is None:
            self.broker, _ = self._listener.accept()
            self.broker.settimeout(5)

    def arrived(self) -> bytes:
        assert self.broker is not None
        return _message(self.broker)

    def answer(self, body: bytes, number: int = 7) -> bytes:
        """What the library gets of an answer; b"" when the connection ends instead."""
        assert self.broker is not None
        self.broker.sendall(_framed(struct.pack(">i", number) + body))
        return _message(self.library)


def _framed(message: bytes) -> bytes:
    return struct.pack(">i", len(message)) + message


def _message(end: socket.socket) -> bytes:
    try:
        head = end.recv(4, socket.MSG_WAITALL)
        return end.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL) if head else b""
    except ConnectionResetError:
        return b""


@pytest.fixture
def talk() -> Iterator[Talk]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        relay = KafkaRelay(AllowedHosts(["127.0.0.1"]), "the sink", ("127.0.0.1", listener.getsockname()[1]))
        talk = Talk(relay, listener)
        yield talk
        talk.library.close()
        if talk.broker is not None:
            talk.broker.close()
        relay.close()


def _brokers(*addresses: tuple[str, int]) -> bytes:
    listed = [
        struct.pack(">ih", 1, len(host)) + host.encode() + struct.pack(">i", port) for host, port in addresses
    ]
    return struct.pack(">i", len(listed)) + b"".join(one + b"\0\1r" for one in listed)


def test_every_broker_is_named_as_a_port_here(talk: Talk) -> None:
    talk.ask(3, 4)
    assert struct.unpack_from(">hh", talk.arrived()) == (3, 4)
    other = ("2130706434", 99)
    told = talk.answer(b"\0\0\0\0" + _brokers(("10.0.0.1", 9092), other, ("10.0.0.1", 9092)) + b"rest")
    brokers, end = read_brokers(told, 8, racks=True)
    assert [host for _, host, _, _ in brokers] == ["127.0.0.1"] * 3
    ports = [port for _, _, port, _ in brokers]
    assert ports[0] == ports[2] != ports[1]
    assert {rack for _, _, _, rack in brokers} == {b"\0\1r"}
    assert told[end:] == b"rest"


@pytest.mark.parametrize("version", [0, 3])
def test_the_library_is_told_of_no_version_that_is_not_read_here(talk: Talk, version: int) -> None:
    talk.ask(18, version)
    talk.arrived()
    tag = b"\0" if version == 3 else b""
    listed = [(0, 3, 11), (3, 0, 13), (18, 0, 4), (22, 0, 5)]
    count = b"\5" if version == 3 else _FOUR
    told = talk.answer(
        b"\0\0" + count + b"".join(struct.pack(">hhh", *one) + tag for one in listed) + b"rest"
    )
    assert told.endswith(b"rest")
    at, step = 6 + len(count), 6 + len(tag)
    found = [struct.unpack_from(">hhh", told, at + step * number) for number in range(4)]
    assert found == [(0, 3, 7), (3, 0, 4), (18, 0, 4), (22, 0, 5)]


def test_a_broker_that_does_not_know_the_version_is_asked_again(talk: Talk) -> None:
    talk.ask(18, 4)
    talk.arrived()
    told = talk.answer(struct.pack(">hi", 35, 1) + struct.pack(">hhh", 3, 0, 9))
    assert struct.unpack_from(">hhh", told, 10) == (3, 0, 4)


@pytest.mark.parametrize(("kind", "version"), [(3, 5), (0, 8), (10, 0), (71, 0)])
def test_nothing_is_asked_whose_answer_is_not_read_here(talk: Talk, kind: int, version: int) -> None:
    talk.ask(kind, version)
    assert talk.arrived() == b""
    assert _message(talk.library) == b""


@pytest.mark.parametrize(
    ("kind", "version", "answer"),
    [
        (3, 4, b"\0\0\0\0\x7f\xff\xff\xff"),
        (3, 4, b"\0\0\0\0" + _FOUR),
        (3, 4, b"\0\0\0\0\0\0\0\1" + b"\0\0\0\1\0\2\xff\xfe" + b"\0" * 6),
        (3, 4, b""),
        (18, 3, b"\0\0\xff\xff\xff\xff\xff\xff"),
        (18, 3, b"\0\0\2" + struct.pack(">hhh", 3, 5, 13) + b"\0"),
        (18, 3, b"\0\0\2" + struct.pack(">hhh", 3, 0, 13) + b"\1"),
        (18, 0, b"\0\0\x7f\xff\xff\xff"),
    ],
)
def test_an_answer_that_cannot_be_read_ends_the_connection(
    talk: Talk, kind: int, version: int, answer: bytes
) -> None:
    talk.ask(kind, version)
    talk.arrived()
    assert talk.answer(answer) == b""


def test_what_was_not_asked_for_is_not_handed_on(talk: Talk) -> None:
    talk.ask(3, 4)
    talk.arrived()
    assert talk.answer(b"\0\0\0\0" + _brokers(("10.0.0.1", 9092)), number=8) == b""
