from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.vocab.servers import eventually
from tests.workers.sinks.brokers import Tansu
from tests.workers.sinks.conftest import Bench

TOPIC = "results"


@pytest.fixture
def broker() -> Iterator[Tansu]:
    broker = Tansu()
    _make_topic(broker)
    yield broker
    broker.resume()
    broker.kill()


def _make_topic(broker: Tansu, topic: str = TOPIC, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
    for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        try:
            made.result(60)
        except KafkaException as error:
            # The client asks again when an answer is late; then it is there already.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _sink(broker: Tansu, topic: str = TOPIC) -> dict[str, str]:
    return {"kind": "kafka", "url": f"kafka://127.0.0.1:{broker.port}/{topic}"}


def _read(broker: Tansu, topic: str, partitions: int, last: int) -> list[Message]:
    """All records, up to the one of frame `last`."""
    consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{broker.port}", "group.id": "test"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    records: list[Message] = []

    def seen() -> bool:
        for record in consumer.consume(1000, 0.2):
            assert record.error() is None
            assert record.key() == b"gate"
            records.append(record)
        return last in map(_frame, records)

    eventually(seen)
    consumer.close()
    return records


def _frame(record: Message) -> int:
    return int(json.loads(record.value() or b"")["frame"])


def _records(broker: Tansu, last: int) -> list[int]:
    """Frames of all records, up to that of frame `last`."""
    return [_frame(record) for record in _read(broker, TOPIC, 1, last)]


def test_every_result_becomes_a_record_in_order(bench: Bench, broker: Tansu) -> None:
    sink = _sink(broker)
    bench.deliver(sink)
    bench.results(250)
    bench.caught_up(sink)
    assert _records(broker, last=249) == list(range(250))


def test_a_broker_that_was_away_gets_all_of_it_when_it_is_back(
    bench: Bench, broker: Tansu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.sinks.kafka._TIMEOUT_S", 1.0)
    sink = _sink(broker)
    bench.deliver(sink)
    bench.results(5)
    bench.caught_up(sink)
    broker.kill()
    bench.results(5)
    eventually(lambda: bench.status(sink)["error"])
    assert (bench.status(sink)["delivered"], bench.status(sink)["lag"]) == (5, 5)
    # The first five went down with the broker, which had taken them.
    broker.start()
    _make_topic(broker)
    bench.caught_up(sink)
    frames = _records(broker, last=9)
    assert sorted(set(frames)) == list(range(5, 10))


def test_a_broker_that_hangs_gets_all_of_it_in_order_once_it_goes_on(
    bench: Bench, broker: Tansu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.sinks.kafka._TIMEOUT_S", 1.0)
    sink = _sink(broker)
    bench.deliver(sink)
    bench.results(1)
    bench.caught_up(sink)
    broker.halt()
    bench.results(9)
    eventually(lambda: bench.status(sink)["error"])
    assert bench.status(sink)["delivered"] == 1
    broker.resume()
    bench.caught_up(sink)
    frames = _records(broker, last=9)
    # In order from any first copy on: a reader that keeps the highest frame it saw reads each once.
    assert sorted(set(frames)) == list(range(10))
    firsts = [frame for at, frame in enumerate(frames) if frame not in frames[:at]]
    assert firsts == sorted(firsts)


def test_a_topic_of_several_partitions_keeps_a_stream_in_one(bench: Bench, broker: Tansu) -> None:
    _make_topic(broker, "wide", partitions=4)
    sink = _sink(broker, "wide")
    bench.deliver(sink)
    bench.results(20)
    bench.caught_up(sink)
    records = _read(broker, "wide", partitions=4, last=19)
    assert len({record.partition() for record in records}) == 1
    assert [_frame(record) for record in records] == list(range(20))
