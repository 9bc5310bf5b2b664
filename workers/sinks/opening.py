"""Opens a sink of any kind."""

from __future__ import annotations

from pathlib import Path

from workers.contract.sink_specs import (
    JsonlSettings,
    KafkaSettings,
    MqttSettings,
    SinkSettings,
    WebhookSettings,
)
from workers.settings.schema import AccessSettings
from workers.sinks.access import check_sink
from workers.sinks.sink import Sink


def open_sink(settings: SinkSettings, stream: str, access: AccessSettings) -> Sink:
    """Opens a sink, if it is still one that the service may deliver to.

    Raises:
        UsageError: it may not.
        SinkError: it cannot be reached.
    """
    check_sink(settings, access)
    match settings:
        case JsonlSettings():
            from workers.sinks.jsonl import JsonlFile

            return JsonlFile(Path(settings.path).resolve())
        case WebhookSettings():
            from workers.sinks.webhook import Webhook

            return Webhook(settings, stream)
        case MqttSettings():
            from workers.sinks.mqtt import MqttTopic

            return MqttTopic(settings)
        case KafkaSettings():
            from workers.sinks.kafka import KafkaTopic

            return KafkaTopic(settings, stream)
