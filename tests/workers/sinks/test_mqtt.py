from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.vocab.servers import eventually
from tests.workers.sinks.brokers import Mosquitto
from tests.workers.sinks.conftest import Bench
from workers.settings.schema import AccessSettings
from workers.sinks.mqtt import MqttSettings, MqttTopic
from workers.sinks.sink import SinkError


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.resume()
    broker.kill()


@pytest.fixture
def locked_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Lets in "viewer" with the password "p@ss:w/rd", who may publish below allowed/ only."""
    broker = Mosquitto(tmp_path, "viewer", "p@ss:w/rd")
    yield broker
    broker.kill()


class _Subscriber:
    """Hears everything that is published, as somebody else's MQTT 3.1.1 client."""

    def __init__(self, port: int, topic: str = "site/gate") -> None:
        self.frames: list[int] = []
        self._ready: SimpleQueue[Any] = SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda *call: self.frames.append(json.loads(call[2].payload)["frame"])
        self._client.on_connect = lambda *_: self._client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.put(None)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait_until_subscribed()

    def wait_until_subscribed(self) -> None:
        self._ready.get(timeout=20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _sink(broker: Mosquitto, login: str = "", topic: str = "site/gate") -> dict[str, str]:
    return {"kind": "mqtt", "url": f"mqtt://{login}127.0.0.1:{broker.port}/{topic}"}


def _open(sink: dict[str, str]) -> MqttTopic:
    return MqttSettings.model_validate(sink).open("gate", AccessSettings(allow_hosts=["127.0.0.1"]))


def test_every_result_becomes_a_message_in_order(bench: Bench, broker: Mosquitto) -> None:
    subscriber = _Subscriber(broker.port)
    sink = _sink(broker)
    bench.deliver(sink)
    bench.results(250)
    bench.caught_up(sink)
    eventually(lambda: len(subscriber.frames) >= 250)
    assert subscriber.frames == list(range(250))
    subscriber.close()


def test_a_broker_that_is_killed_and_started_again_misses_nothing(bench: Bench, broker: Mosquitto) -> None:
    sink = _sink(broker)
    before = _Subscriber(broker.port)
    bench.deliver(sink)
    bench.results(20)
    bench.caught_up(sink)
    eventually(lambda: len(before.frames) == 20)
    before.close()
    broker.kill()
    bench.results(20)
    eventually(lambda: bench.status(sink)["error"])
    assert bench.status(sink)["lag"] == 20
    # Nothing goes to the broker before somebody listens: it remembers nothing for who comes later.
    broker.start()
    after = _Subscriber(broker.port, "#")
    bench.caught_up(sink)
    bench.results(20)
    bench.caught_up(sink)
    eventually(lambda: 59 in after.frames)
    assert sorted(set(after.frames)) == after.frames
    missing = set(range(20, 60)) - set(after.frames)
    # What it acknowledged before our subscriber was there again, it had; nothing behind that is missing.
    assert missing == set(range(20, 20 + len(missing)))
    assert bench.status(sink)["lost"] == 0
    after.close()


def test_nothing_counts_as_delivered_while_the_broker_hangs(
    bench: Bench, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.sinks.mqtt._TIMEOUT_S", 0.5)
    sink = _sink(broker)
    subscriber = _Subscriber(broker.port)
    bench.deliver(sink)
    bench.results(1)
    bench.caught_up(sink)
    broker.halt()
    bench.results(9)
    eventually(lambda: bench.status(sink)["error"])
    assert "did not answer within" in bench.status(sink)["error"]
    assert (bench.status(sink)["delivered"], bench.status(sink)["lag"]) == (1, 9)
    broker.resume()
    bench.caught_up(sink)
    eventually(lambda: set(subscriber.frames) == set(range(10)))
    subscriber.close()


def test_a_login_lets_us_in(locked_broker: Mosquitto) -> None:
    topic = _open(_sink(locked_broker, "viewer:p%40ss%3Aw%2Frd@", "allowed/gate"))
    topic.write([b"{}"])
    topic.close()


def test_a_wrong_login_is_said_without_the_password(locked_broker: Mosquitto) -> None:
    with pytest.raises(SinkError, match=r"refuses us: Not authorized; check the user and pass") as error:
        _open(_sink(locked_broker, "viewer:wrong-one@"))
    assert "wrong-one" not in str(error.value)


def test_a_topic_we_may_not_publish_to_is_an_error_and_no_delivery(locked_broker: Mosquitto) -> None:
    topic = _open(_sink(locked_broker, "viewer:p%40ss%3Aw%2Frd@", "forbidden"))
    with pytest.raises(SinkError, match="refuses results: Not authorized; check what the user may publish"):
        topic.write([b"{}"])
    topic.close()


def test_home_assistant_finds_each_rule_as_a_sensor(broker: Mosquitto) -> None:
    sink = _sink(broker) | {"discovery": "homeassistant"}
    topic = _open(sink)
    topic.announce(["person", "lost"])
    event = {"stream": "gate", "kind": "event", "id": "a", "rule": "person", "state": "start"}
    clipped = event | {"state": "clip", "clip": "/v1/streams/gate/events/a/clip.mp4"}
    told = [json.dumps(one, separators=(",", ":")).encode() for one in (event, clipped)]
    topic.write([b'{"stream":"gate","frame":0}', *told])
    topic.close()
    # Whoever comes later is given what was retained, and no results.
    heard: dict[str, bytes] = {}
    ready: SimpleQueue[Any] = SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *call: heard.update({call[2].topic: call[2].payload})
    client.on_connect = lambda *_: client.subscribe("#", qos=1)
    client.on_subscribe = lambda *_: ready.put(None)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    ready.get(timeout=20)
    eventually(lambda: len(heard) >= 4)
    client.disconnect()
    client.loop_stop()
    config = json.loads(heard["homeassistant/binary_sensor/vwt_gate/person/config"])
    assert config["unique_id"] == "vwt_gate_person"
    assert heard[config["state_topic"]] == b"ON"
    # That its clip is there now changes what is known of it, not whether it is on.
    assert json.loads(heard[config["json_attributes_topic"]]) == clipped
    assert json.loads(heard["homeassistant/binary_sensor/vwt_gate/lost/config"])["device"]["name"] == "gate"
    assert len(heard) == 4


def test_a_prefix_of_discovery_that_is_no_topic_is_refused(broker: Mosquitto) -> None:
    for prefix in ("", "#", "home/+", "/home"):
        with pytest.raises(ValueError, match="discovery"):
            MqttSettings.model_validate(_sink(broker) | {"discovery": prefix})
