"""Results as Kafka records."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import SecretStr, field_validator

from pipeline.errors import UsageError
from workers.access.addresses import AllowedHosts
from workers.settings.schema import AccessSettings
from workers.sinks.kafka_metadata import advertised_hosts
from workers.sinks.kafka_relay import KafkaRelay
from workers.sinks.settings import REFUSAL, UrlSinkSettings
from workers.sinks.sink import SinkError
from workers.sinks.urls import split_url, topic_of

_TIMEOUT_S = 10.0
_PORT = 9092
_log = logging.getLogger(__name__)


class KafkaSettings(UrlSinkSettings):
    """Produces a record per result, its key the stream's id, acknowledged by all replicas.

    Attributes:
        url: kafka://host[:9092]/topic.
    """

    schemes: ClassVar[tuple[str, ...]] = ("kafka",)
    library: ClassVar[str | None] = "confluent_kafka"
    extra: ClassVar[str | None] = "kafka"

    kind: Literal["kafka"] = "kafka"

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        topic_of(url, cls.schemes)
        if "@" in url.get_secret_value():
            raise ValueError("a Kafka sink takes no login")
        return url

    def open(self, stream: str, access: AccessSettings) -> KafkaTopic:
        """See `SinkSettings`."""
        return KafkaTopic(self, stream, access)


class KafkaTopic:
    """Produces records of one key, so they stay in order, and waits until all replicas have them.

    Args:
        settings: where to.
        stream: id of the stream, the key of its records.
        access: what may be connected to.

    Raises:
        SinkError: nobody answers there.
        UsageError: a broker of the topic may not be delivered to.
    """

    def __init__(self, settings: KafkaSettings, stream: str, access: AccessSettings) -> None:
        from confluent_kafka import Producer

        self._shown = settings.display
        self._topic = topic_of(settings.url, settings.schemes)
        self._key = stream.encode()
        self._failure: str | None = None
        url = split_url(settings.url, settings.schemes)
        port = url.port or _PORT
        hosts = AllowedHosts(access.allow_hosts)
        self._check_brokers(settings.addresses(access)[0], port, hosts)
        self._relay = KafkaRelay(hosts, self._shown, (settings.host, port))
        # One request at a time: one that is tried again cannot overtake another. No linger: batches are
        # made before they come here.
        self._producer = Producer(
            {
                "bootstrap.servers": self._relay.address,
                # That is an address of IPv4.
                "broker.address.family": "v4",
                # It would ask for more than the relay lets through.
                "enable.metrics.push": False,
                "client.id": "vwt-stream",
                "acks": "all",
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": 0,
                "message.timeout.ms": int(_TIMEOUT_S * 1000),
                # Otherwise it tells every attempt to connect; what matters comes as an error.
                "log_level": 2,
            },
            logger=_log,
        )

    def _check_brokers(self, address: str, port: int, hosts: AllowedHosts) -> None:
        """Looks at where the broker sends its clients, before there is a client."""
        try:
            brokers = advertised_hosts(address, port, self._topic, _TIMEOUT_S)
        except (OSError, ValueError) as error:
            raise SinkError(f"cannot reach {self._shown}: {error}; start it or check its URL") from error
        for broker in brokers:
            hosts.check(broker, f"{self._shown}, which leads to {broker},", REFUSAL)

    def write(self, results: Sequence[bytes]) -> None:
        """See `Sink`."""
        from confluent_kafka import KafkaException

        self._failure = self._relay.refusal = None
        try:
            for result in results:
                self._producer.produce(self._topic, result, self._key, on_delivery=self._on_delivery)
            left = self._producer.flush(_TIMEOUT_S + 1)
        except (KafkaException, BufferError) as error:
            raise SinkError(f"{self._shown} cannot take results: {error}; look at its log") from error
        if left or self._failure is not None:
            if self._relay.refusal is not None:
                raise UsageError(self._relay.refusal)
            why = self._failure or f"no answer within {_TIMEOUT_S:.0f} s"
            raise SinkError(
                f"{self._shown} did not take results: {why}; check that it runs and has the topic"
            )

    def close(self) -> None:
        """See `Sink`."""
        self._producer.purge()
        self._producer.flush(0)
        self._relay.close()

    def _on_delivery(self, error: Any, _record: Any) -> None:
        if error is not None and self._failure is None:
            self._failure = error.str()
