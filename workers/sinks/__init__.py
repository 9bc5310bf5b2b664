"""Delivers results to where callers want them: files, webhooks, MQTT, Kafka. At least once, in order."""

from workers.sinks.access import check_sinks
from workers.sinks.deliveries import StreamDeliveries
from workers.sinks.offsets import sink_status

__all__ = ["StreamDeliveries", "check_sinks", "sink_status"]
