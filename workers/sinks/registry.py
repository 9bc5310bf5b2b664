"""Which sinks there are, a line for each. Free of heavy imports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workers.sinks.settings import SinkSettings


class Kind(NamedTuple):
    """A kind of sink.

    Attributes:
        name: the `kind` of its settings.
        form: how a person writes one, for help and errors.
        where: "module:class" of its `SinkSettings`.
    """

    name: str
    form: str
    where: str

    def settings(self) -> type[SinkSettings]:
        """The class of its settings."""
        module, _, name = self.where.partition(":")
        found: type[SinkSettings] = getattr(import_module(module), name)
        return found


SINKS = {
    kind.name: kind
    for kind in (
        Kind("jsonl", "the full path of a .jsonl file", "workers.sinks.jsonl:JsonlSettings"),
        Kind("webhook", "http(s)://host/path", "workers.sinks.webhook:WebhookSettings"),
        Kind("mqtt", "mqtt(s)://host/topic", "workers.sinks.mqtt:MqttSettings"),
        Kind("kafka", "kafka://host/topic", "workers.sinks.kafka:KafkaSettings"),
    )
}


def sink_forms() -> str:
    """How sinks are written: "a, b or c"."""
    *others, last = (kind.form for kind in SINKS.values())
    return f"{', '.join(others)} or {last}"
