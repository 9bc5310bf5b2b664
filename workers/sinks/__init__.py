"""Where results can be delivered to: files, webhooks, MQTT, Kafka."""

from workers.sinks.access import check_sinks

__all__ = ["check_sinks"]
