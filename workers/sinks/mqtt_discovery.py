"""What Home Assistant is told over MQTT: each rule of a stream as a binary sensor of one device.

As https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery describes it: a retained configuration at
<prefix>/binary_sensor/<node>/<object>/config names the topic of the state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Message(NamedTuple):
    """What is published where; a broker gives the last retained one to whoever comes later."""

    topic: str
    payload: bytes
    retain: bool = False


class Sensors:
    """The binary sensors of a stream.

    Args:
        prefix: of the discovery.
        topic: of the sink; states lie below.
        stream: id of the stream.
    """

    def __init__(self, prefix: str, topic: str, stream: str) -> None:
        self._prefix = prefix
        self._topic = topic
        self._stream = stream

    def configurations(self, rules: Sequence[str]) -> list[Message]:
        """Makes the sensors known, by the names of the rules."""
        return [
            Message(
                f"{self._prefix}/binary_sensor/vwt_{self._stream}/{rule}/config",
                self._config(rule),
                retain=True,
            )
            for rule in rules
        ]

    def states(self, results: Sequence[bytes]) -> Iterator[Message]:
        """What the events among results make of the sensors: on from start to end."""
        for text in results:
            if b'"kind":"event"' not in text:
                continue
            event = json.loads(text)
            if event.get("kind") == "event":
                state = self._state(event["rule"])
                yield Message(f"{state}/event", text, retain=True)
                # One whose clip is there now is told once more, and is no news of the sensor.
                if event["state"] in ("start", "end"):
                    yield Message(state, b"ON" if event["state"] == "start" else b"OFF", retain=True)

    def _state(self, rule: str) -> str:
        return f"{self._topic}/{self._stream}/{rule}"

    def _config(self, rule: str) -> bytes:
        named = f"vwt_{self._stream}_{rule}"
        config = {
            "name": rule,
            "unique_id": named,
            "object_id": named,
            "state_topic": self._state(rule),
            "json_attributes_topic": f"{self._state(rule)}/event",
            "device": {
                "identifiers": [f"vwt_{self._stream}"],
                "name": self._stream,
                "manufacturer": "vwt-stream",
            },
        }
        return json.dumps(config, separators=(",", ":")).encode()
